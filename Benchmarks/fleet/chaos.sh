#!/usr/bin/env bash
# Ten thousand no-op tasks while a quarter of the workers is killed again and again.
#
#   Benchmarks/fleet/chaos.sh [--tasks N] [--workers N] [--rate N] [--seed N] [--json FILE]
#
#   --tasks N     runs to start (default 10000)
#   --workers N   worker processes; a quarter of them gets SIGKILL in every round (default 8)
#   --rate N      runs started per second, so that there is work throughout (default 1000)
#   --seed N      of the choice of victims and moments (default 1)
#   --json FILE   where the figures go (default .build/bench/chaos.json)
#
# Ends with 1 unless every run succeeded exactly once by the ledger: none lost, no result counted twice.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
python=$("$root/Benchmarks/need.sh" python)
martlet=$("$root/Benchmarks/need.sh" martlet)
bare=$("$root/Benchmarks/need.sh" bare)
mkdir -p -- "$root/.build/bench"
cd -- "$root"
PYTHONPATH=$root/Benchmarks exec "$python" -m harness.chaos --martlet "$martlet" --bare "$bare" \
    --json "$root/.build/bench/chaos.json" "$@"
