"""The champion behind the gateway, a second version that takes over under load, and two broken ones that do not.

Run by deploy/demo-serve.sh, with the stack up and a champion in the registry (make demo).
"""

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import openai
from load import Load
from versions import Registry, Workshop, garbage, slow

MODEL = "security-qa"
# Engines, clients and the training share a few cores here, and whoever is asked less waits longer for them: times are rough.
MARGINS = {"errors": 0.1, "empty": 0.1, "truncated": 0.25, "first_token": 2.0, "per_token": 1.5, "length": 0.6}
POLICY = {
    "enabled": True,
    "steps": [0.25, 0.5, 1],
    "minimum_samples": 40,
    "minimum_seconds": 15,
    "deadline_seconds": 1200,
    "margins": MARGINS,
}


class Failed(Exception):
    """What the demo is about does not hold."""


def step(text):
    """A heading."""
    print(f"\n== {text}", flush=True)


def note(text):
    """A line below it."""
    print(f"   {text}", flush=True)


class Demo:
    """The processes that the demo starts, and what it asks of them."""

    def __init__(self, chosen):
        self.martlet = chosen.martlet
        self.data = chosen.data
        self.state = Path(chosen.state)
        self.children = []
        self.settings = dict(
            line.split("=", 1)
            for line in (self.state / "stack.env").read_text().splitlines()
            if "=" in line and not line.startswith("#")
        )
        self.address = "http://127.0.0.1:8000/v1"
        self.key = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The end of their input ends them, each in its time.
        for child in reversed(self.children):
            child.stdin.close()
        for child in self.children:
            child.wait(timeout=180)

    def run(self, *words, check=True):
        """A command's output."""
        result = subprocess.run([self.martlet, *words], capture_output=True, text=True, check=False)
        if check and result.returncode != 0:
            raise Failed(f"martlet {' '.join(words)}: {result.stderr.strip()}")
        return result.stdout

    def start(self, name, *words):
        """A process that runs until the demo ends."""
        log = open(self.state / "log" / f"demo-{name}.log", "ab")  # pylint: disable=consider-using-with
        environment = dict(
            os.environ,
            MARTLET_SERVING_ARGUMENTS="--enforce-eager,--max-model-len,1024",
            # Two versions are compared: where they shared cores, the one that is asked less would seem the slower one.
            MARTLET_SERVING_ENGINE_CORES=str(max(1, len(os.sched_getaffinity(0)) // 2)),
        )
        child = subprocess.Popen(  # pylint: disable=consider-using-with
            [self.martlet, *words, "--until-end-of-input"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
        )
        self.children.append(child)
        note(f"{name}: process {child.pid}, log {log.name}")

    def models(self):
        """The names that the gateway answers to."""
        request = urllib.request.Request(self.address + "/models", headers={"Authorization": f"Bearer {self.key}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return {entry["id"] for entry in json.load(answer)["data"]}
        except (urllib.error.URLError, ConnectionError):
            return set()

    def await_model(self, name, limit=900):
        """Waits until somebody serves it."""
        end = time.monotonic() + limit
        while name not in self.models():
            for child in self.children:
                if child.poll() is not None:
                    raise Failed(f"process {child.pid} ended with {child.returncode}; see its log")
            if time.monotonic() > end:
                raise Failed(f"nobody serves {name} after {limit} s; it is {self.models()}")
            time.sleep(1)

    def rollout(self):
        """The model's latest rollout; None where there was none."""
        found = json.loads(self.run("rollout", "history", MODEL, "--limit", "1", "--output", "json"))
        return found[0] if found else None

    def await_rollout(self, candidate, limit=1800):
        """Waits for the end of a version's rollout."""
        end = time.monotonic() + limit
        shown = None
        while True:
            rollout = self.rollout()
            if rollout and rollout["candidate"] == candidate:
                state = (rollout["state"], rollout["step"])
                if state != shown:
                    note(f"{time.strftime('%X')} version {candidate}: {state[0]}, {rollout['share'] * 100:g} %")
                    shown = state
                if rollout["state"] not in ("running", "paused"):
                    return rollout
            if time.monotonic() > end:
                raise Failed(f"the rollout of version {candidate} has not ended after {limit} s")
            time.sleep(1)


def answer_streamed(demo):
    """What the issue of it all is: a question, and the answer as it comes."""
    client = openai.OpenAI(base_url=demo.address, api_key=demo.key)
    messages = [{"role": "system", "content": "You are a security expert."}]
    messages.append({"role": "user", "content": "What is CWE-89?"})
    began = time.monotonic()
    first = None
    print("   ", end="")
    for chunk in client.chat.completions.create(model=MODEL, messages=messages, max_tokens=64, stream=True, temperature=0):
        first = first or time.monotonic() - began
        if chunk.choices and chunk.choices[0].delta.content:
            print(chunk.choices[0].delta.content.replace("\n", "\n   "), end="", flush=True)
    print()
    note(f"first token after {first * 1000:.0f} ms")


def train_and_roll_out(demo, registry):
    """A second training run; its version."""
    before = registry.version(MODEL, "champion")["version"]
    words = ["event", "publish", MODEL, "--wait", "--output", "json"]
    for name, value in {"source": f"file://{demo.data}", "seed": 23, "rollout": json.dumps(POLICY)}.items():
        words += ["--parameter", f"{name}={value}"]
    run = json.loads(demo.run(*words))["run"]
    note(f"run {run}; version {before} serves meanwhile")
    demo.run("run", "watch", run)
    version = registry.version(MODEL, "challenger")["version"]
    if version == before:
        raise Failed("the run registered no version")
    rollout = demo.await_rollout(version)
    print(demo.run("rollout", "status", MODEL))
    if rollout["state"] != "promoted":
        raise Failed(f"version {version} was {rollout['state']}: {rollout['reason']}")
    if registry.version(MODEL, "champion")["version"] != version:
        raise Failed("the champion's alias did not move")
    return version


def refuse(demo, workshop, kind, change):
    """A broken version: rolled back by itself."""
    champion = workshop.registry.version(MODEL, "champion")["version"]
    version = workshop.register(kind, change)
    note(f"version {version} is the challenger; its engine starts beside the champion's")
    demo.await_model(f"{MODEL}:{version}")
    words = ["--version", version, "--steps", "25,50,100", "--minimum-samples", "40", "--minimum-seconds", "15"]
    # The same that the good version had.
    margins = [word for name, value in MARGINS.items() for word in ("--margin", f"{name}={value}")]
    demo.run("rollout", "start", MODEL, *words, "--deadline", "1200", *margins)
    rollout = demo.await_rollout(version)
    print(demo.run("rollout", "status", MODEL))
    if rollout["state"] != "rolled_back":
        raise Failed(f"version {version} was {rollout['state']}")
    if workshop.registry.version(MODEL, "champion")["version"] != champion:
        raise Failed("the champion's alias moved")


def main():
    """Runs it all."""
    parser = argparse.ArgumentParser()
    for name in ("martlet", "data", "state"):
        parser.add_argument(f"--{name}", required=True)
    began = time.monotonic()
    with Demo(parser.parse_args()) as demo:
        registry = Registry(demo.settings["MARTLET_MLFLOW_URL"])
        try:
            champion = registry.version(MODEL, "champion")["version"]
        except urllib.error.HTTPError as error:
            raise Failed(f"the registry has no champion of {MODEL} ({error}): run make demo first") from None
        step(f"Serving the champion, version {champion}")
        demo.start("serve", "serve", MODEL, "--alias", "champion", "--alias", "challenger")
        demo.start("gateway", "gateway")
        demo.key = json.loads(demo.run("key", "create", f"demo-{int(time.time())}", "--team", "demo", "--output", "json"))["key"]
        demo.await_model(MODEL)
        step("An application asks: What is CWE-89?")
        answer_streamed(demo)
        with Load(demo.address, demo.key, MODEL) as load:
            step("A second training run, rolled out under load")
            train_and_roll_out(demo, registry)
            workshop = Workshop(demo.martlet, registry, MODEL)
            step("A version with garbage for weights")
            refuse(demo, workshop, "garbage", garbage)
            step("A version that answers the same, five times as slowly")
            refuse(demo, workshop, "slow", slow)
            load.stop()
        step("Report")
        for name, count in sorted(load.answers.items()):
            note(f"{count} answers of {name}")
        note(f"{len(load.failures)} failed requests")
        for failure in load.failures[:10]:
            note(failure)
        print(demo.run("usage"))
        note(f"after {time.monotonic() - began:.0f} s")
        if load.failures:
            raise Failed("requests failed")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        print(f"demo-serve: {failure}", file=sys.stderr)
        sys.exit(1)
