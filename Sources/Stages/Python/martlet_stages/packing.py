"""Sequence packing: several examples in one row, so that no computation goes to padding."""

from __future__ import annotations


def first_fit_decreasing(lengths: list[int], capacity: int) -> list[list[int]]:
    """Packs items into as few bins as first-fit decreasing needs (at most 11/9 of the optimum, plus one).

    Returns the item numbers of each bin. Equal lengths keep their order, so the result is deterministic.
    A tournament tree over the bins' free space finds the first bin that fits in O(log n).
    """
    order = sorted(range(len(lengths)), key=lambda item: (-lengths[item], item))
    size = 1
    while size < max(1, len(lengths)):
        size *= 2
    free = [capacity] * (2 * size)
    bins: list[list[int]] = []
    for item in order:
        length = lengths[item]
        if not 0 < length <= capacity:
            raise ValueError(f"item {item} has length {length}, capacity is {capacity}")
        node = 1
        while node < size:
            node *= 2
            if free[node] < length:
                node += 1
        index = node - size
        if index == len(bins):
            bins.append([])
        bins[index].append(item)
        free[node] -= length
        while node > 1:
            node //= 2
            free[node] = max(free[2 * node], free[2 * node + 1])
    return bins
