"""Sends no-op tasks, or chains of two at a rate, to Celery: tasks N | chains N RATE."""

import json
import sys
import time

from celery import chain
from celery_app import first, nothing, second


def tasks(count):
    """Sends at full speed, beside other producers."""
    first_at = time.time()
    for _ in range(count):
        nothing.apply_async()
    return {"first": first_at, "last": time.time()}


def chains(count, rate):
    """Sends at a rate; the times between the two stages."""
    chain(first.s(), second.s()).apply_async().get(timeout=60)
    results = []
    began = time.monotonic()
    for number in range(count):
        left = began + number / rate - time.monotonic()
        if left > 0:
            time.sleep(left)
        results.append(chain(first.s(), second.s()).apply_async())
    return {"latencies": [result.get(timeout=120) for result in results]}


if sys.argv[1] == "tasks":
    print(json.dumps(tasks(int(sys.argv[2]))))
else:
    print(json.dumps(chains(int(sys.argv[2]), float(sys.argv[3]))))
