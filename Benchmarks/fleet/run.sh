#!/usr/bin/env bash
# Measures Martlet against Celery, Dramatiq and a bare librabbitmq loop: `make bench-fleet`.
#
#   Benchmarks/fleet/run.sh [--tasks N] [--runs N] [--latency-tasks N] [--only NAME,...] [--json FILE]
#
#   --tasks N          no-op tasks per run (default 10000)
#   --runs N           runs per system, which take turns; medians are shown (default 3)
#   --latency-tasks N  two-stage runs for the time between stages, at 100 tasks per second (default 1000)
#   --only NAMES       of martlet, celery, dramatiq, bare, with commas (default: all)
#   --json FILE        where the figures go (default .build/bench/fleet.json)
#
# Throughput is measured twice. Live: from the first task's enqueueing to the last result, with the system's own
# producers running beside. Drained: the fleet is stopped (SIGSTOP) while all tasks are put into the broker, and the time
# runs from when it goes on; so no producer counts. Ends with 1 when a bar is not met; the one
# against Celery goes by the live figures, end to end: the median of the turns' ratios. The drained ones are shown beside them; their ratio is lower.
#
# One broker, one Redis, one PostgreSQL, started for this run in a temporary folder and stopped at its end, with
# everything synchronised to disk as in production: durable quorum queues, publisher confirms, late
# acknowledgements, as many unacknowledged messages for each, every result recorded. MARTLET_BIN and MARTLET_BARE name
# binaries that are built already.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
python=$("$root/Benchmarks/need.sh" python)
martlet=$("$root/Benchmarks/need.sh" martlet)
bare=$("$root/Benchmarks/need.sh" bare)
mkdir -p -- "$root/.build/bench"
cd -- "$root"
PYTHONPATH=$root/Benchmarks exec "$python" -m harness.fleet --martlet "$martlet" --bare "$bare" \
    --json "$root/.build/bench/fleet.json" "$@"
