# shellcheck shell=bash
# Helpers shared by the scripts. Sourced, never run.

# Messages go to stderr: stdout belongs to the results that a script prints.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
  say "$@"
  exit 1
}

can_be_root() { [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# apt_missing PACKAGE[:COMMAND]... prints the packages that are not installed. A package whose
# COMMAND exists counts as installed, wherever it came from. Reads local files only.
apt_missing() {
  local entry package command
  local installed
  installed=$'\n'$(dpkg-query -W -f='${db:Status-Status} ${Package}\n')$'\n'
  for entry in "$@"; do
    package=${entry%%:*}
    command=${entry#"$package"}
    command=${command#:}
    if [ -n "$command" ] && command -v "$command" >/dev/null; then continue; fi
    [[ $installed == *$'\n'"installed $package"$'\n'* ]] || echo "$package"
  done
}

apt_update() {
  can_be_root || return 0
  say "reading apt's package lists"
  as_root apt-get -qq update >&2 || say "apt-get update had errors; going on with the lists there are"
}

apt_install() {
  can_be_root || die "neither root nor sudo here; these packages are missing: $*"
  say "installing with apt: $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
    -o Dpkg::Use-Pty=0 install --yes --no-install-recommends "$@" >&2 ||
    die "apt could not install: $* (is the network reachable? apt's own words are above)"
}

sha256_of() {
  if command -v sha256sum >/dev/null; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -c1-64
}

cores() { getconf _NPROCESSORS_ONLN; }
