#!/usr/bin/env bash
# Measures Martlet's gateway against vllm-router, nginx, HAProxy and LiteLLM: `make bench-gateway`.
#
#   Benchmarks/gateway/run.sh [--turns N] [--seconds N] [--stream-turns N] [--streams N] [--only NAME,...] [--json FILE]
#
#   --turns N         turns in which every proxy is measured at 1, 32 and 256 connections (default 5)
#   --seconds N       of load per measurement (default 3)
#   --stream-turns N  turns in which streams are measured (default 15: they are short, and what p99 is in one says little)
#   --streams N       streams at the same time, each of 100 chunks that are 20 ms apart (default 1000)
#   --only NAMES      of martlet, vllm-router, nginx, haproxy, litellm, with commas (default: all)
#   --json FILE       where the figures go (default .build/bench/gateway.json)
#
# The proxies run on one core, wrk and a stand-in for the model server (nginx with one static answer) on another. All
# proxies are up all the time and take turns. What a proxy adds to latency is its percentile less that of the same load
# without a proxy, in the same turn. The requests are such as may get another answer each time, so that each is passed on;
# the upstream counts them. Martlet has keys with all limits, costs, metrics, routing by alias and the usage
# journal on; the others do none of this. Redis and PostgreSQL, which Martlet asks beside the requests, are started for
# this run in a temporary folder and stopped at its end. Streams are made and measured by a program in streams/.
#
# Ends with 1 when a bar is not met, which includes requests that failed and requests that `martlet usage` does not
# have. MARTLET_BIN names a binary that is built already.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
# Debian has servers in a folder that is not in everybody's PATH.
export PATH=$PATH:/usr/sbin
for tool in haproxy nginx taskset wrk; do
    command -v "$tool" >/dev/null || {
        printf 'run.sh: no %s found; install it: deploy/install.sh bench\n' "$tool" >&2
        exit 1
    }
done
python=$("$root/Benchmarks/need.sh" proxies)
streams=$("$root/Benchmarks/need.sh" streams)
martlet=$("$root/Benchmarks/need.sh" martlet)
mkdir -p -- "$root/.build/bench"
cd -- "$root"
PYTHONPATH=$root/Benchmarks exec "$python" -m harness.gateway --martlet "$martlet" \
    --streams-program "$streams" --json "$root/.build/bench/gateway.json" "$@"
