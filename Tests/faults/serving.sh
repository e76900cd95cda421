#!/usr/bin/env bash
# Faults of serving: two gateways with one ledger before two model servers, while one of them all is killed or away.
#
#   Tests/faults/serving.sh                              every case, about 6 minutes on two cores
#   Tests/faults/serving.sh gateway-kill redis-gone      only these
#   Tests/faults/serving.sh --list                       their names
#
# Gateways and servers are real; the model servers are Benchmarks/gateway/upstream.py. Prints a table and writes the same
# as JSON to .build/faults-serving/results.json. Exit code 0 when all passed, else 1.
#
#   MARTLET_PROGRAM   the program to test (default .build/release/martlet, else .build/debug/martlet)
#   MARTLET_FAULTS    where the stack keeps its data, kept for the next call (default .build/faults-serving)
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
    printf 'serving.sh: there is no martlet to test: run make release, or name one in MARTLET_PROGRAM\n' >&2
    exit 2
}

"$root/deploy/install.sh" stack
services=$("$root/deploy/python/env.sh" services)

# The rest of the caller's settings is not what is tested.
folder=${MARTLET_FAULTS:-$root/.build/faults-serving}
for name in ${!MARTLET_@}; do unset "$name"; done
export MARTLET_SERVICES_ENV=$services
export PYTHONPATH=$root/Benchmarks
exec python3 -B "$here/serving.py" --program "$program" --root "$root" --folder "$folder" "$@"
