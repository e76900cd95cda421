"""The gateway before a real vLLM: goodput, sharing, coalescing, overload, batches beside other requests."""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path

import openai

from harness import machine
from harness.completions import (
    Slot, Target, alternate, ask_for, body, closed_loop, counters, interleave, open_loop, session, watching,
)  # fmt: skip
from harness.figures import number, percentile, table, write_json
from harness.processes import Failure, cpu_seconds
from harness.servers import Servers, end_on_signals
from harness.serving import LIMITS, MODEL, PLACES, CostlyServer, Engine, Gateway, Martlet, Replica, engine_cores

# What an answer has, in tokens.
SHORT, STREAMED = 8, 16
WIDTHS = "64,256"
# Requests, as a multiple of how many are asked at the same time, before the first one is asked again.
WAVES = 4
# A virtual machine's core is slower for seconds and then is not, by a tenth or by half, as its neighbours have work: what is
# compared goes side by side. In a slot, so many seconds or twice what an answer takes, all clients ask the same target.
SLOTS = ("direct", "gateway", "gateway", "direct")
SLOT_SECONDS = 12
# Seconds in which each client asks both in turns, or what it takes to ask each so many times.
MIXED_SECONDS = 60
MIXED_ROUNDS = 4
# Requests that are asked one after another.
ALONE = 48
# Seconds of load in which the gateway finds out whether joining requests wins: six of trial, and before each change the
# answers to what was sent until then.
TRIAL = 40
# Seconds that a request waits for its place at most.
QUEUE_LIMIT = 30
# Requests at the same time that take every place of a gateway where nobody says how many there are.
ALL_PLACES = 256
# Seconds in which the capacity is measured.
CAPACITY_SECONDS = 30
LINES = 500
# Interactive streams beside a batch, each of so many tokens.
STREAMS, STREAM_TOKENS = 2, 32
# Seconds of a gateway's turns, by the machine's own clock: in each second one it lets a batch run beside others (`BatchShare`).
BATCH_TURN = 10

# What the gateway has to show: (what, test, limit).
BARS = {
    "goodput": ("times vLLM's own goodput, as many at a time as was worst", "at least", 0.98),
    "different": ("answers, asked one after another, that are not vLLM's own", "at most", 0),
    "goodput_failed": ("requests that failed, direct or not", "at most", 0),
    "usage_differs": ("requests and tokens by which the usage differs", "at most", 0),
    "sharing": ("times the goodput before, once others have left an engine that they overloaded", "at least", 0.9),
    "sharing_failed": ("requests that failed", "at most", 0),
    "auto_8 tokens": ("times the goodput without coalescing: auto, 8 tokens of vLLM", "at least", 0.97),
    "auto_1 token": ("times the goodput without coalescing: auto, 1 token of vLLM", "at least", 0.97),
    "auto_costly": ("times the goodput without coalescing: auto, 20 ms for each call", "at least", 1.5),
    "joined_different": ("of the answers to joined requests, the part that is not as alone, 20 ms for each call", "at most", 0),
    "coalescing_failed": ("requests that failed", "at most", 0),
    "quiet_served": ("of the quiet key's requests, the part that was answered", "at least", 1.0),
    "first_p99": (
        f"s to the first token of what was let in, p99, in an overload, beyond {QUEUE_LIMIT} s for its place and what the first "
        "token takes while all places are taken", "at most", 1,
    ),
    "shares": ("times the tokens of the key that floods four times as much, for the other one", "at least", 0.9),
    "shares_most": ("times the tokens of the key that floods four times as much, for the other one", "at most", 1.1),
    "timed_out": ("requests in an overload without an answer, or broken off", "at most", 0),
    "no_retry_after": ("refusals that do not say when to come back", "at most", 0),
    "batch_moves": ("times the p95 latency of the turns between in which the batch has a rest", "at most", 1.1),
    "batch_rests": ("requests that the engine has in those turns beside the streams, on average", "at most", 0.25),
    "batch_unanswered": (f"lines of {LINES} that a batch did not answer well", "at most", 0),
    "batch_failed": ("interactive requests that failed", "at most", 0),
}


