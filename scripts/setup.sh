#!/usr/bin/env bash
# Brings a bare Debian 12 machine (Debian and Ubuntu in general) to where `cmake --preset release`
# works. Installs what is missing and nothing else; when nothing is, it touches neither apt nor the
# network. On other systems it names the packages to install.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

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

# What apt downloads as source packages, unpacked into .deps/ for cmake/Dependencies.cmake. They come
# from the mirror that this machine already uses, through folders of our own: the machine's apt
# configuration stays as it is.
mirror() {
  local codename
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  {
    # One-line form: deb [options] URI SUITE COMPONENT...
    find /etc/apt/sources.list /etc/apt/sources.list.d -name '*.list' -exec cat {} + 2>/dev/null |
      sed -E 's/#.*//; s/\[[^]]*\]//' | awk '$1 == "deb" { print $2, $3 }'
    # deb822 form: stanzas of "Key: values".
    find /etc/apt/sources.list.d -name '*.sources' -exec awk '
      function flush(  i, n, suite) {
        n = split(suites, suite, " ")
        for (i = 1; i <= n; i++) if (uri != "" && enabled) print uri, suite[i]
        uri = suites = ""; enabled = 1
      }
      BEGIN { enabled = 1 }
      FNR == 1 || /^[ \t]*$/ { flush() }
      tolower($1) == "uris:" { uri = $2 }
      tolower($1) == "suites:" { $1 = ""; suites = $0 }
      tolower($1) == "enabled:" && tolower($2) == "no" { enabled = 0 }
      END { flush() }' {} + 2>/dev/null
  } | awk -v suite="$codename" '$2 == suite && $1 !~ /^cdrom:/ { print $1; exit }'
}

# expected_sha256 highway|catch2: the hash that cmake/Dependencies.cmake pins.
expected_sha256() {
  grep -i -A 2 "spark_source_dependency($1 " cmake/Dependencies.cmake | grep -oE '[0-9a-f]{64}'
}

fetch_sources() {
  local base temp archive name
  base=$(mirror)
  [ -n "$base" ] || die "found no mirror of this Debian in /etc/apt/sources.list*"
  say "getting the sources of $* from Debian trixie into .deps/"
  mkdir -p .deps
  rm -rf .deps/download.*  # of a run that was killed
  temp=$(mktemp -d "$PWD/.deps/download.XXXXXX")
  # shellcheck disable=SC2064  # the folder of now, not of when the trap runs
  trap "rm -rf '$temp'" EXIT
  mkdir -p "$temp"/lists/partial "$temp"/cache/archives/partial "$temp"/unpacked
  echo "deb-src $base trixie main" >"$temp/sources.list"
  local options=(
    -qq -o APT::Sandbox::User=root
    -o Dir::Etc::sourcelist="$temp/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::Lists="$temp/lists" -o Dir::Cache="$temp/cache"
  )
  (cd "$temp" && apt-get "${options[@]}" update &&
    apt-get "${options[@]}" source --download-only "$@") >&2 ||
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
