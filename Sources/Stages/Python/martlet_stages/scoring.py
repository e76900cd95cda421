"""Teacher-forced scores: loss and accuracy of the answer tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy
import torch

from .columns import Columns, Row
from .model import Batch, hidden_at_targets, is_flat, output_weight
from .packing import first_fit_decreasing

_CHUNK = 256


@dataclass
class TokenScores:
    """Per example of the file: summed loss in nats, answer tokens, and how many of them rank first."""

    loss: numpy.ndarray
    tokens: numpy.ndarray
    correct: numpy.ndarray

    @property
    def mean_loss(self) -> float:
        return float(self.loss.sum() / self.tokens.sum()) if self.tokens.sum() else float("nan")

    @property
    def accuracy(self) -> float:
        return float(self.correct.sum() / self.tokens.sum()) if self.tokens.sum() else float("nan")


def packed_rows(columns: Columns, examples: list[int], capacity: int) -> list[Row]:
    """The given examples packed into rows of at most ``capacity`` tokens."""
    lengths = [int(columns.example_offsets[i + 1] - columns.example_offsets[i]) for i in examples]
    rows = []
    for items in first_fit_decreasing(lengths, max(capacity, *lengths)):
        parts = [columns.example(examples[item]) for item in items]
        sizes = [lengths[item] for item in items]
        rows.append(
            Row(
                ids=numpy.concatenate([ids for ids, _ in parts]),
                mask=numpy.concatenate([mask for _, mask in parts]),
                positions=numpy.concatenate([numpy.arange(size) for size in sizes]),
                segments=numpy.repeat([examples[item] for item in items], sizes),
            )
        )
    return rows


@torch.inference_mode()
def score(model, rows: list[Row], examples: int, size: int, pad: int, device: torch.device,
          tick: Callable[[int], None] = lambda done: None) -> TokenScores:  # fmt: skip
    """Scores packed rows in batches of ``size``; ``tick(rows done)`` follows each batch and may raise."""
    scores = TokenScores(numpy.zeros(examples), numpy.zeros(examples, numpy.int64), numpy.zeros(examples, numpy.int64))
    model.eval()
    weight = output_weight(model)
    for start in range(0, len(rows), size):
        batch = Batch(rows[start : start + size], pad, device, is_flat(model))
        hidden = hidden_at_targets(model, batch)
        for begin in range(0, batch.target_count, _CHUNK):
            wanted = batch.targets[begin : begin + _CHUNK, None]
            logits = (hidden[begin : begin + _CHUNK] @ weight.T).float()
            losses = torch.logsumexp(logits, dim=1) - logits.gather(1, wanted)[:, 0]
            right = logits.argmax(dim=1) == wanted[:, 0]
            owners = batch.target_segments[begin : begin + _CHUNK]
            numpy.add.at(scores.loss, owners, losses.double().cpu().numpy())
            numpy.add.at(scores.tokens, owners, 1)
            numpy.add.at(scores.correct, owners, right.long().cpu().numpy())
        tick(min(len(rows), start + size))
    return scores
