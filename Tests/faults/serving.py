"""What is done to gateways, model servers and what they lean on, and what applications and the ledger must see of it."""

import argparse
import contextlib
import dataclasses
import math
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import urllib.parse
from pathlib import Path

from checks import Failed, await_value, check
from harness.chat import BROKEN, CUT, REFUSED, UNREACHABLE, WHOLE, Attempt, Client
from harness.figures import table, write_json
from harness.ports import free_port, get
from harness.processes import Child, Failure
from stack import Stack

MODEL = "faults"
USERS = 16
# Milliseconds that a model server takes for the first token, and for each further one.
FIRST, PAUSE = 300, 40
# Every request is looked at for limits, and none reaches them.
LIMITS = ["--rpm", "1000000", "--tpm", "1000000000", "--concurrent", "10000"]


@dataclasses.dataclass
class Absence:
    """When a server was away."""

    gone: float  # nobody listened any more
    over: float = 0.0  # from here on it was let back
    back: float = 0.0  # it was ready


class Servers(Stack):
    """The servers of the local stack, with one pipeline that nobody asks for: workers are not what is tested."""

    def __enter__(self):
        pipelines = self.folder / "pipelines"
        pipelines.mkdir(parents=True, exist_ok=True)
        text = (Path(__file__).parent / "pipelines/ingest-only.yaml").read_text()
        (pipelines / "ingest-only.yaml").write_text(text)
        settings = self.folder / "martlet.yaml"
        settings.write_text("log: {level: info}\n")
        os.environ.update(
            MARTLET_CONFIG=str(settings), MARTLET_STATE=str(self.state), MARTLET_PIPELINES=str(pipelines)
        )
        print(f"stack in {self.state}", flush=True)
        subprocess.run([self.program, "down"], cwd=self.root, check=False, capture_output=True)
        began = time.monotonic()
        self.martlet("up", "--timeout", "600", limit=660)
        for line in (self.state / "stack.env").read_text().splitlines():
            name, found, value = line.partition("=")
            if found and not name.startswith("#"):
                self.settings[name.strip()] = value.strip().strip("'\"")
        print(f"ready after {time.monotonic() - began:.0f} s", flush=True)
        return self

    def listens(self, setting):
        """Whether anybody takes connections where a setting's URL points."""
        url = urllib.parse.urlsplit(self.settings[setting])
        try:
            with socket.create_connection((url.hostname, url.port), timeout=2):
                return True
        except OSError:
            return False

    @contextlib.contextmanager
    def away(self, server, setting, seconds):
        """Stops a server as an administrator would, while in the scope and for `seconds` at least.

        The supervisor, which would start it again at once, is stopped meanwhile.
        """
        pid = self.server(server)
        check(pid, f"{server} does not run")
        supervisor = self.supervisor()
        self.signal(supervisor, signal.SIGSTOP)
        try:
            # SIGTERM would let PostgreSQL wait for its clients to leave.
            os.kill(pid, signal.SIGINT if server == "postgresql" else signal.SIGTERM)
            await_value(f"{server} ends", lambda: not self.listens(setting), 60, pause=0.05)
            absence = Absence(time.monotonic())
            print(f"   {server} ({pid}) is away for {seconds} s", flush=True)
            yield absence
            time.sleep(max(0, absence.gone + seconds - time.monotonic()))
            check(not self.listens(setting), f"{server} came back by itself")
            absence.over = time.monotonic()
        finally:
            self.signal(supervisor, signal.SIGCONT)
        await_value(f"{server} is back", lambda: self.server(server) not in (None, pid), 120)
        await_value(f"{server} is ready", lambda: self.is_ready(server), 180)
        absence.back = time.monotonic()
        print(f"   {server} is back after {absence.back - absence.gone:.1f} s", flush=True)


