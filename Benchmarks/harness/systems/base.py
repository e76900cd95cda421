"""What every system under test can do."""

import contextlib
import dataclasses


@dataclasses.dataclass
class Throughput:
    """One run of N tasks."""

    seconds: float  # first enqueue to last result recorded
    enqueue_seconds: float  # first enqueue to last confirm
    producer_cpu: float  # seconds


class System(contextlib.AbstractContextManager):
    """A task queue with two worker processes, or what amounts to them."""

    name = ""
    title = ""
    # What is equal and what is not, for the table.
    note = ""

    def __init__(self, servers, tools):
        self.servers = servers
        self.tools = tools
        self.children = []

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            child.stop()
        self.children = []

    @property
    def pids(self):
        """The system's own processes, without producers and servers."""
        return [child.pid for child in self.children]

    def version(self):
        """What was measured."""
        raise NotImplementedError

    def start(self):
        """Starts the fleet and waits until it takes tasks."""
        raise NotImplementedError

    def throughput(self, tasks):
        """Runs `tasks` no-op tasks: a Throughput."""
        raise NotImplementedError

    def latencies(self, count, rate):
        """Seconds from one stage's end to the next one's begin, for `count` two-stage runs at `rate` per second."""
        raise NotImplementedError

    def idle_worker(self):
        """Starts one worker alone; the child and a test that says whether it is ready."""
        raise NotImplementedError
