#!/usr/bin/env python3
"""Compares what ptxas says of every kernel in a build's log with tests/data/cuda/ptxas.tsv.

    cmake --preset cuda && cmake --build --preset cuda 2>&1 | tee build/cuda/build.log
    scripts/check_ptxas.py build/cuda/build.log             compare
    scripts/check_ptxas.py --architecture 90 LOG            compare what is for 9.0 only
    scripts/check_ptxas.py --record build/cuda/build.log    write the table

The build must have compiled all kernels, for all architectures without --architecture. A spill that
is not in the table or a missing kernel fails, as do registers or shared memory that have grown by
more than a few.
"""
import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests/data/cuda/ptxas.tsv"
MORE_REGISTERS = 8  # than recorded: compilers differ by a few from release to release
HEAD = "# kernel\tarchitecture\tregisters\tspilled bytes\tshared bytes\n"


def short_name(demangled):
    """AttendRows<2, 8> of "void spark::cuda::AttendRows<2, 8>(spark::cuda::AttendArguments)"."""
    name = re.sub(r"\(spark::DType\)", "", demangled)
    name = name.replace("spark::cuda::", "").removeprefix("void ")
    return name[:name.rindex("(")] if ")" in name else name


def measure(log):
    """(kernel, architecture) -> (registers, spilled bytes, shared bytes)"""
    kernels = {}
    pattern = re.compile(r"Compiling entry function '(\S+)' for 'sm_(\d+)'.*?(\d+) bytes spill stores,"
                         r" (\d+) bytes spill loads.*?Used (\d+) registers([^\n]*)", re.DOTALL)
    for name, architecture, stores, loads, registers, rest in pattern.findall(log):
        shared = re.search(r"(\d+) bytes smem", rest)
        kernels[name, architecture] = (int(registers), int(stores) + int(loads),
                                       int(shared.group(1)) if shared else 0)
    names = sorted({name for name, _ in kernels})
    demangled = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True,
                               check=True).stdout.splitlines()
    readable = dict(zip(names, map(short_name, demangled)))
    return {(readable[name], architecture): numbers
            for (name, architecture), numbers in kernels.items()}


def read_table():
    rows = {}
    for line in TABLE.read_text().splitlines():
        if not line.startswith("#"):
            name, architecture, *numbers = line.split("\t")
            rows[name, architecture] = tuple(map(int, numbers))
    return rows


def complaints(recorded, measured):
    for key in sorted(recorded.keys() | measured.keys()):
        name = f"{key[0]} for {key[1]}"
        if key not in measured:
            yield f"{name} is in the table and no longer compiled"
        elif key not in recorded:
            yield f"{name} is not in the table"
        else:
            registers, spilled, shared = measured[key]
            known_registers, known_spilled, known_shared = recorded[key]
            if spilled > known_spilled:
                yield f"{name} spills {spilled} bytes, recorded {known_spilled}"
            if registers > known_registers + MORE_REGISTERS:
                yield f"{name} takes {registers} registers, recorded {known_registers}"
            if shared > known_shared:
                yield f"{name} takes {shared} bytes of shared memory, recorded {known_shared}"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write the table")
    parser.add_argument("--architecture", help="of the kernels to compare, like 90")
    parser.add_argument("log", type=pathlib.Path)
    arguments = parser.parse_args()
    measured = measure(arguments.log.read_text())
    if arguments.record:
        lines = ["\t".join([*key, *map(str, numbers)]) for key, numbers in sorted(measured.items())]
        TABLE.write_text(HEAD + "\n".join(lines) + "\n")
        print(f"{len(measured)} kernels recorded")
        return
    recorded = read_table()
    if arguments.architecture:
        recorded, measured = ({key: numbers for key, numbers in table.items()
                               if key[1] == arguments.architecture} for table in (recorded, measured))
    found = list(complaints(recorded, measured))
    print("\n".join(found) or f"{len(measured)} kernels are as recorded")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
