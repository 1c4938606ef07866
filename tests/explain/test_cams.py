"""Maps made of a layer's activations, against plain loops over a network known by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.explain.conftest import HAND_SIZE, hand_subject, noise, random_subject

from cytolens.core.errors import InputError
from cytolens.explain import METHODS, Explanation, Subject, Target, class_target, difference
from cytolens.explain.explanation import EMPTY

GRADIENTS = ("grad_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam")
CAMS = (*GRADIENTS, "eigen_cam", "score_cam", "ablation_cam")
GRID = (3, 4)  # of the network known by hand
BOTH = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)

Array = NDArray[np.float64]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    """Tiny layers on a busy machine: a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def small() -> Subject:
    return random_subject("cytolens_tiny", (48, 64), engine="torch")


@pytest.fixture(scope="module")
def weights() -> NDArray[np.float32]:
    """Of two classes: what channel c is worth at place (i, j), [2, 2 · 3 · 4]."""
    return np.random.default_rng(3).normal(0.3, 1, (2, 24)).astype(np.float32)


@pytest.fixture(scope="module")
def by_place(weights: NDArray[np.float32]) -> Subject:
    """Class scores are weights of the two channels at each place: so are the gradients."""
    return hand_subject(weights, pooled=False, engine="torch")


def activations(image: NDArray[np.uint8] | Array) -> Array:
    """The two channels of the network known by hand: means over 2 x 2 pixels, [2, 3, 4]."""
    found = np.zeros((2, *GRID))
    for c in range(2):
        for i in range(GRID[0]):
            for j in range(GRID[1]):
                block = image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c].astype(np.float64)
                found[c, i, j] = block.mean() / 255
    return found


def resized(grid: Array) -> NDArray[np.float32]:
    height, width = HAND_SIZE
    return cv2.resize(grid.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)


def explained(
    subject: Subject, name: str, images: NDArray[np.uint8], target: Target | None = None, **own: Any
) -> list[Explanation]:
    """Explain the first class, or a target, by a method."""
    asked = target or class_target(subject.classes, subject.classes[0])
    return METHODS.get(name)(**own).explain(subject, images, [asked] * len(images))


# --- the formulas, place by place ---------------------------------------------------------------


def grad_cam(a: Array, g: Array) -> Array:
    grid = np.zeros(GRID)
    for c in range(2):
        grid += g[c].mean() * a[c]
    return grid


def grad_cam_plus_plus(a: Array, g: Array, epsilon: float = 0.0) -> Array:
    grid = np.zeros(GRID)
    for c in range(2):
        weight = 0.0
        for i in range(GRID[0]):
            for j in range(GRID[1]):
                below = 2 * g[c, i, j] ** 2 + a[c].sum() * g[c, i, j] ** 3 + epsilon
                weight += g[c, i, j] ** 2 / below * max(g[c, i, j], 0)
        grid += weight * a[c]
    return grid


def hires_cam(a: Array, g: Array) -> Array:
    grid = np.zeros(GRID)
    for i in range(GRID[0]):
        for j in range(GRID[1]):
            grid[i, j] = sum(g[c, i, j] * a[c, i, j] for c in range(2))
    return grid


def layer_cam(a: Array, g: Array) -> Array:
    grid = np.zeros(GRID)
    for i in range(GRID[0]):
        for j in range(GRID[1]):
            grid[i, j] = sum(max(g[c, i, j], 0) * a[c, i, j] for c in range(2))
    return grid


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("grad_cam", grad_cam),
        ("grad_cam_plus_plus", grad_cam_plus_plus),
        ("hires_cam", hires_cam),
        ("layer_cam", layer_cam),
    ],
)
def test_gradients_and_activations_by_hand(
    by_place: Subject,
    weights: NDArray[np.float32],
    name: str,
    formula: Callable[[Array, Array], Array],
) -> None:
    images = noise(3, HAND_SIZE)
    for number in range(2):
        target = class_target(by_place.classes, f"c{number}")
        gradients = weights[number].reshape(2, *GRID).astype(np.float64)
        found = explained(by_place, name, images, target)
        for image, one in zip(images, found, strict=True):
            expected = np.maximum(formula(activations(image), gradients), 0)
            assert expected.any()
            np.testing.assert_allclose(one.map, resized(expected), rtol=1e-4, atol=1e-6)
            assert one.layer is not None and "act" in one.layer


