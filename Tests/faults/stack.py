"""The whole stack under `martlet up`, in a folder of its own, with ways to hurt it."""

import base64
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from checks import Failed, await_value, check

BASE_MODEL = "smollm2-135m-instruct"

# What the quick copy of security-qa has in other words: everything else, the data too, is the pipeline's own.
QUICK = [
    (r"(?m)^name: security-qa$", "name: security-qa-quick"),
    (r"(?m)^( +)checkpoint_every_steps: \d+$", r"\1checkpoint_every_steps: 2"),
    (r"(?m)^( +)max_loss_rows: \d+$", r"\1max_loss_rows: 24"),
    (r"(?m)^( +)generation: \{samples: \d+, max_new_tokens: \d+", r"\1generation: {samples: 4, max_new_tokens: 8"),
    # A few steps make no good model, and these scenarios are not about that.
    (
        r"(?ms)^( +)gate:\n.*?(?=\n  - name: register$)",
        r"\1gate:\n\1  rules:\n\1    - {name: any model, metric: candidate.perplexity, max: 1.0e+9}\n",
    ),
]


class Stack:  # pylint: disable=too-many-public-methods
    """Servers, scheduler and workers; started in its scope and stopped at its end."""

    def __init__(self, chosen, receiver):
        self.program = chosen.program
        self.root = chosen.root
        self.folder = chosen.folder.resolve()
        self.state = self.folder / "state"
        self.data = chosen.data
        self.weights = chosen.weights
        self.steps = chosen.steps
        self.seed = chosen.seed if chosen.seed is not None else int(time.time())
        self.keep_up = chosen.keep_up
        self.receiver = receiver
        self.settings = {}
        self.frozen = set()
        self.children = []
        self.background = []

    # Life

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        pipelines = self.folder / "pipelines"
        pipelines.mkdir(exist_ok=True)
        text = (self.root / "config/pipelines/security-qa.yaml").read_text()
        (pipelines / "security-qa.yaml").write_text(text)
        (pipelines / "security-qa-quick.yaml").write_text(quick(text))
        for file in (Path(__file__).parent / "pipelines").glob("*.yaml"):
            (pipelines / file.name).write_text(file.read_text())
        (self.folder / "martlet.yaml").write_text(
            f"notify:\n  webhooks:\n    - name: test\n      url: {self.receiver.url}\n"
            "  allow_addresses: [127.0.0.1]\n"
        )
        os.environ.update(
            MARTLET_CONFIG=str(self.folder / "martlet.yaml"),
            MARTLET_STATE=str(self.state),
            MARTLET_PIPELINES=str(pipelines),
            MARTLET_NOTIFY_WEBHOOK_TEST_SECRET=self.receiver.secret,
        )
        print(f"stack in {self.state}, seed {self.seed}", flush=True)
        # Workers of an earlier call know another receiver.
        subprocess.run([self.program, "down"], cwd=self.root, check=False, stdout=subprocess.DEVNULL)
        began = time.monotonic()
        self.martlet("up", "--timeout", "600", limit=660)
        for line in (self.state / "stack.env").read_text().splitlines():
            name, found, value = line.partition("=")
            if found and not name.startswith("#"):
                self.settings[name.strip()] = value.strip().strip("'\"")
        self.martlet("model", "import", BASE_MODEL, "--gguf", str(self.weights), "--if-missing", limit=900)
        print(f"ready after {time.monotonic() - began:.0f} s", flush=True)
        return self

    def __exit__(self, *_):
        self.settle()
        if not self.keep_up:
            subprocess.run([self.program, "down"], cwd=self.root, check=False)

    def settle(self):
        """Undoes what a scenario that failed half-way may have left."""
        for task in self.background:
            task.stop()
        self.background = []
        for pid in list(self.frozen):
            self.signal(pid, signal.SIGCONT)
        for child in self.children:
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(45)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        self.children = []

    # Commands

    def martlet(self, *words, limit=120, codes=(0,)):
        """Runs a command to its end; its standard output."""
        done = subprocess.run(
            [self.program, *words], cwd=self.root, capture_output=True, text=True, timeout=limit, check=False
        )
        if done.returncode not in codes:
            raise Failed(f"martlet {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()[-800:]}")
        return done.stdout

    def json(self, *words, limit=120, codes=(0,)):
        """Runs a command with JSON output."""
        return json.loads(self.martlet(*words, "--output", "json", limit=limit, codes=codes))

    def show(self, run):
        """The run with everything; waits for a ledger that is away."""
        deadline = time.monotonic() + 120
        while True:
            try:
                return self.json("run", "show", run)
            except (Failed, subprocess.TimeoutExpired):
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def publish(self, pipeline, **parameters):
        """Publishes an event; the run's id."""
        words = []
        for name, value in parameters.items():
            words += ["--parameter", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
        answer = self.json("event", "publish", pipeline, *words, "--wait")
        print(f"   run {answer['run']}", flush=True)
        return answer["run"]

    def publish_quick(self, model, **parameters):
        """The quick pipeline on the whole data."""
        return self.publish(
            "security-qa-quick",
            **{"source": f"file://{self.data}", "model_name": model, "max_steps": self.steps, **parameters},
        )

    def task(self, run, stage):
        """A stage of a run."""
        return next(task for task in self.show(run)["tasks"] if task["stage"] == stage)

    def log(self, run, stage, attempt=None):
        """What an attempt said so far; empty when nothing."""
        words = ["run", "logs", run, "--stage", stage]
        if attempt is not None:
            words += ["--attempt", str(attempt)]
        done = subprocess.run(
            [self.program, *words], cwd=self.root, capture_output=True, text=True, timeout=120, check=False
        )
        return done.stdout if done.returncode == 0 else ""

    def logs(self, run, stage):
        """What all attempts of a stage said."""
        return "".join(self.log(run, stage, attempt) for attempt in range(1, self.task(run, stage)["attempt"] + 1))

    # Waiting

    def await_running(self, run, stage, seconds=1200):
        """Waits until a stage is at work."""
        def look():
            task = self.task(run, stage)
            check(task["state"] not in ("dead", "cancelled", "skipped"), f"{stage} is {task['state']}: {task.get('failure')}")
            return task if task["state"] in ("running", "succeeded") else None

        task = await_value(f"{stage} of run {run} runs", look, seconds)
        check(task["state"] == "running", f"{stage} of run {run} was over before it could be hurt: use more --steps")
        return task

    def await_checkpoint(self, run, seconds=1500):
        """Waits until the training has stored a checkpoint; its step."""
        def look():
            check(self.task(run, "train")["state"] != "succeeded", "the training was over too soon: use more --steps")
            steps = re.findall(r"checkpoint of step (\d+) stored", self.log(run, "train"))
            return int(steps[-1]) if steps else None

        self.await_running(run, "train")
        return await_value(f"a checkpoint of run {run}", look, seconds, pause=1)

    def await_end(self, run, state="succeeded", seconds=2400):
        """Waits until a run and its notification have ended; the run."""
        def look():
            record = self.show(run)
            over = all(task["state"] in ("succeeded", "skipped", "dead", "cancelled") for task in record["tasks"])
            return record if over and record["state"] not in ("pending", "running") else None

        record = await_value(f"run {run} has ended", look, seconds, pause=1)
        failures = "; ".join(f"{item['stage']} {item['failure']['code']}: {item['failure']['message']}" for item in record["failures"])
        check(record["state"] == state, f"run {run} is {record['state']}, not {state}: {record.get('reason')}; {failures}")
        return record

    # Processes

    def supervisor(self):
        """The supervisor's process id."""
        return int((self.state / "supervisor.lock").read_text())

    def process(self, name):
        """The process id of a scheduler or a worker; None while there is none."""
        try:
            board = json.loads((self.state / "supervisor.json").read_text())
        except (OSError, ValueError):
            return None
        pids = [item["pid"] for item in board["processes"] if item["name"] == name]
        return pids[0] if pids and Path(f"/proc/{pids[0]}").exists() else None

    def processes(self, pool):
        """Names of the processes of a pool."""
        board = json.loads((self.state / "supervisor.json").read_text())
        return sorted(item["name"] for item in board["processes"] if item["name"].startswith(pool + "-"))

    def server(self, name):
        """The process id of a server; None while there is none."""
        try:
            entry = json.loads((self.state / "pids.json").read_text()).get(name)
        except (OSError, ValueError):
            return None
        return entry["process"]["pid"] if entry else None

    def kill(self, name):
        """SIGKILL to a scheduler or a worker."""
        pid = await_value(f"{name} runs", lambda: self.process(name), 60, pause=0.1)
        print(f"   SIGKILL {name} ({pid})", flush=True)
        os.kill(pid, signal.SIGKILL)
        return pid

    def await_other(self, name, pid):
        """Waits until another process has taken the place of one that was killed."""
        return await_value(f"{name} was started again", lambda: self.process(name) not in (None, pid), 60, pause=0.1)

    def signal(self, pid, number):
        """A signal to a process; one that is stopped is remembered."""
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            self.frozen.discard(pid)
            return
        if number == signal.SIGSTOP:
            self.frozen.add(pid)
        elif number == signal.SIGCONT:
            self.frozen.discard(pid)

    def family(self, pid):
        """A process and everything it started."""
        children = {}
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = entry.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
        found = [pid]
        for member in found:
            found += children.get(member, [])
        return found

    def spawn(self, *words, **variables):
        """Starts a process of Martlet's that is not the supervisor's."""
        with open(self.folder / "extra.log", "ab") as log:
            child = subprocess.Popen(  # pylint: disable=consider-using-with
                [self.program, *words], cwd=self.root, env={**os.environ, **variables}, stdout=log, stderr=log
            )
        self.children.append(child)
        return child

    # Servers

    def restart(self, server):
        """Stops a server as an administrator would; the supervisor starts it again. Seconds until it answered."""
        pid = self.server(server)
        check(pid, f"{server} does not run")
        print(f"   restarting {server} ({pid})", flush=True)
        began = time.monotonic()
        # SIGTERM would let PostgreSQL wait for its clients to leave; what restarts it in practice sends SIGINT.
        os.kill(pid, signal.SIGINT if server == "postgresql" else signal.SIGTERM)
        await_value(f"{server} was started again", lambda: self.server(server) not in (None, pid), 120)
        await_value(f"{server} is ready", lambda: self.is_ready(server), 180, pause=1)
        return round(time.monotonic() - began, 1)

    def is_ready(self, server):
        """Whether a server answers."""
        titles = {"rabbitmq": "RabbitMQ", "redis": "Redis", "postgresql": "PostgreSQL", "mlflow": "MLflow"}
        status = self.json("status")
        states = {item["name"]: item["state"] for item in status["servers"]}
        return states[titles.get(server, "SeaweedFS (S3)")] == "ready"

    def take_away(self, server, seconds):
        """Kills a server and keeps it from coming back for a while: the supervisor, which would help, is stopped."""
        pid = self.server(server)
        check(pid, f"{server} does not run")
        supervisor = self.supervisor()
        print(f"   {server} ({pid}) is away for {seconds} s", flush=True)
        self.signal(supervisor, signal.SIGSTOP)
        try:
            os.kill(pid, signal.SIGKILL)
            time.sleep(seconds)
        finally:
            self.signal(supervisor, signal.SIGCONT)
        await_value(f"{server} is back", lambda: self.server(server) not in (None, pid), 120)
        await_value(f"{server} is ready", lambda: self.is_ready(server), 180, pause=1)

    def hang(self, server, seconds):
        """Stops a server's processes without closing its connections, for a while."""
        family = self.family(self.server(server))
        print(f"   {server} {family} hangs for {seconds} s", flush=True)
        for pid in family:
            self.signal(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            for pid in family:
                self.signal(pid, signal.SIGCONT)

    def flush_redis(self):
        """FLUSHALL."""
        url = urllib.parse.urlsplit(self.settings["MARTLET_REDIS_URL"])
        done = subprocess.run(
            ["redis-cli", "-h", url.hostname, "-p", str(url.port), "FLUSHALL"],
            env={**os.environ, "REDISCLI_AUTH": urllib.parse.unquote(url.password or "")},
            capture_output=True, text=True, check=True,
        )
        check(done.stdout.strip() == "OK", f"FLUSHALL answered {done.stdout}")

    def rabbit(self, method, path):
        """A call of RabbitMQ's management API."""
        url = urllib.parse.urlsplit(self.settings["MARTLET_AMQP_MANAGEMENT_URL"])
        words = f"{urllib.parse.unquote(url.username)}:{urllib.parse.unquote(url.password)}"
        request = urllib.request.Request(
            f"http://{url.hostname}:{url.port}/api/{path}", method=method,
            headers={"Authorization": "Basic " + base64.b64encode(words.encode()).decode()},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def purge_all(self):
        """Empties every queue; how many there are."""
        names = [queue["name"] for queue in self.rabbit("GET", "queues/%2F")]
        for name in names:
            self.rabbit("DELETE", f"queues/%2F/{urllib.parse.quote(name, safe='')}/contents")
        return len(names)

    def versions(self, model):
        """The versions of a model in MLflow's registry."""
        query = urllib.parse.urlencode({"filter": f"name='{model}'", "max_results": 1000})
        url = f"{self.settings['MARTLET_MLFLOW_URL']}/api/2.0/mlflow/model-versions/search?{query}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer).get("model_versions", [])

    def versions_of(self, run, model):
        """Those that a run made."""
        return [
            version for version in self.versions(model)
            if any(tag["value"] == run and tag["key"].startswith("martlet.") for tag in version.get("tags", []))
        ]


class Background:
    """A function that is called at random moments in a thread, a few times or until it is stopped."""

    def __init__(self, stack, body, random, low, high, times):
        self.over = threading.Event()
        self.count = 0

        def loop():
            while self.count < times and not self.over.wait(random.uniform(low, high)):
                body()
                self.count += 1

        self.thread = threading.Thread(target=loop, daemon=True)
        self.thread.start()
        stack.background.append(self)

    def stop(self):
        """No more calls."""
        self.over.set()
        self.thread.join()


def quick(text):
    """The pipeline for trainings that need not be good."""
    for pattern, replacement in QUICK:
        text, count = re.subn(pattern, replacement, text)
        if count != 1:
            raise Failed(f"security-qa.yaml has {count} places like {pattern}, not 1: correct Tests/faults/stack.py")
    return text
