"""Gateways side by side: throughput, latency they add, CPU, memory, streams of tokens."""

import argparse
import contextlib
import os
import resource
import statistics
import sys
from pathlib import Path

from harness import machine
from harness.figures import number, table, write_json
from harness.processes import Failure
from harness.proxies.haproxy import HAProxy
from harness.proxies.litellm import LiteLLM
from harness.proxies.load import CONNECTIONS, TYPICAL, measure_load
from harness.proxies.martlet import Martlet
from harness.proxies.nginx import Nginx
from harness.proxies.streams import measure_streams
from harness.proxies.upstreams import CHUNKS, INTERVAL, StaticUpstream, StreamUpstream
from harness.proxies.vllm_router import VLLMRouter
from harness.servers import Servers, end_on_signals

PROXIES = {proxy.name: proxy for proxy in (Martlet, VLLMRouter, Nginx, HAProxy, LiteLLM)}
# LiteLLM does not cope with as many streams.
STREAMING = ("martlet", "vllm-router", "nginx", "haproxy")

# What Martlet has to show: (what, test, limit).
BARS = {
    "cpu_vs_router": ("times vllm-router's CPU per request, at 32 connections", "at most", 0.7),
    "rss_vs_router": ("times vllm-router's memory, after 32 connections", "under", 0.5),
    "added_p50_us": ("µs added to p50, at 1 connection", "under", 120.0),
    "stream_added_p99_ms": ("ms that chunks come later than without a proxy, p99", "under", 20.0),
    "stream_peak_mb": ("MB of memory with all streams, at their peak", "under", 80.0),
    "failed": ("requests and streams that failed", "at most", 0),
    "usage_lost": ("requests and tokens that the usage does not have", "at most", 0),
    "usage_invented": ("requests and tokens that the usage has beyond those that were cut off", "at most", 0),
}
# What it aims at beyond, which fails nothing.
AIM = ("cpu_vs_nginx", "times nginx's CPU per request, at 32 connections", 2.0)


def options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--martlet", required=True, type=Path)
    parser.add_argument("--streams-program", required=True, type=Path)
    parser.add_argument("--json", required=True)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--stream-turns", type=int, default=15)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--only", default=",".join(PROXIES))
    chosen = parser.parse_args()
    chosen.root = Path(__file__).resolve().parents[2]
    chosen.request = chosen.root / "Benchmarks/gateway/request.json"
    chosen.names = [name for name in chosen.only.split(",") if name]
    if not chosen.names or any(name not in PROXIES for name in chosen.names):
        parser.error(f"--only takes {', '.join(PROXIES)}, with commas")
    if min(chosen.turns, chosen.seconds, chosen.stream_turns, chosen.streams) < 1:
        parser.error("--turns, --seconds, --stream-turns and --streams are at least 1")
    return chosen


def prepare(chosen):
    """Chooses the cores and allows enough open files, here and for all that is started from here."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Failure("two cores are needed: one for the proxies, one for what asks and answers")
    chosen.load_core, chosen.proxy_core = cores[:2]
    # The servers go wherever the proxies are not.
    os.sched_setaffinity(0, set(cores) - {chosen.proxy_core})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if most == resource.RLIM_INFINITY else min(most, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


@contextlib.contextmanager
def running(names, servers, chosen, upstream):
    """Proxies in front of an upstream."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(PROXIES[name](servers, chosen, upstream)) for name in names]


def measure(servers, chosen):
    """All figures of all proxies, and Martlet's books."""
    books = {}

    def close_books(part, proxies):
        for proxy in proxies:
            if isinstance(proxy, Martlet):
                books[part] = proxy.close_books()

    with StaticUpstream(servers, chosen) as upstream:
        with running(chosen.names, servers, chosen, upstream) as proxies:
            load = measure_load(chosen, upstream, proxies)
        close_books("load", proxies)
    results = {proxy.name: {"title": proxy.title, "version": proxy.version(), "note": proxy.note} for proxy in proxies}
    results["direct"] = {"title": "without a proxy"}
    for name, row in load.items():
        results[name] |= {"load": row, "failed": sum(run["failed"] for part in row.values() for run in part["runs"])}
    names = [name for name in chosen.names if name in STREAMING]
    with StreamUpstream(servers, chosen) as upstream:
        with running(names, servers, chosen, upstream) as proxies:
            streams = measure_streams(chosen, upstream, proxies)
        close_books("streams", proxies)
    for name, row in streams.items():
        results[name]["streams"] = row
        results[name]["failed"] += sum(run["failed"] for run in row["runs"])
    return results, books


