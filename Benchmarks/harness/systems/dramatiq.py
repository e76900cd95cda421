"""Dramatiq with RabbitMQ and results in Redis."""

import importlib.metadata

from harness.processes import Child
from harness.systems.python_queue import PythonQueue


class Dramatiq(PythonQueue):
    """Two processes with eight threads each."""

    name = "dramatiq"
    title = "Dramatiq"
    note = (
        "2 processes of 8 threads, prefetch 64 each; confirm_delivery, quorum queues; "
        "recorded = stored in Redis, which synchronises every second; "
        "acknowledges after the task as always; four producers, each of which waits for each confirm before the next task"
    )
    database = 2
    producer = "dramatiq_produce.py"

    @property
    def environment(self):
        """As of any Python queue, with as many unacknowledged messages as the other systems."""
        return {**super().environment, "dramatiq_queue_prefetch": "64"}

    def version(self):
        return importlib.metadata.version("dramatiq")

    def spawn(self, name, processes, threads):
        """A worker and the test that says whether all of its processes are ready."""
        command = [self.tool("dramatiq"), "dramatiq_app", "--processes", processes, "--threads", threads]
        child = Child(name, command, self.servers.log(name), self.environment)
        return child, lambda child: child.output().count("Worker process is ready for action") >= processes

    def start(self):
        worker, test = self.spawn("dramatiq", 2, 8)
        self.children.append(worker)
        worker.await_ready(test)

    def idle_worker(self):
        return self.spawn("dramatiq-idle", 1, 1)