def test_grad_cam_plus_plus_with_the_public_librarys_epsilon() -> None:
    """Small gradients: there epsilon outweighs the denominator."""
    small = np.random.default_rng(0).normal(0, 1e-3, (2, 24)).astype(np.float32)
    subject = hand_subject(small, pooled=False, engine="torch")
    [image] = noise(1, HAND_SIZE)
    gradients = small[0].reshape(2, *GRID).astype(np.float64)
    for epsilon in (0.0, 1e-6):
        [found] = explained(subject, "grad_cam_plus_plus", image[None], epsilon=epsilon)
        expected = grad_cam_plus_plus(activations(image), gradients, epsilon)
        np.testing.assert_allclose(found.map, resized(np.maximum(expected, 0)), rtol=1e-4)
        assert found.settings["epsilon"] == epsilon


def test_grad_cam_plus_plus_where_powers_of_a_gradient_leave_float32() -> None:
    """alpha is 1/2 wherever the gradient is small: the map is half the sum of w · A."""
    faint = np.float32(1e-25) * BOTH
    subject = hand_subject(faint, engine="torch")
    [image] = noise(1, HAND_SIZE)
    [found] = explained(subject, "grad_cam_plus_plus", image[None])
    np.testing.assert_allclose(found.map, resized(activations(image)[0] * 0.5e-25), rtol=1e-4)


@pytest.mark.parametrize("epsilon", [-1e-6, float("nan"), float("inf")])
def test_an_epsilon_without_meaning_is_refused(epsilon: float) -> None:
    with pytest.raises(InputError, match="epsilon = .*: 0 or a small number"):
        METHODS.get("grad_cam_plus_plus")(epsilon=epsilon)  # type: ignore[call-arg]


def test_with_an_average_and_one_linear_layer_hires_cam_is_grad_cam(small: Subject) -> None:
    images = noise(2, small.size)
    for one, other in zip(
        explained(small, "hires_cam", images), explained(small, "grad_cam", images), strict=True
    ):
        np.testing.assert_allclose(one.map, other.map, rtol=1e-4, atol=1e-5 * other.map.max())


def test_hires_cam_does_not_take_rounding_for_evidence() -> None:
    """Tokens that are normalised before they are read: gradient · activation is 0."""
    subject = random_subject("vit_tiny_patch16_224", (224, 224), engine="torch")
    [found] = explained(subject, "hires_cam", noise(1, subject.size))
    assert found.notes == (EMPTY,)


# --- Eigen-CAM ----------------------------------------------------------------------------------


@pytest.mark.parametrize("centred", [False, True])
def test_eigen_cam_by_hand(by_place: Subject, centred: bool) -> None:
    for image in noise(4, HAND_SIZE, seed=1):
        places = activations(image).reshape(2, -1).T  # [12, 2]
        rows = places - places.mean(axis=0) if centred else places
        values, vectors = np.linalg.eigh(rows.T @ rows)
        projected = rows @ vectors[:, np.argmax(values)]
        if np.sum(projected * places.sum(axis=1)) < 0:
            projected = -projected
        expected = resized(np.maximum(projected, 0).reshape(GRID))
        [found] = explained(by_place, "eigen_cam", image[None], centred=centred)
        np.testing.assert_allclose(found.map, expected, rtol=1e-4, atol=1e-6)
        if not centred:
            assert (found.map > 0).all(), "activations that are positive add up"


def test_eigen_cam_is_the_same_for_every_target(small: Subject) -> None:
    images = noise(1, small.size)
    maps = [
        explained(small, "eigen_cam", images, class_target(small.classes, name))[0].map
        for name in small.classes
    ]
    assert maps[0].any()
    np.testing.assert_array_equal(maps[0], maps[1])


