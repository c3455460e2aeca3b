#!/usr/bin/env python3
"""Compares what ptxas says of every kernel with tests/data/cuda/ptxas.tsv.

    scripts/check_ptxas.py            compile the kernels, compare
    scripts/check_ptxas.py --record   compile the kernels, write the table

A spill or a missing kernel fails, as do registers or shared memory that have grown by more than a
few. Needs nvcc (in PATH or /usr/local/cuda/bin) and c++filt; without nvcc it says so and passes.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests/data/cuda/ptxas.tsv"
ARCHITECTURES = ["80", "90"]
MORE_REGISTERS = 8  # than recorded: compilers differ by a few from release to release
HEAD = "# kernel\tarchitecture\tregisters\tspilled bytes\tshared bytes\n"


def find_nvcc():
    return shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")


def compile_one(nvcc, source, architecture):
    """ptxas's lines about the kernels of one file."""
    with tempfile.TemporaryDirectory() as folder:
        command = [nvcc, "-std=c++20", "-O3", "-cubin", f"-arch=sm_{architecture}", "-Xptxas=-v",
                   f"-I{ROOT}/src", f"-I{ROOT}/include", "-o", f"{folder}/out.cubin", str(source)]
        if shutil.which("ccache"):
            command.insert(0, "ccache")
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if result.returncode != 0:
        sys.exit(result.stdout + result.stderr)
    return result.stderr


def short_name(demangled):
    """AttendRows<2, 8> of "void spark::cuda::AttendRows<2, 8>(spark::cuda::AttendArguments)"."""
    name = re.sub(r"\(spark::DType\)", "", demangled)
    name = name.replace("spark::cuda::", "").removeprefix("void ")
    return name[:name.rindex("(")] if ")" in name else name


def measure(nvcc):
    """(kernel, architecture) -> (registers, spilled bytes, shared bytes)"""
    sources = sorted((ROOT / "src/backend/cuda").glob("*.cu"))
    jobs = [(s, a) for s in sources if s.name != "runtime_cuda.cu" for a in ARCHITECTURES]
    with concurrent.futures.ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        logs = list(pool.map(lambda job: compile_one(nvcc, *job), jobs))
    kernels = {}
    pattern = re.compile(r"Compiling entry function '(\S+)' for 'sm_(\d+)'.*?(\d+) bytes spill stores,"
                         r" (\d+) bytes spill loads.*?Used (\d+) registers([^\n]*)", re.DOTALL)
    for log in logs:
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
    arguments = parser.parse_args()
    nvcc = find_nvcc()
    if nvcc is None:
        print("no nvcc: kernels are not compiled")
        return
    measured = measure(nvcc)
    if arguments.record:
        lines = ["\t".join([*key, *map(str, numbers)]) for key, numbers in sorted(measured.items())]
        TABLE.write_text(HEAD + "\n".join(lines) + "\n")
        print(f"{len(measured)} kernels recorded")
        return
    found = list(complaints(read_table(), measured))
    print("\n".join(found) or f"{len(measured)} kernels are as recorded")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
