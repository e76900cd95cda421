"""The stream of JSON lines that the worker reads."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from typing import Any


class EventStream:
    """Writes events, one JSON object per line, to a descriptor that nothing else in the process holds.

    Libraries print: progress bars, deprecation notes, C++ warnings. The stream therefore takes a private
    copy of standard output and points descriptor 1 at standard error, so a stray write lands in the log
    and never inside the stream, whether it comes from Python or from native code.
    """

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._lock = threading.Lock()

    @classmethod
    def take_standard_output(cls) -> EventStream:
        private = os.dup(1)
        os.set_inheritable(private, False)
        os.dup2(2, 1)
        return cls(private)

    def emit(self, event: str, **fields: Any) -> None:
        """Writes one event. Non-finite numbers become null: JSON has none."""
        record = {"event": event, "time": round(time.time(), 3), **fields}
        line = json.dumps(finite(record), ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"
        data = line.encode("utf-8", "replace")
        with self._lock:
            while data:
                data = data[os.write(self._descriptor, data) :]

    def progress(self, step: int, total: int, message: str | None = None, **fields: Any) -> None:
        fraction = min(1.0, step / total) if total > 0 else 0.0
        if message is not None:
            fields["message"] = message
        self.emit("progress", step=step, total_steps=total, fraction=round(fraction, 4), **fields)

    def warning(self, message: str, **fields: Any) -> None:
        self.emit("warning", message=message, **fields)


def finite(value: Any) -> Any:
    """The value with every NaN and infinity replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return finite(value.item())
    return value


def nonfinite_names(metrics: dict[str, Any]) -> list[str]:
    """The names whose value is NaN or infinite, sorted."""
    return sorted(
        name for name, value in metrics.items() if isinstance(value, float) and not math.isfinite(value)
    )
