"""Events from a foreign client, and everything that a producer can get wrong."""

import json
import subprocess
import sys
import threading
import time
import uuid
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from checks import await_value, check

PUBLISH = Path(__file__).resolve().parents[1] / "FleetIntegrationTests/Programs/publish.py"
EVENTS = "martlet.events"
TYPE = "dev.martlet.data.available.v1"


class QuietFiles(SimpleHTTPRequestHandler):
    """A folder over HTTP."""

    def log_message(self, *_):  # pylint: disable=arguments-differ
        """Not to the terminal."""


def event(pipeline, name, **parameters):
    """A CloudEvent as any producer writes it."""
    return {
        "specversion": "1.0", "type": TYPE, "source": "/faults", "id": name, "datacontenttype": "application/json",
        "data": {"pipeline": pipeline, "parameters": parameters},
    }


def send(stack, body, times=1):
    """Publishes bytes with pika."""
    file = stack.folder / f"message-{uuid.uuid4().hex}"
    file.write_bytes(body)
    try:
        subprocess.run(
            [sys.executable, PUBLISH, EVENTS, TYPE, file, str(times)],
            env={"MARTLET_AMQP_URL": stack.settings["MARTLET_AMQP_URL"], "PATH": "/usr/bin:/bin"},
            check=True, timeout=120,
        )
    finally:
        file.unlink()


def pika_events(stack):
    """The same event three times, once more after the run has ended: one run."""
    name = f"pika-{uuid.uuid4().hex}"
    good = stack.folder / "good.jsonl"
    good.write_text("".join(
        json.dumps({"question": f"What is number {n}?", "answer": f"It is the number {n}, and no other."}) + "\n"
        for n in range(20)
    ))
    body = json.dumps(event("ingest-only", name, source=f"file://{good}")).encode()
    send(stack, body, times=3)

    def runs():
        lines = stack.json("run", "list", "--pipeline", "ingest-only", "--limit", "200")
        return [line["id"] for line in lines if stack.show(line["id"])["eventID"] == name]

    run = await_value("a run of the event", runs, 60)[0]
    stack.await_end(run)
    send(stack, body)
    # Events are taken in order, so once a later one has its run the repetition was looked at.
    later = stack.publish("ingest-only", source=f"file://{good}")
    stack.await_end(later)
    check(runs() == [run], f"the event became {len(runs())} runs")
    check(len(stack.receiver.of_run(run)) == 1, "the run was told of more than once")
    return {"published": 4, "runs": 1}


def files(folder):
    """Inputs with faults: name, content, code of the failure, words of its message."""
    pair = '{"question": "What is CWE-79?", "answer": "Cross-site scripting."}\n'
    contents = {
        "truncated.jsonl": ((pair * 3 + pair[:30]).encode(), "ingest.truncated", ["truncated.jsonl", "line 4"]),
        "encoding.jsonl": ((pair * 3).encode("utf-16"), "ingest.wrong_encoding", ["encoding.jsonl", "UTF-16"]),
        "latin1.jsonl": (
            (pair + pair.replace("Cross", "Cröss")).encode("latin-1"), "ingest.error_budget_exceeded", ["latin1.jsonl", "line 2"]
        ),
        "column.csv": (b"question,reply\nWhat?,That.\n", "ingest.missing_column", ["column.csv", '"answer"', '"reply"']),
        "empty.jsonl": (b"", "ingest.empty_source", ["empty.jsonl"]),
        "megabyte.jsonl": (
            (pair + '{"question": "Long?", "answer": "' + "x" * (1 << 20) + '"}\n').encode(),
            "ingest.error_budget_exceeded", ["megabyte.jsonl", "line 2"],
        ),
        "ragged.csv": (
            b'question,answer\nq1,"open\nq2,fine\nq3,bad"quote\n', "ingest.error_budget_exceeded", ["ragged.csv", "line 2"]
        ),
    }
    folder.mkdir(exist_ok=True)
    for name, (content, _, _) in contents.items():
        (folder / name).write_bytes(content)
    return {name: (f"file://{folder / name}", code, words) for name, (_, code, words) in contents.items()}