class Process:
    """A process on a port of its own that can be killed and started again."""

    def __init__(self, name, folder, settings=None):
        self.name = name
        self.port = free_port()
        self.folder = folder
        self.settings = settings
        self.child = None
        # When it was not to be reached: from just before it was killed until it was ready again.
        self.gaps = []

    def start(self, command):
        """Starts it and waits until it is ready."""
        self.child = Child(self.name, command, self.folder / f"{self.name}.log", self.settings)
        self.child.await_ready(lambda _: self.is_ready(), limit=60, pause=0.02)
        if self.gaps and self.gaps[-1][2] is None:
            self.gaps[-1][2] = time.monotonic()

    def is_ready(self):
        """Whether it may be asked."""
        return (get(self.port, "/health") or (0, ""))[0] == 200

    def kill(self):
        """SIGKILL."""
        before = time.monotonic()
        print(f"   SIGKILL {self.name} ({self.child.pid})", flush=True)
        self.child.kill()
        self.gaps.append([before, time.monotonic(), None])

    def was_away(self, attempt):
        """Whether a part of an attempt lies in a gap."""
        return any(
            attempt.ended >= before and (ready is None or attempt.began <= ready) for before, _, ready in self.gaps
        )


class Gateway(Process):
    """A gateway with a state folder of its own, as if on a machine of its own."""

    def __init__(self, name, stack, folder):
        self.health = free_port()
        super().__init__(name, folder)
        self.settings = {
            **stack.settings,
            "MARTLET_STATE": str(folder / name),
            "MARTLET_GATEWAY_ADDRESS": f"127.0.0.1:{self.port}",
            "MARTLET_HTTP": f"127.0.0.1:{self.health}",
        }
        self.command = [stack.program, "gateway", "--config", folder / "gateway.yaml"]

    def is_ready(self):
        """Whether it knows keys and model servers."""
        return (get(self.health, "/readyz") or (0, ""))[0] == 200


class Replica(Process):
    """A model server."""

    def __init__(self, name, stack, folder):
        super().__init__(name, folder)
        upstream = stack.root / "Benchmarks/gateway/upstream.py"
        words = ["127.0.0.1", self.port, MODEL, "--id", name, "--first", FIRST, "--pause", PAUSE]
        self.command = [sys.executable, "-B", upstream, *words]

    def load(self):
        """Requests that it works on."""
        return int((get(self.port, "/metrics") or (0, "- 0"))[1].split()[1])


class Fleet:
    """Two gateways before two replicas."""

    def __init__(self, stack, case):
        self.stack = stack
        self.case = case
        self.folder = stack.folder / "cases" / f"{case}-{time.time_ns()}"
        self.folder.mkdir(parents=True)
        self.replicas = [Replica(f"replica-{number}", stack, self.folder) for number in (1, 2)]
        self.gateways = [Gateway(f"gateway-{number}", stack, self.folder) for number in (1, 2)]
        lines = ["gateway:", "  replicas:"]
        for replica in self.replicas:
            url = f"http://127.0.0.1:{replica.port}"
            lines.append(f'    - {{model: {MODEL}, version: "1", aliases: [champion], url: "{url}", max_in_flight: 64}}')
        (self.folder / "gateway.yaml").write_text("\n".join(lines) + "\n")
        self.began = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86_400))

    def __enter__(self):
        try:
            for process in self.replicas + self.gateways:
                process.start(process.command)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.gateways + self.replicas:
            if process.child:
                process.child.stop(grace=60)

    @property
    def ports(self):
        """Where applications ask."""
        return [gateway.port for gateway in self.gateways]

    def key(self, name, *limits):
        """A new key, as its name and what applications send; in force when both gateways know it."""
        name = f"{self.folder.name}-{name}"
        key = self.stack.json("key", "create", name, "--team", "faults", *LIMITS, *limits)["key"]
        for port in self.ports:
            await_value(f"{name} is known at {port}", lambda port=port: self.knows(port, key), 15, pause=0.05)
        return name, key

    @staticmethod
    def knows(port, key):
        """Whether a gateway takes a key."""
        attempt = Attempt(port, False, 1)
        client = Client(key)
        # There is no such model, so that nothing is used.
        client.ask(attempt, "none", "?")
        client.close()
        return attempt.error == "model_not_found"

    def usage(self, name):
        """What the ledger has of a key."""
        rows = [row for row in self.stack.json("usage", "--from", self.began) if row["key"] == name]
        return {what: sum(row[what] for row in rows) for what in ("requests", "failed", "partial", "completionTokens")}

    def close_books(self, name, least):
        """What the ledger has of a key once the gateways have ended and nothing can come any more."""
        await_value(f"the ledger has {least} requests", lambda: self.usage(name)["requests"] >= least, 60)
        for gateway in self.gateways:
            gateway.child.stop(grace=60)
            check(gateway.child.process.returncode == 0, f"{gateway.name} ended with {gateway.child.process.returncode}")
        used = self.usage(name)
        print(f"   the ledger has {used}", flush=True)
        return used


