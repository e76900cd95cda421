"""Scores of generated texts against references, on words, without libraries."""

from __future__ import annotations

from collections import Counter

import numpy

from .records import normalise


def words(text: str) -> list[str]:
    return normalise(text).split()


def token_f1(prediction: list[str], reference: list[str]) -> float:
    """The harmonic mean of word precision and recall, as SQuAD computes it (Rajpurkar et al. 2016)."""
    if not prediction or not reference:
        return float(prediction == reference)
    shared = sum((Counter(prediction) & Counter(reference)).values())
    return 2 * shared / (len(prediction) + len(reference))


def lcs_length(left: list[str], right: list[str]) -> int:
    """The length of the longest common subsequence, bit-parallel (Hyyrö 2004): one addition per word."""
    positions: dict[str, int] = {}
    for index, word in enumerate(left):
        positions[word] = positions.get(word, 0) | 1 << index
    full = (1 << len(left)) - 1
    row = full
    for word in right:
        matched = row & positions.get(word, 0)
        row = ((row + matched) | (row - matched)) & full
    return len(left) - row.bit_count()


def rouge_l(prediction: list[str], reference: list[str]) -> float:
    """The F-measure of ROUGE-L for one sentence pair, precision and recall weighing the same (Lin 2004)."""
    if not prediction or not reference:
        return float(prediction == reference)
    common = lcs_length(prediction, reference)
    return 2 * common / (len(prediction) + len(reference))


def repetition(prediction: list[str], width: int = 4) -> float:
    """The share of word n-grams that occurred before in the same text; 0 for a text too short to repeat one."""
    total = len(prediction) - width + 1
    if total <= 0:
        return 0.0
    return 1 - len({tuple(prediction[i : i + width]) for i in range(total)}) / total


def bootstrap_interval(
    values: numpy.ndarray, weights: numpy.ndarray | None, seed: int, samples: int = 1000
) -> tuple[float, float]:
    """The 95 % percentile interval of the mean over examples, or of sum(values) / sum(weights)."""
    values = numpy.asarray(values, numpy.float64)
    if len(values) == 0:
        return (float("nan"), float("nan"))
    generator = numpy.random.Generator(numpy.random.PCG64(seed))
    means = numpy.empty(samples)
    with numpy.errstate(invalid="ignore"):
        for index in range(samples):
            pick = generator.integers(0, len(values), len(values))
            below = len(values) if weights is None else weights[pick].sum()
            means[index] = values[pick].sum() / below if below else numpy.nan
    low, high = numpy.percentile(means, (2.5, 97.5))
    return (float(low), float(high))