def options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--martlet", required=True, type=Path)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--json", required=True)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--widths", type=lambda text: [int(word) for word in text.split(",")], default=WIDTHS)
    parser.add_argument("--overload-seconds", type=int, default=60)
    parser.add_argument("--alone-seconds", type=int, default=90)
    parser.add_argument("--beside-seconds", type=int, default=900)
    parser.add_argument("--batch-requests", type=int, default=32)
    parser.add_argument("--engine-cores", default=engine_cores())
    chosen = parser.parse_args()
    chosen.parts = chosen.parts or list(PARTS)
    if any(name not in PARTS for name in chosen.parts):
        parser.error(f"the parts are {', '.join(PARTS)}")
    if min(chosen.widths) < 2 or len(set(chosen.widths)) < len(chosen.widths):
        parser.error("widths are numbers from 2 on, each once")
    if min(chosen.turns, chosen.overload_seconds, chosen.alone_seconds, chosen.beside_seconds) < 1:
        parser.error("turns and seconds are at least 1")
    return chosen


class Bench:
    """What the parts share."""

    def __init__(self, chosen, martlet, engine):
        self.chosen = chosen
        self.martlet = martlet
        self.engine = engine
        self.results = {}
        self.values = {}

    @contextlib.contextmanager
    def gateway(self, name, server=None, max_in_flight=PLACES, **settings):
        """A gateway before the engine, or another server; what it complains of is told.

        max_in_flight: of its only replica; None for what a gateway takes where nobody says.
        """
        with Gateway(self.martlet, name, [Replica(server or self.engine, max_in_flight)], **settings) as gateway:
            yield gateway
        if complaints := gateway.complaints():
            print(f"  the log of the gateway {name}:\n{complaints[:2_000]}", flush=True)


def questions(count, first=1):
    """Prompts, each unlike the others."""
    return [f"What is CWE-{number}?" for number in range(first, first + count)]


def turns(chosen, names):
    """For each turn the names, each time another one first: a machine that is slower for a minute is so for all."""
    for turn in range(chosen.turns):
        yield turn, names[turn % len(names) :] + names[: turn % len(names)]


def failed(replies):
    """Those that were not answered to the last byte; the first few are told."""
    bad = [reply for reply in replies if not reply.is_whole]
    for reply in bad[:3]:
        print(f"  failed: {reply.status} {reply.fault}", flush=True)
    return len(bad)


# Goodput


async def goodput(bench):
    """Many short requests, vLLM's own answers against those that come through the gateway."""
    results, sent = {"failed": 0}, []
    direct = Target(bench.engine.port, MODEL)
    key = bench.martlet.key("goodput", "--models", MODEL, *LIMITS)
    async with session() as opened:
        for place, width in enumerate(bench.chosen.widths, 1):
            asked = [body(direct, prompt, SHORT) for prompt in questions(WAVES * width, 10_000 * place)]
            slots, clients = [], []
            for turn in range(bench.chosen.turns):
                # What a gateway takes where nobody says how many an engine gets.
                with bench.gateway(f"goodput-{width}-{turn}", max_in_flight=None) as gateway:
                    targets = {"direct": direct, "gateway": Target(gateway.port, MODEL, key)}
                    warm = await ask_for(opened, targets["gateway"], asked, width, TRIAL)
                    took = statistics.median(reply.seconds for reply in warm)
                    mixed = await interleave(
                        opened, asked, width, targets, seconds=max(MIXED_SECONDS, 2 * MIXED_ROUNDS * took), rise=took
                    )
                    these = [Slot(name, targets[name]) for name in SLOTS]
                    await alternate(
                        opened, asked, width, these, settle=took, seconds=max(SLOT_SECONDS, 2 * took), rise=took,
                        measured=lambda slot, gateway=gateway: measured(bench, gateway, slot),
                    )  # fmt: skip
                slots += these
                clients += mixed
                replies = warm + [reply for client in mixed for reply in client.replies["gateway"]]
                replies += [reply for slot in these if slot.name == "gateway" for _, reply in slot.replies]
                sent += replies
                others = [reply for client in mixed for reply in client.replies["direct"]]
                others += [reply for slot in these if slot.name == "direct" for _, reply in slot.replies]
                results["failed"] += failed(replies) + failed(others)
                said = ", ".join(f"{name} {average(these, name, 'rate'):.1f}" for name in targets)
                print(
                    f"  goodput, {width} at a time, turn {turn + 1}: side by side {advantage(mixed):.3f}; requests/s {said}",
                    flush=True,
                )
            results[str(width)] = summary(slots, clients)
        # One after another there is one right answer.
        asked = [body(direct, prompt, SHORT) for prompt in questions(ALONE)]
        own, _ = await closed_loop(opened, direct, asked, 1)
        with bench.gateway("goodput-alone") as gateway:
            through, _ = await closed_loop(opened, Target(gateway.port, MODEL, key), asked, 1)
        sent += through
        results["different"] = sum(left.text != right.text for left, right in zip(own, through, strict=True))
        results["failed"] += failed(own) + failed(through)
    results["usage"] = compare_usage(bench.martlet, "goodput", sent)
    bench.results["goodput"] = results
    bench.values["goodput"] = min(results[str(width)]["goodput"] for width in bench.chosen.widths)
    bench.values["different"] = results["different"]
    bench.values["goodput_failed"] = results["failed"]
    bench.values["usage_differs"] = results["usage"]["differs"]


