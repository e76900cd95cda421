"""What scenarios expect, in words."""

import time


class Failed(Exception):
    """An expectation did not hold."""


def check(condition, message):
    """Raises `Failed` with the message unless the condition holds."""
    if not condition:
        raise Failed(message)


def await_value(what, body, seconds, pause=0.5):
    """The first true value of `body()`; `Failed` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = body()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(pause)
