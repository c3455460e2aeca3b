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

# The mirror that this machine gets its Debian or Ubuntu from.
apt_mirror() {
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

# private_apt FOLDER: makes apt_private_options, with which apt-get works on lists and a cache in
# FOLDER, and on FOLDER/sources.list: the machine's own configuration stays as it is.
private_apt() {
  mkdir -p "$1"/lists/partial "$1"/cache/archives/partial
  # shellcheck disable=SC2034  # for those who source this file
  apt_private_options=(
    -qq -o APT::Sandbox::User=root
    -o Dir::Etc::sourcelist="$1/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::Lists="$1/lists" -o Dir::Cache="$1/cache"
  )
}

sha256_of() {
  if command -v sha256sum >/dev/null; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -c1-64
}

cores() { getconf _NPROCESSORS_ONLN; }

# demo_texts COMMAND...: what the model of the library says, in f32 arithmetic: a story, and the answer
# to the demo's question from three caches. COMMAND is spark-generate, or what runs it.
demo_texts() {
  local kv question
  question=$(cat data/demo/needle_question.txt && echo .)
  "$@" -p "Once upon a time," -n 120 --compute f32 --threads 1 --stats none
  for kv in none think:0.8 spark:0.8; do
    "$@" -f data/demo/needle_context.txt -q "${question%.}" -n 24 --kv "$kv" --compute f32 \
      --threads 1 --stats none --no-display-prompt
  done
}

# check_demo NAME COMMAND...: whether COMMAND's texts are those of the release build's reference.
check_demo() {
  local name=$1
  shift
  demo_expected=${demo_expected:-$(demo_texts build/release/bin/spark-generate --backend reference)}
  local texts
  texts=$(demo_texts "$@") || die "$name: spark-generate failed"
  [ "$texts" = "$demo_expected" ] || die "$name says something else than the reference: $texts"
  echo "$name: the demo's texts are the reference's"
}

# check_tests NAME COMMAND...: COMMAND is spark-tests, or what runs it.
check_tests() {
  local name=$1 result
  shift
  result=$("$@") || die "$name: $result"
  echo "$name: $(grep -m 1 -E 'test cases|All tests' <<<"$result")"
}
