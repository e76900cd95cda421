"""What every system under test can do."""

import contextlib
import dataclasses
import os
import signal
import time


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

    @contextlib.contextmanager
    def paused(self):
        """No process of the fleet does anything for a while; the broker keeps their connections."""
        groups = self.pids
        for group in groups:
            os.killpg(group, signal.SIGSTOP)
        try:
            yield
        finally:
            for group in groups:
                os.killpg(group, signal.SIGCONT)

    def drain(self, tasks):
        """Seconds from when the fleet wakes up, all tasks being in the broker, to the last result recorded.

        Whatever the system does with a task after the broker has it falls into this time; what its producer costs
        does not.
        """
        with self.paused():
            filled = self.fill(tasks)
            began = time.time()
        return self.await_filled(filled, tasks) - began

    def fill(self, tasks):
        """Sends `tasks` no-op tasks to a fleet that is paused; what `await_filled` needs to know."""
        raise NotImplementedError

    def await_filled(self, filled, tasks):
        """Waits for the last result; the moment, in seconds since 1970."""
        raise NotImplementedError

    def latencies(self, count, rate):
        """Seconds from one stage's end to the next one's begin, for `count` two-stage runs at `rate` per second."""
        raise NotImplementedError

    def idle_worker(self):
        """Starts one worker alone; the child and a test that says whether it is ready."""
        raise NotImplementedError
