"""Class weights: the paper's table, the formula, classes without images, names that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.training.cost.config import CostConfig
from cytolens.training.cost.weights import balanced_weights, check_class_names, class_weights

CLASSES = ("a", "b", "c")


def test_the_weights_of_the_paper() -> None:
    """contrastive2023, III.C.2: they follow from the class counts of its 812 test images."""
    counts = {"Dyskeratotic": 163, "Koilocytotic": 165, "Metaplastic": 159, "Parabasal": 158,
              "Superficial-Intermediate": 167}  # fmt: skip
    published = [
        0.996319018404908,
        0.9842424242424243,
        1.0213836477987421,
        1.0278481012658227,
        0.9724550898203593,
    ]
    assert sum(counts.values()) == 812
    found = balanced_weights(np.array(list(counts.values())))
    np.testing.assert_allclose(found, published, rtol=1e-15)


def test_the_mean_weight_of_an_image_is_one() -> None:
    labels = np.array([0] * 7 + [1] * 2 + [2] * 1)
    found = class_weights(CostConfig(), labels, CLASSES)
    assert found is not None
    np.testing.assert_allclose(found, [10 / 21, 10 / 6, 10 / 3])
    assert found[labels].mean() == pytest.approx(1)
    sums = [found[c] * (labels == c).sum() for c in range(3)]
    np.testing.assert_allclose(sums, sums[0])


def test_a_class_without_an_image_has_weight_0() -> None:
    found = class_weights(CostConfig(), np.array([0, 0, 0, 2]), CLASSES)
    assert found is not None
    np.testing.assert_allclose(found, [4 / 6, 0, 2])
    assert balanced_weights(np.array([5, 0, 0])).tolist() == [1, 0, 0]


def test_given_weights_and_none() -> None:
    given = CostConfig(class_weights={"c": 3.0, "a": 1.0, "b": 0.0})
    found = class_weights(given, np.array([0]), CLASSES)
    assert found is not None and found.tolist() == [1, 0, 3]
    assert class_weights(CostConfig(class_weights="none"), np.array([0]), CLASSES) is None


def test_names_that_do_not_fit() -> None:
    with pytest.raises(InputError) as caught:
        check_class_names({"HSIL": 1.0, "LSILL": 2.0}, ("HSIL", "LSIL", "NILM"))
    assert str(caught.value) == (
        "cost.class_weights and the classes differ.\n"
        "  - LSILL: no such class (did you mean 'LSIL'?)\n"
        "  - LSIL: no weight\n"
        "  - NILM: no weight\n"
        "Expected: a weight for each of HSIL, LSIL, NILM"
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"class_weights": {"a": -1.0, "b": 1.0}}, "  - a: -1"),
        ({"class_weights": {"a": 0.0, "b": 0.0}}, "must not be negative, and not all 0."),
        ({"class_weights": {}}, "not all 0"),
        ({"loss_weight": -0.1}, "cost.loss_weight must not be negative."),
    ],
)
def test_values_out_of_range(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        CostConfig(**settings)
    assert said in str(caught.value)
