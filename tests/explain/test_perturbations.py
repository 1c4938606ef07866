"""Methods that explain an image by itself: LIME, integrated gradients, occlusion, RISE, random."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.metrics import pairwise_distances
from tests.explain.conftest import HAND_SIZE, hand_subject, noise, random_subject

from cytolens.core.errors import InputError
from cytolens.explain import METHODS, Explanation, Subject, class_target, difference
from cytolens.explain.explanation import EMPTY
from cytolens.explain.methods.integrated_gradients import IntegratedGradients
from cytolens.explain.methods.lime import Lime, fit, mean_colours, superpixels
from cytolens.explain.methods.method import draws_for
from cytolens.explain.methods.occlusion import Occlusion, windows
from cytolens.explain.methods.random_map import RandomMap
from cytolens.explain.methods.rise import RandomMasks, Rise

SMALL: dict[str, dict[str, Any]] = {
    "lime": {"segments": 8, "samples": 40},
    "integrated_gradients": {"steps": 3},
    "occlusion": {"window": 16, "stride": 11},
    "rise": {"masks": 40, "grid": 4},
    "random_map": {"grid": 5},
}
SEEDED = ("lime", "rise", "random_map")

# Probabilities that are all but linear in the pixels: p(c0) = .5 + .25 · (score 0 - score 1).
SLOPE = np.float32(1e-3)
FAINT = SLOPE * np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)


@pytest.fixture(scope="module")
def small() -> Subject:
    """The small backbone with random weights at 48 x 64 px, scored by torch."""
    return random_subject("cytolens_tiny", (48, 64), engine="torch")


def explained(
    subject: Subject, name: str, images: NDArray[np.uint8], **settings: Any
) -> list[Explanation]:
    """Explain the first class by a method."""
    target = class_target(subject.classes, subject.classes[0])
    return METHODS.get(name)(**settings).explain(subject, images, [target] * len(images))


def probability(subject: Subject, pixels: NDArray[np.float32]) -> float:
    """The first class's probability of one image, [H, W, 3]."""
    scores = subject.scores(torch.from_numpy(pixels)[None])
    return float(scores.double().softmax(1)[0, 0])


def blend(subject: Subject, image: NDArray[np.uint8], mask: NDArray[np.float32]) -> float:
    """The first class's probability of an image seen through one mask."""
    mean = subject.mean_colour
    return probability(subject, mask[..., None] * (image.astype(np.float32) - mean) + mean)


def quarters() -> NDArray[np.uint8]:
    """An image of the size known by hand: four blocks, each of a red and a green of its own."""
    image = np.zeros((*HAND_SIZE, 3), np.uint8)
    for row, column, colour in (
        (0, 0, (250, 0, 0)),
        (0, 4, (0, 200, 0)),
        (3, 0, (120, 0, 250)),
        (3, 4, (60, 250, 250)),
    ):
        image[row : row + 3, column : column + 4] = colour
    return image


# --- what holds for each of them ---------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_the_same_again_byte_for_byte_and_in_any_batch(small: Subject, name: str) -> None:
    images = noise(3, small.size)
    batch = explained(small, name, images, **SMALL[name])
    [alone] = explained(small, name, images[2:], **SMALL[name])
    assert alone.map.shape == small.size and alone.map.dtype == np.float32
    assert alone.map.tobytes() == batch[2].map.tobytes()
    assert alone.facts == batch[2].facts
    assert alone.map.any() and alone.notes == ()
    assert alone.settings.items() >= SMALL[name].items()
    assert batch[0].map.tobytes() != batch[2].map.tobytes()
    assert explained(small, name, images[:0], **SMALL[name]) == []


@pytest.mark.parametrize("name", SEEDED)
def test_another_seed_is_another_draw(small: Subject, name: str) -> None:
    image = noise(1, small.size)
    [first] = explained(small, name, image, **SMALL[name])
    [second] = explained(small, name, image, **SMALL[name], seed=1)
    assert not np.array_equal(first.map, second.map)


@pytest.mark.parametrize("name", [name for name in SMALL if name != "random_map"])
def test_an_image_that_is_its_baseline_has_an_empty_map(small: Subject, name: str) -> None:
    black = np.zeros((1, *small.size, 3), np.uint8)
    [found] = explained(small, name, black, **SMALL[name], baseline="black")
    assert not found.map.any() and found.notes == (EMPTY,)


@pytest.mark.parametrize("name", ["lime", "occlusion", "rise", "integrated_gradients"])
def test_a_network_that_is_not_finite(name: str) -> None:
    subject = hand_subject(FAINT * np.nan, engine="torch")
    with pytest.raises(InputError, match="are not finite"):
        explained(subject, name, noise(1, HAND_SIZE), baseline="black")