class Users:
    """Applications that ask until they are stopped, half of them streaming; in the scope. Keeps every attempt.

    retries: asks the other gateway when the connection breaks, when nobody listens, or at a 503. Without, every attempt is a
    request of its own.
    """

    def __init__(self, fleet, key, count=USERS, retries=True, tokens=(15, 35)):
        self.ports = fleet.ports
        self.key = key
        self.tokens = tokens
        # No two requests are equal, not even of two groups of users.
        self.name = time.monotonic_ns()
        self.retries = retries
        self.attempts = []
        # Requests that no gateway answered, as the attempts that failed.
        self.lost = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number):
        choice, client = random.Random(number), Client(self.key)
        order = [self.ports[number % 2], self.ports[1 - number % 2]]
        asked = 0
        pause = 0.05
        while not self._over.wait(pause):
            asked += 1
            tokens, streams = choice.randint(*self.tokens), number % 4 < 2
            failed = []
            for port in order if self.retries else order[asked % 2 :][:1]:
                attempt = Attempt(port, streams, tokens)
                # Before it begins: whoever looks for what is on its way finds it.
                self.attempts.append(attempt)
                client.ask(attempt, MODEL, f"{number}-{asked}-{self.name}: what is CWE-79?")
                if attempt.outcome == WHOLE:
                    break
                failed.append(attempt)
                if attempt.outcome not in (BROKEN, UNREACHABLE) and attempt.status != 503:
                    break
            else:
                self.lost.append(failed)
            # Whoever is refused at once would otherwise ask without end.
            pause = 0.25 if failed else 0.05
        client.close()

    def ended(self, since=0.0, port=None, outcome=WHOLE, until=math.inf):
        """Attempts that began between two moments and ended so."""
        return [
            one for one in list(self.attempts)
            if one.ended and since <= one.began < until and one.outcome == outcome and port in (None, one.port)
        ]

    def running(self, port=None, server=None, has_begun=None):
        """Attempts on their way."""
        return [
            one for one in list(self.attempts)
            if one.began and not one.ended and port in (None, one.port) and server in (None, one.server)
            and has_begun in (None, one.first is not None)
        ]

    def await_answers(self, count, port=None):
        """Waits for so many more whole answers to requests that begin now."""
        since = time.monotonic()
        await_value(f"{count} answers", lambda: len(self.ended(since, port)) >= count, 60, pause=0.1)


def late(attempt):
    """Seconds that an answer took beyond what its model server did."""
    return attempt.ended - attempt.began - (FIRST + (attempt.tokens - 1) * PAUSE) / 1e3


def some(attempts, count=5):
    """A few of them, for a message."""
    return "; ".join(str(one) for one in attempts[:count])


