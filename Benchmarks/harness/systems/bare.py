"""The floor: librabbitmq alone, without books."""

import itertools
import json

from harness.processes import Child, run
from harness.servers import poll
from harness.systems.base import System, Throughput


class Bare(System):
    """Two processes that take, answer and acknowledge."""

    name = "bare"
    title = "bare librabbitmq"
    note = (
        "2 processes with prefetch 64 each; the producer is Martlet's; the result is a confirmed message in a durable "
        "queue, taken by a collector; "
        "no deduplication, no retries, no state"
    )

    queues = itertools.count(1)

    @property
    def environment(self):
        """Where the broker is."""
        return {"BENCH_AMQP_URL": self.servers.setting("MARTLET_AMQP_URL")}

    def version(self):
        return "librabbitmq as Martlet's client has it"

    def spawn(self, name, *words):
        """A process and the test that says whether it is ready."""
        child = Child(name, [self.tools.bare, *words], self.servers.log(name), self.environment)
        return child, lambda child: child.output().startswith("ready")

    def start(self):
        self.queue = f"bare.{next(self.queues)}"
        for number in (1, 2):
            worker, test = self.spawn(
                f"bare-{number}", "work", "--queue", self.queue, "--results", self.queue + ".results"
            )
            self.children.append(worker)
            worker.await_ready(test)

    def _pass(self, count, rate=0):
        """Sends tasks through; what the producer and the collector say, and the producer's CPU seconds."""
        collector, test = self.spawn(
            "bare-collector", "collect", "--queue", self.queue + ".results", "--count", count
        )
        self.children.append(collector)
        try:
            collector.await_ready(test)
            done = run(
                "producer",
                [self.tools.bare, "publish", "--key", self.queue, "--count", count, "--rate", rate],
                self.environment,
            )
            poll(lambda: collector.process.poll() is not None, f"{count} results")
            return json.loads(done.output), json.loads(collector.output().splitlines()[-1]), done.cpu
        finally:
            collector.stop()
            self.children.remove(collector)

    def fill(self, tasks):
        collector, test = self.spawn(
            "bare-collector", "collect", "--queue", self.queue + ".results", "--count", tasks
        )
        self.children.append(collector)
        collector.await_ready(test)
        run("producer", [self.tools.bare, "publish", "--key", self.queue, "--count", tasks], self.environment)
        return collector

    def await_filled(self, filled, tasks):
        try:
            poll(lambda: filled.process.poll() is not None, f"{tasks} results")
            return json.loads(filled.output().splitlines()[-1])["last"]
        finally:
            filled.stop()
            self.children.remove(filled)

    def throughput(self, tasks):
        said, seen, cpu = self._pass(tasks)
        return Throughput(seen["last"] - said["first"], said["seconds"], cpu)

    def latencies(self, count, rate):
        return self._pass(count, rate)[1]["latencies"]

    def idle_worker(self):
        return self.spawn("bare-idle", "work", "--queue", "bare.idle", "--results", "bare.idle.results")