@contextlib.asynccontextmanager
async def measured(bench, gateway, slot):
    """Around what is measured of a slot: what the engine has in hand and does in a step, and what the gateway takes."""
    steps = ("iteration_tokens_total_count", "generation_tokens_total")
    with gateway.child.halted() if slot.name == "direct" else contextlib.nullcontext():
        cpu, began = cpu_seconds(gateway.pids), time.monotonic()
        before = await counters(bench.engine.port, *steps)
        async with watching(bench.engine.port) as seen:
            yield
        after = await counters(bench.engine.port, *steps)
        seconds = time.monotonic() - began
        slot.cpu = (cpu_seconds(gateway.pids) - cpu) / seconds
    count, tokens = (right - left for left, right in zip(before, after, strict=True))
    if not slot.counted or not count:
        raise Failure(f"nothing was answered in {slot.end - slot.start:.0f} s of a slot ({slot.name})")
    slot.tokens, slot.step = tokens / count, 1_000 * seconds / count
    slot.running = statistics.fmean(look.running for look in seen)
    slot.waiting = statistics.fmean(look.waiting for look in seen)


def average(slots, name, what):
    """Of the slots with that name."""
    return statistics.fmean(getattr(slot, what) for slot in slots if slot.name == name)


def advantage(clients):
    """How many times the goodput the gateway has of clients that asked both in turns: as answers take less or more, since
    a client that always waits for its answer has so many more the less they take.
    """
    direct, gateway = (
        statistics.fmean(seconds for client in clients for seconds in client.counted(name)) for name in ("direct", "gateway")
    )
    return direct / gateway


def summary(slots, clients):
    """What a width comes to.

    slots: in which all asked the same.
    clients: of turns in which each asked both.
    """
    rows = {}
    for name in ("direct", "gateway"):
        took = [reply.seconds for slot in slots if slot.name == name for reply in slot.counted]
        rows[name] = {
            what: average(slots, name, what) for what in ("rate", "running", "waiting", "cpu", "tokens", "step")
        } | {
            "rates": [slot.rate for slot in slots if slot.name == name],
            "p50": percentile(took, 0.5),
            "p99": percentile(took, 0.99),
        }  # fmt: skip
    # Of two neighbours, of which one is direct.
    pairs = [left.rate / right.rate for left, right in zip(slots[::2], slots[1::2], strict=True)]
    pairs = [pair if left.name == "gateway" else 1 / pair for pair, left in zip(pairs, slots[::2], strict=True)]
    single = [advantage([client]) for client in clients if all(client.counted(name) for name in rows)]
    mixed = advantage(clients)
    # Three ways in which a gateway could cost goodput: a request takes longer; the engine gets less at the same time, which
    # shows where all ask through the gateway; and the gateway's time is time that the engine does not have.
    steps = rows["gateway"]["tokens"] / rows["direct"]["tokens"]
    left = 1 - rows["gateway"]["cpu"] / len(os.sched_getaffinity(0))
    texts = {name: [answers(slot) for slot in slots if slot.name == name] for name in rows}
    return {
        "runs": rows,
        "goodput": mixed * steps * left,
        "mixed": mixed,
        "mixed_error": statistics.stdev(single) / len(single) ** 0.5,
        "mixed_answers": sum(len(client.counted(name)) for client in clients for name in rows),
        "steps": steps,
        "left": left,
        "ratio": statistics.fmean(pairs),
        "error": statistics.stdev(pairs) / len(pairs) ** 0.5,
        # What is calculated together with other sequences is not calculated to the same last bit.
        "different": differences(texts["direct"], texts["gateway"]),
        "different_direct": differences(texts["direct"], texts["direct"][1:]),
    }


def answers(slot):
    """The texts of a slot, by the number of the request."""
    return {number: reply.text for number, reply in slot.replies if reply.is_whole}


def differences(left, right):
    """Of the answers to the same requests, by their number, in turns side by side: how many differ, as a part of all; None
    where there is nothing to compare.
    """
    pairs = [(one[number], other[number]) for one, other in zip(left, right) for number in one.keys() & other.keys()]
    return sum(one != other for one, other in pairs) / len(pairs) if pairs else None