@pytest.mark.parametrize(
    ("make", "rows"),
    [
        (lambda: Lime(samples=1), ("samples = 1: at least 2",)),
        (
            lambda: Lime(segments=1, seeds=0, width=0.0, alpha=-1.0),
            (
                "segments = 1: at least 2",
                "seeds = 0: at least 1",
                "width = 0: above 0",
                "alpha = -1: above 0",
            ),
        ),
        (lambda: IntegratedGradients(steps=0), ("steps = 0: at least 1",)),
        (lambda: Occlusion(window=0), ("window = 0: at least 1",)),
        (lambda: Occlusion(stride=0), ("stride = 0: at least 1",)),
        (
            lambda: Occlusion(window=4, stride=5),
            ("stride = 5: at most window = 4, or pixels are left",),
        ),
        (lambda: Rise(masks=1, p=1.0), ("masks = 1: at least 2", "p = 1: above 0 and below 1")),
        (lambda: Rise(p=-0.5), ("p = -0.5: above 0 and below 1",)),
        (lambda: Rise(p=float("nan")), ("p = nan: above 0 and below 1",)),
        (lambda: Rise(grid=1), ("grid = 1: at least 2",)),
        (lambda: RandomMap(grid=1), ("grid = 1: at least 2",)),
        (lambda: Rise(baseline="grey"), ("baseline = grey: one of mean, black",)),  # type: ignore[arg-type]
        (lambda: Lime(baseline="grey"), ("baseline = grey: one of superpixel, mean, black",)),  # type: ignore[arg-type]
    ],
)
def test_settings_without_meaning(make: Callable[[], object], rows: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="has no meaning with these settings") as caught:
        make()
    assert caught.value.rows == rows


# --- LIME --------------------------------------------------------------------------------------


def test_lime_fits_as_the_plain_way_does() -> None:
    draws = np.random.default_rng(0)
    shown = draws.integers(0, 2, (60, 7)).astype(np.float32)
    shown[0] = 1
    shown[1] = 0  # nothing shown: no angle
    values = shown @ draws.normal(size=7) + draws.normal(size=60)
    distances = pairwise_distances(shown, shown[:1], metric="cosine").ravel()
    weights = np.sqrt(np.exp(-(distances**2) / 0.25**2))
    plain = Ridge(alpha=1.0).fit(shown.astype(np.float64), values, sample_weight=weights)
    coefficients, r2 = fit(shown, values, width=0.25, alpha=1.0)
    np.testing.assert_allclose(coefficients, plain.coef_, rtol=1e-6)
    assert r2 == pytest.approx(plain.score(shown, values, sample_weight=weights), rel=1e-6)


def test_lime_recovers_a_network_that_is_linear_in_what_is_shown() -> None:
    subject = hand_subject(FAINT, engine="torch")
    image = quarters()
    [found] = explained(
        subject, "lime", image[None], segments=4, samples=200, baseline="black", alpha=1e-6
    )
    assert found.segments is not None and found.segments.dtype == np.int32
    assert found.facts["superpixels"] == 4
    # Hiding a superpixel takes its share of mean red - mean green, times slope / 4.
    red_green = (image[..., 0].astype(float) - image[..., 1]) / 255 / image[..., 0].size
    for number in range(4):
        inside = found.segments == number
        expected = SLOPE / 4 * red_green[inside].sum()
        np.testing.assert_allclose(found.map[inside], expected, rtol=1e-2)
    assert found.facts["r2"] > 0.999 and found.facts["stability"] > 0.999


def test_superpixels_are_numbered_without_gaps_and_have_their_mean_colour(small: Subject) -> None:
    image = noise(1, small.size)[0]
    labels, _ = superpixels(image, 12, 10.0)
    assert set(np.unique(labels)) == set(range(int(labels.max()) + 1))
    means = mean_colours(image, labels)
    for number in range(int(labels.max()) + 1):
        inside = labels == number
        np.testing.assert_allclose(
            means[inside], np.tile(image[inside].mean(0), (inside.sum(), 1)), rtol=1e-5
        )


def test_noise_needs_more_compact_superpixels_and_lime_says_so(small: Subject) -> None:
    noisy, flat = noise(1, small.size)[0], np.full((*small.size, 3), 77, np.uint8)
    labels, compactness = superpixels(noisy, 48, 10.0)
    assert compactness == 100 and labels.max() + 1 >= 16
    assert superpixels(flat, 48, 10.0)[1] == 10
    [found] = explained(small, "lime", noisy[None], segments=48, samples=9)
    assert found.facts["compactness"] == 100 and found.settings["compactness"] == 10


def test_lime_of_an_image_of_one_colour_is_empty(small: Subject) -> None:
    [found] = explained(small, "lime", np.full((1, *small.size, 3), 77, np.uint8))
    assert found.notes == (EMPTY,)
    assert found.segments is not None and "r2" not in found.facts


