"""vLLM with a small model, Martlet's gateways before it, and what they lean on: for benchmarks and for tests of clients."""

import contextlib
import dataclasses
import json
import os
import sys
import time
import urllib.request
from pathlib import Path

from harness.ports import free_port, get, post
from harness.processes import Child, Failure, run
from harness.proxies.base import DIRECT
from harness.servers import poll

MODEL = "smollm2"
# Sequences that the engine works on at the same time.
PLACES = 128
# Every request is held against all limits, and meets none.
LIMITS = ["--rpm", 1_000_000_000, "--tpm", 1_000_000_000, "--concurrent", 100_000, "--budget", 1_000_000]


def engine_cores():
    """Where the engine calculates: on all cores but the first, which is for the gateway, the servers and the clients."""
    cores = sorted(os.sched_getaffinity(0))
    return ",".join(str(core) for core in cores[1:] or cores)


class ModelServer(contextlib.AbstractContextManager):
    """A process that answers completions on a port of its own."""

    name = ""
    # Seconds that the start may take.
    patience = 60

    def __init__(self, folder):
        self.folder = Path(folder)
        self.port = free_port()
        self.child = None

    def __enter__(self):
        try:
            self.child = Child(self.name, self.command(), self.folder / f"{self.name}.log", self.environment())
            seconds = self.child.await_ready(lambda _: self.is_ready(), limit=self.patience, pause=0.25)
            # What happens only once happens before anybody waits for it.
            asked = {"model": MODEL, "prompt": "Warm up", "max_tokens": 8}
            if (status := post(self.port, "/v1/completions", json.dumps(asked))) != 200:
                raise Failure(f"{self.name} answered its first request with {status}:\n{self.child.tail()}")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        print(f"{self.name} answers after {seconds:.0f} s", flush=True)
        return self

    def __exit__(self, *_):
        if self.child:
            self.child.stop(grace=30)

    def command(self):
        """What is started."""
        raise NotImplementedError

    def environment(self):
        """Its variables, beside this process's."""
        return DIRECT

    def is_ready(self):
        """Whether it may be asked."""
        return (get(self.port, "/health") or (0, ""))[0] == 200


class Engine(ModelServer):
    """vLLM."""

    name = "vllm"
    # One that compiles takes two minutes by itself.
    patience = 600

    def __init__(self, folder, model, cores=None, dtype="bfloat16"):
        super().__init__(folder)
        self.model = model
        self.dtype = dtype
        self.cores = cores or engine_cores()

    def command(self):
        # The command that vLLM brings does not find its own package in the build for CPUs.
        words = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", self.model]
        words += ["--served-model-name", MODEL, "--host", "127.0.0.1", "--port", self.port]
        words += ["--dtype", self.dtype, "--max-model-len", 1_024, "--max-num-seqs", PLACES, "--enforce-eager"]
        # Whoever asks the same for the second time must not have it easier.
        return [*words, "--no-enable-prefix-caching", "--no-enable-log-requests"]

    def environment(self):
        return {
            **DIRECT,
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": self.cores,
        }

    def version(self):
        """What it says of itself."""
        status, text = get(self.port, "/version") or (0, "")
        return json.loads(text)["version"] if status == 200 else "unknown"


class CostlyServer(ModelServer):
    """A stand-in whose every call costs the same, however many prompts it has."""

    name = "costly"

    def command(self):
        script = Path(__file__).resolve().parents[1] / "gateway/costly.py"
        return [sys.executable, "-B", script, "127.0.0.1", self.port, MODEL]


