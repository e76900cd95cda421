"""How a stage fails: one error type, and the classes that the worker acts on."""

from __future__ import annotations

import re
import sys
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
_SIZE = r"([0-9.]+) (bytes|KiB|MiB|GiB|TiB)"
_CUDA_ASKED = re.compile(f"Tried to allocate {_SIZE}")
_CUDA_TOTAL = re.compile(f"total capacity of {_SIZE}")
_CUDA_FREE = re.compile(f"of which {_SIZE} is free")
# Only where the process may have no more than a share of the GPU.
_CUDA_ALLOWED = re.compile(f"{_SIZE} allowed")
_CUDA_HELD = re.compile(f"Of the allocated memory {_SIZE} is allocated")
_CUDA_SPLIT = re.compile(f"{_SIZE} is reserved by PyTorch but unallocated")
_CPU_ASKED = re.compile(r"allocate (\d+) bytes")
_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_MARKS = (
    "DefaultCPUAllocator", "can't allocate memory", "Cannot allocate memory", "bad_alloc", "std::bad_alloc",
    # CUDA itself, and its libraries, which allocate past PyTorch's allocator: contexts, handles, workspaces.
    "CUDA error: out of memory", "CUDA driver error: out of memory", "_STATUS_ALLOC_FAILED",
)  # fmt: skip


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == 12:
        return True
    return isinstance(error, RuntimeError) and any(mark in str(error) for mark in _MARKS)


def out_of_memory(error: BaseException, **details: Any) -> StageFailure:
    """The failure for an exhausted memory, with the numbers an engineer asks for first."""
    text = str(error)
    asked = _bytes(_CUDA_ASKED, text) or _bytes(_CPU_ASKED, text)
    numbers = {"bytes_asked": asked, "peak_rss_bytes": peak_rss()}
    if "CUDA" in text or "CUBLAS" in text or "CUDNN" in text:
        free, numbers["device_bytes"], numbers["peak_device_bytes"] = _device_memory(text)
    else:
        free = available_memory()
    numbers |= {"bytes_free": free, **details}
    wanted = f"{asked / 2**20:.0f} MiB more" if asked else "more memory"
    left = f"{free / 2**20:.0f} MiB" if free is not None else "an unknown amount"
    if numbers.get("device_bytes"):
        left += f" of the GPU's {numbers['device_bytes'] / 2**20:.0f} MiB"
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


def _device_memory(text: str) -> tuple[int | None, int | None, int | None]:
    """Of the GPU, in bytes: what this process could still have had, what it may have in all, and its peak.

    From the allocator's message, where there is one: by now the step's tensors may be freed.
    """
    free, total, peak = _bytes(_CUDA_FREE, text), _bytes(_CUDA_TOTAL, text), None
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        peak = torch.cuda.max_memory_allocated()
        if free is None:
            try:
                free, total = torch.cuda.mem_get_info()
            except RuntimeError:
                # No memory for a context either.
                pass
    allowed = _bytes(_CUDA_ALLOWED, text)
    if free is not None and allowed is not None:
        held = (_bytes(_CUDA_HELD, text) or 0) + (_bytes(_CUDA_SPLIT, text) or 0)
        free, total = max(0, min(free, allowed - held)), allowed
    return free, total, peak


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
