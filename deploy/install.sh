#!/usr/bin/env bash
# Installs what is missing for the groups that are named. Does nothing, and needs no rights, when nothing is.
#
#   deploy/install.sh build     headers and tools to compile Martlet; checks for Swift
#   deploy/install.sh stack     RabbitMQ, Redis and PostgreSQL for `martlet up` and the tests
#   deploy/install.sh python    the Python environments of the stages and of the services
#   deploy/install.sh test      what only the tests use
#   deploy/install.sh lint      what only the lint uses
#   deploy/install.sh bench     what only the benchmarks use
#   deploy/install.sh --list GROUP...   print the packages instead
#
# For Debian 12 and for Ubuntu where packages are named alike. Root installs; anybody else does through sudo.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

say() { printf 'install: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

usage() {
    sed -n '2,/^set -/{/^#/!d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 2
}

packages_of() {
    case $1 in
    build) echo build-essential ca-certificates git pkg-config \
        librabbitmq-dev libhiredis-dev libpq-dev libcurl4-openssl-dev ;;
    stack) echo rabbitmq-server redis-server postgresql util-linux python3 python3-venv ;;
    python) echo python3 python3-venv ;;
    test) echo openssl prometheus python3 ;;
    lint) echo docker-compose shellcheck yamllint ;;
    bench) echo haproxy nginx-light rclone wrk ;;
    *) return 1 ;;
    esac
}

is_installed() {
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# The packages' own services are not wanted: the stack runs its servers itself, on ports of its own.
# While this file says 101, package scripts start none (https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt).
policy=/usr/sbin/policy-rc.d
as_root=()
made_policy=false

keep_services_stopped() {
    [[ -e $policy ]] && return
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
    made_policy=true
}

restore_policy() {
    if $made_policy; then "${as_root[@]}" rm -f "$policy"; fi
}

install_packages() {
    local missing=("$@")
    command -v apt-get >/dev/null ||
        fail "this machine has no apt-get; install what provides these Debian packages yourself: ${missing[*]}"
    if [[ $EUID -ne 0 ]]; then
        command -v sudo >/dev/null ||
            fail "run this as root, or install sudo: apt-get install --no-install-recommends ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    trap restore_policy EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    keep_services_stopped
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --quiet=2 -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
    local attempt
    for attempt in 1 2 3; do
        "${apt[@]}" -o APT::Update::Error-Mode=any update >&2 ||
            say 'apt-get update failed; trying with the lists that are there'
        if "${apt[@]}" install --yes --no-install-recommends "${missing[@]}" >&2; then break; fi
        ((attempt < 3)) || fail "apt-get could not install ${missing[*]}; the reason is above"
        say "apt-get failed; once more in $((attempt * 10)) s"
        sleep $((attempt * 10))
    done
    restore_policy
    made_policy=false
}

check_swift() {
    local text version
    if ! command -v swift >/dev/null; then
        sed 's/^/install: /' >&2 <<'HELP'
Swift 6.3 or later is needed and there is no swift in PATH. Its own installer gets it:
  curl -fsSLO "https://download.swift.org/swiftly/linux/swiftly-$(uname -m).tar.gz"
  tar -zxf "swiftly-$(uname -m).tar.gz" && ./swiftly init --quiet-shell-followup
  . "${SWIFTLY_HOME_DIR:-$HOME/.local/share/swiftly}/env.sh" && hash -r
Other ways: https://www.swift.org/install/linux/
HELP
        exit 1
    fi
    text=$(swift --version 2>/dev/null) || fail "swift --version fails; is $(command -v swift) a whole toolchain?"
    version=$(grep -oE 'Swift version [0-9]+\.[0-9]+' <<<"$text" | grep -oE '[0-9]+\.[0-9]+' | head -n 1)
    [[ -n $version ]] || fail "cannot read the version in: $text"
    if ((${version%%.*} < 6 || (${version%%.*} == 6 && ${version#*.} < 3))); then
        fail "Swift $version is too old: 6.3 or later is needed (https://www.swift.org/install/linux/)"
    fi
}

list=false
if [[ ${1:-} == --list ]]; then
    list=true
    shift
fi
[[ $# -gt 0 ]] || usage

declare -A wanted=()
for group in "$@"; do
    packages=$(packages_of "$group") || { say "there is no group '$group'"; usage; }
    for package in $packages; do wanted[$package]=1; done
done
mapfile -t wanted_packages < <(printf '%s\n' "${!wanted[@]}" | sort)
if $list; then
    printf '%s\n' "${wanted_packages[@]}"
    exit 0
fi

missing=()
for package in "${wanted_packages[@]}"; do
    is_installed "$package" || missing+=("$package")
done
if ((${#missing[@]})); then install_packages "${missing[@]}"; fi

for group in "$@"; do
    case $group in
    build) check_swift ;;
    python)
        "$here/python/env.sh" services >/dev/null
        "$here/python/env.sh" stages >/dev/null
        ;;
    test) "$here/python/env.sh" tests >/dev/null ;;
    esac
done
