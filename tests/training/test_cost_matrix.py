"""Cost matrices: those that ship keep what their reasons promise, those written out are checked."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.training.cost.bethesda import NAMES
from cytolens.training.cost.config import CostConfig
from cytolens.training.cost.matrix import COST_MATRICES, cost_matrix

FOUR = ("HSIL", "LSIL", "NILM", "SCC")


def test_none_counts_errors() -> None:
    assert cost_matrix(CostConfig(), ("a", "b", "c")).tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]


def test_the_bethesda_costs_keep_their_reasons() -> None:
    costs = cost_matrix(CostConfig(matrix="bethesda"), NAMES)
    assert costs.shape == (7, 7) and not costs.diagonal().any()
    assert (costs + np.eye(7) > 0).all()
    for low, high in combinations(range(7), 2):
        if {NAMES[low], NAMES[high]} != {"ASC-H", "AGC"}:  # of one rank
            assert costs[high, low] > costs[low, high], (NAMES[low], NAMES[high])
    assert costs.max() == costs[NAMES.index("SCC"), NAMES.index("NILM")]
    assert costs[0].max() == 5, "overcalling NILM"


def test_bethesda_in_any_order_and_spelling_and_of_some_classes() -> None:
    config = CostConfig(matrix="bethesda")
    found = cost_matrix(config, FOUR)
    assert found.tolist() == [[0, 4, 10, 1], [2, 0, 2, 4], [3, 1, 0, 5], [3, 10, 25, 0]]
    assert cost_matrix(config, ("scc", "Nilm")).tolist() == [[0, 25], [5, 0]]
    assert cost_matrix(config, ("ASCUS", "asc h")).tolist() == [[0, 1.5], [3, 0]]


@pytest.mark.parametrize("classes", [("NILM", "normal"), ("ASC-US", "ASCUS", "NILM")])
def test_bethesda_guesses_nothing(classes: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        cost_matrix(CostConfig(matrix="bethesda"), classes)
    assert 'cost.matrix = "bethesda" does not know these classes.' in str(caught.value)
    assert "Way out: map the labels with data.label_map, or write the costs" in str(caught.value)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (("normal", "abnormal"), [[0, 1], [5, 0]]),
        (("Malignant", "Benign"), [[0, 5], [1, 0]]),
        (("leukaemia", "healthy"), [[0, 5], [1, 0]]),
    ],
)
def test_binary_costs(classes: tuple[str, ...], expected: list[list[float]]) -> None:
    assert cost_matrix(CostConfig(matrix="binary"), classes).tolist() == expected


@pytest.mark.parametrize("classes", [("a", "b"), ("benign", "normal"), ("normal", "abnormal", "x")])
def test_binary_guesses_nothing(classes: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="cannot tell which of"):
        cost_matrix(CostConfig(matrix="binary"), classes)


def test_costs_written_out() -> None:
    table = {"b": {"a": 7.5, "b": 0.0}, "c": {"a": 0.0}}
    found = cost_matrix(CostConfig(matrix=table), ("a", "b", "c"))
    assert found.dtype == np.float64
    assert found.tolist() == [[0, 1, 1], [7.5, 0, 1], [0, 1, 0]]


def test_all_wrong_costs_at_once() -> None:
    table = {"HSIL": {"NILM": -1.0, "HSIL": 2.0, "LSL": 3.0}, "SC": {"NILM": 4.0, "x": 1.0}}
    with pytest.raises(InputError) as caught:
        cost_matrix(CostConfig(matrix=table), FOUR)
    assert str(caught.value) == (
        "cost.matrix is not a matrix of costs.\n"
        "  - HSIL.NILM: -1 is negative\n"
        "  - HSIL.HSIL: 2, but a right decision costs 0\n"
        "  - HSIL.LSL: no such class (did you mean 'LSIL'?)\n"
        "  - SC: no such class (did you mean 'SCC'?)\n"
        "  - SC.x: no such class\n"
        "Expected: {true class: {predicted class: cost}} with costs of 0 and more, of "
        "HSIL, LSIL, NILM, SCC"
    )


def test_an_unknown_name() -> None:
    with pytest.raises(InputError, match=r"Unknown cost matrix 'betesda' \(did you mean 'bethesd"):
        cost_matrix(CostConfig(matrix="betesda"), FOUR)
    assert COST_MATRICES.names() == ("none", "bethesda", "binary")
