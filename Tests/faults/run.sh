#!/usr/bin/env bash
# Faults on the whole stack with the security-qa pipeline: kills, stops, wiped stores, servers that go away.
#
#   Tests/faults/run.sh all                every scenario, 11 to 30 minutes on two cores
#   Tests/faults/run.sh kill flush         only these
#   Tests/faults/run.sh --list             their names
#
# Prints a table and writes the same as JSON to .build/faults/results.json. Exit code 0 when all passed, else 1.
#
#   MARTLET_PROGRAM   the program to test (default .build/release/martlet, else .build/debug/martlet)
#   MARTLET_FAULTS    where the stack keeps its data, kept for the next call (default .build/faults)
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(cd -- "$here/../.." && pwd)

program=${MARTLET_PROGRAM:-}
if [[ -z $program ]]; then
    for candidate in "$root/.build/release/martlet" "$root/.build/debug/martlet"; do
        if [[ -x $candidate ]]; then
            program=$candidate
            break
        fi
    done
fi
[[ -x $program ]] || {
    printf 'run.sh: there is no martlet to test: run make release, or name one in MARTLET_PROGRAM\n' >&2
    exit 2
}

"$root/deploy/install.sh" stack python test
environment=$("$root/deploy/python/env.sh" tests)
stages=$("$root/deploy/python/env.sh" stages)
data=$(PYTHONPATH=$root/Sources/Stages/Python "$stages/bin/python" -m martlet_stages locate cwe)/helpful_views/2000.csv
weights=$(PYTHONPATH=$root/Sources/Stages/Python "$stages/bin/python" -m martlet_stages locate smollm2)

export MARTLET_PYTHON=$stages
export MARTLET_PYTHON_PACKAGE=$root/Sources/Stages/Python
exec "$environment/bin/python" -B "$here/main.py" --program "$program" --root "$root" \
    --folder "${MARTLET_FAULTS:-$root/.build/faults}" --data "$data" --weights "$weights" "$@"
