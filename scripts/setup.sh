#!/usr/bin/env bash
# Brings a bare Debian 12 machine (Debian and Ubuntu in general) to where `cmake --preset release`
# works. Installs what is missing and nothing else; when nothing is, it touches neither apt nor the
# network. On other systems it names the packages to install.
#   scripts/setup.sh --cross   what the preset `aarch64` needs, besides: see scripts/setup-cross.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

if [ "${1:-}" = --cross ]; then
  scripts/setup.sh
  exec scripts/setup-cross.sh
fi

# PACKAGE or PACKAGE:COMMAND: the package isn't needed where the command is there already.
packages=(
  g++:c++ cmake:cmake ninja-build:ninja pkg-config:pkg-config ccache:ccache
  clang-format:clang-format
  libeigen3-dev libcli11-dev libfmt-dev nlohmann-json3-dev libpcre2-dev libedit-dev
  libutf8proc-dev libbenchmark-dev
)

if ! command -v apt-get >/dev/null; then
  cat >&2 <<'END'
setup.sh: no apt here. Needed are a C++20 compiler with OpenMP, CMake >= 3.25 and these packages:
  Fedora    gcc-c++ cmake ninja-build pkgconf-pkg-config ccache clang-tools-extra eigen3-devel
            cli11-devel fmt-devel json-devel pcre2-devel utf8proc-devel libedit-devel highway-devel
            catch-devel google-benchmark-devel
  Arch      gcc cmake ninja pkgconf ccache clang eigen cli11 fmt nlohmann-json pcre2 utf8proc
            libedit highway catch2 benchmark
  Homebrew  cmake ninja pkgconf ccache clang-format libomp eigen cli11 fmt nlohmann-json pcre2
            utf8proc highway catch2 google-benchmark
  Ubuntu    this script, with apt
CMake fetches Highway (>= 1.2) and Catch2 (>= 3.4) by itself where there is no package new enough.
END
  exit 0
fi

# Highway and Catch2 are newer than what Debian 12 carries. In order: an installed package, sources
# unpacked earlier, a package that apt can install, the source package of a later Debian.
new_enough() { [ -n "$2" ] && [ "$2" != "(none)" ] && dpkg --compare-versions "$2" ge "$1"; }
installed_version() {
  dpkg-query -W -f='${db:Status-Status} ${Version}\n' "$1" 2>/dev/null | sed -n 's/^installed //p'
}
candidate_version() { LC_ALL=C apt-cache policy "$1" | sed -n 's/^ *Candidate: //p'; }
unpacked() { compgen -G ".deps/$1-*/CMakeLists.txt" >/dev/null; }

read -ra install <<<"$(apt_missing "${packages[@]}" | tr '\n' ' ')"
sources=()
new_enough 1.2 "$(installed_version libhwy-dev)" || unpacked highway || sources+=(highway)
new_enough 3.4 "$(installed_version catch2)" || unpacked Catch2 || sources+=(catch2)

if ! grep -q '^ID=debian$' /etc/os-release && [ ${#install[@]} -eq 0 ] && [ ${#sources[@]} -gt 0 ]; then
  say "nothing to do (CMake fetches ${sources[*]})"
  exit 0
elif [ ${#install[@]} -eq 0 ] && [ ${#sources[@]} -eq 0 ]; then
  say "nothing to do"
  exit 0
fi

# expected_sha256 highway|catch2: the hash that cmake/Dependencies.cmake pins.
expected_sha256() {
  grep -i -A 2 "spark_source_dependency($1 " cmake/Dependencies.cmake | grep -oE '[0-9a-f]{64}'
}

# What apt downloads as source packages, unpacked into .deps/ for cmake/Dependencies.cmake. They come
# from the mirror that this machine already uses.
fetch_sources() {
  local base temp archive name
  base=$(apt_mirror)
  [ -n "$base" ] || die "found no mirror of this Debian in /etc/apt/sources.list*"
  say "getting the sources of $* from Debian trixie into .deps/"
  mkdir -p .deps
  rm -rf .deps/download.*  # of a run that was killed
  temp=$(mktemp -d "$PWD/.deps/download.XXXXXX")
  # shellcheck disable=SC2064  # the folder of now, not of when the trap runs
  trap "rm -rf '$temp'" EXIT
  mkdir -p "$temp/unpacked"
  echo "deb-src $base trixie main" >"$temp/sources.list"
  private_apt "$temp"
  (cd "$temp" && apt-get "${apt_private_options[@]}" update &&
    apt-get "${apt_private_options[@]}" source --download-only "$@") >&2 ||
    die "could not download the sources of $* (is the network reachable? apt's own words are above)"
  for name in "$@"; do
    archive=$(echo "$temp/${name}"_*.orig.tar.gz)
    [ "$(sha256_of "$archive")" = "$(expected_sha256 "$name")" ] ||
      die "${archive##*/} isn't the release that cmake/Dependencies.cmake pins"
    tar -xzf "$archive" -C "$temp/unpacked"
  done
  for name in "$temp"/unpacked/*; do
    rm -rf ".deps/${name##*/}"
    mv "$name" .deps/
  done
}

apt_update
still=()
for name in "${sources[@]}"; do
  if [ "$name" = highway ] && new_enough 1.2 "$(candidate_version libhwy-dev)"; then
    install+=(libhwy-dev)
  elif [ "$name" = catch2 ] && new_enough 3.4 "$(candidate_version catch2)"; then
    install+=(catch2)
  else
    still+=("$name")
  fi
done
if [ ${#install[@]} -gt 0 ]; then apt_install "${install[@]}"; fi
if [ ${#still[@]} -gt 0 ]; then
  if grep -q '^ID=debian$' /etc/os-release; then
    fetch_sources "${still[@]}"
  else
    say "no package of ${still[*]} is new enough here: CMake will fetch the sources"
  fi
fi
say "done"
