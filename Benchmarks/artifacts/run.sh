#!/usr/bin/env bash
# Moves a file to and from one SeaweedFS server with Martlet, rclone and aws s3 cp: `make bench-artifacts`.
#
#   Benchmarks/artifacts/run.sh [--size MIB] [--runs N] [--only NAME,...] [--json FILE]
#
#   --size MIB    the file's size in MiB (default 1024)
#   --runs N      runs per tool and direction; medians are shown (default 3)
#   --only NAMES  of martlet, rclone, aws, with commas (default: all)
#   --json FILE   where the figures go (default .build/bench/artifacts.json)
#
# The server is started for this run in a temporary folder and stopped at its end. Every download is compared with
# what was uploaded. Ends with 1 when a bar is not met. MARTLET_BIN names a binary that is built already.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
command -v rclone >/dev/null || {
    printf 'run.sh: no rclone found; install it (Debian: apt-get install rclone)\n' >&2
    exit 1
}
python=$("$root/Benchmarks/need.sh" python)
martlet=$("$root/Benchmarks/need.sh" martlet)
mkdir -p -- "$root/.build/bench"
cd -- "$root"
PYTHONPATH=$root/Benchmarks exec "$python" -m harness.artifacts --martlet "$martlet" \
    --json "$root/.build/bench/artifacts.json" "$@"