def test_lime_with_one_superpixel_is_empty(small: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.zeros(small.size, np.int32)
    monkeypatch.setattr("cytolens.explain.methods.lime.superpixels", lambda *_: (whole, 9.0))
    [found] = explained(small, "lime", noise(1, small.size))
    assert found.notes == (EMPTY,) and found.facts == {"superpixels": 1, "compactness": 9.0}


def test_lime_of_a_network_that_never_changes_has_no_r2() -> None:
    subject = hand_subject(0 * FAINT, engine="torch")
    [found] = explained(subject, "lime", quarters()[None], segments=4, samples=20, baseline="black")
    assert found.notes == (EMPTY,) and found.facts == {"superpixels": 4, "compactness": 10}


def test_the_stability_of_one_run_foretells_that_of_many(small: Subject) -> None:
    """Halving one run says about what ten whole runs say of each other."""
    image = noise(1, small.size)
    settings = {"segments": 24, "samples": 60}
    singles = [explained(small, "lime", image, **settings, seed=s)[0] for s in range(10)]
    [many] = explained(small, "lime", image, **settings, seeds=10)
    foretold = np.mean([one.facts["stability"] for one in singles])
    assert many.segments is not None
    first = [np.flatnonzero(many.segments == n)[0] for n in range(int(many.segments.max()) + 1)]
    measured = np.mean(
        [
            np.corrcoef(a.map.ravel()[first], b.map.ravel()[first])[0, 1]
            for a, b in combinations(singles, 2)
        ]
    )
    assert many.facts["stability"] == pytest.approx(measured, abs=1e-5)
    assert foretold == pytest.approx(measured, abs=0.1)
    np.testing.assert_allclose(many.map, np.mean([s.map for s in singles], 0), atol=1e-7)


# --- integrated gradients ----------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 11])
def test_integrated_gradients_of_a_linear_network_are_weight_times_input(steps: int) -> None:
    weights = np.array([[2.0, -1.0], [0.0, 0.0]], np.float32)
    subject = hand_subject(weights, engine="torch")
    image = quarters()
    [found] = explained(subject, "integrated_gradients", image[None], steps=steps)
    colours = image.astype(float) / 255
    expected = (2 * colours[..., 0] - colours[..., 1]) / colours[..., 0].size
    np.testing.assert_allclose(found.map, expected, atol=1e-7)
    assert found.facts["completeness_error"] < 1e-5


def test_integrated_gradients_of_the_mean_colour_start_there() -> None:
    subject = hand_subject(np.array([[1.0, 0.0], [0.0, 0.0]], np.float32), engine="torch")
    with torch.no_grad():
        subject.body.normalise.shift.fill_(-0.2)  # 0 at the colour .2 · 255
        subject.body.act = torch.nn.Identity()  # so that it stays linear below 0
    image = quarters()
    [mean] = explained(subject, "integrated_gradients", image[None])
    [black] = explained(subject, "integrated_gradients", image[None], baseline="black")
    np.testing.assert_allclose(black.map - mean.map, 0.2 / mean.map.size, atol=1e-6)


def test_integrated_gradients_are_complete(small: Subject) -> None:
    image = noise(1, small.size)
    target = difference(small.classes, small.classes[0], small.classes[2])
    [found] = IntegratedGradients(steps=64, baseline="black").explain(small, image, [target])
    black = torch.zeros(1, *small.size, 3)
    change = target(small.scores(torch.from_numpy(image)) - small.scores(black)).item()
    assert float(found.map.sum()) == pytest.approx(change, rel=0.05)
    gap = abs(float(found.map.astype(np.float64).sum()) - change)
    larger = max(abs(change), abs(float(found.map.sum())))
    assert found.facts["completeness_error"] == pytest.approx(gap / larger, abs=1e-4)
    [coarse] = IntegratedGradients(steps=1, baseline="black").explain(small, image, [target])
    assert coarse.facts["completeness_error"] > found.facts["completeness_error"]


# --- occlusion ---------------------------------------------------------------------------------


def test_occlusion_is_the_mean_drop_of_the_windows_that_cover_a_pixel(small: Subject) -> None:
    image = noise(1, small.size)
    window, stride = 20, 13
    [found] = explained(small, "occlusion", image, window=window, stride=stride)
    whole = blend(small, image[0], np.ones(small.size, np.float32))
    drops: list[list[list[float]]] = [[[] for _ in range(64)] for _ in range(48)]
    for top in (0, 13, 26, 28):
        for left in (0, 13, 26, 39, 44):
            mask = np.ones(small.size, np.float32)
            mask[top : top + window, left : left + window] = 0
            drop = whole - blend(small, image[0], mask)
            for row in range(top, top + window):
                for column in range(left, left + window):
                    drops[row][column].append(drop)
    expected = [[np.mean(at) for at in row] for row in drops]
    np.testing.assert_allclose(found.map, expected, atol=1e-6)
    assert np.abs(expected).max() > 1e-4


def test_occlusion_writes_its_window_out(small: Subject) -> None:
    image = noise(1, small.size)
    [found] = explained(small, "occlusion", image)
    assert found.settings == {"window": 7, "stride": 3, "baseline": "mean"}
    with pytest.raises(InputError, match="49 px does not fit into an image of 48 x 64"):
        explained(small, "occlusion", image, window=49)
    [whole] = explained(small, "occlusion", image, window=48, stride=48)
    assert whole.settings["stride"] == 48


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (5, 5), (6, 4)])
def test_windows_cover_each_pixel(window: int, stride: int) -> None:
    for covered in windows(HAND_SIZE, window, stride):
        assert (covered.sum(1) == window).all() and (covered.sum(0) >= 1).all()


