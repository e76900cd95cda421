"""Ends this process when the worker that started it is gone."""

from __future__ import annotations

import os
import threading
import time

_INTERVAL_SECONDS = 0.5


def watch_parent() -> None:
    """Watches the parent from a thread of its own.

    A worker that is killed cannot stop its children, and a stage without a worker would only burn the machine
    that the next attempt needs. PR_SET_PDEATHSIG will not do: it fires when the parent's *thread* ends.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_INTERVAL_SECONDS)
        os._exit(70)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
