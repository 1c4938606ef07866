"""Balanced batches: as many images of each class, each image in its turn, the same for a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.training.contrastive.config import ContrastiveConfig
from cytolens.training.contrastive.sampler import balanced_batches

COUNTS = [90, 31, 12, 5]
LABELS = np.repeat(np.arange(4), COUNTS)
ROWS = np.random.default_rng(1).permutation(200)[: len(LABELS)]


def _batches(counts: list[int] | None = None, *names: int, **settings: Any) -> list[np.ndarray]:
    labels = LABELS if counts is None else np.repeat(np.arange(len(counts)), counts)
    rows = ROWS if counts is None else np.arange(len(labels))
    config = ContrastiveConfig(**settings)
    return balanced_batches(rows, labels, config, 3, "pairs", *names)


def _class_of() -> dict[int, int]:
    return dict(zip(ROWS.tolist(), LABELS.tolist(), strict=True))


def test_every_batch_is_balanced_and_holds_no_image_twice() -> None:
    batches = _batches(batch=20)
    assert len(batches) == -(-138 // 20)
    for batch in batches:
        assert len(set(batch.tolist())) == len(batch) == 20
        assert np.bincount([_class_of()[row] for row in batch.tolist()]).tolist() == [5] * 4


def test_a_small_class_gives_all_it_has() -> None:
    for batch in _batches(batch=32):
        assert np.bincount([_class_of()[r] for r in batch.tolist()]).tolist() == [8, 8, 8, 5]


@pytest.mark.parametrize("settings", [{"batch": 20}, {"batch": 32}, {"batch": 8}])
def test_images_of_a_class_take_turns(settings: dict[str, int]) -> None:
    """Over an epoch no image is used twice more than another of its class."""
    used = np.bincount(np.concatenate(_batches(**settings)), minlength=200)
    for label in range(4):
        of_class = used[ROWS[LABELS == label]]
        assert of_class.max() - of_class.min() <= 1
    assert used.sum() == used[ROWS].sum(), "rows of the training part alone"


def test_equal_classes_are_seen_once_an_epoch() -> None:
    batches = _batches([24, 24, 24], batch=12)
    assert len(batches) == 6
    assert sorted(np.concatenate(batches).tolist()) == list(range(72))


def test_more_classes_than_a_batch_has_room_for_take_turns() -> None:
    batches = _batches([6] * 10, batch=8, images_a_class=2)
    seen = np.zeros(10, int)
    for batch in batches:
        counts = np.bincount(batch // 6, minlength=10)
        assert sorted(counts.tolist()) == [0] * 6 + [2] * 4
        seen += counts > 0
    assert seen.max() - seen.min() <= 1


def test_the_same_seed_gives_the_same_batches_and_another_epoch_others() -> None:
    def flat(*names: int) -> list[list[int]]:
        return [batch.tolist() for batch in _batches(None, *names, batch=20)]

    assert flat(0, 1, 5) == flat(0, 1, 5)
    assert flat(0, 1, 5) != flat(0, 1, 6)
    assert flat(0, 1, 5) != flat(0, 2, 5)


def test_one_class_and_one_image_a_class() -> None:
    assert [len(b) for b in _batches([9], batch=4)] == [4, 4, 4]
    assert set(np.concatenate(_batches([1, 1, 1], batch=4)).tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch": 3}, "A batch of 3 images has no room for two classes of 2."),
        ({"images_a_class": 17}, "A batch of 32 images has no room for two classes of 17."),
        ({"images_a_class": 0}, "no room for two classes of 0"),
        ({"temperature": 0.0}, "temperature, margin and lr must be above 0."),
        ({"margin": -1.0}, "temperature, margin and lr must be above 0."),
        ({"epochs": 0}, "projection and epochs must be at least 1."),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        ContrastiveConfig(**settings)
    assert said in caught.value.what