# --- RISE --------------------------------------------------------------------------------------


@pytest.mark.parametrize("centred", [False, True])
def test_rise_is_the_plain_sum_over_its_masks(small: Subject, centred: bool) -> None:
    image = noise(1, small.size)
    method = Rise(masks=40, grid=5, p=0.4, centred=centred)
    drawn = RandomMasks(method, small.size, draws_for("rise", 0, image[0]))
    total, values = np.zeros(small.size), []
    masks = []
    for grid, down, across in zip(drawn.grids, *drawn.shifts, strict=True):
        up = cv2.resize(grid, (6 * 13, 6 * 10))  # cells of 10 x 13 px, one more than the image has
        masks.append(up[down : down + 48, across : across + 64])
        values.append(blend(small, image[0], masks[-1]))
    level = np.mean(values)
    for value, mask in zip(values, masks, strict=True):
        total += (value - level * centred) * mask
    [found] = explained(small, "rise", image, masks=40, grid=5, p=0.4, centred=centred)
    np.testing.assert_allclose(found.map, total / (0.4 * 40), atol=1e-6)
    assert found.facts["mean_value"] == pytest.approx(level, abs=1e-6)


def test_rise_draws_the_masks_it_says() -> None:
    method = Rise(masks=3000, grid=4, p=0.3)
    drawn = RandomMasks(method, (10, 13), np.random.default_rng(0))
    masks = np.concatenate(list(drawn))
    assert masks.shape == (3000, 10, 13) and masks.min() >= 0 and masks.max() <= 1
    np.testing.assert_allclose(masks.mean(0), 0.3, atol=0.04)
    np.testing.assert_array_equal(masks, np.concatenate(list(drawn)), "the same twice")


@pytest.mark.parametrize("name", ["lime", "occlusion", "rise"])
def test_rounding_is_no_explanation(name: str) -> None:
    """A class so sure that hiding all but nothing changes its probability."""
    sure = np.array([[1e-2, 0.0], [0.0, 0.0]], np.float32)
    subject = hand_subject(sure, engine="torch")
    subject.head[1].bias = torch.nn.Parameter(torch.tensor([9.0, -9.0]), requires_grad=False)
    settings = {"centred": True} if name == "rise" else {}
    [found] = explained(subject, name, noise(1, HAND_SIZE), baseline="black", **settings)
    assert found.notes == (EMPTY,)
    subject.head[1].bias.zero_()
    [found] = explained(subject, name, noise(1, HAND_SIZE), baseline="black", **settings)
    assert found.map.any()


def test_rise_of_a_network_that_never_changes_is_its_probability_or_nothing() -> None:
    subject = hand_subject(0 * FAINT, engine="torch")
    image = quarters()[None]
    [raw] = explained(subject, "rise", image, masks=2000, grid=3, centred=False)
    assert raw.facts["mean_value"] == pytest.approx(0.5)
    np.testing.assert_allclose(raw.map, 0.5, atol=0.05)
    [centred] = explained(subject, "rise", image, masks=2000, grid=3, centred=True)
    assert centred.notes == (EMPTY,)


# --- the random map ----------------------------------------------------------------------------


def test_the_random_map_is_smooth_noise_of_its_image_and_seed(small: Subject) -> None:
    images = noise(2, small.size)
    first, second = explained(small, "random_map", images)
    cells = draws_for("random_map", 0, images[0]).random((7, 7), dtype=np.float32)
    np.testing.assert_array_equal(first.map, cv2.resize(cells, (64, 48)))
    assert 0 <= first.map.min() < 0.2 and 0.8 < first.map.max() <= 1
    assert np.abs(np.corrcoef(first.map.ravel(), second.map.ravel())[0, 1]) < 0.6
    target = class_target(small.classes, small.classes[1])
    [other] = RandomMap().explain(small, images[:1], [target])
    np.testing.assert_array_equal(other.map, first.map, "it knows nothing of the target")