class Martlet:
    """Martlet's commands on servers that run."""

    def __init__(self, program, servers):
        self.program = program
        self.servers = servers
        # The user's own settings are not what is tried.
        own = {name: None for name in os.environ if name.startswith("MARTLET_")}
        self.environment = {
            **own, **servers.settings, "MARTLET_LOG_LEVEL": "warning", "MARTLET_STATE": str(servers.state),
        }  # fmt: skip

    def prepare(self):
        """Makes the bucket and the ledger's tables."""
        note = self.servers.folder / "note"
        note.write_text("made for the bucket\n", encoding="utf-8")
        self.command("artifact", "put", note, f"s3://{self.servers.setting('MARTLET_S3_BUCKET')}/note")
        self.key("first")

    def command(self, *words):
        """Runs a command to its end; what it printed."""
        environment = {**self.environment, "MARTLET_CONFIG": str(self.servers.config)}
        return run(f"martlet {words[0]}", [self.program, *words], environment).output

    def key(self, name, *options, team="bench"):
        """A new key."""
        words = ["key", "create", name, "--team", team, *options, "--output", "json"]
        return json.loads(self.command(*words))["key"]

    def usage(self, name):
        """Requests and tokens of answers that the ledger has of a key."""
        # The day before as well: a request may be counted on the day that it began on.
        day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86_400))
        rows = [row for row in json.loads(self.command("usage", "--from", day, "--output", "json")) if row["key"] == name]
        return {what: sum(row[what] for row in rows) for what in ("requests", "failed", "partial", "completionTokens")}


@dataclasses.dataclass
class Replica:
    """A model server as a gateway knows it."""

    server: ModelServer
    max_in_flight: int | None = 64  # None: the gateway's own

    def __str__(self):
        most = f", max_in_flight: {self.max_in_flight}" if self.max_in_flight else ""
        return f'{{model: {MODEL}, version: "1", aliases: [champion], url: "http://127.0.0.1:{self.server.port}"{most}}}'


class Gateway(contextlib.AbstractContextManager):
    """A gateway with everything on.

    settings: of `gateway:` in its settings file.
    """

    def __init__(self, martlet, name, replicas, **settings):
        self.martlet = martlet
        self.name = name
        self.port, self.health = free_port(), free_port()
        self.folder = martlet.servers.folder / f"gateway-{name}"
        self.folder.mkdir(mode=0o700)
        self.lines = [f"  {setting}: {value}" for setting, value in settings.items()]
        self.replicas = replicas
        self.child = None

    def __enter__(self):
        text = "\n".join([
            "gateway:",
            f"  address: 127.0.0.1:{self.port}",
            *self.lines,
            "  prices:",
            '    - {model: "*", hour: 2.5, prompt_rate: 20000, cached_rate: 200000, completion_rate: 1500}',
            "  replicas:",
            *(f"    - {replica}" for replica in self.replicas),
        ])  # fmt: skip
        path = self.folder / "martlet.yaml"
        path.write_text(text + "\n", encoding="utf-8")
        environment = {
            **self.martlet.environment,
            **DIRECT,
            "MARTLET_STATE": str(self.folder / "state"),
            "MARTLET_HTTP": f"127.0.0.1:{self.health}",
        }
        try:
            command = [self.martlet.program, "gateway", "--config", path]
            self.child = Child(f"gateway {self.name}", command, self.folder / "log", environment)
            self.child.await_ready(lambda _: (get(self.health, "/readyz") or (0, ""))[0] == 200, pause=0.05)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        if self.child:
            self.child.stop(grace=60)

    @property
    def address(self):
        """What clients are told."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def pids(self):
        """Its process."""
        return [self.child.pid]

    def complaints(self):
        """What it wrote, which is warnings only."""
        return self.child.output().strip()

    def key(self, name, *options, team="bench"):
        """A new key that this gateway knows by now."""
        secret = self.martlet.key(name, *options, team=team)
        poll(lambda: self.knows(secret), f"{name} is known", limit=15)
        return secret

    def knows(self, secret):
        """Whether it takes a key."""
        request = urllib.request.Request(f"{self.address}/models", headers={"Authorization": f"Bearer {secret}"})
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
                return answer.status == 200
        except OSError:
            return False

    def metric(self, name):
        """The sum of a metric over its labels."""
        lines = (get(self.health, "/metrics") or (0, ""))[1].splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0].split(" ")[0] == name)