def test_eigen_cam_of_one_colour(by_place: Subject) -> None:
    image = np.full((1, *HAND_SIZE, 3), 200, np.uint8)
    [plain] = explained(by_place, "eigen_cam", image)
    np.testing.assert_allclose(plain.map, 200 / 255 * np.sqrt(2), rtol=1e-5)
    [centred] = explained(by_place, "eigen_cam", image, centred=True)
    assert centred.notes == (EMPTY,), "nothing deviates from the mean"


# --- Score-CAM ----------------------------------------------------------------------------------


def score_cam(image: NDArray[np.uint8], weights: Array) -> Array:
    """Every channel a pass, by the plain network. Black is 0 after its normalisation."""
    planes = activations(image)
    increases = []
    for plane in planes:
        mask = resized(plane).astype(np.float64)
        span = mask.max() - mask.min()
        mask = (mask - mask.min()) / span if span > 0 else 0 * mask
        increases.append(weights @ activations(image * mask[..., None]).ravel())
    shares = np.exp(increases) / np.exp(increases).sum()
    return shares[0] * planes[0] + shares[1] * planes[1]


def test_score_cam_by_hand(by_place: Subject, weights: NDArray[np.float32]) -> None:
    for image in noise(3, HAND_SIZE, seed=2):
        [found] = explained(by_place, "score_cam", image[None])
        expected = resized(np.maximum(score_cam(image, weights[0].astype(np.float64)), 0))
        np.testing.assert_allclose(found.map, expected, rtol=1e-4, atol=1e-6)
        assert found.facts == {"channels": 2, "constant": 0, "repeated": 0, "passes": 3}


@pytest.mark.parametrize(
    ("green", "facts"),
    [
        (100, {"channels": 2, "constant": 1, "repeated": 0, "passes": 2}),  # the same everywhere
        (0, {"channels": 2, "constant": 1, "repeated": 0, "passes": 2}),
        (None, {"channels": 2, "constant": 0, "repeated": 1, "passes": 2}),  # red at half strength
    ],
)
def test_score_cam_passes_no_mask_twice(
    by_place: Subject, weights: NDArray[np.float32], green: int | None, facts: dict[str, int]
) -> None:
    image = np.zeros((*HAND_SIZE, 3), np.uint8)
    image[2:4, :2, 0] = 200
    image[..., 1] = image[..., 0] // 2 if green is None else green
    [found] = explained(by_place, "score_cam", image[None])
    expected = resized(np.maximum(score_cam(image, weights[0].astype(np.float64)), 0))
    np.testing.assert_allclose(found.map, expected, rtol=1e-4, atol=1e-6)
    assert found.facts == facts


def test_score_cam_of_channels_that_are_all_the_same_everywhere(by_place: Subject) -> None:
    image = np.full((1, *HAND_SIZE, 3), 51, np.uint8)
    [found] = explained(by_place, "score_cam", image)
    np.testing.assert_allclose(found.map, 0.2, rtol=1e-5)
    assert found.facts["passes"] == 1, "nothing shown"


# --- Ablation-CAM -------------------------------------------------------------------------------


def test_ablation_cam_by_hand(by_place: Subject, weights: NDArray[np.float32]) -> None:
    for image in noise(3, HAND_SIZE, seed=4):
        planes = activations(image)
        for number in range(2):
            worth = weights[number].reshape(2, *GRID) * planes  # [2, 3, 4]
            score = worth.sum()
            grid = np.zeros(GRID)
            for c in range(2):
                without = worth[1 - c].sum()
                grid += (score - without) / abs(score) * planes[c]
            target = class_target(by_place.classes, f"c{number}")
            [found] = explained(by_place, "ablation_cam", image[None], target)
            np.testing.assert_allclose(
                found.map, resized(np.maximum(grid, 0)), rtol=1e-3, atol=1e-5
            )
            assert found.facts["target"] == pytest.approx(score, rel=1e-4)
            assert found.facts["passes"] == 3