def gateway_kill(stack):
    """SIGKILL of one gateway of two under load, three times; it comes back with the same state folder."""
    with Fleet(stack, "gateway-kill") as fleet:
        name, key = fleet.key("key")
        with Users(fleet, key) as users:
            for turn in range(3):
                victim, survivor = fleet.gateways[turn % 2], fleet.gateways[1 - turn % 2]
                for port in fleet.ports:
                    users.await_answers(20, port)
                # Streams that have begun and answers that have not: both must be in the journal.
                await_value(
                    "requests of both kinds are on their way",
                    lambda victim=victim: len(users.running(victim.port, has_begun=True)) >= 2
                    and len(users.running(victim.port, has_begun=False)) >= 2,
                    60, pause=0.005,
                )
                victim.kill()
                users.await_answers(40, survivor.port)
                victim.start(victim.command)
        check(not users.lost, f"{len(users.lost)} requests had no answer at either gateway: {some(sum(users.lost, []))}")
        by_port = {gateway.port: gateway for gateway in fleet.gateways}
        odd = [one for one in users.attempts if one.outcome != WHOLE and not by_port[one.port].was_away(one)]
        check(not odd, f"{len(odd)} requests failed at a gateway that was there: {some(odd)}")
        # On their way at a kill: they began before the process was gone, and broke. Those that began later met nobody.
        on_way = [
            one for one in users.ended(outcome=BROKEN)
            if any(one.began <= gone and one.ended >= before for before, gone, _ in by_port[one.port].gaps)
        ]
        # What has brought a token was sent to a replica, and so written down; of the others nobody here can tell.
        begun = [one for one in on_way if one.pieces]
        answered = len(users.ended())
        used = fleet.close_books(name, answered + len(begun))
        least, most = answered + len(begun), answered + len(on_way)
        check(
            least <= used["requests"] <= most,
            f"the ledger has {used['requests']} requests; {answered} were answered, {len(begun)} had begun to be and "
            f"{len(on_way)} were on their way at the kills",
        )
        extra = used["requests"] - answered
        # One that was on its way may have ended just before: its last bytes are what broke.
        check(used["partial"] <= extra, f"{used['partial']} requests are partial, and {extra} beyond those answered")
        check(used["failed"] == 0, f"{used['failed']} requests failed")
        tokens = sum(one.tokens for one in users.ended())
        most = tokens + sum(one.tokens for one in on_way)
        check(tokens <= used["completionTokens"] <= most, f"{used['completionTokens']} tokens, not {tokens} to {most}")
        return {
            "kills": 3, "answered": answered, "on their way at kills": len(on_way), "of these begun": len(begun),
            "in the ledger": used["requests"], "partial": used["partial"], "lost": 0,
        }


def replica_kill(stack):
    """SIGKILL of one replica of two in mid-stream, four times; it comes back."""
    with Fleet(stack, "replica-kill") as fleet:
        name, key = fleet.key("key")
        attempts, returns = [], []
        with Users(fleet, key) as users:
            for turn in range(4):
                victim = fleet.replicas[turn % 2]
                users.await_answers(40)
                # Many come and go: the gateways keep their connections to the replicas for the next ones.
                with Users(fleet, key, 48, tokens=(1, 2)) as crowd:
                    crowd.await_answers(100)
                attempts += crowd.attempts
                # Some streams that have begun at it, and some requests that have not.
                await_value(
                    "streams have begun, and others have not",
                    lambda victim=victim: victim.load() - 3 >= len(users.running(server=victim.name, has_begun=True)) >= 3,
                    60, pause=0.005,
                )
                victim.kill()
                users.await_answers(40)
                victim.start(victim.command)
                ready = time.monotonic()
                await_value(
                    "the replica is asked again",
                    lambda victim=victim, ready=ready: any(one.server == victim.name for one in users.ended(ready)),
                    60, pause=0.1,
                )
                returns.append(time.monotonic() - ready)
            users.await_answers(40)
        attempts += users.attempts
        gaps = [(replica, *gap[:2]) for replica in fleet.replicas for gap in replica.gaps]
        under_way = [one for one in attempts if any(one.began <= gone and one.ended >= before for _, before, gone in gaps)]
        odd = [one for one in attempts if one.outcome not in (WHOLE, CUT)]
        waiting = len([one for one in odd if one in under_way])
        check(not odd, f"{len(odd)} of {len(attempts)} requests failed, {waiting} under way at a kill: {some(odd)}")
        cut = [one for one in attempts if one.outcome == CUT]
        told = []
        for one in cut:
            times = [
                one.ended - before for replica, before, gone in gaps
                if replica.name == one.server and one.began <= gone and one.ended >= before
            ]
            check(times and one.pieces, f"a stream was cut that no killed replica had begun: {one}")
            told.append(times[0])
        check(cut, "no stream was cut: the replicas were idle")
        codes = {one.error for one in cut}
        check(codes <= {"upstream_closed", "upstream_failed"}, f"streams ended with {codes}")
        check(max(told) <= 2, f"a stream heard of its end after {max(told):.1f} s")
        used = fleet.close_books(name, len(attempts))
        # What a stream brought until it was cut counts too.
        tokens = sum(one.tokens if one.outcome == WHOLE else one.pieces for one in attempts)
        wanted = {"requests": len(attempts), "failed": 0, "partial": len(cut), "completionTokens": tokens}
        check(used == wanted, f"the ledger has {used}, not {wanted}")
        return {
            "kills": len(gaps), "requests": len(attempts), "streams cut": len(cut),
            "told within": f"{max(told) * 1e3:.0f} ms", "others under way at kills, all answered": len(under_way) - len(cut),
            "asked again after": f"{max(returns):.1f} s at most", "in the ledger": used["requests"], "partial": used["partial"],
        }


