#!/usr/bin/env bash
# Half an hour of mixed load through one gateway while versions of the model take turns.
#
#   Benchmarks/gateway/soak.sh [MINUTES] [--swap SECONDS] [--users N] [--json FILE]
#
#   MINUTES        of load (default 30)
#   --swap SECONDS between two moves of the champion's alias (default 120)
#   --users N      applications that ask at the same time (default 24)
#   --json FILE    where the figures go (default .build/bench/soak.json)
#
# Applications stream or do not, with short and with long prompts and four keys; some go away in mid-stream. The model
# server is `martlet serve` with upstream.py for an engine: two versions are in the registry, and the champion's alias
# moves from one to the other. The servers are started for this run in a temporary folder and stopped at its end.
#
# Ends with 1 when a request fails, a version does not take over or an old engine stays, the usage is not exactly what was
# asked, or the gateway's memory grows. MARTLET_BIN names a binary that is built already.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
martlet=$("$root/Benchmarks/need.sh" martlet)
services=$("$root/deploy/python/env.sh" services)
mkdir -p -- "$root/.build/bench"
cd -- "$root"

# The rest of the caller's settings is not what is measured.
for name in ${!MARTLET_@}; do unset "$name"; done
export MARTLET_SERVICES_ENV=$services
export PYTHONPATH=$root/Benchmarks
exec python3 -B Benchmarks/gateway/soak.py --martlet "$martlet" --json "$root/.build/bench/soak.json" "$@"
