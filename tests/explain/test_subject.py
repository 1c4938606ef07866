"""The network under explanation: masks, scores, targets and layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.explain.conftest import HAND_SIZE, noise, random_subject

from cytolens.core.errors import InputError
from cytolens.explain import METHODS, Subject, class_target, decision, difference
from cytolens.explain.explanation import EMPTY, Explanation

BOTH = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)


def test_scores_through_masks_are_those_of_the_masked_image(tiny: Subject) -> None:
    image = noise(1, tiny.size)[0]
    masks = np.random.default_rng(1).random((3, *tiny.size), dtype=np.float32)
    found = tiny.masked_scores(image, [masks[:2], masks[2:]])
    mean = tiny.mean_colour
    pixels = torch.from_numpy(masks[..., None] * (image.astype(np.float32) - mean) + mean)
    expected = tiny.scores(pixels).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_nothing_shown_is_the_mean_colour(tiny: Subject) -> None:
    colour = torch.from_numpy(tiny.mean_colour).expand(1, *tiny.size, 3)
    torch.testing.assert_close(
        tiny.body.normalise(colour), torch.zeros(1, 3, *tiny.size), atol=1e-5, rtol=0
    )


def test_a_sigmoid_gives_two_scores_with_its_probabilities() -> None:
    subject = random_subject("cytolens_tiny", (48, 48), "sigmoid", classes=2)
    image = torch.from_numpy(noise(2, subject.size))
    scores = subject.scores(image)
    raw = subject.head(subject.body(image))
    assert scores.shape == (2, 2)
    torch.testing.assert_close(scores.softmax(1)[:, 1:], raw.sigmoid())


def test_targets() -> None:
    classes = ("a", "b", "c")
    scores = np.array([[1.0, 2.0, 4.0]], np.float32)
    p = np.exp(scores[0]) / np.exp(scores[0]).sum()
    assert class_target(classes, "b")(scores) == [2.0]
    assert class_target(classes, "b", "probability")(scores) == pytest.approx([p[1]])
    assert difference(classes, "c", "a")(scores) == [3.0]
    costs = np.array([[0, 1, 2], [3, 0, 1], [9, 4, 0]])
    expected = [(p @ costs[:, 0] + p @ costs[:, 1]) / 2 - p @ costs[:, 2]]
    assert decision(classes, "c", costs)(scores) == pytest.approx(expected)
    for target in (class_target(classes, "b", "probability"), decision(classes, "c", costs)):
        tensor = target(torch.from_numpy(scores.astype(np.float64)))
        assert tensor.numpy() == pytest.approx(target(scores))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: class_target(("LSIL", "HSIL"), "LSLI"), r"no class 'LSLI' \(did you mean 'LSIL'"),
        (lambda: difference(("a", "b"), "a", "a"), "a against itself is always 0"),
        (lambda: decision(("a", "b"), "a", np.zeros((3, 3))), r"Costs of shape \(3, 3\) for 2"),
    ],
)
def test_targets_without_meaning_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_grad_cam_by_hand(by_hand: Callable[..., Subject]) -> None:
    """d(score)/d(activation) = w / (h · w) at each place, so the grid is w·A/(h·w), rectified."""
    subject = by_hand(np.array([[2.0, -1.0], [-1.0, 2.0]], np.float32))
    image = np.zeros((1, *HAND_SIZE, 3), np.uint8)
    image[0, :2, :2, 0] = 255  # a red corner: activation 1 of channel 0 at place (0, 0)
    image[0, 4:, 6:, 1] = 255  # a green one: activation 1 of channel 1 at the last place
    [found] = METHODS.get("grad_cam")().explain(
        subject, image, [class_target(subject.classes, "c0")]
    )
    grid = np.zeros((3, 4), np.float32)
    grid[0, 0] = 2 / 12
    assert found.map.shape == HAND_SIZE
    assert found.map[0, 0] == pytest.approx(grid[0, 0]), "raw magnitude, not scaled to 1"
    assert found.map[4:, 5:].max() == 0, "what speaks against is cut off"
    assert found.layer is not None and "act" in found.layer
    assert found.notes == ()


def test_an_empty_map_says_so(by_hand: Callable[..., Subject]) -> None:
    subject = by_hand(-BOTH)
    image = np.full((1, *HAND_SIZE, 3), 255, np.uint8)
    target = class_target(subject.classes, "c0")
    [found] = METHODS.get("grad_cam")().explain(subject, image, [target])
    assert not found.map.any() and found.notes == (EMPTY,)


def test_values_that_are_not_finite_are_refused(by_hand: Callable[..., Subject]) -> None:
    subject = by_hand(BOTH * np.nan)
    image = np.full((1, *HAND_SIZE, 3), 255, np.uint8)
    with pytest.raises(InputError, match="gradients at .* are not finite"):
        METHODS.get("grad_cam")().explain(subject, image, [class_target(subject.classes, "c0")])
    with pytest.raises(InputError, match="lime gave a map with values that are not finite"):
        Explanation(np.full((2, 2), np.nan, np.float32), "lime", "a", {}, 0.0)


@pytest.mark.parametrize(
    ("images", "targets", "message"),
    [
        (noise(1, (48, 48)), 1, r"Images of shape \(1, 48, 48, 3\)"),
        (noise(1, (48, 64)).astype(np.float32), 1, "type float32 cannot be explained"),
        (noise(2, (48, 64)), 1, "1 targets for 2 images"),
    ],
)
def test_batches_that_cannot_be_explained(
    tiny: Subject, images: np.ndarray, targets: int, message: str
) -> None:
    target = class_target(tiny.classes, "class 0")
    with pytest.raises(InputError, match=message):
        METHODS.get("grad_cam")().explain(tiny, images, [target] * targets)


def test_a_grey_image_is_refused(tiny: Subject) -> None:
    with pytest.raises(InputError, match="is not an image"):
        tiny.prepare(np.zeros((9, 9), np.uint8))


def test_an_unknown_layer_is_named_with_those_there_are(tiny: Subject) -> None:
    with pytest.raises(InputError, match="cannot be opened at 'nowhere'") as caught:
        tiny.opened("nowhere")
    assert tiny.opened().layer.name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "form"), [("cytolens_tiny", "planes"), ("vit_tiny_patch16_224", "tokens")]
)
def test_an_opened_network_is_the_network(name: str, form: str) -> None:
    subject = random_subject(name, (224, 224))
    opened = subject.opened()
    images = torch.from_numpy(noise(2, subject.size))
    features = opened.features(images)
    torch.testing.assert_close(opened.upper(features), subject.scores(images))
    planes = opened.layer.planes(features)
    assert opened.layer.form == form
    assert planes.shape[0] == 2 and planes.shape[2:] == opened.layer.grid
    torch.testing.assert_close(opened.layer.with_planes(features, planes), features)
    if form == "tokens":
        assert opened.layer.prefix == 1, "the class token stands for no place"
        gradients = opened.gradients(features, lambda scores: scores[:, 0])
        assert (opened.layer.planes(gradients).abs().sum(1) > 0).all(), "every place has a say"
