"""The Dramatiq app of the benchmark, with the guarantees that Martlet gives as near as it has them."""

import os
import time

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend


class QuorumBroker(RabbitmqBroker):
    """Dramatiq declares classic queues; the arguments are its only seam."""

    def _build_queue_arguments(self, queue_name):
        return {**super()._build_queue_arguments(queue_name), "x-queue-type": "quorum"}


broker = QuorumBroker(url=os.environ["BENCH_AMQP_URL"], confirm_delivery=True)
broker.add_middleware(Results(backend=RedisBackend(url=os.environ["BENCH_REDIS_URL"])))
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="dramatiq-bench", store_results=True)
def nothing():
    """No work."""


@dramatiq.actor(queue_name="dramatiq-bench", store_results=True)
def first():
    """The moment when this stage ended."""
    return time.time()


@dramatiq.actor(queue_name="dramatiq-bench", store_results=True)
def second(ended):
    """Seconds since the stage before this one ended."""
    return time.time() - ended
