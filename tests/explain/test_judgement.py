"""Faithfulness and plausibility of one map: closed forms, naive loops, masks in every form."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.explain.conftest import HAND_SIZE, noise

from cytolens.core.errors import InputError
from cytolens.explain import Explanation, Subject, class_target, difference
from cytolens.explain.judgement import (
    average_drop,
    deletion_insertion,
    increase,
    plausibility,
    region_codes,
    shown_by_the_map,
)
from cytolens.explain.judgement.faithfulness import blurred
from cytolens.explain.judgement.order import pixel_order
from cytolens.explain.methods.random_map import RandomMap
from cytolens.pixels import PixelsConfig, preprocess

RED = np.array([[20.0, 0.0], [0.0, 0.0]], np.float32)  # c0 grows with the mean red alone
PIXELS = HAND_SIZE[0] * HAND_SIZE[1]


def explained(values: NDArray[np.floating], method: str = "by hand") -> Explanation:
    return Explanation(np.asarray(values, np.float32), method, "c0", {}, 0.0)


def spots() -> NDArray[np.uint8]:
    """Black, with four red pixels of different brightness."""
    image = np.zeros((*HAND_SIZE, 3), np.uint8)
    for (y, x), value in zip([(0, 1), (2, 5), (3, 3), (5, 0)], [250, 180, 120, 60], strict=True):
        image[y, x, 0] = value
    return image


# ------------------------------------------------------------------ the order of pixels


def test_the_order_is_by_falling_value_and_negative_last() -> None:
    values = np.array([[0.5, -1.0, 2.0], [-3.0, 1.0, 0.25]], np.float32)
    order = pixel_order(values, noise(1, (2, 3))[0])
    assert order.tolist() == [2, 4, 0, 5, 1, 3]


def test_ties_are_drawn_for_the_image_and_seed_and_leave_what_is_ranked_alone() -> None:
    first, second = noise(2, (12, 16))
    values = np.zeros((12, 16), np.float32)
    values[3, 4] = 1
    order = pixel_order(values, first)
    assert order[0] == 3 * 16 + 4
    assert sorted(order.tolist()) == list(range(12 * 16))
    assert (order == pixel_order(values * 7, first)).all()
    assert (order != pixel_order(values, second)).any()
    assert (order != pixel_order(values, first, seed=1)).any()


def test_an_empty_map_is_ordered_as_a_random_map(tiny: Subject) -> None:
    """Neighbours are about as far apart in the order as they are in a random map's."""
    images = noise(8, tiny.size)
    target = class_target(tiny.classes, "class 0")
    random = RandomMap().explain(tiny, images, [target] * 8)

    def roughness(maps: list[NDArray[np.float32]]) -> float:
        places = [
            np.argsort(pixel_order(m, i)).reshape(tiny.size)
            for m, i in zip(maps, images, strict=True)
        ]
        return float(np.mean([np.abs(np.diff(p, axis=1)).mean() for p in places]))

    empty = [np.zeros(tiny.size, np.float32)] * 8
    assert roughness(empty) == pytest.approx(roughness([r.map for r in random]), rel=0.15)


# ------------------------------------------------------------------ deletion and insertion


@pytest.mark.parametrize("start", ["mean", "blur"])
@pytest.mark.parametrize("steps", [1, 7, 48])
def test_curves_are_those_of_a_naive_loop(
    by_hand: Callable[..., Subject], start: str, steps: int
) -> None:
    subject = by_hand(np.array([[9.0, -3.0], [1.0, 2.0]], np.float32))
    image = noise(1, HAND_SIZE)[0]
    values = np.random.default_rng(3).normal(size=HAND_SIZE)
    target = class_target(subject.classes, "c0")
    found = deletion_insertion(subject, image, explained(values), target, steps=steps, start=start)  # type: ignore[arg-type]

    places = sorted(np.ndindex(HAND_SIZE), key=lambda place: -values[place])
    ground = blurred(image) if start == "blur" else np.zeros((*HAND_SIZE, 3), np.float32)
    deletion, insertion = [], []
    for step in range(steps + 1):
        count = round(PIXELS * step / steps)
        deleted, inserted = image.astype(np.float32), ground.copy()
        for place in places[:count]:
            deleted[place] = 0  # the mean colour of the hand-made network is black
            inserted[place] = image[place]
        for kept, picture in ((deletion, deleted), (insertion, inserted)):
            scores = subject.scores(torch.from_numpy(picture[None]))
            kept.append(float(scores.softmax(1)[0, 0]))
    np.testing.assert_allclose(found.deletion, deletion, atol=1e-6)
    np.testing.assert_allclose(found.insertion, insertion, atol=1e-6)
    widths = np.diff([round(PIXELS * s / steps) / PIXELS for s in range(steps + 1)])
    area = sum(w * (a + b) / 2 for w, a, b in zip(widths, deletion, deletion[1:], strict=False))
    assert found.deletion_auc == pytest.approx(area, abs=1e-6)
    assert found.insertion[-1] == found.deletion[0], "all shown is the whole image"