def test_ablation_cam_of_a_negative_target_shows_what_speaks_for_it() -> None:
    """Red speaks for the class, green more against it."""
    subject = hand_subject(np.array([[1.0, -3.0]], np.float32), engine="torch")
    image = np.zeros((1, *HAND_SIZE, 3), np.uint8)
    image[0, :2, :2, 0] = 255
    image[0, 4:, 6:, 1] = 255
    [found] = explained(subject, "ablation_cam", image)
    assert found.facts["target"] < 0
    assert found.map[0, 0] > 0 and found.map[5, 7] == 0


def test_ablation_cam_passes_no_channel_that_is_zero() -> None:
    subject = hand_subject(BOTH, engine="torch")
    image = np.zeros((1, *HAND_SIZE, 3), np.uint8)
    image[..., 0] = 255
    [found] = explained(subject, "ablation_cam", image)
    np.testing.assert_allclose(found.map, 1.0, rtol=1e-5)
    assert {key: found.facts[key] for key in ("channels", "zero", "passes")} == {
        "channels": 2,
        "zero": 1,
        "passes": 2,
    }


def test_ablation_cam_of_a_target_that_is_zero() -> None:
    subject = hand_subject(BOTH, engine="torch")
    image = np.full((1, *HAND_SIZE, 3), 255, np.uint8)
    target = difference(subject.classes, "c0", "c1")
    with pytest.raises(InputError, match="divides by the target, c0 against c1, which is exactly"):
        explained(subject, "ablation_cam", image, target)


def test_ablation_cam_leaves_the_class_token_alone() -> None:
    """Every channel by hand: the opened network with its places zeroed, one at a time."""
    subject = random_subject("vit_tiny_patch16_224", (224, 224), engine="torch")
    opened = subject.opened()
    features = opened.features(torch.from_numpy(noise(1, subject.size)))
    planes = opened.layer.planes(features)[0].double().numpy()
    [found] = explained(subject, "ablation_cam", noise(1, subject.size))
    with torch.inference_mode():
        score = float(opened.upper(features)[0, 0])
        grid = np.zeros(opened.layer.grid)
        for channel in range(features.shape[2]):
            without = features.clone()
            without[:, 1:, channel] = 0
            lost = score - float(opened.upper(without)[0, 0])
            grid += lost / abs(score) * planes[channel]
    height, width = subject.size
    expected = cv2.resize(np.maximum(grid, 0).astype(np.float32), (width, height))
    np.testing.assert_allclose(found.map, expected, atol=2e-3 * expected.max())


# --- what holds for each of them ----------------------------------------------------------------


@pytest.mark.parametrize("name", CAMS)
def test_an_image_without_activations_has_an_empty_map(name: str) -> None:
    subject = hand_subject(BOTH, engine="torch")
    [found] = explained(subject, name, np.zeros((1, *HAND_SIZE, 3), np.uint8))
    assert found.notes == (EMPTY,)


@pytest.mark.parametrize("name", CAMS)
def test_the_same_again_byte_for_byte(small: Subject, name: str) -> None:
    images = noise(2, small.size)
    first, second = (explained(small, name, images) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.map.tobytes() == other.map.tobytes()
        assert one.facts == other.facts


@pytest.mark.parametrize("name", CAMS)
def test_weights_that_are_not_finite(name: str) -> None:
    images = noise(1, HAND_SIZE)
    below = hand_subject(BOTH, engine="torch")
    with torch.no_grad():
        below.body.conv.weight[0, 0, 0, 0] = np.nan  # type: ignore[operator,union-attr,index]
    with pytest.raises(InputError, match="not finite"):
        explained(below, name, images)
    if name != "eigen_cam":  # which does not look above the layer
        with pytest.raises(InputError, match="not finite"):
            explained(hand_subject(BOTH * np.nan, engine="torch"), name, images)


@pytest.mark.parametrize("name", CAMS)
def test_a_layer_can_be_chosen(small: Subject, name: str) -> None:
    last = small.opened().layer
    with pytest.raises(InputError, match="cannot be opened at 'nowhere'"):
        explained(small, name, noise(1, small.size), layer="nowhere")
    [found] = explained(small, name, noise(1, small.size), layer=last.name)
    assert found.layer == last.name and found.settings["layer"] == last.name
