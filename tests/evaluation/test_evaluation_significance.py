"""Exact McNemar against scipy and sums by hand, Holm by hand, the bootstrap's p by counting."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cytolens.core.errors import InputError
from cytolens.evaluation import Predictions, bootstrap_p, exact_mcnemar, holm, mcnemar
from cytolens.evaluation.significance import correct_shares

Build = Callable[..., Predictions]


@pytest.mark.parametrize("only_first", range(0, 12, 3))
@pytest.mark.parametrize("only_second", range(0, 20, 4))
def test_exact_mcnemar_equals_scipy(only_first: int, only_second: int) -> None:
    n = only_first + only_second
    expected = stats.binomtest(only_first, n, 0.5).pvalue if n else 1.0
    assert exact_mcnemar(only_first, only_second) == pytest.approx(expected)
    assert exact_mcnemar(only_second, only_first) == exact_mcnemar(only_first, only_second)


def test_exact_mcnemar_by_hand() -> None:
    # two of nine: 2 (C(9,0) + C(9,1) + C(9,2)) / 2^9
    assert exact_mcnemar(2, 7) == pytest.approx(2 * (1 + 9 + 36) / 512)
    assert exact_mcnemar(4, 4) == 1.0
    tails = sum(math.comb(2000, i) for i in range(901))
    assert exact_mcnemar(900, 1100) == pytest.approx(2 * tails / 2**2000, rel=1e-9)


def test_mcnemar_counts_the_discordant_images(build: Build) -> None:
    right, wrong = [0.8, 0.2], [0.3, 0.7]
    first = build([right, right, wrong, wrong, right], [0] * 5)
    second = build([right, wrong, right, right, right], [0] * 5)
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (1, 2)
    assert found.p == 1.0
    with pytest.raises(InputError, match="needs the same images"):
        mcnemar(first, first.select([0, 1]))


def repeated(build: Build, hits: list[list[int]]) -> Predictions:
    """Build predictions of class 0 images: hits[repeat][image] says whether it is named right."""
    flat = [hit for repeat in hits for hit in repeat]
    names = [f"{image}" for repeat in hits for image in range(len(repeat))]
    return build(
        [[0.9, 0.1] if hit else [0.1, 0.9] for hit in flat],
        [0] * len(flat),
        ids=names,
        units=names,
        repeats=np.repeat(np.arange(len(hits)), len(hits[0])),
    )


def test_with_repeats_an_image_counts_for_the_model_that_is_right_more_often(build: Build) -> None:
    first = repeated(build, [[1, 1, 0, 1], [1, 0, 0, 1], [1, 0, 0, 0]])
    second = repeated(build, [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]])
    shares = correct_shares(first)
    assert shares == pytest.approx({"0": 1, "1": 1 / 3, "2": 0, "3": 2 / 3})
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (1, 2)
    once = repeated(build, [[1, 0, 0, 1]])  # a single repeat is compared by its shares too
    assert vars(mcnemar(once, second)) == {"only_first": 1, "only_second": 2, "p": 1.0}


def test_holm_by_hand() -> None:
    # m = 4: .01·4, .02·3, .03·2 raised to the one before it, .04·1 likewise
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6, 0.7]) == [1.0, 1.0, 1.0]
    assert holm([0.01, None, 0.02]) == [0.02, None, 0.02]
    assert holm([None]) == [None] and holm([]) == []


def test_holm_equals_the_definition() -> None:
    p = np.random.default_rng(0).uniform(size=9) ** 3
    rank = np.argsort(np.argsort(p))
    for place, value in enumerate(holm(p.tolist())):
        steps = [min(1.0, (9 - rank[j]) * p[j]) for j in range(9) if rank[j] <= rank[place]]
        assert value == pytest.approx(max(steps))


def test_the_bootstraps_p_counts_what_lies_on_the_other_side() -> None:
    drawn = np.array([0.1] * 95 + [-0.1] * 3 + [0.0])
    assert bootstrap_p(drawn) == pytest.approx(2 * (1 + 4) / 100)
    assert bootstrap_p(-drawn) == bootstrap_p(drawn)
    assert bootstrap_p(np.full(1999, 0.2)) == pytest.approx(2 / 2000)
    assert bootstrap_p(np.zeros(50)) == 1.0
    mixed = np.array([0.1] * 99 + [np.nan])
    assert bootstrap_p(mixed) == pytest.approx(2 / 100)
    assert bootstrap_p(np.array([0.1] * 9 + [np.nan])) is None
    assert bootstrap_p(None) is None and bootstrap_p(np.array([])) is None


def test_the_bootstraps_p_agrees_with_a_normal_test() -> None:
    generator = np.random.default_rng(0)
    differences: Any = generator.normal(0.1, 1.0, 200)
    draws = differences[generator.integers(200, size=(20_000, 200))].mean(axis=1)
    expected = stats.ttest_1samp(differences, 0).pvalue
    assert expected > 0.05
    assert bootstrap_p(draws) == pytest.approx(expected, rel=0.1)