def test_the_cause_of_the_score_has_the_best_curves_of_all_orders(
    by_hand: Callable[..., Subject],
) -> None:
    subject, image = by_hand(RED), spots()
    target = class_target(subject.classes, "c0")
    cause = image[..., 0].astype(np.float32)
    places = np.argwhere(cause > 0)

    def areas(values: NDArray[np.float32]) -> tuple[float, float]:
        found = deletion_insertion(
            subject, image, explained(values), target, steps=PIXELS, start="mean"
        )
        return found.deletion_auc, found.insertion_auc

    best = areas(cause)
    for order in itertools.permutations(range(4)):
        values = np.zeros(HAND_SIZE, np.float32)
        for rank, spot in enumerate(order):
            values[tuple(places[spot])] = 4 - rank
        deletion, insertion = areas(values)
        assert deletion >= best[0] - 1e-9 and insertion <= best[1] + 1e-9
    worst = areas(-cause)
    assert worst[0] > best[0] + 0.1 and worst[1] < best[1] - 0.1


def test_a_target_is_measured_in_probability(by_hand: Callable[..., Subject]) -> None:
    subject, image = by_hand(RED), spots()
    score = difference(subject.classes, "c0", "c1")
    found = deletion_insertion(subject, image, explained(image[..., 0]), score)
    assert np.abs(found.deletion).max() <= 1
    assert found.deletion[-1] == pytest.approx(0, abs=1e-6), "black: both classes alike"


def test_the_blur_leaves_the_mean_and_no_texture() -> None:
    image = noise(1, (64, 64))[0]
    soft = blurred(image)
    assert soft.shape == image.shape and soft.dtype == np.float32
    assert soft.mean() == pytest.approx(image.mean(), rel=0.02)
    assert soft.std() < image.std() / 5


@pytest.mark.parametrize("steps", [0, PIXELS + 1])
def test_steps_without_meaning_are_refused(by_hand: Callable[..., Subject], steps: int) -> None:
    subject, image = by_hand(RED), spots()
    target = class_target(subject.classes, "c0")
    with pytest.raises(InputError, match=f"{steps} steps for an image of {PIXELS} pixels"):
        deletion_insertion(subject, image, explained(image[..., 0]), target, steps=steps)


# ------------------------------------------------------------------ average drop and increase


def test_what_the_map_shows(by_hand: Callable[..., Subject]) -> None:
    """The map is scaled by its positive part: 3 -> 1, 1.5 -> 1/2, what speaks against is hidden."""
    subject = by_hand(np.array([[4.0, -4.0], [0.0, 0.0]], np.float32))
    image = np.zeros((*HAND_SIZE, 3), np.uint8)
    image[0, 0, 0] = image[2, 2, 0] = image[4, 4, 1] = 255
    values = np.zeros(HAND_SIZE, np.float32)
    values[0, 0], values[2, 2], values[4, 4] = 3.0, 1.5, -2.0
    target = class_target(subject.classes, "c0")
    maps = [explained(values), explained(np.zeros(HAND_SIZE))]
    before, after = shown_by_the_map(subject, np.stack([image] * 2), maps, [target] * 2)

    def probability(red: float, green: float) -> float:
        return float(1 / (1 + np.exp(-4 * (red - green) / PIXELS)))

    assert before == pytest.approx([probability(2, 1)] * 2, abs=1e-6)
    assert after == pytest.approx([probability(1.5, 0), probability(0, 0)], abs=1e-6)
    assert increase(before, after).tolist() == [1, 0]
    assert average_drop(before, after) == pytest.approx([0, 1 - 0.5 / probability(2, 1)], abs=1e-5)


def test_a_drop_of_nothing_is_undefined() -> None:
    found = average_drop(np.array([0.0, -0.2, 0.5, 0.5]), np.array([0.1, 0.0, 0.1, 0.9]))
    assert np.isnan(found[:2]).all() and found[2:] == pytest.approx([0.8, 0.0])


