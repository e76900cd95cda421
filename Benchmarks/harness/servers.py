"""The servers, fresh for one benchmark, through `martlet servers`."""

import json
import shutil
import signal
import tempfile
import time
from pathlib import Path

from harness.processes import Child, Failure


def end_on_signals():
    """SIGTERM ends the benchmark as Ctrl-C does, so that everything is stopped on the way out."""

    def stop(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


class Servers:
    """Servers with their data in a temporary folder; both are gone at the end."""

    def __init__(self, martlet, names):
        self.martlet = martlet
        self.names = names
        self.folder = None
        self.child = None
        self.pids = {}
        self.settings = {}

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="martlet-bench-"))
        # PostgreSQL runs as a user of its own when this is root, and must get through.
        self.folder.chmod(0o711)
        self.state = self.folder / "state"
        # The checkout's own settings are for the checkout's own program.
        self.config = self.folder / "martlet.yaml"
        self.config.write_text("log: {level: warning}\n", encoding="utf-8")
        try:
            environment = {"MARTLET_STATE": str(self.state), "MARTLET_CONFIG": str(self.config)}
            self.child = Child(
                "servers", [self.martlet, "servers", *self.names], self.folder / "servers.log", environment
            )
            seconds = self.child.await_ready(lambda child: child.output().rstrip().endswith("}"), limit=300, pause=0.1)
            self.pids = json.loads(self.child.output().strip().splitlines()[-1])
            for line in (self.state / "stack.env").read_text(encoding="utf-8").splitlines():
                if "=" in line and not line.startswith("#"):
                    name, value = line.split("=", 1)
                    self.settings[name] = value
            print(f"servers ready after {seconds:.1f} s", flush=True)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        if self.child:
            self.child.stop(grace=90)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self, name):
        """Where a process of this benchmark writes."""
        return self.folder / "log" / f"{name}.log"

    def setting(self, name):
        """A setting of the running servers, such as MARTLET_AMQP_URL."""
        if name not in self.settings:
            raise Failure(f"the servers have no {name}")
        return self.settings[name]


def poll(test, what, limit=600.0, pause=0.02):
    """Asks until the answer is yes."""
    deadline = time.monotonic() + limit
    while not test():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not after {limit:.0f} s")
        time.sleep(pause)
