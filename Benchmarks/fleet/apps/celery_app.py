"""The Celery app of the benchmark, with the guarantees that Martlet gives as near as it has them."""

import os
import sys
import time

from celery import Celery
from celery.signals import worker_ready

app = Celery("bench", broker=os.environ["BENCH_AMQP_URL"], backend=os.environ["BENCH_REDIS_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_default_queue="celery-bench",
    task_default_queue_type="quorum",
    worker_detect_quorum_queues=True,
    # Per process; the prefetch is this times two, as many as Martlet's slots.
    worker_prefetch_multiplier=64,
    worker_disable_rate_limits=True,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    result_expires=3600,
)


@app.task
def nothing():
    """No work."""


@app.task
def first():
    """The moment when this stage ended."""
    return time.time()


@app.task
def second(ended):
    """Seconds since the stage before this one ended."""
    return time.time() - ended


@worker_ready.connect
def say_ready(**_):
    """The line that the harness waits for."""
    print("bench worker ready", file=sys.stderr, flush=True)