def redis_gone(stack):
    """Redis is away for a minute: one key is served all the time, the other one is refused meanwhile."""
    with Fleet(stack, "redis-gone") as fleet:
        open_name, open_key = fleet.key("open", "--on-limit-failure", "open")
        closed_name, closed_key = fleet.key("closed", "--on-limit-failure", "closed")
        with Users(fleet, open_key, 8) as passing, Users(fleet, closed_key, 8, retries=False) as closing:
            passing.await_answers(20)
            for port in fleet.ports:
                closing.await_answers(10, port)
            early = closing.ended(outcome=REFUSED)
            check(not early, f"refused while Redis was there: {some(early)}")
            with stack.away("redis", "MARTLET_REDIS_URL", 60) as absence:
                for port in fleet.ports:
                    await_value(
                        f"{port} refuses the key", lambda port=port: closing.ended(absence.gone, port, REFUSED), 15, pause=0.02
                    )
                refused = time.monotonic()
            for port in fleet.ports:
                await_value(
                    f"{port} takes the key again", lambda port=port: closing.ended(absence.over, port), 30, pause=0.02
                )
            taken = time.monotonic()
            passing.await_answers(20)
            for port in fleet.ports:
                closing.await_answers(10, port)
        check(refused - absence.gone <= 8, f"the closed key was refused after {refused - absence.gone:.1f} s")
        odd = [one for one in passing.attempts if one.outcome != WHOLE]
        check(not odd, f"the open key was not served: {some(odd)}")
        # Requests that began while both gateways refused.
        meanwhile = [one for one in closing.attempts if refused <= one.began and one.ended < absence.over]
        odd = [one for one in meanwhile if one.status != 503 or one.error != "limits_unavailable"]
        check(meanwhile and not odd, f"the closed key was not refused: {some(odd)}")
        odd = [one for one in closing.attempts if one.outcome not in (WHOLE, REFUSED)]
        odd += closing.ended(taken, outcome=REFUSED)
        check(not odd, f"the closed key failed, or was refused although Redis was back: {some(odd)}")
        spans = (0.0, absence.gone), (absence.gone, absence.over)
        slowest = [max(map(late, passing.ended(low, until=high))) for low, high in spans]
        figures = {
            "refused after": f"{refused - absence.gone:.1f} s", "refused": len(meanwhile),
            "taken again after": f"{taken - absence.over:.1f} s",
            "served meanwhile": len(passing.ended(absence.gone, until=absence.over)),
            "slowest beyond the model, before and meanwhile": " and ".join(f"{value * 1e3:.0f} ms" for value in slowest),
        }
        for name, users in ((open_name, passing), (closed_name, closing)):
            check_books(fleet, name, users)
        return figures


