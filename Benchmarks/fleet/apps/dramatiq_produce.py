"""Sends no-op tasks, or pipelines of two at a rate, to Dramatiq: tasks N | fill N | chains N RATE."""

import json
import sys
import time

from dramatiq import pipeline
from dramatiq_app import broker, first, nothing, second


def tasks(count):
    """Sends at full speed."""
    nothing.send().get_result(block=True, timeout=60_000)
    broker.get_results_backend().client.flushdb()
    stamp, began = time.time(), time.monotonic()
    for _ in range(count):
        nothing.send()
    return {"first": stamp, "seconds": time.monotonic() - began}


def fill(count):
    """Sends to a fleet that is paused."""
    for _ in range(count):
        nothing.send()
    return {}


def chains(count, rate):
    """Sends at a rate; the times between the two stages."""
    pipeline([first.message(), second.message()]).run().get_result(block=True, timeout=60_000)
    sent = []
    began = time.monotonic()
    for number in range(count):
        left = began + number / rate - time.monotonic()
        if left > 0:
            time.sleep(left)
        sent.append(pipeline([first.message(), second.message()]).run())
    return {"latencies": [item.get_result(block=True, timeout=120_000) for item in sent]}


if sys.argv[1] == "tasks":
    print(json.dumps(tasks(int(sys.argv[2]))))
elif sys.argv[1] == "fill":
    print(json.dumps(fill(int(sys.argv[2]))))
else:
    print(json.dumps(chains(int(sys.argv[2]), float(sys.argv[3]))))
broker.close()
