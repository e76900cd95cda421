#!/usr/bin/env bash
# Measures Martlet's gateway before a real vLLM with a small model, on this machine's processor.
#
#   Benchmarks/gateway/vllm.sh [PART...] [--turns N] [--widths LIST] [--overload-seconds N] [--alone-seconds N]
#                              [--beside-seconds N] [--batch-requests N] [--model FOLDER] [--engine-cores LIST]
#                              [--json FILE]
#
#   PART                  goodput, sharing, coalescing, overload, batch (default: all, an hour on two cores)
#   --turns N             turns in which everything that is compared is measured (default 3); of overloads there is one,
#                         of goodput four slots in each turn, in which all clients ask vLLM itself or the gateway, and a
#                         minute or more in which each client asks both
#   --widths LIST         of goodput, requests at the same time (default 64,256)
#   --overload-seconds N  of each overload that count (default 60)
#   --alone-seconds N     of the streams without a batch, before and after it, in each turn (default 90)
#   --beside-seconds N    of the streams beside a batch, at most, in each turn (default 900)
#   --batch-requests N    of batches, in hand at the same time (default 32, the gateway's own)
#   --model FOLDER        weights as vLLM reads them (default: SmolLM2-135M, made in .build/bench/model)
#   --engine-cores LIST   where vLLM calculates, as 1,2 or 1-3 (default: all cores but the first)
#   --json FILE           where the figures go (default .build/bench/vllm.json)
#
# One engine, and Redis, PostgreSQL and SeaweedFS, are started for this run in a temporary folder and stopped at its end.
# Gateways have keys with all limits and prices on. Ends with 1 when a bar is not met.
#
#   MARTLET_PROGRAM   the program to measure (default .build/release/martlet)
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
program=${MARTLET_PROGRAM:-$root/.build/release/martlet}
[[ -x $program ]] || {
    printf 'vllm.sh: %s cannot be run: run make release, or name another in MARTLET_PROGRAM\n' "$program" >&2
    exit 2
}
"$root/deploy/install.sh" stack
python=$("$root/Benchmarks/need.sh" serving)
model=$("$root/Benchmarks/need.sh" model)
services=$("$root/deploy/python/env.sh" services)

# The rest of the caller's settings is not what is measured.
for name in ${!MARTLET_@}; do unset "$name"; done
export MARTLET_SERVICES_ENV=$services PYTHONDONTWRITEBYTECODE=1
mkdir -p -- "$root/.build/bench"
cd -- "$root"
PYTHONPATH=$root/Benchmarks exec "$python" -m harness.vllm --martlet "$program" --model "$model" \
    --json "$root/.build/bench/vllm.json" "$@"