def check_books(fleet, name, users):
    """The ledger has exactly what was answered; its requests."""
    answered = len(users.ended())
    used = fleet.close_books(name, answered)
    tokens = sum(one.tokens for one in users.ended())
    wanted = {"requests": answered, "failed": 0, "partial": 0, "completionTokens": tokens}
    check(used == wanted, f"the ledger has {used} of {name}, not {wanted}")
    return answered


def postgres_gone(stack):
    """PostgreSQL is away for a minute: who is known is served, and nothing of what was used is lost."""
    with Fleet(stack, "postgres-gone") as fleet:
        name, key = fleet.key("key")
        with Users(fleet, key) as users:
            users.await_answers(40)
            with stack.away("postgresql", "MARTLET_POSTGRES_URL", 60) as absence:
                users.await_answers(40)
            # Changes of keys come through again.
            fleet.key("another")
            known = time.monotonic() - absence.back
            users.await_answers(40)
        odd = [one for one in users.attempts if one.outcome != WHOLE]
        check(not odd, f"{len(odd)} requests failed: {some(odd)}")
        meanwhile = users.ended(absence.gone, until=absence.over)
        return {
            "served meanwhile": len(meanwhile),
            "slowest beyond the model": f"{max(map(late, meanwhile)) * 1e3:.0f} ms",
            "a new key known after": f"{known:.1f} s", "in the ledger": check_books(fleet, name, users),
        }


CASES = {
    "gateway-kill": gateway_kill,
    "replica-kill": replica_kill,
    "redis-gone": redis_gone,
    "postgres-gone": postgres_gone,
}


def options():
    """The command line."""
    parser = argparse.ArgumentParser(prog="serving.sh", description=__doc__)
    for name in ("program", "root", "folder"):
        parser.add_argument(f"--{name}", required=True, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--keep-up", action="store_true", help="leave the stack running at the end")
    parser.add_argument("names", nargs="*", metavar="CASE", help=f"{', '.join(CASES)}; all without any")
    # What the stack of the pipelines needs beside.
    parser.set_defaults(data=None, weights=None, steps=0, seed=0)
    chosen = parser.parse_args()
    if chosen.list:
        print("\n".join(CASES))
        sys.exit(0)
    for name in chosen.names:
        if name not in CASES:
            parser.error(f"there is no case {name}; there are {', '.join(CASES)}")
    chosen.names = chosen.names or list(CASES)
    return chosen


def run(name, stack):
    """One case: its row of the table."""
    print(f"\n== {name}: {CASES[name].__doc__}", flush=True)
    began = time.monotonic()
    figures, problem = {}, None
    try:
        figures = CASES[name](stack)
    except (Failed, Failure) as error:
        problem = str(error)
    except Exception as error:  # pylint: disable=broad-except
        problem = f"{type(error).__name__}: {error}"
        traceback.print_exc()
    finally:
        stack.settle()
    seconds = round(time.monotonic() - began, 1)
    for key, value in figures.items():
        print(f"   {key}: {value}")
    print(f"   {'FAILED: ' + problem if problem else 'passed'} after {seconds} s", flush=True)
    return {"case": name, "passed": problem is None, "seconds": seconds, "problem": problem, "figures": figures}


def main():
    """All chosen cases; 0 when every one of them held."""
    chosen = options()
    # A stack that nobody stops would stay: both signals end this process through its scopes.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    rows = []
    with Servers(chosen, None) as stack:
        for name in chosen.names:
            rows.append(run(name, stack))
            write_json(chosen.folder / "results.json", rows)
    cells = [[row["case"], "pass" if row["passed"] else "FAIL", f"{row['seconds']} s"] for row in rows]
    print("\n" + table(["CASE", "RESULT", "TOOK"], cells))
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
