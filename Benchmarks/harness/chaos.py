"""No-op tasks while workers are killed at random: nothing may be lost, nothing may count twice."""

import argparse
import random
import sys
import threading
import time
from pathlib import Path

from harness import machine
from harness.figures import table, write_json
from harness.ports import get
from harness.processes import Failure
from harness.servers import Servers, end_on_signals
from harness.systems.ledger import LedgerReader
from harness.systems.martlet import Martlet

SLOTS = 16


def options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--martlet", required=True, type=Path)
    parser.add_argument("--bare", required=True, type=Path)
    parser.add_argument("--json", required=True)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chosen.root = Path(__file__).resolve().parents[2]
    if chosen.tasks < 1 or chosen.workers < 4 or chosen.rate < 1:
        parser.error("--tasks and --rate are at least 1, --workers at least 4")
    return chosen


class Herd(Martlet):
    """A scheduler and many workers, a quarter of which dies again and again."""

    def __init__(self, servers, chosen):
        super().__init__(servers, chosen)
        self.size = chosen.workers
        self.random = random.Random(chosen.seed)
        self.workers = {}
        self.kills = 0
        self.rounds = 0
        self.problem = None
        self.over = threading.Event()

    def start(self):
        self.scheduler, test = self.spawn("scheduler", "scheduler")
        self.children.append(self.scheduler)
        self.scheduler.await_ready(test)
        started = [(f"bench-{number}", *self.spawn_worker(f"bench-{number}", SLOTS)) for number in range(self.size)]
        for name, worker, test in started:
            self.workers[name] = worker
            self.children.append(worker)
            worker.await_ready(test)
        self.ledger = LedgerReader(self.servers.setting("MARTLET_POSTGRES_URL"))

    def torment(self):
        """Kills a quarter and starts it again, at random moments, until it is over."""
        try:
            while not self.over.wait(self.random.uniform(0.1, 0.5)):
                self.rounds += 1
                for name in self.random.sample(sorted(self.workers), self.size // 4):
                    old = self.workers[name]
                    old.kill()
                    self.children.remove(old)
                    self.kills += 1
                    self.workers[name], _ = self.spawn_worker(name, SLOTS)
                    self.children.append(self.workers[name])
        except Exception as error:  # pylint: disable=broad-except
            # Told by the main thread, which must not wait for workers that are not there.
            self.problem = error

    def counter(self, name, outcome):
        """A counter of the scheduler, as Prometheus sees it."""
        answer = get(self.scheduler.port, "/metrics")
        if not answer or answer[0] != 200:
            raise Failure("the scheduler does not tell its metrics")
        for line in answer[1].splitlines():
            if line.startswith(name + "{") and f'outcome="{outcome}"' in line:
                return int(float(line.split()[-1]))
        # A series that is not there proves nothing.
        raise Failure(f'the scheduler does not count {name} with outcome="{outcome}"')


def verdict(herd, source, tasks):
    """What became of the tasks, by the ledger and by the scheduler's own count."""
    states = herd.ledger.ended(source)
    rows = herd.ledger.rows(
        """
        SELECT count(*), count(DISTINCT r.id), count(*) FILTER (WHERE t.state = 'succeeded'),
               coalesce(sum(t.losses), 0), count(*) FILTER (WHERE t.attempt > 1), max(t.attempt)
        FROM martlet.runs r JOIN martlet.tasks t ON t.run_id = r.id
        WHERE r.event_source = %s
        """,
        source,
    )
    total, runs, succeeded, losses, repeated, most = (int(value or 0) for value in rows[0])
    accepted = herd.counter("martlet_scheduler_results_total", "accepted")
    # A lost attempt is counted where its loss is applied, not among the results.
    return {
        "tasks": tasks,
        "runs": runs,
        "runs_succeeded": states.get("succeeded", 0),
        "runs_by_state": states,
        "lost": tasks - succeeded,
        "duplicated": max(accepted - succeeded, 0) + max(total - tasks, 0),
        "results_accepted": accepted,
        "results_dropped": herd.counter("martlet_scheduler_results_total", "dropped"),
        "attempts_lost": losses,
        "tasks_repeated": repeated,
        "most_attempts": most,
    }


def main():
    """Torments, judges, shows, writes."""
    chosen = options()
    end_on_signals()
    facts = machine.facts()
    with Servers(chosen.martlet, ["rabbitmq", "redis", "postgresql"]) as servers, Herd(servers, chosen) as herd:
        began = time.monotonic()
        tormentor = threading.Thread(target=herd.torment, daemon=True)
        tormentor.start()
        try:
            source, _, _ = herd.publish("bench-one", chosen.tasks, chosen.rate)
            deadline = time.monotonic() + 600
            while herd.problem is None and time.monotonic() < deadline:
                if not herd.ledger.is_busy() and sum(herd.ledger.ended(source).values()) >= chosen.tasks:
                    break
                time.sleep(0.05)
        finally:
            herd.over.set()
            tormentor.join()
        if herd.problem:
            raise Failure(f"the workers could not be killed and started: {herd.problem}")
        seconds = time.monotonic() - began
        # Results that come twice come late: give them the time to.
        time.sleep(2)
        figures = verdict(herd, source, chosen.tasks)
    figures |= {"seconds": seconds, "rounds": herd.rounds, "kills": herd.kills, "workers": chosen.workers}
    passed = (
        figures["lost"] == 0
        and figures["duplicated"] == 0
        and figures["runs"] == figures["runs_succeeded"] == chosen.tasks
    )
    rows = [
        ["tasks", f"{chosen.tasks:,}"],
        ["runs succeeded", f"{figures['runs_succeeded']:,}"],
        ["lost", figures["lost"]],
        ["duplicated results", figures["duplicated"]],
        ["results dropped as late or repeated", figures["results_dropped"]],
        ["attempts lost with their worker", figures["attempts_lost"]],
        ["tasks that took more than one attempt", figures["tasks_repeated"]],
        ["most attempts of one task", figures["most_attempts"]],
        ["workers", chosen.workers],
        ["workers killed", f"{herd.kills} in {herd.rounds} rounds"],
        ["seconds", f"{seconds:.1f}"],
    ]
    print("\n" + table(["", ""], rows) + "\n")
    write_json(chosen.json, {"machine": facts, "seed": chosen.seed, "rate": chosen.rate, "passed": passed, **figures})
    print(f"{'passed' if passed else 'FAILED'}; written to {chosen.json}")
    return 0 if passed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"chaos: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
