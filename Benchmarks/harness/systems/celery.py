"""Celery with RabbitMQ and results in Redis."""

import importlib.metadata

from harness.processes import Child
from harness.systems.python_queue import PythonQueue


class Celery(PythonQueue):
    """One worker with two processes."""

    name = "celery"
    title = "Celery"
    note = (
        "prefork, 2 processes, prefetch 128 in all; acks_late, confirm_publish, quorum queue; recorded = stored in "
        "Redis, which synchronises every second; four producers, each of which waits for each confirm before the next task"
    )
    database = 1
    producer = "celery_produce.py"

    def version(self):
        return importlib.metadata.version("celery")

    def spawn(self, name, concurrency):
        """A worker and the test that says whether it is ready."""
        command = [self.tool("celery"), "-A", "celery_app", "worker", "--concurrency", concurrency]
        command += ["--loglevel", "warning", "--without-gossip", "--without-mingle", "--hostname", f"{name}@%h"]
        child = Child(name, command, self.servers.log(name), self.environment)
        return child, lambda child: "bench worker ready" in child.output()

    def start(self):
        worker, test = self.spawn("celery", 2)
        self.children.append(worker)
        worker.await_ready(test)

    def idle_worker(self):
        return self.spawn("celery-idle", 1)
