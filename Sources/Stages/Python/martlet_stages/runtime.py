"""The process around a command: environment, threads, device, the request to stop."""

from __future__ import annotations

import os
import signal
import sys

from .failures import StageFailure, permanent


def prepare_environment(threads: int, offline: bool = True) -> None:
    """Settings that PyTorch, Transformers and OpenMP read once: call it before the first import of any.

    A passive OpenMP matters on a shared machine: threads that spin at a barrier while another process has
    the core turn a step of three seconds into one of thirty.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["MKL_NUM_THREADS"] = str(threads)
    os.environ["GOMP_SPINCOUNT"] = "0"
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ["KMP_BLOCKTIME"] = "0"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    # Nothing here needs TensorFlow or Flax, and probing for them costs time.
    os.environ["USE_TF"] = "0"
    os.environ["USE_FLAX"] = "0"
    # cuBLAS needs a fixed workspace to be deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["TRANSFORMERS_OFFLINE"] = "1"
        os.environ["HF_DATASETS_OFFLINE"] = "1"


def default_threads() -> int:
    """The processors there are, or as many as OMP_NUM_THREADS says where an administrator has set it."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    # A list is for nested regions; its first number is the outermost one's.
    first = wanted.split(",")[0].strip()
    return int(first) if first.isascii() and first.isdigit() and int(first) else len(os.sched_getaffinity(0))


def log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


class StopRequest:
    """Set by SIGTERM. Long loops look at it between steps; the process never dies in the middle of one."""

    def __init__(self) -> None:
        self.requested = False

    def install(self) -> None:
        signal.signal(signal.SIGTERM, self._request)
        # An interrupt from a terminal means the same; a second one is not swallowed.
        signal.signal(signal.SIGINT, self._request)

    def _request(self, number: int, _frame: object) -> None:
        if number == signal.SIGINT and self.requested:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        self.requested = True


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware (AVX-512 BF16, AMX, or Arm's bf16 extension)."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith(("flags", "Features")):
                    words = set(line.split(":", 1)[1].split())
                    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
    except OSError:
        return False
    return False


def choose_device():
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_dtype(name: str, device):
    """The dtype of weights and activations: ``auto`` is bfloat16 wherever the hardware has it."""
    import torch

    if name == "float32":
        return torch.float32
    if name == "bfloat16":
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if cpu_has_bfloat16() else torch.float32


def set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Determinism would also fill every fresh tensor; nothing here reads what it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Lets the C library keep large freed blocks: a step allocates the same sizes again, and returning them to
    the kernel in between costs a tenth of the step in page faults."""
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3
        mallopt(ctypes.c_int(mmap_threshold), ctypes.c_int(1 << 30))
        mallopt(ctypes.c_int(trim_threshold), ctypes.c_int(2**31 - 1))


def require(condition: bool, failure: StageFailure) -> None:
    if not condition:
        raise failure


def require_empty_directory(path: str) -> None:
    """Creates the folder; one with files in it would mix two results."""
    try:
        os.makedirs(path, exist_ok=True)
        if os.listdir(path):
            raise permanent("output_not_empty", f"the output folder {path} is not empty; give an empty one")
    except OSError as error:
        raise permanent("output_unwritable", f"cannot use the output folder {path}: {error.strerror}") from error
