"""Word shingles, MinHash signatures and locality-sensitive hashing, on NumPy."""

from __future__ import annotations

import zlib

import numpy

_GOLDEN = numpy.uint64(0x9E3779B97F4A7C15)
_MIX_1 = numpy.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = numpy.uint64(0x94D049BB133111EB)


def shingle_hashes(normalised: str, width: int) -> numpy.ndarray:
    """The sorted distinct 64-bit hashes of the runs of ``width`` words; a shorter text is a single run."""
    return numpy.unique(run_hashes(normalised.split(), width))


def run_hashes(words: list[str], width: int) -> numpy.ndarray:
    """The hash of every run of ``width`` words, in the order of the text."""
    if not words:
        return numpy.empty(0, numpy.uint64)
    hashes = _mix(numpy.array([zlib.crc32(word.encode()) for word in words], numpy.uint64) + _GOLDEN)
    width = min(width, len(words))
    runs = len(words) - width + 1
    combined = numpy.zeros(runs, numpy.uint64)
    for offset in range(width):
        combined = _mix(combined * _MIX_1 + hashes[offset : offset + runs])
    return combined


def _mix(values: numpy.ndarray) -> numpy.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014), modulo 2^64."""
    values = (values ^ (values >> numpy.uint64(30))) * _MIX_1
    values = (values ^ (values >> numpy.uint64(27))) * _MIX_2
    return values ^ (values >> numpy.uint64(31))


class MinHash:
    """Signatures whose agreement estimates Jaccard similarity (Broder 1997)."""

    def __init__(self, permutations: int, seed: int):
        generator = numpy.random.Generator(numpy.random.PCG64(numpy.random.SeedSequence([seed, 0x6D68])))
        top = 2**63
        self._factors = generator.integers(1, top, permutations, dtype=numpy.uint64) * numpy.uint64(2) + numpy.uint64(1)
        self._offsets = generator.integers(0, top, permutations, dtype=numpy.uint64)

    def signatures(self, sets: list[numpy.ndarray]) -> numpy.ndarray:
        """One row of uint32 per set. Empty sets get a row of their own making, equal to no other."""
        result = numpy.empty((len(sets), len(self._factors)), numpy.uint32)
        filled = [index for index, items in enumerate(sets) if len(items)]
        for index, items in enumerate(sets):
            if not len(items):
                result[index] = _mix(numpy.arange(len(self._factors), dtype=numpy.uint64) + numpy.uint64(index))
        if not filled:
            return result
        values = numpy.concatenate([sets[index] for index in filled])
        starts = numpy.cumsum([0] + [len(sets[index]) for index in filled[:-1]])
        for column, (factor, offset) in enumerate(zip(self._factors, self._offsets, strict=True)):
            hashed = (values * factor + offset) >> numpy.uint64(32)
            result[filled, column] = numpy.minimum.reduceat(hashed, starts)
        return result


def band_rows(permutations: int, threshold: float) -> int:
    """Rows per band so that a pair at the threshold is a candidate with probability of at least 0.99, with as
    few false candidates as that allows."""
    best = 1
    for rows in (2, 3, 4, 6, 8, 12, 16):
        bands = permutations // rows
        if bands and 1 - (1 - threshold**rows) ** bands >= 0.99:
            best = rows
    return best


def similar_across(
    left: numpy.ndarray, right: numpy.ndarray, threshold: float, slack: float = 0.05
) -> tuple[numpy.ndarray, int]:
    """Which rows of ``left`` have an estimated similarity of ``threshold - slack`` to a row of ``right``.

    Returns a mask over ``left`` and the number of candidate pairs that were compared.
    """
    found = numpy.zeros(len(left), bool)
    compared = 0
    if not len(left) or not len(right):
        return found, compared
    permutations = left.shape[1]
    rows = band_rows(permutations, threshold)
    for start in range(0, permutations - rows + 1, rows):
        keys_left = _band_key(left[:, start : start + rows])
        keys_right = _band_key(right[:, start : start + rows])
        order = numpy.argsort(keys_right, kind="stable")
        sorted_right = keys_right[order]
        low = numpy.searchsorted(sorted_right, keys_left, "left")
        high = numpy.searchsorted(sorted_right, keys_left, "right")
        for index in numpy.flatnonzero((high > low) & ~found):
            # Boilerplate puts thousands in one bucket: the slices bound the memory, a hit ends the search.
            for begin in range(low[index], high[index], 4096):
                candidates = order[begin : min(begin + 4096, high[index])]
                compared += len(candidates)
                agreement = (right[candidates] == left[index]).mean(axis=1)
                if (agreement >= threshold - slack).any():
                    found[index] = True
                    break
    return found, compared


def _band_key(band: numpy.ndarray) -> numpy.ndarray:
    key = numpy.zeros(len(band), numpy.uint64)
    for column in range(band.shape[1]):
        key = _mix(key * _MIX_2 + band[:, column].astype(numpy.uint64) + _GOLDEN)
    return key