def compare_usage(martlet, name, replies):
    """What the ledger has of a key whose gateway has ended, against what was answered."""
    whole = [reply for reply in replies if reply.is_whole]
    sent = {"requests": len(whole), "completionTokens": sum(reply.tokens for reply in whole)}
    used = martlet.usage(name)
    return {"sent": sent, "used": used, "differs": sum(abs(used[what] - count) for what, count in sent.items())}


def show_goodput(results):
    """The tables for people."""
    rows, parts = [], []
    for width in (name for name in results if name.isdigit()):
        own = results[width]
        for name, run in own["runs"].items():
            is_gateway = name == "gateway"
            other = own["different" if is_gateway else "different_direct"]
            rows.append([
                f"{name}, {width} at a time", number(run["rate"]), number(run["p50"], 2), number(run["p99"], 2),
                f"{own['ratio']:.3f} +- {own['error']:.3f}" if is_gateway else "-", number(run["running"]),
                number(run["waiting"]), number(run["tokens"]), number(run["step"], 0),
                f"{run['cpu']:.1%}" if is_gateway else "-", "-" if other is None else f"{other:.1%}",
            ])  # fmt: skip
        parts.append([
            f"{width} at a time", f"{own['mixed']:.3f} +- {own['mixed_error']:.3f}", own["mixed_answers"],
            f"{own['steps']:.3f}", f"{own['left']:.3f}", f"{own['goodput']:.3f}",
        ])  # fmt: skip
    head = [
        f"{SHORT} tokens, all ask the same", "req/s", "p50 s", "p99 s", "ratio", "running", "waiting", "tokens", "step ms",
        "of a core", "other text",
    ]  # fmt: skip
    print("\n" + table(head, rows))
    print(
        "ratio: of neighbouring slots, with its standard error; a step takes what the machine's neighbours leave. running, "
        "waiting: what the engine has in hand, on average. tokens: of answers in each of its steps. of a core: what the "
        "gateway takes; beside direct requests it is halted. other text: than vLLM's own answers; for direct, than in the slot "
        "before. Under load the engine calculates in other groups each time. "
        f"One after another {results['different']} of {ALONE} differed."
    )
    head = ["goodput, times vLLM's own", "each asks both", "answers", "x tokens in a step", "x left by the gateway", "goodput"]
    print("\n" + table(head, parts))


# Sharing


async def sharing(bench):
    """A gateway that is idle while others ask more of the engine than it can do, and what it gives the engine afterwards."""
    direct = Target(bench.engine.port, MODEL)
    asked = [body(direct, prompt, SHORT) for prompt in questions(1_000)]
    runs = []
    async with session() as opened:
        for turn in range(bench.chosen.turns):
            with bench.gateway(f"sharing-{turn}", max_in_flight=64, coalescing="off") as gateway:
                target = Target(gateway.port, MODEL, bench.martlet.key(f"sharing-{turn}", *LIMITS))
                await ask_for(opened, target, asked, 64, 3)
                row = {}
                for when in ("before", "after"):
                    if when == "after":
                        await ask_for(opened, direct, asked, 2 * PLACES, 8)
                    began = time.monotonic()
                    async with watching(bench.engine.port, 1) as seen:
                        replies = await ask_for(opened, target, asked, 64, 20)
                    row[when] = {
                        "rate": len(replies) / (time.monotonic() - began), "failed": failed(replies),
                        "running": [look.running for look in seen], "waiting": [look.waiting for look in seen],
                    }  # fmt: skip
            runs.append(row)
            said = ", ".join(f"{when} {own['rate']:.1f}" for when, own in row.items())
            print(f"  sharing, turn {turn + 1}: requests/s {said}", flush=True)
    bench.results["sharing"] = {"runs": runs}
    bench.values["sharing"] = statistics.median(row["after"]["rate"] / row["before"]["rate"] for row in runs)
    bench.values["sharing_failed"] = sum(own["failed"] for row in runs for own in row.values())


def show_sharing(results):
    """The table for people."""
    rows = []
    for turn, row in enumerate(results["runs"], 1):
        for when, own in row.items():
            running = " ".join(f"{value:.0f}" for value in own["running"])
            rows.append([f"turn {turn}, {when} others were there", number(own["rate"]), running])
    print("\n" + table(["64 at a time, 20 s", "req/s", "what the engine works on, second by second"], rows))


# Coalescing

MODES = ("off", "on", "auto")
JOINED = "martlet_gateway_joined_requests_total"
# Name, tokens of an answer, requests.
LOADS = (("8 tokens", 8, 512), ("1 token", 1, 1_024), ("costly", 8, 512))
# Requests at the same time.
WIDTH = 256
# Seconds of load before something is measured without joining.
WARM = 3


