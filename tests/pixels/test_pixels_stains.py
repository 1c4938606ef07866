"""Stain normalisation against images whose stains are known."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from cytolens.core.errors import InputError
from cytolens.pixels.steps.macenko import Macenko
from cytolens.pixels.steps.reinhard import Reinhard

Image = npt.NDArray[np.uint8]

KNOWN = np.array([[0.65, 0.70, 0.29], [0.15, 0.92, 0.36]])  # haematoxylin, eosin


def stained(vectors: npt.NDArray[np.float64] = KNOWN, strength: float = 1.0) -> Image:
    """Beer and Lambert's image of two stains, some pixels of one alone, uint8 [80, 80, 3]."""
    rng = np.random.default_rng(0)
    amounts = rng.uniform(0.4, 1.3, (6400, 2)) * strength
    amounts[:800, 0] = 0
    amounts[800:1600, 1] = 0
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    rgb = 240 * np.exp(-amounts @ unit) - 1  # [6400, 3]
    return np.asarray(rgb.round().clip(0, 255), np.uint8).reshape(80, 80, 3)


def degrees(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return float(np.rad2deg(np.arccos(min(1.0, cosine))))


def test_macenko_finds_the_stains() -> None:
    stains = Macenko(beta=0.05).estimate(stained())
    assert stains is not None
    for found, known in zip(stains.vectors.T, KNOWN, strict=True):
        assert degrees(found, known) < 1.5
    assert stains.maxima == pytest.approx([1.29, 1.29], abs=0.06)


def test_macenko_moves_the_stains_to_the_target() -> None:
    step = Macenko(beta=0.05)
    after = step.estimate(step(stained()))
    assert after is not None
    assert degrees(after.vectors[:, 0], np.array(step.haematoxylin)) < 2
    assert degrees(after.vectors[:, 1], np.array(step.eosin)) < 2
    assert after.maxima == pytest.approx(step.maxima, rel=0.05)


def test_macenko_makes_two_stainings_of_one_tissue_alike() -> None:
    pale = stained(strength=0.8)
    other = stained(np.array([[0.55, 0.75, 0.36], [0.10, 0.95, 0.30]]), strength=1.1)
    step = Macenko(beta=0.05)
    before = np.abs(pale.astype(int) - other).mean()
    after = np.abs(step(pale).astype(int) - step(other)).mean()
    assert after < before / 5


def test_macenko_to_an_images_own_stains_changes_nothing() -> None:
    image = stained()
    own = Macenko(beta=0.05).estimate(image)
    assert own is not None
    (h, e), (first, second) = own.vectors.T.clip(0, 1), own.maxima
    step = Macenko(0.0 + 240, 0.05, 1.0, tuple(h), tuple(e), (first, second))
    assert np.abs(step(image).astype(int) - image).max() <= 2


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (120, 60, 150)])
def test_macenko_without_two_stains_changes_nothing(colour: tuple[int, int, int]) -> None:
    image = np.full((30, 30, 3), colour, np.uint8)
    assert Macenko().estimate(image) is None
    assert Macenko()(image) is image


def test_macenko_refuses_nonsense() -> None:
    with pytest.raises(InputError) as caught:
        Macenko(light=0, alpha=60)
    assert str(caught.value) == (
        "macenko has 2 wrong values.\n"
        "  - light must be at least 1 and at most 255, got 0\n"
        "  - alpha must be at least 0 and at most 49, got 60"
    )


def test_reinhard_reaches_its_target() -> None:
    step = Reinhard(mean=(60.0, 20.0, -15.0), std=(8.0, 5.0, 4.0))
    result = step(stained()).astype(np.float32) / 255
    lab = cv2.cvtColor(result, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    assert lab.mean(axis=0) == pytest.approx(step.mean, abs=0.5)
    assert lab.std(axis=0) == pytest.approx(step.std, abs=0.5)


def test_reinhard_only_shifts_a_channel_without_spread() -> None:
    grey = np.repeat(np.arange(60, 200, dtype=np.uint8)[:, None, None], 3, axis=2)  # [140, 1, 3]
    step = Reinhard(mean=(60.0, 5.0, -5.0), std=(10.0, 5.0, 4.0))
    lab = cv2.cvtColor(step(grey).astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    assert lab.mean(axis=0) == pytest.approx([60, 5, -5], abs=0.5)
    assert lab[:, 1:].std(axis=0).max() < 0.7
