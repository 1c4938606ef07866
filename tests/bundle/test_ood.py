"""Out of distribution: distances against closed forms and naive loops, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load, save
from scipy.stats import beta, binom
from sklearn.covariance import LedoitWolf

from cytolens.bundle.ood import FARTHEST, LIMIT, Ood, OodCard, fit_ood, reason
from cytolens.core.config import from_dict, to_dict
from cytolens.core.errors import InputError
from cytolens.core.seeding import rng

Floats = NDArray[np.float64]


def cloud(name: str, n: int, d: int, shift: float = 0.0) -> Floats:
    """Return a correlated Gaussian cloud beside the origin, as features after a ReLU are."""
    mixing = rng(0, "mixing", d).normal(size=(d, d)) / np.sqrt(d)
    centre = np.full(d, 3.0)
    centre[: d // 2] += shift
    return np.asarray(rng(0, name).normal(size=(n, d)) @ mixing + centre)


def unit(features: Floats) -> Floats:
    return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True))


@pytest.fixture(scope="module")
def fitted() -> Ood:
    return fit_ood(cloud("train", 300, 16), None, cloud("held", 200, 16), seed=1)


def test_mahalanobis_is_that_of_the_ledoit_wolf_covariance(fitted: Ood) -> None:
    reference = LedoitWolf().fit(unit(cloud("train", 300, 16)))
    new = np.concatenate([cloud("new", 20, 16), cloud("far", 5, 16, shift=2.0)])
    expected = np.sqrt(reference.mahalanobis(unit(new)))
    ours = fitted.distances(new)[:, 0] * fitted.card.mahalanobis
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


def test_fewer_images_than_features_give_the_same_distance() -> None:
    """All directions that 40 images span, and one variance for the 60 others: nothing is lost."""
    train, new = cloud("train", 40, 100), cloud("new", 20, 100)
    ood = fit_ood(train, None, cloud("held", 40, 100))
    assert ood.tensors["projection"].shape == (100, 39)
    expected = np.sqrt(LedoitWolf().fit(unit(train)).mahalanobis(unit(new)))
    np.testing.assert_allclose(ood.distances(new)[:, 0] * ood.card.mahalanobis, expected, rtol=1e-4)


def test_directions_left_out_have_their_mean_variance() -> None:
    train, new = cloud("train", 500, 150), cloud("new", 10, 150)
    ood = fit_ood(train, None, cloud("held", 100, 150))
    assert ood.tensors["projection"].shape == (150, 128)
    covariance = LedoitWolf().fit(unit(train)).covariance_
    values, vectors = np.linalg.eigh(covariance)
    values[:22] = values[:22].mean()
    along = (unit(new) - unit(train).mean(axis=0)) @ vectors
    expected = np.sqrt((along**2 / values).sum(axis=1))
    np.testing.assert_allclose(ood.distances(new)[:, 0] * ood.card.mahalanobis, expected, rtol=1e-3)


def test_the_nearest_distance_against_a_loop(fitted: Ood) -> None:
    train, new = unit(cloud("train", 300, 16)), cloud("new", 30, 16)
    expected = [
        sorted(float(np.linalg.norm(row - other)) for other in train)[4] for row in unit(new)
    ]
    ours = fitted.distances(new)[:, 1] * fitted.card.nearest
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    np.testing.assert_array_equal(fitted.score(new), fitted.distances(new).max(axis=1))


@pytest.mark.parametrize("acceptance", [0.8, 0.95])
def test_the_score_accepts_the_wanted_share(acceptance: float) -> None:
    held, new = cloud("held", 199, 16), cloud("new", 2000, 16)
    ood = fit_ood(cloud("train", 300, 16), None, held, acceptance=acceptance)
    rank = round(200 * acceptance)
    assert int((~ood.out(held)).sum()) == rank, "the rank-th smallest score is the limit"
    assert ood.card.accepts.value == pytest.approx(acceptance)
    passed = int((~ood.out(new)).sum())
    # The share that passes is Beta(rank, 200 - rank), and 2000 new images are binomial of it.
    low, high = beta.ppf([1e-4, 1 - 1e-4], rank, 200 - rank)
    assert binom.ppf(1e-4, 2000, low) <= passed <= binom.ppf(1 - 1e-4, 2000, high)
    assert ood.card.accepts.low < acceptance < ood.card.accepts.high
    np.testing.assert_allclose(
        [ood.card.accepts.low, ood.card.accepts.high], beta.ppf([0.025, 0.975], rank, 200 - rank)
    )


def test_both_distances_take_part(fitted: Ood) -> None:
    held = fitted.distances(cloud("held", 200, 16))
    assert (held.max(axis=0) > LIMIT).all(), "each refuses some of the own images"
    assert ((held <= LIMIT).mean(axis=0) > 0.95).all(), "so each alone accepts more than both"


def test_strangers_are_refused(fitted: Ood) -> None:
    noise = rng(0, "noise").normal(size=(50, 16))
    for strange in (cloud("far", 50, 16, shift=4.0), noise, -cloud("new", 50, 16)):
        assert fitted.out(strange).mean() >= 0.95
    np.testing.assert_allclose(
        fitted.score(1000 * cloud("new", 9, 16)), fitted.score(cloud("new", 9, 16)), rtol=1e-6
    )


def test_a_score_is_always_a_number(fitted: Ood) -> None:
    bad = cloud("new", 4, 16)
    bad[0, 3], bad[1, 0], bad[2] = np.nan, np.inf, 0.0
    score = fitted.score(bad)
    assert score[:2].tolist() == [FARTHEST, FARTHEST] and LIMIT < score[2] < FARTHEST
    assert score[3] == pytest.approx(fitted.score(cloud("new", 4, 16))[3])
    assert fitted.score(np.zeros((0, 16))).shape == (0,)
    far = Ood(replace(fitted.card, nearest=1e-9), fitted.tensors)
    assert far.score(bad[3:]).tolist() == [FARTHEST]


def test_one_by_one_is_all_at_once(fitted: Ood) -> None:
    new = cloud("many", 600, 16).astype(np.float32)
    alone = [fitted.score(row[None])[0] for row in new]
    np.testing.assert_allclose(fitted.score(new), alone, rtol=1e-6)


def test_what_is_written_is_what_is_read(fitted: Ood) -> None:
    card = from_dict(OodCard, json.loads(json.dumps(to_dict(fitted.card), allow_nan=False)), "ood")
    assert card == fitted.card
    again, new = Ood(card, load(save(fitted.tensors))), cloud("new", 50, 16)
    np.testing.assert_array_equal(again.score(new), fitted.score(new))
    assert {name: str(t.dtype) for name, t in fitted.tensors.items()} == dict.fromkeys(
        ("mean", "precision", "projection", "reference"), "float32"
    )


def test_groups_share_the_references_and_the_seed_decides() -> None:
    train = cloud("train", 1500, 4)
    groups = ["large"] * 1300 + [f"small {i % 20}" for i in range(200)]
    held = cloud("held", 50, 4)
    kept = fit_ood(train, groups, held, seed=3).tensors["reference"]
    place = {tuple(row): group for row, group in zip(unit(train).astype("f4"), groups, strict=True)}
    count = Counter(place[tuple(row)] for row in kept)
    assert len(kept) == 1000 and count.pop("large") == 800
    assert set(count.values()) == {10}, "all of the small groups"
    np.testing.assert_array_equal(kept, fit_ood(train, groups, held, seed=3).tensors["reference"])
    other = fit_ood(train, groups, held, seed=4).tensors["reference"]
    assert not np.array_equal(kept, other)


def test_some_features_may_be_constant() -> None:
    def padded(name: str, n: int) -> Floats:
        return np.hstack([cloud(name, n, 8), np.zeros((n, 4))])

    ood = fit_ood(padded("train", 100), None, padded("held", 40))
    assert ood.out(padded("new", 200)).mean() < 0.3
    awake = padded("new", 20)
    awake[:, 8:] = 3.0  # features that no training image had
    assert ood.out(awake).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train": cloud("train", 19, 8)},
            "19 training and 40 held-out images are too few to tell own images from strange ones."
            "\nExpected: at least 20 training images, and 19 held-out images to accept 95%",
        ),
        ({"held": cloud("held", 18, 8)}, "30 training and 18 held-out images are too few"),
        ({"acceptance": 0.99}, "99 held-out images to accept 99%"),
        ({"acceptance": 1.0}, "An acceptance of 1 is out of range."),
        ({"held": cloud("held", 40, 9)}, "Training features have 8 values, held-out 9."),
        ({"train": np.zeros(30)}, "The training features have the shape (30,)."),
        ({"groups": ["a"]}, "There are 1 groups for 30 training images."),
        (
            {"train": np.where(np.eye(30, 8) * [1, 0, 0, 0, 0, 1, 0, 0] > 0, np.nan, 1.0)},
            "The features of 2 training images hold values that are not numbers.\n"
            "  - row 0\n  - row 5\n",
        ),
        (
            {"train": np.ones((30, 8)) * np.arange(1, 31)[:, None]},
            "The features of all 30 training images are the same.",
        ),
        (
            {"train": np.repeat(cloud("a", 6, 8), 5, 0), "held": np.repeat(cloud("a", 6, 8), 5, 0)},
            "The held-out images have the same features as training images.",
        ),
    ],
)
def test_what_cannot_be_fitted(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"train": cloud("train", 30, 8), "held": cloud("held", 40, 8)} | changes
    train, held = given.pop("train"), given.pop("held")
    with pytest.raises(InputError) as caught:
        fit_ood(train, given.pop("groups", None), held, **given)
    assert message in str(caught.value)


def test_statistics_that_do_not_fit(fitted: Ood) -> None:
    tensors: dict[str, Any] = {**fitted.tensors, "more": np.zeros(1, np.float32)}
    del tensors["mean"]
    tensors["precision"] = tensors["precision"].astype(np.float64)
    with pytest.raises(InputError) as caught:
        Ood(fitted.card, tensors)
    assert caught.value.rows == (
        "mean is missing",
        "more is unknown",
        "precision is float64 (17,), expected float32 (17,)",
    )
    with pytest.raises(InputError, match="neighbours is 301, with 300 references"):
        Ood(replace(fitted.card, neighbours=301), fitted.tensors)
    with pytest.raises(InputError, match="a limit is not above 0"):
        Ood(replace(fitted.card, nearest=0.0), fitted.tensors)
    with pytest.raises(InputError, match=r"mean is float32 \(16,\), expected float32 \(8,\)"):
        Ood(replace(fitted.card, width=8), fitted.tensors)
    with pytest.raises(InputError, match=r"shape \(3, 8\) cannot be compared .*\n.*\[n, 16\]"):
        fitted.score(np.zeros((3, 8)))


def test_the_sentence() -> None:
    assert reason(1.84) == (
        "the image does not look like those the model was trained on "
        "(distance 1.8 times the largest that is accepted)"
    )
    assert "more than 100 times" in reason(FARTHEST)
    assert "1.01 times" in reason(1.012), "and near the limit, one digit more"


def test_scores_without_torch_and_without_scikit_learn() -> None:
    program = """
import importlib.util, sys
from pathlib import Path
sys.modules["torch"] = sys.modules["sklearn"] = sys.modules["scipy"] = None
[folder] = importlib.util.find_spec("cytolens.bundle").submodule_search_locations
for name in ("cytolens.bundle.neighbours", "ood"):  # without the package, which takes scipy
    file = Path(folder) / f"{name.rpartition('.')[2]}.py"
    spec = importlib.util.spec_from_file_location(name, file)
    ood = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ood)
import numpy as np
from numpy import float32 as f4
tensors = {"mean": np.zeros(2, f4), "projection": np.eye(2, dtype=f4), "precision": np.ones(3, f4),
           "reference": np.eye(2, dtype=f4)}
card = ood.OodCard(2, 1, 0.5, 1.0, 0.95, ood.Share(0.95, 0.9, 1.0), 20, 20)
print(ood.Ood(card, tensors).distances([[3.0, 4.0]]).tolist())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    [[mahalanobis, nearest]] = json.loads(done.stdout)
    assert mahalanobis == pytest.approx(2.0)
    assert nearest == pytest.approx(np.hypot(0.6, 0.2)), "from (0, 1) to (0.6, 0.8)"