async def coalescing(bench):
    """Requests that wait, joined never, always, or where it wins."""
    results, bad = {}, 0
    key = bench.martlet.key("coalescing", *LIMITS)
    with CostlyServer(bench.martlet.servers.folder) as costly:
        async with session() as opened:
            for load, tokens, count in LOADS:
                server = costly if load == "costly" else bench.engine
                asked = [body(Target(server.port, MODEL), prompt, tokens) for prompt in questions(count)]
                results[load], failures = await by_modes(bench, opened, server, load, asked, key)
                bad += failures
    bench.results["coalescing"] = results
    bench.values |= {f"auto_{load}": own["auto"]["ratio"] for load, own in results.items()} | {
        "joined_different": max(own["different"] for own in results["costly"].values()), "coalescing_failed": bad,
    }  # fmt: skip


async def by_modes(bench, opened, server, load, asked, key):
    """One gateway after another, each in its mode with all clients.

    Returns for each mode what was measured, and how many requests failed.
    """
    runs, texts, bad = {mode: [] for mode in MODES}, {mode: [] for mode in MODES}, 0
    for turn, names in turns(bench.chosen, list(MODES)):
        for mode in names:
            # A fresh one each time, and so each time another trial.
            with bench.gateway(f"coalescing-{load.replace(' ', '-')}-{mode}-{turn}", server, coalescing=mode) as gateway:
                target = Target(gateway.port, MODEL, key)
                # Joined calls grow one after another.
                bad += failed(await ask_for(opened, target, asked, WIDTH, WARM if mode == "off" else TRIAL))
                joined = gateway.metric(JOINED)
                replies, seconds = await closed_loop(opened, target, asked, WIDTH)
                joined = gateway.metric(JOINED) - joined
            bad += failed(replies)
            texts[mode].append(dict(enumerate(reply.text for reply in replies)))
            runs[mode].append({
                "rate": len(asked) / seconds, "joined": joined / len(asked),
                "p50": percentile([reply.seconds for reply in replies], 0.5),
            })  # fmt: skip
        said = ", ".join(f"{mode} {own[turn]['rate']:.1f}" for mode, own in runs.items())
        print(f"  coalescing, {load}, turn {turn + 1}: requests/s {said}", flush=True)
    for mode, own in runs.items():
        for row, off in zip(own, runs["off"], strict=True):
            # Where `auto` has joined nothing it is `off` itself, whatever the machine's neighbours did in between.
            row["ratio"] = 1.0 if mode == "auto" and row["joined"] == 0 else row["rate"] / off["rate"]
    return {
        mode: {
            "runs": own, "ratio": statistics.median(row["ratio"] for row in own),
            "different": differences(texts["off"], texts[mode]),
        }
        for mode, own in runs.items()
    }, bad  # fmt: skip


def show_coalescing(results):
    """The table for people."""
    rows = []
    for load, modes in results.items():
        for mode, own in modes.items():
            middle = {what: statistics.median(run[what] for run in own["runs"]) for what in ("rate", "p50", "joined")}
            rows.append([
                f"{load}, {mode}", number(middle["rate"]), number(own["ratio"], 3), number(middle["p50"], 2),
                f"{middle['joined']:.0%}", "-" if mode == "off" else f"{own['different']:.1%}",
            ])  # fmt: skip
    print("\n" + table([f"{WIDTH} at a time", "req/s", "to off", "p50 s", "joined", "other text"], rows))
    print(
        "One mode after another: what the machine's neighbours take is in the requests/s of vLLM. auto is as off, 1, in turns in "
        "which it joined nothing. costly: a stand-in that takes one call at a time, 20 ms each, whatever the number of its "
        "prompts; it calculates nothing."
    )


# Overload


