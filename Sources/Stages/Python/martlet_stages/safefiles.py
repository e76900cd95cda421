"""Weights and arrays on disk: safetensors only. Nothing is ever unpickled."""

from __future__ import annotations

import json
import os
import struct
from typing import Any

from .failures import permanent

# Formats whose loaders run code found in the file.
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".h5", ".msgpack")
_MAX_HEADER = 100 << 20
WIDTHS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip


def read_header(path: str) -> dict[str, Any]:
    """The tensors of a safetensors file (dtype, shape, data_offsets by name), after checking that the file
    is whole. The format: https://github.com/huggingface/safetensors#format."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else -1
        if not 2 <= length <= min(_MAX_HEADER, size - 8):
            raise permanent("invalid_weights", f"{path} is not a safetensors file, or is cut short", file=path)
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise permanent("invalid_weights", f"{path} has a damaged safetensors header: {error}") from error
    header.pop("__metadata__", None)
    end = 0
    for name, tensor in header.items():
        begin, stop = tensor["data_offsets"]
        count = 1
        for dimension in tensor["shape"]:
            count *= dimension
        if tensor["dtype"] not in WIDTHS or (stop - begin) * 8 != count * WIDTHS[tensor["dtype"]]:
            raise permanent("invalid_weights", f"{path}: tensor {name} has an impossible size", file=path, tensor=name)
        end = max(end, stop)
    if 8 + length + end != size:
        raise permanent(
            "invalid_weights", f"{path} has {size} bytes where its header promises {8 + length + end}", file=path
        )
    return header


def weight_files(directory: str) -> list[str]:
    """The names of the safetensors files that hold a model's weights.

    Refuses a folder whose weights exist only in formats that execute code when loaded.
    """
    names = sorted(os.listdir(directory))
    index = os.path.join(directory, "model.safetensors.index.json")
    if os.path.isfile(index):
        try:
            with open(index, encoding="utf-8") as file:
                shards = sorted(set(json.load(file)["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise permanent("invalid_weights", f"{index} is not a weight index: {error}", file=index) from error
        for shard in shards:
            if os.path.basename(shard) != shard or shard not in names:
                raise permanent("missing_file", f"{index} names {shard}, which is not in {directory}", file=shard)
        return shards
    if "model.safetensors" in names:
        return ["model.safetensors"]
    unsafe = [name for name in names if name.endswith(PICKLE_SUFFIXES)]
    if unsafe:
        raise permanent(
            "unsafe_weights",
            f"{directory} holds weights only as {', '.join(unsafe[:5])}: such files can run code when loaded "
            "and are never read; convert the model to safetensors and import that",
            files=unsafe[:20],
        )
    raise permanent(
        "missing_file", f"{directory} has no model.safetensors and no model.safetensors.index.json", directory=directory
    )


def write_json(path: str, value: Any) -> None:
    """Writes indented, sorted JSON, whole or not at all."""
    temporary = path + ".partial"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False)
        file.write("\n")
    os.replace(temporary, path)


def read_json(path: str, what: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except OSError as error:
        raise permanent("missing_file", f"cannot read {what} {path}: {error.strerror}", file=path) from error
    except ValueError as error:
        raise permanent("invalid_file", f"{what} {path} is not JSON: {error}", file=path) from error
