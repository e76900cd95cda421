"""What is done to the stack, and what must be true afterwards. Each returns its figures."""

import random
import signal
import time

from bad_inputs import bad_inputs, pika_events
from checks import await_value, check
from stack import Background


def notified_once(stack, run, outcome):
    """Exactly one message about the run, with that outcome and a right signature; the message."""
    messages = stack.receiver.of_run(run)
    check(not stack.receiver.problems, f"the receiver refused messages: {stack.receiver.problems}")
    check(len(messages) == 1, f"{len(messages)} notifications of run {run}, not 1")
    check(messages[0]["outcome"] == outcome, f"the notification says {messages[0]['outcome']}, not {outcome}")
    return messages[0]


def registered_once(stack, run, model):
    """Exactly one version of the model was made by the run."""
    versions = stack.versions_of(run, model)
    check(len(versions) == 1, f"run {run} registered {len(versions)} versions of {model}, not 1")
    every = stack.versions(model)
    check(len(every) == len({version["version"] for version in every}), f"versions of {model} are not unique")


def resumed(stack, run):
    """The step that the training went on from."""
    summary = stack.task(run, "train")["output"]["values"]["summary"]
    step = summary.get("resumed_from_step")
    check(step, f"the training of run {run} began anew: {summary}")
    return step


def finished_well(stack, run, model):
    """Succeeded, one version, one notification; figures of the run."""
    record = stack.await_end(run)
    registered_once(stack, run, model)
    notified_once(stack, run, "succeeded")
    tasks = {task["stage"]: task for task in record["tasks"]}
    return {
        "attempts": "/".join(str(tasks[stage]["attempt"]) for stage in ("ingest", "preprocess", "train", "evaluate", "register", "notify")),
        "versions": 1,
        "notifications": 1,
    }


def hopeless(stack):
    """A learning rate that ruins the model: rejected, nothing registered, and the message says why."""
    model = "faults-hopeless"
    run = stack.publish(
        "security-qa", source=f"file://{stack.data}", model_name=model, learning_rate=50, max_steps=stack.steps
    )
    record = stack.await_end(run, "rejected")
    check(not stack.versions_of(run, model), "a version was registered")
    register = next(task for task in record["tasks"] if task["stage"] == "register")
    check(register["state"] == "skipped", f"register is {register['state']}")
    message = notified_once(stack, run, "rejected")
    failed = [result for result in message["gate"]["results"] if result["status"] == "failed"]
    check(failed, f"the notification names no rule that failed: {message['gate']}")
    for result in failed:
        check(result["rule"] and result["margin"] < 0, f"a rule without its margin: {result}")
        check(result["explanation"] in message["reason"], f"the reason lacks {result['explanation']}: {message['reason']}")
    return {"failed rules": len(failed), "reason": message["reason"]}


def kill(stack):
    """SIGKILL of the trainer after a checkpoint, of the evaluator, and of the only scheduler at random moments."""
    model = "faults-kill"
    chance = random.Random(stack.seed)
    run = stack.publish_quick(model)
    scheduler = Background(stack, lambda: stack.kill("scheduler"), chance, 8, 60, times=5)
    step = stack.await_checkpoint(run)
    killed = stack.kill("train-1")
    stack.await_other("train-1", killed)
    stack.await_running(run, "evaluate", 2400)
    time.sleep(chance.uniform(0.5, 6))
    stack.kill("evaluate-1")
    scheduler_ended = stack.await_end(run)
    scheduler.stop()
    check(scheduler.count >= 1, "the run ended before the scheduler was killed")
    figures = finished_well(stack, run, model)
    losses = {task["stage"]: task["losses"] for task in scheduler_ended["tasks"]}
    return {"killed after step": step, "resumed from": resumed(stack, run), "scheduler kills": scheduler.count, "losses": sum(losses.values()), **figures}


def stop(stack):
    """SIGSTOP of the trainer past its lease while another takes over, then SIGCONT."""
    model = "faults-stop"
    stack.martlet("pool", "scale", "train=2")
    run = stack.publish_quick(model)
    stack.await_checkpoint(run)
    holder = stack.task(run, "train")
    name = holder["worker"].partition("@")[0]
    family = stack.family(stack.process(name))
    print(f"   SIGSTOP {name} {family}", flush=True)
    began = time.monotonic()
    for pid in family:
        stack.signal(pid, signal.SIGSTOP)

    def taken_over():
        task = stack.task(run, "train")
        return task if task["state"] in ("running", "succeeded") and task["worker"] not in (None, holder["worker"]) else None

    other = await_value("another worker took over", taken_over, 180, pause=1)
    takeover = round(time.monotonic() - began, 1)
    for pid in family:
        stack.signal(pid, signal.SIGCONT)
    print(f"   SIGCONT {name} after {takeover} s; {other['worker']} has it", flush=True)
    figures = finished_well(stack, run, model)
    task = stack.task(run, "train")
    check(task["worker"] == other["worker"], f"the result of {task['worker']} counted, not that of {other['worker']}")
    check(task["token"] != holder["token"], "the late result counted")
    check(stack.process(name), f"{name} did not survive")
    stack.martlet("pool", "scale", "train=1")
    return {"taken over after": f"{takeover} s", "resumed from": resumed(stack, run), **figures}