async def overload(bench):
    """Three times what the engine can do, for a while: a quiet key beside one that floods, and two that flood."""
    chosen = bench.chosen
    results = {}
    with bench.gateway("overload", max_in_flight=None) as gateway:
        names = ("measure", "flood", "quiet", "more", "less")
        keys = {name: gateway.key(f"overload-{name}", *LIMITS) for name in names}
        targets = {name: Target(gateway.port, MODEL, key) for name, key in keys.items()}
        asked = [body(targets["measure"], prompt, STREAMED, streams=True) for prompt in questions(2_000)]
        async with session() as opened:
            warm = await ask_for(opened, targets["measure"], asked, ALL_PLACES, 3)
            longest = percentile([reply.seconds for reply in warm], 0.99)
            began = time.monotonic()
            replies = await ask_for(opened, targets["measure"], asked, ALL_PLACES, 2 * longest + CAPACITY_SECONDS)
            # The clients begin together, and while the last ones are answered there is less to do.
            within = [reply for reply in replies if 0 <= reply.ended - began - 2 * longest < CAPACITY_SECONDS]
            capacity = len(within) / CAPACITY_SECONDS
            results["capacity"] = {
                "rate": capacity,
                "failed": failed(warm) + failed(replies),
                "first_p99": percentile([reply.first_seconds for reply in within], 0.99),
                # When those that were let in before anybody waited have been answered.
                "rise": 2 * longest,
            }
            print(f"  overload: the capacity is {capacity:.1f} requests/s of {STREAMED} tokens", flush=True)
            # The quiet key's share would be the half of the capacity.
            cases = {"quiet": {"flood": 2.8, "quiet": 0.2}, "shares": {"more": 2.4, "less": 0.6}}
            for case, parts in cases.items():
                results[case] = await flood(opened, targets, asked, parts, results["capacity"], chosen.overload_seconds)
    bench.results["overload"] = results
    rows = [row for case in ("quiet", "shares") for row in results[case]["keys"].values()]
    quiet = results["quiet"]["keys"]["quiet"]
    share = results["shares"]["keys"]["less"]["window_tokens"] / max(1, results["shares"]["keys"]["more"]["window_tokens"])
    bench.values |= {
        "quiet_served": quiet["answered"] / quiet["sent"],
        "first_p99": max(row["first_p99"] for row in rows) - QUEUE_LIMIT - results["capacity"]["first_p99"],
        "shares": share,
        "shares_most": share,
        "timed_out": sum(row["failed"] for row in rows) + results["capacity"]["failed"],
        "no_retry_after": sum(row["no_retry_after"] for row in rows),
    }


async def flood(opened, targets, asked, parts, capacity, seconds):
    """Keys that each ask at a rate of their own, in parts of the capacity; what each got, in so many seconds that count."""
    began = time.monotonic()
    window = (began + capacity["rise"], began + capacity["rise"] + seconds)
    streams = await asyncio.gather(*(
        open_loop(opened, targets[name], asked, part * capacity["rate"], window[1] - began, seed)
        for seed, (name, part) in enumerate(parts.items())
    ))  # fmt: skip
    rows = {}
    for (name, part), replies in zip(parts.items(), streams, strict=True):
        whole = [reply for reply in replies if reply.is_whole]
        refused = [reply for reply in replies if reply.is_refused]
        first = [reply.first_seconds for reply in whole] or [0.0]
        codes = {str(status): sum(reply.status == status for reply in refused) for status in (429, 503)}
        rows[name] = {
            "asked": part,
            "sent": len(replies),
            "answered": len(whole),
            "refused": codes,
            "no_retry_after": sum(not reply.pauses for reply in refused),
            "failed": failed([reply for reply in replies if not reply.is_refused]),
            "first_p50": percentile(first, 0.5),
            "first_p99": percentile(first, 0.99),
            "first_most": max(first),
            "refused_after_most": max((reply.seconds for reply in refused), default=0.0),
            "window_tokens": sum(reply.tokens for reply in whole if window[0] <= reply.ended < window[1]),
        }
    tokens = sum(row["window_tokens"] for row in rows.values())
    goodput = tokens / seconds / (capacity["rate"] * STREAMED)
    said = ", ".join(f"{name} {row['answered']} of {row['sent']}" for name, row in rows.items())
    print(f"  overload: answered {said}; goodput {goodput:.2f} of the capacity", flush=True)
    return {"keys": rows, "goodput": goodput}


def show_overload(results):
    """The table for people."""
    rows = []
    for case in ("quiet", "shares"):
        for name, row in results[case]["keys"].items():
            rows.append([
                f"{name}, {row['asked']:g} x capacity", row["sent"], row["answered"], row["refused"]["429"],
                row["refused"]["503"], row["failed"], row["window_tokens"], number(row["first_p50"], 2),
                number(row["first_p99"], 2), number(row["first_most"], 2), number(row["refused_after_most"], 2),
            ])  # fmt: skip
    head = ["overload", "sent", "answered", "429", "503", "failed", "tokens", "first p50 s", "p99", "most", "refused within s"]
    print("\n" + table(head, rows))
    capacity = results["capacity"]
    print(
        f"the capacity is {capacity['rate']:.1f} requests/s, the first token then at p99 after {capacity['first_p99']:.2f} s; "
        f"in the overloads the goodput is {results['quiet']['goodput']:.2f} and {results['shares']['goodput']:.2f} of it. "
        f"tokens: from {capacity['rise']:.0f} s on. A request waits {QUEUE_LIMIT} s for its place at most."
    )


