"""What every proxy, and every stand-in for a model server, can do."""

import contextlib
import dataclasses
import string
import time

from harness.ports import free_port, post
from harness.processes import Child, cpu_seconds

# Programs ask the addresses they are given, whatever stands between this machine and others.
DIRECT = {
    name: None
    for word in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    for name in (word, word.upper())
}  # fmt: skip


@dataclasses.dataclass
class Tally:
    """What was sent."""

    requests: int = 0  # answered, to the last byte
    completion_tokens: int = 0  # in those answers
    cut: int = 0  # at most so many more, whose connection was closed in the middle
    cut_tokens: int = 0  # and so many tokens at most

    def add(self, requests, tokens, cut=0):
        """Counts answers with so many tokens each."""
        self.requests += requests
        self.completion_tokens += requests * tokens
        self.cut += cut
        self.cut_tokens += cut * tokens


class Listener(contextlib.AbstractContextManager):
    """A program on a core of its own that answers requests on a port."""

    name = ""
    # Sent as a bearer token, if it wants one.
    key = None

    def __init__(self, servers, chosen, core):
        self.servers = servers
        self.chosen = chosen
        self.core = core
        self.port = free_port()
        self.folder = servers.folder / f"{self.name}-{self.port}"
        self.child = None

    def __enter__(self):
        # Workers of a program that root starts go on as somebody else.
        self.folder.mkdir(mode=0o711)
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        if self.child:
            self.child.stop(grace=40)

    def start(self):
        """Starts the program and waits until it answers."""
        raise NotImplementedError

    def answers(self):
        """Whether it answers a request as it will be asked."""
        return post(self.port, "/v1/chat/completions", self.chosen.request.read_bytes(), self.key) == 200

    def launch(self, command, environment=None):
        """Starts a command on the program's core."""
        words = ["taskset", "--cpu-list", self.core, *command]
        self.child = Child(self.name, words, self.folder / "log", {**DIRECT, **(environment or {})})
        self.child.await_ready(lambda _: self.answers(), limit=180, pause=0.05)

    def fill(self, name, **values):
        """A file of settings with the ports filled in."""
        text = (self.chosen.root / "Benchmarks/gateway/settings" / name).read_text(encoding="utf-8")
        path = self.folder / name
        path.write_text(string.Template(text).substitute(port=self.port, **values), encoding="utf-8")
        return path

    @property
    def pids(self):
        """Its own processes."""
        return [self.child.pid]


class Proxy(Listener):
    """What is compared."""

    title = ""
    # What it does and what not, for the table.
    note = ""

    def __init__(self, servers, chosen, upstream):
        super().__init__(servers, chosen, chosen.proxy_core)
        self.upstream = upstream.port
        self.tally = Tally()

    def version(self):
        """What was measured."""
        raise NotImplementedError

    @property
    def helpers(self):
        """Processes that work for it and are not counted as its own."""
        return []

    def seconds(self, connections):
        """How long a measurement takes."""
        return self.chosen.seconds

    def settle(self, limit=60.0):
        """Waits until it has ended what is in its hands: that would be load for the next one."""
        deadline = time.monotonic() + limit
        before = cpu_seconds(self.pids)
        while time.monotonic() < deadline:
            time.sleep(0.1)
            after = cpu_seconds(self.pids)
            if after - before < 0.02:
                return
            before = after
