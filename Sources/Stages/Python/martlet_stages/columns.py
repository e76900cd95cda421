"""Tokenised examples as columns in one safetensors file, read without loading it whole.

    input_ids        int32  [tokens]          the examples one after another, in the order of the bins
    answer_mask      uint8  [tokens]          1 where a token belongs to an answer
    example_offsets  int64  [examples + 1]    where each example's tokens begin
    bin_offsets      int64  [bins + 1]        which examples share a row: bin b holds examples
                                              bin_offsets[b] .. bin_offsets[b + 1] - 1
    record_index     int64  [examples]        the example's line (from 0) in the .jsonl file beside it
    prompt_length    int64  [examples]        tokens before the last answer

Position ids, segment ids and labels follow from the offsets and the mask and are not stored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy

from .chat import Encoded
from .failures import permanent
from .packing import first_fit_decreasing
from .safefiles import read_header

FORMAT = "martlet-columns-1"
_DTYPES = {
    "input_ids": "I32", "answer_mask": "U8", "example_offsets": "I64", "bin_offsets": "I64", "record_index": "I64",
    "prompt_length": "I64",
}  # fmt: skip


def write_columns(path: str, examples: list[Encoded], capacity: int, packing: bool, facts: dict[str, Any]) -> int:
    """Packs and writes the examples; returns the number of bins."""
    from safetensors.numpy import save_file

    lengths = [len(example.ids) for example in examples]
    if packing:
        bins = first_fit_decreasing(lengths, capacity)
    else:
        # Longest first, so that rows of one batch are of like length.
        bins = [[item] for item in sorted(range(len(examples)), key=lambda item: (-lengths[item], item))]
    order = [item for items in bins for item in items]
    tensors = {
        "input_ids": numpy.concatenate([examples[item].ids for item in order]),
        "answer_mask": numpy.concatenate([examples[item].mask for item in order]),
        "example_offsets": numpy.cumsum([0] + [lengths[item] for item in order], dtype=numpy.int64),
        "bin_offsets": numpy.cumsum([0] + [len(items) for items in bins], dtype=numpy.int64),
        "record_index": numpy.array(order, numpy.int64),
        "prompt_length": numpy.array([examples[item].prompt_length for item in order], numpy.int64),
    }
    # One metadata entry: the library writes several in no fixed order, and equal inputs must give equal bytes.
    metadata = {"martlet": json.dumps({"format": FORMAT, "capacity": capacity, **facts}, sort_keys=True)}
    save_file(tensors, path, metadata=metadata)
    return len(bins)


@dataclass(frozen=True, slots=True)
class Row:
    """One bin, ready to be batched: arrays of equal length."""

    ids: numpy.ndarray
    mask: numpy.ndarray
    positions: numpy.ndarray
    segments: numpy.ndarray
    """The example's number within the file, for every token."""


class Columns:
    """Read access to a file written by :func:`write_columns`. Token data stay memory-mapped."""

    def __init__(self, path: str):
        from safetensors import safe_open

        header = read_header(path)
        for name, dtype in _DTYPES.items():
            if header.get(name, {}).get("dtype") != dtype:
                raise permanent("invalid_columns", f"{path} has no {dtype} tensor '{name}'; run preprocess again", file=path)
        self._file = safe_open(path, framework="numpy")
        self.facts: dict[str, Any] = json.loads((self._file.metadata() or {}).get("martlet", "{}"))
        if self.facts.get("format") != FORMAT:
            raise permanent("invalid_columns", f"{path} is not in the format {FORMAT}; run preprocess again", file=path)
        self.example_offsets = self._file.get_tensor("example_offsets")
        self.bin_offsets = self._file.get_tensor("bin_offsets")
        self.record_index = self._file.get_tensor("record_index")
        self.prompt_length = self._file.get_tensor("prompt_length")
        self._ids = self._file.get_slice("input_ids")
        self._mask = self._file.get_slice("answer_mask")
        tokens = self._ids.get_shape()[0]
        for name, offsets, end in (
            ("example_offsets", self.example_offsets, tokens),
            ("bin_offsets", self.bin_offsets, self.examples),
        ):
            if offsets[0] != 0 or offsets[-1] != end or (numpy.diff(offsets) <= 0).any():
                raise permanent("invalid_columns", f"{path}: {name} does not ascend from 0 to {end}", file=path)
        self.tokens = tokens

    @property
    def examples(self) -> int:
        return len(self.example_offsets) - 1

    @property
    def bins(self) -> int:
        return len(self.bin_offsets) - 1

    def bin_length(self, index: int) -> int:
        first, last = self.bin_offsets[index], self.bin_offsets[index + 1]
        return int(self.example_offsets[last] - self.example_offsets[first])

    def row(self, index: int) -> Row:
        first, last = int(self.bin_offsets[index]), int(self.bin_offsets[index + 1])
        offsets = self.example_offsets[first : last + 1]
        begin, end = int(offsets[0]), int(offsets[-1])
        lengths = numpy.diff(offsets)
        return Row(
            ids=self._ids[begin:end],
            mask=self._mask[begin:end],
            positions=numpy.arange(end - begin) - numpy.repeat(offsets[:-1] - begin, lengths),
            segments=numpy.repeat(numpy.arange(first, last), lengths),
        )

    def example(self, index: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        begin, end = int(self.example_offsets[index]), int(self.example_offsets[index + 1])
        return self._ids[begin:end], self._mask[begin:end]