# Batch

BATCH_ROWS = {
    "alone": "before and after the batch", "beside": "beside the batch", "between": "turns in which it rests",
    "within": "turns in which it runs",
}  # fmt: skip


def turn_of(moment):
    """The number of a gateway's turn; in those with odd numbers a batch runs beside others."""
    return int(moment // BATCH_TURN)


async def batch(bench):
    """A few interactive streams, alone and beside a batch for as long as it takes."""
    chosen = bench.chosen
    runs = []
    with bench.gateway("batch", batch_requests=chosen.batch_requests) as gateway:
        target = Target(gateway.port, MODEL, gateway.key("interactive", *LIMITS))
        asked = [body(target, prompt, STREAM_TOKENS, streams=True) for prompt in questions(1_000)]
        client = openai.AsyncOpenAI(
            base_url=gateway.address, api_key=gateway.key("batch", *LIMITS, team="batch"), max_retries=0, timeout=60
        )
        async with session() as opened, client:
            await ask_for(opened, target, asked, STREAMS, 3)
            for turn in range(chosen.turns):
                half = chosen.alone_seconds / 2
                alone = await ask_for(opened, target, asked, STREAMS, half)
                began = time.monotonic()
                made = await begin_batch(client, f"turn-{turn}")
                ended = asyncio.Event()
                waiting = asyncio.create_task(await_batch(client, made, chosen.beside_seconds + 300))
                waiting.add_done_callback(lambda _, ended=ended: ended.set())
                async with watching(bench.engine.port, 1) as seen:
                    beside = await ask_for(opened, target, asked, STREAMS, chosen.beside_seconds, ended)
                lines = (await client.batches.retrieve(made.id)).request_counts.completed
                left = time.monotonic()
                done = await waiting
                ended_after = time.monotonic()
                alone += await ask_for(opened, target, asked, STREAMS, half)
                row = {"alone": latencies(alone), "beside": latencies(beside)}
                whole = [reply for reply in beside if reply.is_whole and turn_of(reply.began) == turn_of(reply.ended)]
                if {turn_of(reply.began) % 2 for reply in whole} != {0, 1} or len(seen) < 2 * BATCH_TURN:
                    raise Failure(f"the batch took {ended_after - began:.0f} s, which is too short to compare anything")
                for parity, name in enumerate(("between", "within")):
                    row[name] = latencies([reply for reply in whole if turn_of(reply.began) % 2 == parity])
                    row[name]["running"] = statistics.fmean(look.running for look in seen if turn_of(look.at) % 2 == parity)
                row |= {
                    "lines_beside": lines, "alone_seconds": ended_after - left, "seconds": ended_after - began,
                    "good": await good_lines(client, done), "status": done.status,
                }  # fmt: skip
                runs.append(row)
                said = ", ".join(f"{name} {row[name]['p95']:.2f}" for name in BATCH_ROWS)
                print(
                    f"  batch, turn {turn + 1}: p95 s {said}; {lines} lines meanwhile, all after {row['seconds']:.0f} s",
                    flush=True,
                )
    bench.results["batch"] = {"runs": runs}
    bench.values |= {
        "batch_moves": statistics.median(row["within"]["p95"] / row["between"]["p95"] for row in runs),
        "batch_rests": statistics.median(row["between"]["running"] for row in runs) - STREAMS,
        "batch_unanswered": sum(LINES - row["good"] for row in runs),
        "batch_failed": sum(row[name]["failed"] for row in runs for name in ("alone", "beside")),
    }


def latencies(replies):
    """Of streams."""
    whole = [reply for reply in replies if reply.is_whole]
    seconds = [reply.seconds for reply in whole]
    return {
        "count": len(replies), "failed": failed(replies),
        "p50": percentile(seconds, 0.5), "p95": percentile(seconds, 0.95),
        "first_p95": percentile([reply.first_seconds for reply in whole], 0.95),
    }  # fmt: skip


async def begin_batch(client, name):
    """A batch of short completions."""
    lines = [
        json.dumps({
            "custom_id": f"{name}-{line}", "method": "POST", "url": "/v1/completions",
            "body": {
                "model": MODEL, "prompt": prompt, "max_tokens": SHORT, "temperature": 0, "ignore_eos": True,
            },
        })
        for line, prompt in enumerate(questions(LINES, 50_000))
    ]  # fmt: skip
    file = await client.files.create(file=(f"{name}.jsonl", "\n".join(lines).encode()), purpose="batch")
    return await client.batches.create(
        input_file_id=file.id, endpoint="/v1/completions", completion_window="24h", metadata={"turn": name}
    )


async def await_batch(client, made, limit):
    """The batch once it has ended."""
    end = time.monotonic() + limit
    while made.status not in ("completed", "failed", "expired", "cancelled"):
        if time.monotonic() > end:
            raise Failure(f"the batch is {made.status} after {limit} s: {made.request_counts}")
        await asyncio.sleep(0.25)
        made = await client.batches.retrieve(made.id)
    return made


async def good_lines(client, done):
    """How many of its lines a batch answered as they were asked."""
    if not done.output_file_id:
        return 0
    answers = [json.loads(line)["response"] for line in (await client.files.content(done.output_file_id)).text.splitlines()]
    return sum(one["status_code"] == 200 and one["body"]["usage"]["completion_tokens"] == SHORT for one in answers)


def show_batch(results):
    """The table for people."""
    rows = []
    for turn, row in enumerate(results["runs"], 1):
        for name, what in BATCH_ROWS.items():
            own, is_beside = row[name], name == "beside"
            rows.append([
                f"turn {turn}, {what}", own["count"], number(own["p50"], 2), number(own["p95"], 2),
                number(own["first_p95"], 2), number(own.get("running"), 2), row["lines_beside"] if is_beside else "-",
                number(row["seconds"]) if is_beside else "-", number(row["alone_seconds"]) if is_beside else "-",
            ])  # fmt: skip
    head = [
        f"{STREAMS} streams of {STREAM_TOKENS} tokens", "requests", "p50 s", "p95 s", "first p95 s", "running", "lines",
        f"all {LINES} s", "of it alone",
    ]  # fmt: skip
    print("\n" + table(head, rows))
    print(
        f"turns: of {BATCH_TURN} s, while the batch is there; answers that reach from one into the next are in neither. "
        "What a machine's neighbours take changes more in a minute than a batch does. running: what the engine has in hand, on "
        "average. lines: what the batch answered beside the streams. of it alone: after these had gone."
    )


PARTS = {
    "goodput": (goodput, show_goodput),
    "sharing": (sharing, show_sharing),
    "coalescing": (coalescing, show_coalescing),
    "overload": (overload, show_overload),
    "batch": (batch, show_batch),
}


def judge(values):
    """How the gateway does against its bars; what was not measured is left out."""
    verdicts = {}
    print()
    for name, (what, test, limit) in BARS.items():
        if name not in values:
            continue
        value = values[name]
        met = value >= limit if test == "at least" else value <= limit
        verdicts[name] = {"value": value, test: limit, "met": met}
        print(f"{'met    ' if met else 'NOT MET'}  {value:8.3f} {what} ({test} {limit:g})")
    return verdicts


def main():
    """Measures, shows, writes; 1 when a bar is not met."""
    chosen = options()
    end_on_signals()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if most == resource.RLIM_INFINITY else min(most, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    facts = machine.facts()
    strangers = machine.Strangers()
    with Servers(chosen.martlet, ["redis", "postgresql", "seaweedfs"]) as servers:
        martlet = Martlet(chosen.martlet, servers)
        martlet.prepare()
        with Engine(servers.folder, chosen.model, chosen.engine_cores) as engine:
            facts["vllm"] = engine.version()
            bench = Bench(chosen, martlet, engine)
            for name in chosen.parts:
                asyncio.run(PARTS[name][0](bench))
            # Before the engine ends: what its processes took would be nobody's then.
            facts["strangers"] = strangers.share()
    facts["load_after"] = [round(value, 2) for value in os.getloadavg()]
    print(f"\n{facts['cores']} cores of {facts['cpu']}, {facts['system']}, {facts['date']}, load {facts['load_before']}")
    print(f"vLLM {facts['vllm']} calculates on cores {chosen.engine_cores}; medians of {chosen.turns} turns, of goodput means")
    print(f"processes that are not of this run took {facts['strangers']:.0%} of a core meanwhile")
    for name in chosen.parts:
        PARTS[name][1](bench.results[name])
    verdicts = judge(bench.values)
    write_json(chosen.json, {"machine": facts, "turns": chosen.turns, "parts": bench.results, "bars": verdicts})
    print(f"\nwritten to {chosen.json}")
    return 0 if all(verdict["met"] for verdict in verdicts.values()) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"bench-vllm: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
