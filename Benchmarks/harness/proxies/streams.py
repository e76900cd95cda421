"""Many streams of tokens at the same time, and how late each chunk of them comes."""

import json

from harness.figures import medians
from harness.processes import Failure, cpu_seconds, memory, peak_memory, run
from harness.proxies.base import DIRECT
from harness.proxies.upstreams import CHUNKS

# Milliseconds over which the streams begin: ten intervals, so that their chunks are spread evenly over each.
RAMP = 200


def make_request(chosen, folder):
    """The usual request, as a stream."""
    request = json.loads(chosen.request.read_bytes())
    path = folder / "stream.json"
    path.write_text(json.dumps({**request, "stream": True}, separators=(",", ":")), encoding="utf-8")
    return path


def open_streams(chosen, port, request, key=None):
    """Streams to their end: what the clients saw."""
    command = ["taskset", "--cpu-list", chosen.load_core, chosen.streams_program, "ask", port, request]
    done = run("streams", [*command, chosen.streams, CHUNKS, RAMP], {**DIRECT, "BENCH_KEY": key})
    said = json.loads(done.output)
    return {
        "failed": said["streams"] - said["whole"],
        "at_once": said["at_once"],
        "late_p50_ms": said["p50_us"] / 1e3,
        "late_p99_ms": said["p99_us"] / 1e3,
        "late_max_ms": said["max_us"] / 1e3,
    }


def measure_proxy(chosen, proxy, request, direct):
    """Once; `direct` is what the same streams took without it a moment ago."""
    cpu = cpu_seconds(proxy.pids)
    row = open_streams(chosen, proxy.port, request, proxy.key)
    cpu = cpu_seconds(proxy.pids) - cpu
    proxy.tally.add(chosen.streams - row["failed"], CHUNKS, cut=row["failed"])
    resident, _ = memory(proxy.pids)
    row |= {
        "added_p99_ms": row["late_p99_ms"] - direct["late_p99_ms"],
        "cpu_us": cpu * 1e6 / (chosen.streams * CHUNKS),
        "rss_mb": resident / 1e6,
        "peak_mb": peak_memory(proxy.pids) / 1e6,
    }
    proxy.settle()
    return row


def measure_streams(chosen, upstream, proxies):
    """All figures of all proxies by name, and those without a proxy as `direct`; the proxies take turns."""
    request = make_request(chosen, upstream.folder)
    rows = {name: [] for name in ["direct", *(proxy.name for proxy in proxies)]}
    for turn in range(chosen.stream_turns):
        direct = open_streams(chosen, upstream.port, request)
        if direct["failed"]:
            raise Failure(f"{direct['failed']} streams without a proxy failed; ulimit -n may be too low for them")
        rows["direct"].append(direct)
        for proxy in proxies:
            rows[proxy.name].append(measure_proxy(chosen, proxy, request, direct))
        said = [f"{name} {row[turn]['late_p99_ms']:.1f}" for name, row in rows.items()]
        print(f"  turn {turn + 1}: ms that chunks come late, p99: {', '.join(said)}", flush=True)
    return {name: {**medians(row), "runs": row} for name, row in rows.items()}
