"""Every ensemble against a naive loop over hand-made rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.evaluation import FUSIONS, Predictions, fuse

Build = Callable[..., Predictions]
Row = list[float]

# Three members, rows of three classes: agreement, a split vote, a tie of votes, extremes.
MEMBERS: list[list[Row]] = [
    [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.6, 0.3, 0.1], [1.0, 0.0, 0.0], [0.34, 0.33, 0.33]],
    [[0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.2, 0.7, 0.1], [0.0, 1.0, 0.0], [0.33, 0.34, 0.33]],
    [[0.5, 0.1, 0.4], [0.3, 0.4, 0.3], [0.1, 0.1, 0.8], [0.2, 0.3, 0.5], [0.33, 0.33, 0.34]],
]


def naive_mean(rows: list[Row]) -> Row:
    return [sum(row[c] for row in rows) / len(rows) for c in range(len(rows[0]))]


def naive_majority(rows: list[Row]) -> Row:
    votes = [0.0] * len(rows[0])
    for row in rows:
        votes[row.index(max(row))] += 1
    return [(v + q) / (len(rows) + 1) for v, q in zip(votes, naive_mean(rows), strict=True)]


def rank_sum(rows: list[Row], c: int) -> float:
    """Return the sum of the products of both fuzzy ranks; the smallest wins."""
    total = 0.0
    for row in rows:
        x = (row[c] - 1) ** 2 / 2
        total += (1 - math.exp(-x)) * (1 - math.tanh(x))
    return total


def naive_fuzzy_rank(rows: list[Row]) -> Row:
    worst = rank_sum([[0.0]] * len(rows), 0)
    scores = [1 - rank_sum(rows, c) / worst for c in range(len(rows[0]))]
    return [score / sum(scores) for score in scores]


def distance(rows: list[Row], c: int) -> float:
    """Return the product of three distances of a class to the best solution; the smallest wins."""
    v = [row[c] for row in rows]
    euclidean = math.sqrt(sum((1 - p) ** 2 for p in v))
    manhattan = sum(abs(1 - p) for p in v)
    length = math.sqrt(len(v)) * math.sqrt(sum(p * p for p in v))
    cosine = 1 - sum(v) / length if length else 1.0
    return euclidean * manhattan * (cosine if cosine > 1e-12 else 0.0)


def naive_fuzzy_distance(rows: list[Row]) -> Row:
    if len({row.index(max(row)) for row in rows}) == 1:
        return naive_mean(rows)
    scores = [1 - distance(rows, c) / len(rows) ** 1.5 for c in range(len(rows[0]))]
    return [score / sum(scores) for score in scores]


NAIVE = {
    "mean": naive_mean,
    "majority": naive_majority,
    "fuzzy_rank": naive_fuzzy_rank,
    "fuzzy_distance": naive_fuzzy_distance,
}


def test_every_fusion_is_tested() -> None:
    assert set(NAIVE) == set(FUSIONS)


@pytest.mark.parametrize("method", NAIVE)
@pytest.mark.parametrize("members", [2, 3])
def test_fusions_equal_naive_loops(build: Build, method: str, members: int) -> None:
    generator = np.random.default_rng(0)
    drawn = generator.dirichlet(np.ones(3), size=(3, 20))
    tables: NDArray[np.float64] = np.concatenate([np.array(MEMBERS), drawn], axis=1)[:members]
    labels = [0, 1, 2, 0, 1] + [0] * 20
    fused = fuse([build(table, labels) for table in tables], method)
    for row in range(25):
        expected = NAIVE[method]([table[row].tolist() for table in tables])
        assert fused.probabilities[row] == pytest.approx(expected, abs=1e-12)
    assert fused.probabilities.sum(axis=1) == pytest.approx(np.ones(25))


def test_the_papers_decisions(build: Build) -> None:
    """The winners are those of the published rules: the smallest sum, the smallest product."""
    generator = np.random.default_rng(1)
    tables = generator.dirichlet(np.ones(4), size=(3, 200))
    sets = [build(table, [0] * 200) for table in tables]
    ranks = [
        min(range(4), key=lambda c: rank_sum([t[row].tolist() for t in tables], c))
        for row in range(200)
    ]
    assert fuse(sets, "fuzzy_rank").predicted.tolist() == ranks
    winners = []
    for row in range(200):
        rows = [t[row].tolist() for t in tables]
        agreed = {one.index(max(one)) for one in rows}
        best = min(range(4), key=lambda c: distance(rows, c))
        winners.append(agreed.pop() if len(agreed) == 1 else best)
    assert fuse(sets, "fuzzy_distance").predicted.tolist() == winners


def test_decisions_by_hand(build: Build) -> None:
    sets = [build(table, [0] * 5) for table in MEMBERS]
    assert fuse(sets, "mean").predicted.tolist() == [0, 1, 1, 1, 0]
    # row 2 has a vote for each class: the mean .3, .37, .33 decides
    assert fuse(sets, "majority").predicted.tolist() == [0, 1, 1, 1, 0]
    votes = fuse(sets, "majority").probabilities[1]
    assert votes == pytest.approx([1.3 / 4, (2 + 1.4 / 3) / 4, 0.7 / 3 / 4], abs=1e-12)


def test_a_majority_is_never_overturned(build: Build) -> None:
    sets = [build([row], [0]) for row in ([0.51, 0.49], [0.51, 0.49], [0.0, 1.0])]
    assert fuse(sets, "mean").predicted.tolist() == [1]
    assert fuse(sets, "majority").predicted.tolist() == [0]


def test_equal_small_probabilities_win_where_members_disagree(build: Build) -> None:
    """The published rule has this property; it is kept and written down."""
    sets = [build([row], [0]) for row in ([0.85, 0.05, 0.1], [0.05, 0.85, 0.1])]
    assert fuse(sets, "fuzzy_distance").predicted.tolist() == [2]
    assert fuse(sets, "fuzzy_rank").predicted.tolist() != [2]


def test_rows_are_matched_by_image_and_repeat(build: Build) -> None:
    first = build([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]], [0, 1, 0, 1],
                  ids=["a", "b", "a", "b"], units=["a", "b", "a", "b"],
                  repeats=np.array([0, 0, 1, 1]))  # fmt: skip
    back = first.select([3, 1, 2, 0])
    fused = fuse([first, back], "mean")
    assert fused.ids == first.ids and fused.probabilities == pytest.approx(first.probabilities)


def test_sets_that_cannot_be_fused_are_refused(build: Build) -> None:
    one = build([[0.9, 0.1], [0.2, 0.8]], [0, 1])
    with pytest.raises(InputError, match="1 set of predictions; an ensemble needs two or more"):
        fuse([one], "mean")
    with pytest.raises(InputError, match=r"Unknown fusion 'man' \(did you mean 'mean'\?\)"):
        fuse([one, one], "man")
    with pytest.raises(InputError, match="set 1 and set 2 differ in 1 image"):
        fuse([one, one.select([0])], "mean")
    again = Predictions(**(vars(one) | {"repeats": np.array([1, 1])}))
    with pytest.raises(InputError, match="Set 2 has other repeats than the first"):
        fuse([one, again], "mean")
