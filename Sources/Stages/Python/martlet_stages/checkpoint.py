"""Checkpoints of a training: safetensors for arrays, JSON for the rest, written whole or not at all."""

from __future__ import annotations

import os
import shutil
from typing import Any

import torch

from .failures import StageFailure, permanent
from .safefiles import read_header, read_json, write_json

FORMAT = "martlet-checkpoint-1"


def write_checkpoint(directory: str, step: int, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> str:
    """Writes ``step-NNNNNNNN`` under ``directory`` and returns its path."""
    from safetensors.torch import save_file

    path = os.path.join(directory, f"step-{step:08d}")
    temporary = path + ".partial"
    shutil.rmtree(temporary, ignore_errors=True)
    os.makedirs(temporary)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, os.path.join(temporary, "state.safetensors"))
    write_json(os.path.join(temporary, "state.json"), {"format": FORMAT, "step": step, **state})
    # A resumed attempt may come past the same step again.
    shutil.rmtree(path, ignore_errors=True)
    os.replace(temporary, path)
    return path


def checkpoint_dtype(path: str) -> str:
    """The dtype that the training of a checkpoint began with, as a specification names it."""
    fingerprint = _read_state(path).get("fingerprint") or {}
    return str(fingerprint.get("dtype", "auto")).removeprefix("torch.")


def read_checkpoint(path: str, fingerprint: dict[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Reads a checkpoint; one of another training (other data, base or parameters) is refused."""
    from safetensors.torch import load_file

    state = _read_state(path)
    theirs = state.get("fingerprint") or {}
    for name, value in fingerprint.items():
        if theirs.get(name) != value:
            raise permanent(
                "checkpoint_mismatch",
                f"{path} belongs to another training: its {name} is {theirs.get(name)}, here it is {value}; "
                "start without resume_from",
                field=name,
            )
    arrays = os.path.join(path, "state.safetensors")
    if not os.path.isfile(arrays):
        raise permanent("checkpoint_invalid", f"{path} has no state.safetensors", directory=path)
    try:
        read_header(arrays)
    except StageFailure as failure:
        raise permanent("checkpoint_invalid", failure.message, directory=path) from failure
    return load_file(arrays), state


def _read_state(path: str) -> dict[str, Any]:
    try:
        state = read_json(os.path.join(path, "state.json"), "the checkpoint state")
    except StageFailure as failure:
        raise permanent("checkpoint_invalid", failure.message, directory=path) from failure
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise permanent("checkpoint_invalid", f"{path} is not a checkpoint in the format {FORMAT}", directory=path)
    return state
