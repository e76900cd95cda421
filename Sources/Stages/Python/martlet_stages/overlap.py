"""Exact overlap between a small set of texts and a stream of others, through an inverted index."""

from __future__ import annotations

import numpy

from .shingles import shingle_hashes


class OverlapIndex:
    """For each of its texts: the largest Jaccard similarity to, and containment in, any text streamed past.

    Exact, unlike MinHash, so it serves as the independent check of a split.
    """

    def __init__(self, normalised: list[str], width: int):
        sets = [shingle_hashes(text, width) for text in normalised]
        self._width = width
        self.sizes = numpy.array([len(items) for items in sets], numpy.int64)
        values = numpy.concatenate(sets) if sets else numpy.empty(0, numpy.uint64)
        owners = numpy.repeat(numpy.arange(len(sets)), self.sizes)
        order = numpy.argsort(values, kind="stable")
        self._values = values[order]
        self._owners = owners[order]
        self.jaccard = numpy.zeros(len(sets))
        self.containment = numpy.zeros(len(sets))

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
        owners = self._owners[positions + numpy.arange(counts.sum())]
        touched, shared = numpy.unique(owners, return_counts=True)
        union = self.sizes[touched] + len(items) - shared
        numpy.maximum.at(self.jaccard, touched, shared / union)
        numpy.maximum.at(self.containment, touched, shared / self.sizes[touched])
