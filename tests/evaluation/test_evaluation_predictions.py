"""What predictions are refused for, word by word."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.evaluation import Predictions, pool

Build = Callable[..., Predictions]
HALF = [[0.5, 0.5]] * 3


def refused(make: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        make()
    return str(caught.value)


def test_columns_become_arrays_of_the_promised_types(build: Build) -> None:
    predictions = build(np.float32([[0.3, 0.7], [0.5, 0.5]]), [1, 0], classes=["a", "b"])
    assert predictions.labels.dtype == np.int64
    assert predictions.probabilities.dtype == np.float64
    assert predictions.classes == ("a", "b")
    assert predictions.predicted.tolist() == [1, 0]
    assert (len(predictions), predictions.images) == (2, 2)


def test_no_rows(build: Build) -> None:
    assert refused(lambda: build(np.empty((0, 2)), [])) == "There are no predictions to score."


def test_columns_of_different_length(build: Build) -> None:
    assert refused(lambda: build(HALF, [0, 1])) == (
        "The columns of the predictions differ in length.\n"
        "  - ids: 3\n  - labels: 2\n  - folds: 3\n  - repeats: 3\n  - units: 3"
    )


def test_probabilities_of_another_number_of_classes(build: Build) -> None:
    assert refused(lambda: build(HALF, [0, 1, 0], classes=("a", "b", "c"))) == (
        "The probabilities have shape (3, 2).\nExpected: (3, 3): a row an image, a column a class"
    )


def test_a_class_named_twice(build: Build) -> None:
    assert refused(lambda: build(HALF, [0, 1, 0], classes=("a", "a"))) == (
        "A class is named twice.\n  - a\n  - a"
    )


def test_labels_that_are_not_whole_numbers(build: Build) -> None:
    message = refused(lambda: build(HALF, np.array([0.0, 1.0, 0.5])))
    assert message == "The labels are float64.\nExpected: whole numbers"


def test_labels_out_of_range(build: Build) -> None:
    assert refused(lambda: build(HALF, [0, 2, -1])) == (
        "2 labels out of range.\n  - 1.png: label 2\n  - 2.png: label -1\n"
        "Expected: 0 to 1, the places of a, b"
    )


def test_probabilities_that_are_nan(build: Build) -> None:
    assert refused(lambda: build([[0.5, 0.5], [np.nan, 1.0]], [0, 1])) == (
        "1 row with probabilities that are not numbers.\n  - 1.png: nan, 1\n"
        "Way out: the training has diverged; lower the learning rate."
    )


@pytest.mark.parametrize("row", [[0.5, 0.6], [1.2, -0.2], [2.0, 1.0]])
def test_probabilities_that_are_no_distribution(build: Build, row: list[float]) -> None:
    assert refused(lambda: build([[0.5, 0.5], row], [0, 1])) == (
        "1 row with probabilities that do not sum to 1.\n"
        f"  - 1.png: {row[0]:.4g}, {row[1]:.4g} sum to {sum(row):.4g}\n"
        "Expected: numbers from 0 to 1 with the sum 1, as a softmax gives them"
    )


def test_an_image_predicted_twice(build: Build) -> None:
    twice = {"ids": ["x", "y", "x"], "units": ["u"] * 3, "folds": [0, 0, 1]}
    assert refused(lambda: build(HALF, [0, 1, 0], **twice)) == (
        "1 image predicted more than once in a repeat.\n  - x: repeat 0, folds 0, 1\n"
        "Expected: every image in the test part of exactly one fold a repeat"
    )
    assert build(HALF, [0, 1, 0], **twice, repeats=[0, 0, 1]).images == 2


def test_an_image_with_two_truths(build: Build) -> None:
    rows = {"ids": ["x", "y", "x"], "units": ["u", "u", "v"], "repeats": [0, 0, 1]}
    assert refused(lambda: build(HALF, [0, 1, 1], **rows)) == (
        "1 image with more than one label or unit.\n  - x: label a, unit u; label b, unit v"
    )


def parts(build: Build, places: list[tuple[int, int]]) -> list[Predictions]:
    """Return a part of two images for each (fold, repeat); the images depend on the fold."""
    return [
        build(
            [[0.4, 0.6]] * 2,
            [0, 1],
            ids=[f"{fold}a", f"{fold}b"],
            units=[f"unit {fold}"] * 2,
            folds=[fold] * 2,
            repeats=[repeat] * 2,
        )
        for fold, repeat in places
    ]


def test_pool_joins_folds_and_repeats(build: Build) -> None:
    pooled = pool(parts(build, [(0, 0), (1, 0), (1, 1), (0, 1)]))
    assert len(pooled) == 8
    assert pooled.images == 4
    assert pooled.ids[4:6] == ["1a", "1b"]
    assert pooled.repeats.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_pool_takes_repeated_holdouts_of_different_images(build: Build) -> None:
    first, second = parts(build, [(0, 0), (0, 1)])
    other = build(
        second.probabilities, [0, 1], ids=["p", "q"], folds=[0, 0], repeats=[1, 1], units=["u", "u"]
    )
    assert pool([first, other]).images == 4


@pytest.mark.parametrize(
    ("places", "missing"),
    [
        ([(0, 0), (1, 0), (3, 0)], "repeat 0: fold 2"),
        ([(1, 0), (3, 0)], "repeat 0: fold 2"),
        ([(0, 0), (1, 0), (0, 1)], "repeat 1: fold 1"),
    ],
)
def test_pool_refuses_a_missing_fold(
    build: Build, places: list[tuple[int, int]], missing: str
) -> None:
    assert refused(lambda: pool(parts(build, places))) == (
        f"1 fold without predictions.\n  - {missing}\n"
        "Expected: the predictions of every fold, each image exactly once a repeat\n"
        "Way out: run the missing folds; the same command resumes what was cut off."
    )


def test_pool_refuses_images_that_are_missing_or_not_asked_for(build: Build) -> None:
    pair = parts(build, [(0, 0), (1, 0)])
    assert len(pool(pair, expected=["0a", "0b", "1a", "1b"])) == 4
    message = refused(lambda: pool(pair, expected=["0a", "0b", "1a", "1b", "2a", "2b"]))
    assert message.startswith("2 images without predictions.\n  - repeat 0: 2a\n  - repeat 0: 2b\n")
    assert refused(lambda: pool(pair, expected=["0a", "0b", "1a"])) == (
        "1 image predicted that the split does not test.\n  - repeat 0: 1b"
    )


def test_pool_refuses_an_image_missing_in_one_repeat(build: Build) -> None:
    whole = parts(build, [(0, 0), (1, 0), (0, 1)])
    short = build(
        [[0.5, 0.5]], [0], ids=["1a"], units=["unit 1"], folds=np.array([1]), repeats=np.array([1])
    )
    message = refused(lambda: pool([*whole, short]))
    assert message.startswith("1 image without predictions.\n  - repeat 1: 1b\n")


def test_pool_refuses_nothing_and_other_classes(build: Build) -> None:
    assert refused(lambda: pool([])) == "There are no predictions to pool."
    one, two = parts(build, [(0, 0), (1, 0)])
    other = build(two.probabilities, [0, 1], ids=two.ids, classes=("b", "a"))
    assert refused(lambda: pool([one, other])) == (
        "The folds were trained on different classes.\n  - b, a\nExpected: a, b"
    )