def show(results, chosen):
    """The tables for people."""
    head = ["", *(f"req/s at {count}" for count in CONNECTIONS)]
    for count in CONNECTIONS:
        head += [f"+p50 µs at {count}", "+p99"]
    head += ["CPU µs/req", "RSS MB", "failed"]
    rows = []
    for figures in results.values():
        load = figures["load"]
        row = [figures["title"], *(number(load[str(count)]["rps"], 0) for count in CONNECTIONS)]
        for count in CONNECTIONS:
            own = load[str(count)]
            row += [number(own.get(f"added_{share}_us", own[f"{share}_us"]), 0) for share in ("p50", "p99")]
        typical = load[str(TYPICAL)]
        row += [number(typical.get("cpu_us"), 1), number(typical.get("rss_mb"), 1), number(figures["failed"], 0)]
        rows.append(row)
    print("\n" + table(head, rows))
    print("\nwithout a proxy: the latencies themselves instead of what is added to them\n")
    head = [f"{chosen.streams:,} streams", "late p50 ms", "p99", "most", "+p99 ms", "CPU µs/chunk", "RSS MB", "peak MB"]
    rows = []
    for figures in results.values():
        if own := figures.get("streams"):
            late = [number(own[name], 2) for name in ("late_p50_ms", "late_p99_ms", "late_max_ms")]
            rest = [("added_p99_ms", 2), ("cpu_us", 1), ("rss_mb", 1), ("peak_mb", 1)]
            rows.append([figures["title"], *late, *(number(own.get(name), digits) for name, digits in rest)])
    print(table(head, rows) + "\n")
    for figures in results.values():
        if "note" in figures:
            print(f"{figures['title']} ({figures['version']}): {figures['note']}")
    if "martlet" in results:
        helpers = results["martlet"]["load"][str(TYPICAL)]["helpers_cpu_us"]
        print(f"beside Martlet's own CPU time: {helpers:.1f} µs per request in Redis and PostgreSQL")


def ratio(results, name, figure):
    """Martlet's figure over another's at the typical load: of the ratios of each turn, the median."""
    if name not in results:
        return None
    own, other = (results[key]["load"][str(TYPICAL)]["runs"] for key in ("martlet", name))
    return statistics.median(mine[figure] / its[figure] for mine, its in zip(own, other, strict=True) if its[figure])


def judge(results, books):
    """How Martlet does against its bars; what was not measured is left out."""
    if "martlet" not in results:
        return {}
    own = results["martlet"]
    values = {
        "cpu_vs_router": ratio(results, "vllm-router", "cpu_us"),
        "rss_vs_router": ratio(results, "vllm-router", "rss_mb"),
        "added_p50_us": own["load"]["1"]["added_p50_us"],
        "stream_added_p99_ms": own["streams"]["added_p99_ms"],
        "stream_peak_mb": own["streams"]["peak_mb"],
        "failed": own["failed"],
        "usage_lost": sum(book["lost"] for book in books.values()),
        "usage_invented": sum(book["invented"] for book in books.values()),
    }
    verdicts = {}
    print()
    for name, (what, test, limit) in BARS.items():
        if values[name] is None:
            continue
        met = values[name] <= limit if test == "at most" else values[name] < limit
        verdicts[name] = {"value": values[name], test: limit, "met": met}
        print(f"{'met    ' if met else 'NOT MET'}  {values[name]:8.2f} {what} ({test} {limit:g})")
    name, what, limit = AIM
    if (value := ratio(results, "nginx", "cpu_us")) is not None:
        print(f"{'reached' if value <= limit else 'ahead  '}  {value:8.2f} {what} (the aim is {limit:g})")
        verdicts[name] = {"value": value, "aim": limit, "met": True}
    return verdicts


def main():
    """Measures, shows, writes; 1 when a bar is not met."""
    chosen = options()
    end_on_signals()
    facts = machine.facts()
    facts["wrk"] = machine.first_line("wrk", "-v")
    prepare(chosen)
    strangers = machine.Strangers()
    with Servers(chosen.martlet, ["redis", "postgresql"]) as servers:
        results, books = measure(servers, chosen)
        facts["strangers"] = strangers.share()
    facts["load_after"] = machine.facts()["load_before"]
    print(f"\n{facts['cores']} cores of {facts['cpu']}, {facts['system']}, {facts['date']}, load {facts['load_before']}")
    print(
        f"proxies on core {chosen.proxy_core}, wrk and the upstream on core {chosen.load_core}; medians of "
        f"{chosen.turns} runs of {chosen.seconds} s, of {chosen.stream_turns} for streams; CPU and RSS at {TYPICAL} connections"
    )
    print(f"processes that are not of this run took {facts['strangers']:.0%} of a core meanwhile")
    show(results, chosen)
    verdicts = judge(results, books)
    document = {
        "machine": facts,
        "turns": chosen.turns,
        "seconds": chosen.seconds,
        "stream_turns": chosen.stream_turns,
        "streams": {"count": chosen.streams, "chunks": CHUNKS, "interval_ms": INTERVAL},
        "proxies": results,
        "usage": books,
        "bars": verdicts,
    }
    write_json(chosen.json, document)
    print(f"\nwritten to {chosen.json}")
    return 0 if all(verdict["met"] for verdict in verdicts.values()) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"bench-gateway: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
