"""Martlet: one scheduler, two workers, the ledger."""

import itertools
import json

from harness import machine
from harness.ports import free_port, get
from harness.processes import Child, Failure, run
from harness.servers import poll
from harness.systems.base import System, Throughput
from harness.systems.ledger import LedgerReader

EVENT = "dev.martlet.data.available.v1"


class Martlet(System):
    """Two worker processes of 64 slots."""

    name = "martlet"
    title = "Martlet"
    note = (
        "1 scheduler, 2 workers of 64 slots; a task is an event, a run and a task in the ledger; "
        "recorded = the run has ended in PostgreSQL, which synchronises every commit; "
        "its producer is a compiled one with up to 256 unconfirmed events, so live figures are not the producer's"
    )

    sources = itertools.count(1)

    def version(self):
        return machine.first_line(self.tools.martlet, "--version")

    @property
    def environment(self):
        """Settings of its processes; nothing here uses S3, but a worker wants to know where it is."""
        return {
            "MARTLET_STATE": str(self.servers.state),
            "MARTLET_PIPELINES": str(self.tools.root / "Benchmarks/fleet/pipelines"),
            "MARTLET_S3_ENDPOINT": "http://127.0.0.1:9",
            "MARTLET_S3_ACCESS_KEY_ID": "unused",
            "MARTLET_S3_SECRET_ACCESS_KEY": "unused",
            "MARTLET_LOG_LEVEL": "warning",
        }

    def spawn(self, name, *words):
        """A process and the test that says whether it is ready."""
        port = free_port()
        child = Child(
            name,
            [self.tools.martlet, *words],
            self.servers.log(name),
            {**self.environment, "MARTLET_HTTP": f"127.0.0.1:{port}"},
        )
        child.port = port
        return child, lambda _: (get(port, "/readyz") or (0, ""))[0] == 200

    def spawn_worker(self, name, slots):
        """A worker of the pool `bench`."""
        return self.spawn(name, "worker", "--pool", "bench", "--slots", slots, "--name", name)

    def start(self):
        scheduler, test = self.spawn("scheduler", "scheduler")
        self.children.append(scheduler)
        scheduler.await_ready(test)
        for number in (1, 2):
            worker, test = self.spawn_worker(f"bench-{number}", 64)
            self.children.append(worker)
            worker.await_ready(test)
        self.ledger = LedgerReader(self.servers.setting("MARTLET_POSTGRES_URL"))

    def __exit__(self, *exception):
        if hasattr(self, "ledger"):
            self.ledger.close()
        return super().__exit__(*exception)

    def publish(self, pipeline, count, rate=0, source=None):
        """Publishes events, each confirmed; the source that marks them, and what the producer says and costs."""
        source = source or f"/bench/{next(self.sources)}"
        command = [self.tools.bare, "publish", "--exchange", "martlet.events", "--key", EVENT, "--body", "event"]
        command += ["--source", source, "--pipeline", pipeline, "--count", count, "--rate", rate]
        done = run("producer", command, {"BENCH_AMQP_URL": self.servers.setting("MARTLET_AMQP_URL")})
        return source, json.loads(done.output), done.cpu

    def await_runs(self, source, count, limit=600.0):
        """Waits until all runs of a producer have ended; the moment when that was seen."""

        def done():
            return not self.ledger.is_busy() and sum(self.ledger.ended(source).values()) >= count

        poll(done, f"{count} runs of {source}", limit)
        moment = self.ledger.value("SELECT extract(epoch FROM clock_timestamp())")
        states = self.ledger.ended(source)
        if states != {"succeeded": count}:
            raise Failure(f"of {count} runs of {source} not all succeeded: {states}")
        return float(moment)

    def throughput(self, tasks):
        source, said, cpu = self.publish("bench-one", tasks)
        return Throughput(self.await_runs(source, tasks) - said["first"], said["seconds"], cpu)

    def fill(self, tasks):
        # The scheduler sleeps as well: events wait, and there are no runs yet.
        source, _, _ = self.publish("bench-one", tasks)
        return source

    def await_filled(self, filled, tasks):
        return self.await_runs(filled, tasks)

    def latencies(self, count, rate):
        source, _, _ = self.publish("bench-two", count, rate)
        self.await_runs(source, count)
        return self.ledger.stage_gaps(source)

    def idle_worker(self):
        return self.spawn_worker("idle", 1)
