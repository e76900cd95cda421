import random

import pytest

from martlet_stages.packing import first_fit_decreasing


def naive(lengths, capacity):
    bins, free = [], []
    for item in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        for index, left in enumerate(free):
            if left >= lengths[item]:
                break
        else:
            bins.append([])
            free.append(capacity)
            index = len(bins) - 1
        bins[index].append(item)
        free[index] -= lengths[item]
    return bins


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_textbook_algorithm(seed):
    generator = random.Random(seed)
    lengths = [generator.randint(1, 100) for _ in range(generator.randint(1, 200))]
    assert first_fit_decreasing(lengths, 100) == naive(lengths, 100)


def test_nothing_gives_no_bins():
    assert first_fit_decreasing([], 10) == []


def test_an_item_larger_than_a_bin_is_refused():
    with pytest.raises(ValueError, match="item 1 has length 11"):
        first_fit_decreasing([3, 11], 10)
