"""Task queues side by side: throughput, live and drained, latency between stages, CPU, memory, start."""

import argparse
import statistics
import sys
import time
from pathlib import Path

from harness import machine
from harness.figures import medians, number, percentile, table, write_json
from harness.processes import Failure, cpu_seconds, memory
from harness.servers import Servers, end_on_signals
from harness.systems.bare import Bare
from harness.systems.celery import Celery
from harness.systems.dramatiq import Dramatiq
from harness.systems.martlet import Martlet

SYSTEMS = {system.name: system for system in (Martlet, Celery, Dramatiq, Bare)}
RATE = 100
STARTS = 5

# What Martlet has to show: (what, test, limit).
BARS = {
    "throughput_vs_celery": ("times Celery's throughput, end to end", "at least", 5.0),
    "stage_p50_ms": ("ms between stages, p50", "under", 5.0),
    "stage_p99_ms": ("ms between stages, p99", "under", 25.0),
    "idle_rss_mb": ("MB of an idle worker", "under", 25.0),
    "start_ms": ("ms until a worker is ready", "under", 200.0),
}


def options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--martlet", required=True, type=Path)
    parser.add_argument("--bare", required=True, type=Path)
    parser.add_argument("--json", required=True)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--latency-tasks", type=int, default=1_000)
    parser.add_argument("--only", default=",".join(SYSTEMS))
    chosen = parser.parse_args()
    chosen.root = Path(__file__).resolve().parents[2]
    chosen.names = [name for name in chosen.only.split(",") if name]
    unknown = [name for name in chosen.names if name not in SYSTEMS]
    if unknown or not chosen.names:
        parser.error(f"--only takes {', '.join(SYSTEMS)}, with commas")
    if min(chosen.tasks, chosen.runs, chosen.latency_tasks) < 1:
        parser.error("--tasks, --runs and --latency-tasks are at least 1")
    return chosen


def measure_run(system, servers, chosen, attempt):
    """Throughput and CPU once; the CPU of the live part."""
    system.throughput(min(500, chosen.tasks))
    groups = {"own": system.pids, **{name: [pid] for name, pid in servers.pids.items()}}
    before = {name: cpu_seconds(pids) for name, pids in groups.items()}
    done = system.throughput(chosen.tasks)
    thousand = chosen.tasks / 1_000
    row = {
        "tasks_per_second": chosen.tasks / done.seconds,
        "enqueued_per_second": chosen.tasks / done.enqueue_seconds,
        "cpu_producer": done.producer_cpu / thousand,
    }
    for name, pids in groups.items():
        row[f"cpu_{name}"] = (cpu_seconds(pids) - before[name]) / thousand
    row["drained_per_second"] = chosen.tasks / system.drain(chosen.tasks)
    live, drained = row["tasks_per_second"], row["drained_per_second"]
    print(f"  {system.title}: run {attempt + 1}: {live:,.0f} tasks/s live, {drained:,.0f} drained", flush=True)
    return row


