import random

import numpy
import pytest

from martlet_stages.text_metrics import bootstrap_interval, lcs_length, repetition, rouge_l, token_f1, words


def test_words_drop_case_punctuation_and_spacing():
    assert words(" A  Buffer-Overflow, in\nC++!") == ["a", "buffer", "overflow", "in", "c"]


def test_token_f1_by_hand():
    # Shared: the, cat (once) -> 2; precision 2/3, recall 2/4.
    assert token_f1(words("the cat cat"), words("the cat sat down")) == pytest.approx(2 * 2 / 7)
    assert token_f1([], []) == 1.0
    assert token_f1([], ["a"]) == 0.0


def test_rouge_l_by_hand():
    # The longest common subsequence of these is "police the gunman".
    assert lcs_length(words("police kill the gunman"), words("police ended the gunman")) == 3
    assert rouge_l(words("police kill the gunman"), words("police ended the gunman")) == pytest.approx(0.75)
    # Order counts: "the gunman" only.
    assert rouge_l(words("the gunman police killed"), words("police killed the gunman")) == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(30))
def test_bit_parallel_lcs_equals_dynamic_programming(seed):
    generator = random.Random(seed)
    left = [generator.choice("abcd") for _ in range(generator.randint(0, 90))]
    right = [generator.choice("abcd") for _ in range(generator.randint(0, 90))]
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    assert lcs_length(left, right) == table[-1][-1]


def test_repetition_by_hand():
    assert repetition(words("a b c")) == 0.0
    # Five 4-grams; "a b c d" occurs twice.
    assert repetition(words("a b c d a b c d")) == pytest.approx(1 / 5)
    assert repetition(["x"] * 13) == pytest.approx(0.9)


def test_bootstrap_interval_holds_the_mean_and_is_repeatable():
    values = numpy.arange(100, dtype=float)
    low, high = bootstrap_interval(values, None, seed=1)
    assert low < 49.5 < high and high - low < 15
    assert (low, high) == bootstrap_interval(values, None, seed=1)
    weighted = bootstrap_interval(values, numpy.full(100, 2), seed=1)
    assert weighted == pytest.approx((low / 2, high / 2))
