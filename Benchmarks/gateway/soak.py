"""Mixed load through one gateway for a long time, while two versions of a model take turns."""

import argparse
import collections
import contextlib
import hashlib
import json
import random
import statistics
import sys
import threading
import time
import urllib.request
from pathlib import Path

from harness import machine
from harness.chat import LEFT, WHOLE, Attempt, Client
from harness.figures import number, percentile, table, write_json
from harness.ports import free_port, get
from harness.processes import Child, Failure, memory, run, tree
from harness.servers import Servers, end_on_signals

MODEL = "soak"
BUCKET = "martlet"
# Seconds between two looks at the gateway's memory.
SAMPLING = 10
# What the memory of the last quarter may be of that of the second one.
GROWTH = 1.10
# Milliseconds that the engine takes for the first token, and for each further one.
FIRST, PAUSE = 50, 25
SENTENCE = "The form puts what people type between two quotation marks of a query. "


def options():
    """The command line."""
    parser = argparse.ArgumentParser(prog="soak.sh", description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=30)
    parser.add_argument("--martlet", required=True, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--swap", type=float, default=120, help="seconds between two swaps of versions")
    parser.add_argument("--users", type=int, default=24)
    parser.add_argument("--json", required=True)
    chosen = parser.parse_args()
    if chosen.minutes <= 0 or chosen.swap < 20 or chosen.users < 4:
        parser.error("MINUTES is above 0, --swap at least 20 and --users at least 4")
    return chosen


class Registry:
    """Two versions of the model in MLflow, and the alias that means one of them."""

    def __init__(self, servers, martlet):
        self.martlet = martlet
        self.folder = servers.folder
        self.environment = {"MARTLET_STATE": str(servers.state)}
        self.url = servers.setting("MARTLET_MLFLOW_URL").rstrip("/") + "/api/2.0/mlflow/"

    def _call(self, path, **body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        # Straight to the server, whatever stands between this machine and others.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.load(answer)

    def _put(self, name, data):
        path = self.folder / Path(name).name
        path.write_bytes(data)
        run("martlet artifact put", [self.martlet, "artifact", "put", path, f"s3://{BUCKET}/{name}"], self.environment)

    def create(self):
        """Makes the model."""
        self._call("registered-models/create", name=MODEL)

    def register(self, kind):
        """A version's number: its weights are a few bytes, as its engine reads none."""
        weights, place = f"weights of {kind}".encode(), f"soak/{kind}"
        self._put(f"{place}/merged/model.safetensors", weights)
        entry = {"name": "merged/model.safetensors", "bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}
        manifest = json.dumps({"version": 1, "entries": [entry]}).encode()
        self._put(f"{place}/manifest.json", manifest)
        tags = {
            "martlet.artifacts_bucket": BUCKET,
            "martlet.artifacts_key": f"{place}/manifest.json",
            "martlet.artifacts_sha256": hashlib.sha256(manifest).hexdigest(),
        }
        listed = [{"key": key, "value": value} for key, value in tags.items()]
        made = self._call("model-versions/create", name=MODEL, source=f"s3://{BUCKET}/{place}/merged", tags=listed)
        return made["model_version"]["version"]

    def crown(self, version):
        """Moves the champion's alias."""
        self._call("registered-models/alias", name=MODEL, alias="champion", version=version)


class Tally:
    """What became of the requests; written by all users."""

    def __init__(self):
        self.lock = threading.Lock()
        self.outcomes = collections.Counter()
        self.versions = collections.Counter()
        self.kinds = collections.Counter()
        self.tokens = 0
        self.failures = []
        self.first = []
        self.whole = []

    def add(self, attempt, kind):
        """One more."""
        with self.lock:
            self.outcomes[attempt.outcome] += 1
            self.kinds[kind] += 1
            if attempt.outcome not in (WHOLE, LEFT):
                self.failures.append(f"{time.strftime('%X')} {attempt}")
                return
            self.versions[attempt.model] += 1
            if attempt.first:
                self.first.append(attempt.first - attempt.began)
            if attempt.outcome == WHOLE:
                self.tokens += attempt.tokens
                # What the model server itself takes is in nobody's hands here.
                self.whole.append((attempt.ended - attempt.began) - (FIRST + (attempt.tokens - 1) * PAUSE) / 1e3)


class Users(contextlib.AbstractContextManager):
    """Applications, each in a thread of its own, until the scope ends."""

    def __init__(self, count, port, keys, tally):
        self.port = port
        self.tally = tally
        self.over = threading.Event()
        self.threads = [
            threading.Thread(target=self._ask, args=(index, keys[index % len(keys)]), daemon=True)
            for index in range(count)
        ]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _ask(self, index, key):
        # Always the same, so that two runs ask the same.
        choice, client, asked = random.Random(index), Client(key, timeout=120), 0
        # People read what they got.
        while not self.over.wait(choice.uniform(0, 0.6)):
            asked += 1
            streams, is_long = choice.random() < 0.6, choice.random() < 0.3
            # Some answers last for several seconds: swaps happen under them.
            tokens = choice.randint(150, 350) if choice.random() < 0.1 else choice.randint(1, 40)
            leaves = choice.randint(1, tokens - 1) if streams and tokens > 4 and choice.random() < 0.15 else None
            content = f"{index}-{asked}: " + SENTENCE * (choice.randint(100, 600) if is_long else choice.randint(1, 5))
            attempt = Attempt(self.port, streams, tokens)
            client.ask(attempt, choice.choice([MODEL, MODEL, f"{MODEL}@champion"]), content, leaves)
            self.tally.add(attempt, f"{'stream' if streams else 'plain'}, {'long' if is_long else 'short'} prompt")
        client.close()


class Soak:
    """The gateway, the model server, and what is seen of them."""

    def __init__(self, servers, chosen):
        self.servers = servers
        self.chosen = chosen
        self.port, self.health = free_port(), free_port()
        self.registry = Registry(servers, chosen.martlet)
        self.tally = Tally()
        self.samples = []
        # Of each swap: seconds until the new version answered, and engines before the next one.
        self.swaps = []
        self.environment = {"MARTLET_STATE": str(servers.state), "MARTLET_LOG_LEVEL": "notice"}
        self.gateway = self.server = None

    def settings(self):
        """The settings file of all processes."""
        upstream = self.chosen.root / "Benchmarks/gateway/upstream.py"
        words = [sys.executable, "-B", upstream, "{host}", "{port}", "{name}", "--first", FIRST, "--pause", PAUSE]
        path = self.servers.folder / "martlet.yaml"
        path.write_text(
            f"gateway:\n  address: 127.0.0.1:{self.port}\n"
            '  prices: [{model: "*", hour: 2.5, prompt_rate: 20000, completion_rate: 1500}]\n'
            # Strings in JSON are strings in YAML.
            f"serving:\n  command: {json.dumps([str(word) for word in words])}\n",
            encoding="utf-8",
        )
        self.environment["MARTLET_CONFIG"] = str(path)

    def martlet(self, *words):
        """A command's output."""
        return run(f"martlet {words[0]}", [self.chosen.martlet, *words], self.environment).output

    def start(self):
        """Everything, until the first version answers; the keys."""
        self.settings()
        self.registry.create()
        versions = [self.registry.register(kind) for kind in ("one", "two")]
        self.registry.crown(versions[0])
        keys = []
        for index in range(4):
            words = ["--team", f"team-{index % 2}", "--priority", index % 3, "--rpm", 1_000_000, "--tpm", 1_000_000_000]
            words += ["--concurrent", 10_000, "--budget", 1_000_000]
            keys.append(self.martlet("key", "create", f"soak-{index}", *words).strip())
        self.server = Child(
            "martlet serve", [self.chosen.martlet, "serve", MODEL], self.servers.log("serve"), self.environment
        )
        environment = {**self.environment, "MARTLET_HTTP": f"127.0.0.1:{self.health}"}
        self.gateway = Child("martlet gateway", [self.chosen.martlet, "gateway"], self.servers.log("gateway"), environment)
        try:
            self.gateway.await_ready(lambda _: (get(self.health, "/readyz") or (0, ""))[0] == 200, limit=120, pause=0.1)
        except Failure as failure:
            raise Failure(f"{failure}\nand martlet serve said\n{self.server.tail()}") from None
        return versions, keys

    def stop(self):
        """The gateway first: what it has in hand needs the engines."""
        for child in (self.gateway, self.server):
            if child:
                child.stop(grace=90)

    def engines(self):
        """Processes that answer for a version."""
        return len(tree([self.server.pid])) - 1

    def swap(self, version):
        """Moves the alias and waits until the new version answers."""
        self.registry.crown(version)
        name, began = f"{MODEL}:{version}", time.monotonic()
        before = self.tally.versions[name]
        deadline = began + self.chosen.swap - 1
        while time.monotonic() < deadline:
            if self.tally.versions[name] > before:
                self.swaps.append({"version": version, "seconds": time.monotonic() - began})
                return
            time.sleep(0.05)
        self.swaps.append({"version": version, "seconds": None})

    def sample(self, over):
        """Looks at the gateway's memory from time to time."""
        while not over.wait(SAMPLING):
            resident, _ = memory([self.gateway.pid])
            self.samples.append(resident)
            told = self.tally.outcomes
            print(
                f"  {len(self.samples) * SAMPLING:5} s: {resident / 1e6:.1f} MB, {told.total():,} requests, "
                f"{len(self.tally.failures)} failed", flush=True,
            )  # fmt: skip

    def load(self):
        """The load and the swaps."""
        versions, keys = self.start()
        over = threading.Event()
        sampler = threading.Thread(target=self.sample, args=(over,), daemon=True)
        began = time.monotonic()
        end = began + self.chosen.minutes * 60
        sampler.start()
        try:
            with Users(self.chosen.users, self.port, keys, self.tally):
                turn = 0
                while (due := began + (turn + 1) * self.chosen.swap) < end:
                    self.look_until(due)
                    if self.swaps:
                        self.swaps[-1]["engines"] = self.engines()
                    turn += 1
                    self.swap(versions[turn % 2])
                self.look_until(end)
            return time.monotonic() - began
        finally:
            over.set()
            sampler.join()

    def look_until(self, moment):
        """Waits, as long as both processes are there."""
        while (left := moment - time.monotonic()) > 0:
            for child in (self.gateway, self.server):
                if child.process.poll() is not None:
                    raise Failure(f"{child.name} ended with {child.process.returncode}:\n{child.tail()}")
            time.sleep(min(left, 1))

    def usage(self):
        """What the ledger has."""
        start = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86_400 - self.chosen.minutes * 60))
        rows = json.loads(self.martlet("usage", "--from", start, "--output", "json"))
        return {name: sum(row[name] for row in rows) for name in ("requests", "failed", "partial", "completionTokens")}


def quarter(samples, index):
    """The median of one of four parts."""
    part = samples[len(samples) * index // 4 : len(samples) * (index + 1) // 4]
    return statistics.median(part) if part else None


def judge(soak, seconds, used):
    """Figures and verdicts, told and returned."""
    tally, samples = soak.tally, soak.samples
    answered, left = tally.outcomes[WHOLE], tally.outcomes[LEFT]
    second, last = quarter(samples, 1), quarter(samples, 3)
    growth = last / second if second and last else None
    engines = [swap["engines"] for swap in soak.swaps if "engines" in swap]
    slow = [swap["seconds"] for swap in soak.swaps if swap["seconds"] is not None]
    rows = [[kind, f"{count:,}"] for kind, count in sorted((tally.kinds | tally.versions).items())]
    print("\n" + table(["requests", ""], rows))
    print(
        f"\n{tally.outcomes.total():,} requests in {seconds:.0f} s, {answered:,} answered whole, {left:,} left on purpose, "
        f"{len(tally.failures)} failed"
    )
    for failure in tally.failures[:10]:
        print(f"  {failure}")
    times = {}
    for name, values in (("first token of streams", tally.first), ("whole answers, beyond the model's time", tally.whole)):
        times[name] = {f"p{share}_ms": percentile(values, share / 100) * 1e3 for share in (50, 99)} if values else None
        if values:
            print(f"{name}: p50 {times[name]['p50_ms']:.1f} ms, p99 {times[name]['p99_ms']:.1f} ms")
    if slow:
        print(f"{len(slow)} swaps, seconds until the new version answered: {min(slow):.1f} to {max(slow):.1f}")
    first, most = (samples[0], max(samples)) if samples else (None, None)
    told = [number(value and value / 1e6) for value in (first, second, last, most)]
    print("the gateway's memory in MB: {} at first, {} in the second quarter, {} in the last one, {} at most".format(*told))
    print(f"usage: {used}\n")
    # A client that left had seen a token by then: its request was sent, and so is in the journal.
    missing = answered + left - used["requests"]
    bars = {
        "failures": ("requests that failed", len(tally.failures), 0),
        "memory": ("times the second quarter's memory in the last one", growth, GROWTH),
        "swaps": ("swaps after which the new version did not answer", len(soak.swaps) - len(slow), 0),
        "engines": ("engines beside the one that serves, before a swap", max(engines, default=1) - 1, 0),
        "usage": ("requests by which the usage is wrong", abs(missing) + used["failed"], 0),
        "tokens": ("tokens of answers that the usage lacks", max(0, tally.tokens - used["completionTokens"]), 0),
        "partial": ("partial requests beyond those that were left", max(0, used["partial"] - left), 0),
    }
    verdicts = {}
    for name, (what, value, limit) in bars.items():
        # Nothing measured is nothing shown.
        met = value is not None and value <= limit
        verdicts[name] = {"value": value, "at most": limit, "met": met}
        print(f"{'met    ' if met else 'NOT MET'}  {number(value, 2):>8} {what} (at most {limit:g})")
    return {
        "seconds": seconds, "requests": dict(tally.outcomes), "kinds": dict(tally.kinds), "versions": dict(tally.versions),
        "failures": tally.failures[:100], "times": times, "swaps": soak.swaps, "rss": samples, "usage": used, "bars": verdicts,
    }  # fmt: skip


def main():
    """Runs it; 1 when a bar is not met."""
    chosen = options()
    chosen.root = Path(__file__).resolve().parents[2]
    end_on_signals()
    facts = machine.facts()
    with Servers(chosen.martlet, ["redis", "postgresql", "seaweedfs", "mlflow"]) as servers:
        soak = Soak(servers, chosen)
        try:
            seconds = soak.load()
        finally:
            soak.stop()
        for child in (soak.gateway, soak.server):
            if child.process.returncode != 0:
                raise Failure(f"{child.name} ended with {child.process.returncode}:\n{child.tail()}")
        used = soak.usage()
    document = judge(soak, seconds, used)
    asked = {"minutes": chosen.minutes, "swap": chosen.swap, "users": chosen.users}
    write_json(chosen.json, {"machine": facts, **asked, **document})
    print(f"\nwritten to {chosen.json}")
    return 0 if all(verdict["met"] for verdict in document["bars"].values()) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"soak: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
