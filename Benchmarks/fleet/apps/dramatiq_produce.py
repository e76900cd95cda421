"""Sends no-op tasks, or pipelines of two at a rate, to Dramatiq: tasks N | chains N RATE."""

import json
import sys
import time

from dramatiq import pipeline
from dramatiq_app import broker, first, nothing, second


def tasks(count):
    """Sends at full speed, beside other producers."""
    first_at = time.time()
    for _ in range(count):
        nothing.send()
    return {"first": first_at, "last": time.time()}


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
else:
    print(json.dumps(chains(int(sys.argv[2]), float(sys.argv[3]))))
broker.close()