def flush(stack):
    """FLUSHALL and a purge of every queue in training, between stages and in evaluation."""
    model = "faults-flush"
    run = stack.publish_quick(model)

    def wipe(when):
        stack.flush_redis()
        print(f"   FLUSHALL and purge of {stack.purge_all()} queues: {when}", flush=True)

    wipe("right after the event")
    stack.await_checkpoint(run)
    wipe("in training")
    attempt = stack.task(run, "train")["attempt"]
    stack.await_running(run, "evaluate", 2400)
    trained = stack.task(run, "train")
    wipe("in evaluation")
    figures = finished_well(stack, run, model)
    again = stack.task(run, "train")
    check((trained["attempt"], trained["token"]) == (again["attempt"], again["token"]), "the training was done twice")
    check(trained["attempt"] == attempt, "the wipe cost the training its attempt")
    return {"wipes": 3, **figures}


def restarts(stack):
    """Broker, Redis and PostgreSQL are restarted one after another in one run."""
    model = "faults-restarts"
    run = stack.publish_quick(model)
    stack.await_running(run, "train")
    took = {server: stack.restart(server) for server in ("rabbitmq", "redis", "postgresql")}
    figures = finished_well(stack, run, model)
    return {**{f"{server} away": f"{seconds} s" for server, seconds in took.items()}, **figures}


def s3_down(stack):
    """S3 is killed for 60 s in training, and hangs for 45 s in evaluation."""
    model = "faults-s3"
    run = stack.publish_quick(model)
    stack.await_checkpoint(run)
    stack.take_away("seaweedfs", 60)
    stack.await_running(run, "evaluate", 2400)
    stack.hang("seaweedfs", 45)
    return {"down": "60 s", "hung": "45 s", **finished_well(stack, run, model)}


def mlflow_down(stack):
    """MLflow is killed for 60 s in training."""
    model = "faults-mlflow"
    run = stack.publish_quick(model)
    stack.await_checkpoint(run)
    stack.take_away("mlflow", 60)
    return {"down": "60 s", **finished_well(stack, run, model)}


def scale(stack):
    """A second trainer within 2 s; the idle one goes again, the busy one stays."""
    run = stack.publish_quick("faults-scale")
    stack.await_running(run, "train")
    busy = stack.task(run, "train")["worker"].partition("@")[0]

    def trainers():
        pools = {pool["name"]: pool for pool in stack.json("pool", "list")}
        return {worker["id"].partition("@")[0]: worker for worker in pools["train"]["workers"] if worker["state"] == "ready"}

    check(list(trainers()) == [busy], f"there are {list(trainers())} before")
    stack.martlet("pool", "scale", "train=2")
    began = time.monotonic()
    await_value("a second process", lambda: len(stack.processes("train")) == 2, 30, pause=0.02)
    added = time.monotonic() - began
    await_value("a second trainer that is ready", lambda: len(trainers()) == 2, 60, pause=0.1)
    ready = time.monotonic() - began
    check(added <= 2, f"the second worker came after {added:.1f} s")
    stack.martlet("pool", "scale", "train=1")
    began = time.monotonic()
    await_value("one process", lambda: len(stack.processes("train")) == 1, 60, pause=0.02)
    removed = time.monotonic() - began
    check(stack.processes("train") == [busy], f"{stack.processes('train')} stayed, not {busy}")
    stack.await_end(run)
    check(stack.task(run, "train")["attempt"] == 1, "the training was disturbed")
    return {"added after": f"{added:.1f} s", "ready after": f"{ready:.1f} s", "idle one gone after": f"{removed:.1f} s"}


def retry(stack):
    """Evaluation is refused by S3; seen with its cause; the retry finishes without training again."""
    model = "faults-retry"
    stack.martlet("pool", "scale", "evaluate=0")
    try:
        await_value("no evaluator", lambda: not stack.processes("evaluate"), 60)
        denied = stack.spawn(
            "worker", "--pool", "evaluate", "--name", "denied", MARTLET_S3_SECRET_ACCESS_KEY="not-the-secret-of-anybody"
        )
        run = stack.publish_quick(model)
        stack.await_end(run, "failed")
        dead = [task for task in stack.json("failed", "list")["tasks"] if task["run"] == run and task["stage"] == "evaluate"]
        check(len(dead) == 1, f"`failed list` has {len(dead)} entries of the evaluation")
        cause = dead[0]["failure"]
        check(cause["code"].startswith("s3."), f"the cause is {cause}")
        notified_once(stack, run, "failed")
        denied.terminate()
        denied.wait(60)
    finally:
        stack.martlet("pool", "scale", "evaluate=1")
    trained = stack.task(run, "train")
    stack.martlet("run", "retry", run)
    record = stack.await_end(run)
    again = next(task for task in record["tasks"] if task["stage"] == "train")
    check((again["attempt"], again["token"]) == (trained["attempt"], trained["token"]), "the training was done again")
    registered_once(stack, run, model)
    outcomes = [message["outcome"] for message in stack.receiver.of_run(run)]
    check(outcomes == ["failed", "succeeded"], f"the notifications were {outcomes}")
    return {"cause": f"{cause['code']}, attempts {dead[0]['attempt']}", "train attempts": again["attempt"], "versions": 1}


ALL = {
    "pika": pika_events,
    "bad-inputs": bad_inputs,
    "hopeless": hopeless,
    "kill": kill,
    "stop": stop,
    "flush": flush,
    "restarts": restarts,
    "s3-down": s3_down,
    "mlflow-down": mlflow_down,
    "scale": scale,
    "retry": retry,
}
