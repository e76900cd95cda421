"""What Celery and Dramatiq have in common here: an app module, a producer, results as keys in Redis."""

import concurrent.futures
import json
import os
import sys

import redis

from harness.processes import run
from harness.servers import poll
from harness.systems.base import System, Throughput


PRODUCERS = 4


class PythonQueue(System):
    """A Python task queue with its results in a Redis database of its own."""

    # The Redis database of its results; Martlet's is 0.
    database = 0
    producer = ""

    def __init__(self, servers, tools):
        super().__init__(servers, tools)
        address = servers.setting("MARTLET_REDIS_URL").rsplit("/", 1)[0]
        self.redis_url = f"{address}/{self.database}"
        self.apps = tools.root / "Benchmarks/fleet/apps"
        self.results = redis.Redis.from_url(self.redis_url)

    @property
    def environment(self):
        """Where the servers are and the app module is."""
        return {
            "BENCH_AMQP_URL": self.servers.setting("MARTLET_AMQP_URL"),
            "BENCH_REDIS_URL": self.redis_url,
            "PYTHONPATH": str(self.apps),
        }

    def tool(self, name):
        """A program of this Python environment."""
        return os.path.join(os.path.dirname(sys.executable), name)

    def produce(self, *words):
        """Runs the producer; what it says, and its CPU seconds."""
        done = run("producer", [sys.executable, self.apps / self.producer, *words], self.environment)
        return json.loads(done.output.splitlines()[-1]), done.cpu

    def throughput(self, tasks):
        said, cpu = self.produce_beside(tasks)
        first = min(one["first"] for one in said)
        return Throughput(self.await_results(tasks) - first, max(one["last"] for one in said) - first, cpu)

    def produce_beside(self, tasks):
        """Sends from several producers at once: one that waits for each confirm would be what is measured."""
        self.results.flushdb()
        shares = [tasks // PRODUCERS + (number < tasks % PRODUCERS) for number in range(PRODUCERS)]
        with concurrent.futures.ThreadPoolExecutor(PRODUCERS) as producers:
            done = list(producers.map(lambda share: self.produce("tasks", share), shares))
        return [said for said, _ in done], sum(cpu for _, cpu in done)

    def fill(self, tasks):
        self.produce_beside(tasks)

    def await_filled(self, filled, tasks):
        return self.await_results(tasks)

    def await_results(self, tasks):
        """Waits for all results; the moment, by Redis."""
        poll(lambda: self.results.dbsize() >= tasks, f"{tasks} results")
        seconds, micros = self.results.time()
        return seconds + micros / 1e6

    def latencies(self, count, rate):
        self.results.flushdb()
        said, _ = self.produce("chains", count, rate)
        return said["latencies"]

    def __exit__(self, *exception):
        super().__exit__(*exception)
        self.results.close()
