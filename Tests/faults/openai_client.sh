#!/usr/bin/env bash
# The openai client's own calls, and vLLM's own benchmark, against a gateway before a real vLLM with a small model.
#
#   Tests/faults/openai_client.sh                 every check, about 6 minutes on two cores
#   Tests/faults/openai_client.sh files batch     only these
#   Tests/faults/openai_client.sh --list          their names
#
# Prints a line for each check. Exit code 0 when all passed, else 1.
#
#   MARTLET_PROGRAM   the program to test (default .build/release/martlet)
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(cd -- "$here/../.." && pwd)
program=${MARTLET_PROGRAM:-$root/.build/release/martlet}
[[ -x $program ]] || {
    printf 'openai_client.sh: %s cannot be run: run make release, or name another in MARTLET_PROGRAM\n' "$program" >&2
    exit 2
}

"$root/deploy/install.sh" stack
python=$("$root/Benchmarks/need.sh" serving)
model=$("$root/Benchmarks/need.sh" model)
services=$("$root/deploy/python/env.sh" services)

# The rest of the caller's settings is not what is tested.
for name in ${!MARTLET_@}; do unset "$name"; done
export MARTLET_SERVICES_ENV=$services PYTHONPATH=$root/Benchmarks
cd -- "$root"
exec "$python" -B "$here/openai_client.py" --program "$program" --model "$model" "$@"