def bad_inputs(stack):
    """Each is refused with its reason, none is tried for ever, and the fleet goes on."""
    folder = stack.folder / "bad"
    sources = files(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietFiles, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sources["404"] = (f"http://127.0.0.1:{server.server_port}/nothing.jsonl", "ingest.source_not_found", ["404", "nothing.jsonl"])
    sources["bucket"] = ("s3://no-such-bucket-here/data.jsonl", None, ["no-such-bucket-here"])
    seen = {}
    runs = {name: stack.publish("ingest-only", source=source) for name, (source, _, _) in sources.items()}
    stack.martlet("pool", "scale", "denied=0")
    await_value("no worker that may read", lambda: not stack.processes("denied"), 60)
    stack.spawn(
        "worker", "--pool", "denied", "--name", "denied", MARTLET_S3_SECRET_ACCESS_KEY="not-the-secret-of-anybody"
    )
    runs["credentials"] = stack.publish("denied", source="s3://martlet/data.jsonl")
    sources["credentials"] = ("s3://martlet/data.jsonl", None, ["s3://martlet/data.jsonl", "secret"])
    for name, run in runs.items():
        _, code, words = sources[name]
        record = stack.await_end(run, "failed", seconds=300)
        task = record["tasks"][0]
        failure = task["failure"]
        check(task["attempt"] <= 3, f"{name}: tried {task['attempt']} times")
        check(code is None or failure["code"] == code, f"{name}: {failure}")
        for word in words:
            check(word in failure["message"], f"{name}: the message lacks {word}: {failure['message']}")
        seen[name] = failure["message"]
        print(f"   {name}: {failure['code']}: {failure['message'][:160]}", flush=True)
    server.shutdown()
    server.server_close()
    listed = {task["run"] for task in stack.json("failed", "list", "--limit", "500")["tasks"]}
    check(set(runs.values()) <= listed, "`failed list` lacks some of the runs")
    return {"inputs": len(seen), "dead letters": bad_messages(stack), "cycle": cycle(stack)}


def bad_messages(stack):
    """Messages that are no event, or none that can be used: dead letters with their reason."""
    before = {letter["id"] for letter in stack.json("failed", "list", "--limit", "500")["deadLetters"]}
    messages = {
        "not JSON": (b"this is no JSON {", ["JSON"]),
        "20 MB": (json.dumps(event("ingest-only", "large", source="x" * (20 << 20))).encode(), ["bytes"]),
        "unknown pipeline": (json.dumps(event("no-such-pipeline", uuid.uuid4().hex)).encode(), ["no-such-pipeline"]),
        "unknown parameter": (
            json.dumps(event("ingest-only", uuid.uuid4().hex, sorce="file:///x")).encode(), ["sorce"]
        ),
    }
    for name, (body, words) in messages.items():
        send(stack, body)

        def letter():
            letters = stack.json("failed", "list", "--limit", "500")["deadLetters"]
            return [item for item in letters if item["id"] not in before and all(word in item["reason"] for word in words)]

        found = await_value(f"a dead letter for {name}", letter, 60)[0]
        check(found["bodyBytes"] == len(body), f"{name}: the letter says {found['bodyBytes']} bytes, not {len(body)}")
        before.add(found["id"])
        print(f"   {name}: {found['reason'][:160]}", flush=True)
    time.sleep(3)
    after = {letter["id"] for letter in stack.json("failed", "list", "--limit", "500")["deadLetters"]}
    check(after == before, "a message was dead-lettered more than once")
    return len(messages)


def cycle(stack):
    """A pipeline with a cycle is refused with file, line and reason."""
    file = stack.folder / "cycle.yaml"
    file.write_text(
        "name: cycle\nstages:\n  - name: a\n    kind: noop\n    needs: [b]\n  - name: b\n    kind: noop\n    needs: [a]\n"
    )
    done = subprocess.run(
        [stack.program, "pipeline", "check", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    check(done.returncode == 1, f"`pipeline check` ended with {done.returncode}")
    check("cycle.yaml:" in done.stderr and "cycle" in done.stderr.split("cycle.yaml:", 1)[1], f"it says: {done.stderr}")
    print(f"   cycle: {done.stderr.strip()[:160]}", flush=True)
    return "refused"