def measure_stages(system, chosen):
    """The time between two stages at a rate that leaves the fleet room: every run is two tasks."""
    gaps = system.latencies(chosen.latency_tasks, RATE // 2)
    if len(gaps) != chosen.latency_tasks:
        raise Failure(f"{system.title}: {len(gaps)} of {chosen.latency_tasks} times between stages")
    figures = {"stage_p50_ms": percentile(gaps, 0.50) * 1e3, "stage_p99_ms": percentile(gaps, 0.99) * 1e3}
    print(f"  {system.title}: {figures['stage_p50_ms']:.2f} ms between stages", flush=True)
    return figures


def measure_worker(system):
    """Start time and idle memory of one worker alone."""
    starts = []
    resident = proportional = 0
    for attempt in range(STARTS):
        child, test = system.idle_worker()
        try:
            starts.append(child.await_ready(test))
            if attempt == STARTS - 1:
                # What a worker that has nothing to do holds, once it has settled.
                time.sleep(5)
                resident, proportional = memory([child.pid])
        finally:
            child.stop()
    return {
        "start_ms": statistics.median(starts) * 1e3,
        "idle_rss_mb": resident / 1e6,
        "idle_pss_mb": proportional / 1e6,
    }


def measure(servers, chosen):
    """All figures of all systems.

    The systems take turns, run by run: a machine that is slower for a minute is so for all of them.
    """
    results = {name: {} for name in chosen.names}
    rows = {name: [] for name in chosen.names}
    for attempt in range(chosen.runs):
        for name in chosen.names:
            with SYSTEMS[name](servers, chosen) as system:
                rows[name].append(measure_run(system, servers, chosen, attempt))
                if attempt == chosen.runs - 1:
                    results[name] |= {"title": system.title, "version": system.version(), "note": system.note}
                    results[name] |= measure_stages(system, chosen)
    for name in chosen.names:
        results[name] |= {**medians(rows[name]), "runs": rows[name]}
        # Alone: the fleets are gone by now.
        results[name] |= measure_worker(SYSTEMS[name](servers, chosen))
    return results


def show(results):
    """The table for people."""
    head = [
        "", "tasks/s", "drained/s", "enqueue/s", "stage p50 ms", "p99 ms", "CPU s/1000: own", "producer", "broker", "Redis",
        "PostgreSQL", "idle MB", "start ms",
    ]  # fmt: skip
    rows = [
        [
            figures["title"],
            number(figures["tasks_per_second"], 0),
            number(figures["drained_per_second"], 0),
            number(figures["enqueued_per_second"], 0),
            number(figures["stage_p50_ms"], 2),
            number(figures["stage_p99_ms"], 2),
            number(figures["cpu_own"], 3),
            number(figures["cpu_producer"], 3),
            number(figures["cpu_rabbitmq"], 3),
            number(figures["cpu_redis"], 3),
            number(figures["cpu_postgresql"], 3),
            number(figures["idle_rss_mb"], 1),
            number(figures["start_ms"], 0),
        ]
        for figures in results.values()
    ]
    print("\n" + table(head, rows) + "\n")
    for figures in results.values():
        print(f"{figures['title']} ({figures['version']}): {figures['note']}")


def judge(results):
    """How Martlet does against its bars; None for what was not measured."""
    if "martlet" not in results:
        return {}
    values = dict(results["martlet"])
    if "celery" in results:
        # From the first task that is sent to the last result that is recorded. Celery has as many producers as it
        # needs to be the fleet that is measured; what is left without them is shown as drained. Of the ratios of each
        # turn, the median.
        values["throughput_vs_celery"] = statistics.median(
            own["tasks_per_second"] / peer["tasks_per_second"]
            for own, peer in zip(values["runs"], results["celery"]["runs"], strict=True)
        )
    verdicts = {}
    print()
    for name, (what, test, limit) in BARS.items():
        if name not in values:
            continue
        met = values[name] >= limit if test == "at least" else values[name] < limit
        verdicts[name] = {"value": values[name], test: limit, "met": met}
        print(f"{'met    ' if met else 'NOT MET'}  {values[name]:8.2f} {what} ({test} {limit:g})")
    return verdicts


def main():
    """Measures, shows, writes; 1 when a bar is not met."""
    chosen = options()
    end_on_signals()
    facts = machine.facts()
    with Servers(chosen.martlet, ["rabbitmq", "redis", "postgresql"]) as servers:
        facts["rabbitmq"] = machine.first_line("dpkg-query", "-W", "-f=${Version}", "rabbitmq-server")
        facts["redis"] = machine.first_line("redis-server", "--version")
        results = measure(servers, chosen)
    facts["load_after"] = machine.facts()["load_before"]
    print(f"\n{facts['cores']} cores of {facts['cpu']}, {facts['system']}, {facts['date']}, load {facts['load_before']}")
    print(f"{chosen.tasks:,} no-op tasks per run, medians of {chosen.runs}; two-stage runs at {RATE} tasks/s")
    show(results)
    verdicts = judge(results)
    document = {
        "machine": facts,
        "tasks": chosen.tasks,
        "runs": chosen.runs,
        "latency_tasks": chosen.latency_tasks,
        "latency_rate": RATE,
        "systems": results,
        "bars": verdicts,
    }
    write_json(chosen.json, document)
    print(f"\nwritten to {chosen.json}")
    return 0 if all(verdict["met"] for verdict in verdicts.values()) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"bench-fleet: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
