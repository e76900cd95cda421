"""The load of many short requests, by wrk."""

import dataclasses
import json

from harness.figures import medians
from harness.processes import Failure, cpu_seconds, memory, run
from harness.proxies.base import DIRECT
from harness.proxies.upstreams import ANSWER_TOKENS

CONNECTIONS = (1, 32, 256)
# At which memory and CPU time are compared.
TYPICAL = 32


@dataclasses.dataclass
class Load:
    """What wrk says."""

    requests: int  # answered
    seconds: float
    failed: int  # sockets that broke, statuses from 400 on, timeouts
    p50_us: int
    p99_us: int


def drive(chosen, port, connections, seconds, key=None):
    """Asks as fast as so many connections can, each with one request at a time."""
    script = chosen.root / "Benchmarks/gateway/load.lua"
    command = ["taskset", "--cpu-list", chosen.load_core, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    command += ["--timeout", "60s", "-s", script, f"http://127.0.0.1:{port}/v1/chat/completions"]
    done = run("wrk", command, {**DIRECT, "BENCH_REQUEST": str(chosen.request), "BENCH_KEY": key})
    load = Load(**json.loads(done.output.splitlines()[-1]))
    if load.requests == 0:
        raise Failure(f"port {port} answered nothing to {connections} connections within {seconds} s; give it longer")
    return load


def measure_direct(chosen, upstream, connections):
    """The same load without a proxy."""
    load = drive(chosen, upstream.port, connections, chosen.seconds)
    return {"rps": load.requests / load.seconds, "p50_us": load.p50_us, "p99_us": load.p99_us, "failed": load.failed}


def measure_proxy(chosen, upstream, proxy, connections, direct):
    """Once; `direct` is what the same load took without it a moment ago."""
    served = upstream.served()
    cpu, helpers_cpu = cpu_seconds(proxy.pids), cpu_seconds(proxy.helpers)
    load = drive(chosen, proxy.port, connections, proxy.seconds(connections), proxy.key)
    cpu, helpers_cpu = cpu_seconds(proxy.pids) - cpu, cpu_seconds(proxy.helpers) - helpers_cpu
    resident, proportional = memory(proxy.pids)
    proxy.tally.add(load.requests, ANSWER_TOKENS, cut=connections)
    proxy.settle()
    # Who keeps answers, or gives one to several requests, does not do the same work. What failed may not have got there; it
    # counts for itself.
    answered = load.requests - load.failed
    if (asked := upstream.served() - served) < answered:
        raise Failure(f"{proxy.title} answered {answered:,} requests and asked the upstream {asked:,} times only")
    each = 1e6 / load.requests
    return {
        "requests": load.requests,
        "failed": load.failed,
        "rps": load.requests / load.seconds,
        "p50_us": load.p50_us,
        "p99_us": load.p99_us,
        "added_p50_us": load.p50_us - direct["p50_us"],
        "added_p99_us": load.p99_us - direct["p99_us"],
        "cpu_us": cpu * each,
        "helpers_cpu_us": helpers_cpu * each,
        "rss_mb": resident / 1e6,
        "pss_mb": proportional / 1e6,
    }


def warm_up(chosen, proxy):
    """The first requests, which open connections and fill caches, count for nobody."""
    load = drive(chosen, proxy.port, TYPICAL, 1, proxy.key)
    proxy.tally.add(load.requests, ANSWER_TOKENS, cut=TYPICAL)
    proxy.settle()


def measure_load(chosen, upstream, proxies):
    """All figures of all proxies by name and connections, and those without a proxy as `direct`.

    The proxies take turns, run by run: a machine that is slower for a minute is so for all of them.
    """
    for proxy in proxies:
        warm_up(chosen, proxy)
    rows = {name: {count: [] for count in CONNECTIONS} for name in ["direct", *(proxy.name for proxy in proxies)]}
    for turn in range(chosen.turns):
        for count in CONNECTIONS:
            direct = measure_direct(chosen, upstream, count)
            rows["direct"][count].append(direct)
            for proxy in proxies:
                rows[proxy.name][count].append(measure_proxy(chosen, upstream, proxy, count, direct))
        said = [f"{name} {row[TYPICAL][turn]['rps']:,.0f}" for name, row in rows.items()]
        print(f"  turn {turn + 1}: requests/s at {TYPICAL} connections: {', '.join(said)}", flush=True)
    return {
        name: {str(count): {**medians(row[count]), "runs": row[count]} for count in CONNECTIONS}
        for name, row in rows.items()
    }
