#!/usr/bin/env bash
# What `cmake --preset aarch64` needs, on Debian: the cross compiler and qemu as packages of this
# machine, and arm64 libraries unpacked into .deps/aarch64, so that the machine's own packages stay
# of one architecture. `scripts/setup.sh --cross` calls this.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

# With all they depend on, libc included.
libraries=(
  libeigen3-dev libcli11-dev libfmt-dev nlohmann-json3-dev libpcre2-dev libedit-dev libutf8proc-dev
  libc6-dev libstdc++6 libgomp1
)
sysroot=$PWD/.deps/aarch64

grep -q '^ID=debian$' /etc/os-release 2>/dev/null ||
  die "knows Debian only. Elsewhere: a cross compiler, qemu-user and a folder with arm64 libraries
  (${libraries[*]}), then: cmake --preset aarch64 -D CMAKE_SYSROOT=FOLDER"

read -ra install <<<"$(apt_missing g++-aarch64-linux-gnu:aarch64-linux-gnu-g++ \
  qemu-user:qemu-aarch64 | tr '\n' ' ')"
if [ ${#install[@]} -gt 0 ]; then
  apt_update
  apt_install "${install[@]}"
fi
# The list of libraries is part of the name: another one is unpacked anew.
stamp=$sysroot/.complete-$(printf '%s ' "${libraries[@]}" | cksum | cut -d' ' -f1)
if [ -f "$stamp" ]; then
  say "nothing to do"
  exit 0
fi

base=$(apt_mirror)
[ -n "$base" ] || die "found no mirror of this Debian in /etc/apt/sources.list*"
say "getting arm64 libraries into .deps/aarch64"
mkdir -p .deps
rm -rf .deps/cross.*  # of a run that was killed
temp=$(mktemp -d "$PWD/.deps/cross.XXXXXX")
trap 'rm -rf "$temp"' EXIT
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
echo "deb $base $codename main" >"$temp/sources.list"
: >"$temp/status"  # a machine on which nothing is installed: what is needed comes in full
private_apt "$temp"
options=(
  "${apt_private_options[@]}" -o Dir::State::status="$temp/status"
  -o APT::Architecture=arm64 -o APT::Architectures::=arm64
)
{ apt-get "${options[@]}" update &&
  apt-get "${options[@]}" install --yes --no-install-recommends --download-only "${libraries[@]}"
} >&2 || die "could not download arm64 libraries (apt's own words are above)"

mkdir "$temp/root"
for package in "$temp"/cache/archives/*.deb; do dpkg-deb --extract "$package" "$temp/root"; done
# Links to /lib/… would lead to this machine's libraries.
find "$temp/root" -type l -lname '/*' -print0 | while IFS= read -r -d '' link; do
  ln -sfnr "$temp/root$(readlink "$link")" "$link"
done
: >"$temp/root/${stamp##*/}"
rm -rf "$sysroot"
mv "$temp/root" "$sysroot"
say "done"
