"""How a stage fails: one error type, and the classes that the worker acts on."""

from __future__ import annotations

import re
import traceback
from typing import Any


class StageFailure(Exception):
    """A failure that the worker can act on.

    kind: ``permanent`` (trying again cannot help), ``retryable`` or ``resource`` (the machine is too small
    for these settings). code: a stable word for programs. message: names the input, the place, what is
    wrong and what to do.
    """

    def __init__(self, kind: str, code: str, message: str, **details: Any):
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.message = message
        self.details = details

    def event(self) -> dict[str, Any]:
        return {"class": self.kind, "code": self.code, "message": self.message, "details": self.details}


def permanent(code: str, message: str, **details: Any) -> StageFailure:
    return StageFailure("permanent", code, message, **details)


class Released(Exception):
    """The worker asked for the task back (SIGTERM) and the state is saved."""


# What allocators say: CUDA's caching allocator, and PyTorch's CPU allocator (c10/core/impl/alloc_cpu.cpp).
_CUDA_ASKED = re.compile(r"Tried to allocate ([0-9.]+) (bytes|KiB|MiB|GiB|TiB)")
_CUDA_FREE = re.compile(r"of which ([0-9.]+) (bytes|KiB|MiB|GiB|TiB) is free")
_CPU_ASKED = re.compile(r"allocate (\d+) bytes")
_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_CPU_MARKS = ("DefaultCPUAllocator", "can't allocate memory", "Cannot allocate memory", "bad_alloc", "std::bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == 12:
        return True
    return isinstance(error, RuntimeError) and any(mark in str(error) for mark in _CPU_MARKS)


def out_of_memory(error: BaseException, **details: Any) -> StageFailure:
    """The failure for an exhausted memory, with the numbers an engineer asks for first."""
    text = str(error)
    asked = _bytes(_CUDA_ASKED, text) or _bytes(_CPU_ASKED, text)
    free = _bytes(_CUDA_FREE, text) or available_memory()
    numbers = {"bytes_asked": asked, "bytes_free": free, "peak_rss_bytes": peak_rss(), **details}
    wanted = f"{asked / 2**20:.0f} MiB more" if asked else "more memory"
    left = f"{free / 2**20:.0f} MiB" if free is not None else "an unknown amount"
    shape = ", ".join(f"{name} {value}" for name, value in details.items() if value is not None)
    message = (
        f"out of memory: asked for {wanted} with {left} free"
        + (f" ({shape})" if shape else "")
        + "; use a smaller micro batch, a shorter maximum length, gradient checkpointing or a larger machine"
    )
    return StageFailure("resource", "out_of_memory", message, **numbers)


def unexpected(error: BaseException) -> StageFailure:
    """The failure for an exception nobody foresaw: retryable, with the place it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"
    text = str(error) or type(error).__name__
    return StageFailure(
        "retryable",
        "unexpected",
        f"{type(error).__name__}: {text[:500]}; the traceback is in the task's log",
        file_line=place,
        exception=type(error).__name__,
    )


def _bytes(pattern: re.Pattern[str], text: str) -> int | None:
    match = pattern.search(text)
    if match is None:
        return None
    unit = match.group(2) if pattern.groups > 1 else "bytes"
    return int(float(match.group(1)) * _UNITS[unit])


def available_memory() -> int | None:
    """Bytes the kernel thinks can still be had without swapping."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def peak_rss() -> int:
    """The largest resident set of this process so far, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