# ------------------------------------------------------------------ plausibility


def test_plausibility_by_hand() -> None:
    mask = np.array([[0, 1, 1, 0], [0, 2, 2, 0], [0, 1, 1, 0]])
    values = np.array([[4, 0, 3, 0], [-9, 5, 1, 0], [0, 0, 0, 2]], np.float32)
    image = noise(1, (3, 4))[0]
    found = plausibility(explained(values), mask, image)
    assert found.energy_nucleus == pytest.approx(6 / 15)
    assert found.energy_cell == pytest.approx(9 / 15)
    assert found.pointing_nucleus == 1 and found.pointing_cell == 1
    assert found.iou_nucleus == pytest.approx(1 / 3), "top 2: 5 inside, 4 outside"
    values[0, 0] = 5
    tied = plausibility(explained(values), mask, image)
    assert tied.pointing_nucleus == 0.5, "one of two pixels that share the maximum"
    whole = plausibility(explained((mask > 0).astype(np.float32)), mask, image)
    assert (whole.energy_cell, whole.iou_cell, whole.pointing_cell) == (1, 1, 1)
    assert whole.energy_nucleus == pytest.approx(2 / 6), "a flat map over the cell: its area"


@pytest.mark.parametrize("values", [np.zeros((3, 4)), -np.ones((3, 4))])
def test_a_map_that_speaks_for_nothing_has_no_plausibility(values: NDArray[np.float64]) -> None:
    mask = np.full((3, 4), 2)
    found = plausibility(explained(values), mask, noise(1, (3, 4))[0])
    assert set(vars(found).values()) == {None}


def test_a_region_that_is_not_there_is_undefined() -> None:
    mask = np.array([[0, 1], [1, 0]])
    found = plausibility(explained(np.ones((2, 2))), mask, noise(1, (2, 2))[0])
    assert found.energy_nucleus is found.pointing_nucleus is found.iou_nucleus is None
    assert found.energy_cell == 0.5


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"A mask of shape \(4, 4\) for a map of shape \(2, 2\)"):
        plausibility(explained(np.ones((2, 2))), np.ones((4, 4), int), noise(1, (2, 2))[0])


# ------------------------------------------------------------------ regions


CODES = np.array([[0, 1, 1, 0], [0, 1, 2, 0], [0, 1, 2, 0], [0, 0, 0, 0]], np.uint8)


@pytest.mark.parametrize(
    "drawn",
    [
        pytest.param(CODES, id="codes"),
        pytest.param(np.where(CODES == 0, 3, CODES).astype(np.uint8), id="unknown"),
        pytest.param(np.array([0, 128, 255], np.uint8)[CODES], id="grey levels"),
    ],
)
def test_masks_of_every_form_become_regions(tmp_path: Path, drawn: NDArray[np.uint8]) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(drawn).save(path)
    for mask in (path, drawn):
        found = region_codes(mask, PixelsConfig(), (8, 8), (4, 4))
        assert found.dtype == np.uint8
        assert (found == CODES.repeat(2, axis=0).repeat(2, axis=1)).all()


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize("shape", [(30, 60), (61, 33), (96, 96)])
def test_regions_lie_where_the_image_does(fit: str, shape: tuple[int, int]) -> None:
    """A bright disc and its mask are brought to the same pixels."""
    rows, columns = np.indices(shape)
    height, width = shape
    disc = ((rows - height / 3) / (height / 5)) ** 2 + (
        (columns - width / 2) / (width / 5)
    ) ** 2 < 1
    image = np.where(disc, 255, 0).astype(np.uint8)[..., None].repeat(3, axis=2)
    border = {"border": "black"} if fit == "letterbox" else {}
    pixels = PixelsConfig(fit=fit, **border)  # type: ignore[arg-type]
    seen = preprocess(image, pixels, (48, 48))[..., 0] > 127
    found = region_codes(disc.astype(np.uint8) * 2, pixels, (48, 48), shape) == 2
    assert (seen & found).sum() / (seen | found).sum() > 0.85


def test_masks_that_do_not_fit_their_image_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(CODES).save(path)
    for mask in (path, CODES):
        with pytest.raises(InputError, match="mask"):
            region_codes(mask, PixelsConfig(), (8, 8), (5, 4))
    assert region_codes(path, PixelsConfig(), (4, 4)).tolist() == CODES.tolist()
    with pytest.raises(InputError, match="The mask has values up to 17: neither codes nor grey"):
        region_codes(CODES * 8 + 1, PixelsConfig(), (4, 4))
