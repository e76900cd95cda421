"""Publishes messages with pika, a plain AMQP client that knows nothing of Martlet.

    publish.py EXCHANGE ROUTING_KEY FILE [TIMES]

The broker's URL comes from MARTLET_AMQP_URL. The message is the file's bytes, persistent, confirmed, mandatory.
"""

import os
import sys

import pika


def main():
    """Publishes and waits for the broker's word on every message."""
    exchange, key, file = sys.argv[1:4]
    times = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    with open(file, "rb") as source:
        body = source.read()
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["MARTLET_AMQP_URL"]))
    channel = connection.channel()
    channel.confirm_delivery()
    properties = pika.BasicProperties(content_type="application/cloudevents+json", delivery_mode=2)
    for _ in range(times):
        # Raises when the broker returns the message or refuses it.
        channel.basic_publish(exchange, key, body, properties, mandatory=True)
    connection.close()


if __name__ == "__main__":
    main()
