#!/usr/bin/env bash
# From a bare machine to a gated, registered model: `make demo`.
#
# Exit code: that of the run (0 succeeded, 4 rejected by the gate, 1 failed), or of the step that failed.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
martlet=.build/release/martlet
model=smollm2-135m-instruct
run=

step() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }

# shellcheck disable=SC2317  # called by the traps below
interrupted() {
    trap - INT TERM
    printf '\n== interrupted\n'
    if [[ -x $martlet ]] && "$martlet" status >/dev/null 2>&1; then
        if [[ -n $run ]]; then
            note "The run goes on. Follow it: $martlet run watch $run"
            note "Cancel it: $martlet run cancel $run"
        fi
        note "The stack is up. Stop it: $martlet down"
    fi
    exit "$1"
}
trap 'interrupted 130' INT
trap 'interrupted 143' TERM

step 'Installing what is missing'
deploy/install.sh build stack python
stages=$(deploy/python/env.sh stages)
note "Python of the stages: $stages"

step 'Building (release)'
# SWIFT_FLAGS is a list of words.
# shellcheck disable=SC2086
swift build --configuration release --product martlet --static-swift-stdlib ${SWIFT_FLAGS:-}

# The parts of the program that read files by relative path do so from the project's folder.
locate() { PYTHONPATH=Sources/Stages/Python "$stages/bin/python" -m martlet_stages locate "$1"; }

began=$SECONDS
step 'Starting the stack'
"$martlet" up

step 'Importing the base model'
weights=$(locate smollm2)
"$martlet" model import "$model" --gguf "$weights" --if-missing

step 'Publishing the event'
data=$(locate cwe)/helpful_views/2000.csv
[[ -r $data ]] || { printf 'demo: there is no %s; build the environment again with deploy/python/env.sh stages\n' "$data" >&2; exit 1; }
answer=$("$martlet" event publish security-qa --parameter "source=file://$data" --wait --output json)
run=$(sed -n 's/.*"run" *: *"\([^"]*\)".*/\1/p' <<<"$answer")
[[ -n $run ]] || { printf 'demo: no run in the answer: %s\n' "$answer" >&2; exit 1; }
note "run $run of pipeline security-qa on $data"

step 'The run'
result=0
"$martlet" run watch "$run" || result=$?

step 'Report'
"$martlet" run report "$run" || result=$?

printf '\nafter install and build: %d s\n' "$((SECONDS - began))"
note "The stack stays up. Stop it: $martlet down (or make down); its data stays in ${MARTLET_STATE:-.martlet}."
exit "$result"
