"""Teacher-forced scores: loss and accuracy of the answer tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy
import torch

from .columns import Columns
from .model import Batch, hidden_at_targets, output_weight

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


@torch.inference_mode()
def score(model, columns: Columns, bins: list[int], size: int, pad: int, device: torch.device, tick=None) -> TokenScores:
    """Scores the examples of the given bins; ``tick(done)`` is called after each batch and may raise."""
    count = columns.examples
    scores = TokenScores(numpy.zeros(count), numpy.zeros(count, numpy.int64), numpy.zeros(count, numpy.int64))
    model.eval()
    weight = output_weight(model)
    for start in range(0, len(bins), size):
        batch = Batch([columns.row(index) for index in bins[start : start + size]], pad, device)
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
        if tick is not None:
            tick(min(len(bins), start + size))
    return scores


def mean_loss(model, columns: Columns, limit: int, size: int, pad: int, device: torch.device) -> float:
    return score(model, columns, list(range(min(limit, columns.bins))), size, pad, device).mean_loss
