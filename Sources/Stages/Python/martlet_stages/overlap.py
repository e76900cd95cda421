"""Exact overlap between a small set of texts and a stream of others, through an inverted index."""

from __future__ import annotations

import numpy

from .shingles import run_hashes, shingle_hashes


class OverlapIndex:
    """For each of its texts, over all the texts streamed past:

    - ``jaccard``: the largest similarity;
    - ``inside``: the largest share of the own shingles inside one other;
    - ``around``: the largest share of another's shingles inside the own text, others of fewer than ``minimum`` shingles
      left out: three common words are inside many a text;
    - ``covered_words()``: how many of the own words stand in others that lie inside the own text, whatever their size.

    Exact, unlike MinHash, so it serves as the independent check of a split.
    """

    def __init__(self, normalised: list[str], width: int, containment: float = 1.0, minimum: int = 1):
        sets = [shingle_hashes(text, width) for text in normalised]
        self.texts = normalised
        self._width = width
        self._containment = containment
        self._minimum = minimum
        self.sizes = numpy.array([len(items) for items in sets], numpy.int64)
        values = numpy.concatenate(sets) if sets else numpy.empty(0, numpy.uint64)
        owners = numpy.repeat(numpy.arange(len(sets)), self.sizes)
        order = numpy.argsort(values, kind="stable")
        self._values = values[order]
        self._owners = owners[order]
        self._covered = numpy.zeros(len(values), bool)
        self.jaccard = numpy.zeros(len(sets))
        self.inside = numpy.zeros(len(sets))
        self.around = numpy.zeros(len(sets))

    def stream(self, normalised: str) -> None:
        items = shingle_hashes(normalised, self._width)
        if not len(items) or not len(self._values):
            return
        low = numpy.searchsorted(self._values, items, "left")
        counts = numpy.searchsorted(self._values, items, "right") - low
        hits = counts > 0
        if not hits.any():
            return
        low, counts = low[hits], counts[hits]
        # The positions low[i] .. low[i] + counts[i] - 1 of every shingle i, one after another.
        positions = numpy.repeat(low - numpy.concatenate(([0], numpy.cumsum(counts)[:-1])), counts)
        positions += numpy.arange(len(positions))
        owners = self._owners[positions]
        touched, shared = numpy.unique(owners, return_counts=True)
        union = self.sizes[touched] + len(items) - shared
        numpy.maximum.at(self.jaccard, touched, shared / union)
        numpy.maximum.at(self.inside, touched, shared / self.sizes[touched])
        if len(items) >= self._minimum:
            numpy.maximum.at(self.around, touched, shared / len(items))
        holders = touched[shared >= self._containment * len(items)]
        if len(holders):
            self._covered[positions[numpy.isin(owners, holders)]] = True

    def covered_words(self) -> numpy.ndarray:
        owners, values = self._owners[self._covered], self._values[self._covered]
        order = numpy.argsort(owners, kind="stable")
        owners, values = owners[order], values[order]
        covered = numpy.zeros(len(self.texts), numpy.int64)
        for index in numpy.unique(owners).tolist():
            words = self.texts[index].split()
            low, high = numpy.searchsorted(owners, (index, index + 1))
            runs = numpy.isin(run_hashes(words, self._width), values[low:high])
            marks = numpy.zeros(len(words), bool)
            for offset in range(len(words) - len(runs) + 1):
                marks[offset : offset + len(runs)] |= runs
            covered[index] = marks.sum()
        return covered
