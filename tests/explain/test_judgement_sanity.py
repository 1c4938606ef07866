"""Randomised networks: what forgets, in which order, and which maps notice."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from tests.explain.conftest import noise, random_subject

from cytolens.core.errors import InputError
from cytolens.explain import METHODS, Explanation, Subject, Target, class_target, predicted
from cytolens.explain.judgement.forgetting import Forgetting
from cytolens.explain.judgement.sanity import Sanity, sanity, similarity
from cytolens.explain.judgement.stages import MOST, stages


@dataclass(frozen=True)
class Edges:
    """The edges of the image, whatever the network."""

    name: ClassVar[str] = "edges"
    title: ClassVar[str] = "Edges"
    source: ClassVar[str] = "a test"
    signed: ClassVar[bool] = False
    seeded: ClassVar[bool] = False

    flat: bool = False  # an empty map instead

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        del subject
        maps = [np.abs(cv2.Laplacian(image[..., 1].astype(np.float32), -1)) for image in images]
        return [
            Explanation(m * (not self.flat), self.name, t.name, {}, 0.0)
            for m, t in zip(maps, targets, strict=True)
        ]


@pytest.fixture
def tiny() -> Subject:
    """The small backbone with a head that is the same in every run, whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return random_subject("cytolens_tiny", (48, 64))


@dataclass(frozen=True)
class Against(Edges):
    """The edges, but nothing for a network whose score of black is not positive."""

    name: ClassVar[str] = "against"

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        with torch.no_grad():
            black = subject.scores(torch.zeros(1, *subject.size, 3))
        found = super().explain(subject, images, targets)
        return [
            replace(e, map=e.map * bool(t(black) > 0)) for e, t in zip(found, targets, strict=True)
        ]


def test_an_empty_map_of_one_sign_is_no_change(tiny: Subject) -> None:
    images = noise(2, tiny.size)
    with torch.no_grad():
        black = tiny.scores(torch.zeros(1, *tiny.size, 3))
    own = [class_target(tiny.classes, tiny.classes[int(black.argmax())])] * 2
    for seed in range(2):
        found = sanity(tiny, images, own, [Against()], seed=seed)["against"]
        assert isinstance(found, Sanity) and not found.passed
        assert all(stage.similarity == pytest.approx(1) for stage in found.stages)


def targets(subject: Subject, images: NDArray[np.uint8]) -> list[Target]:
    with torch.no_grad():
        return predicted(subject.scores(torch.from_numpy(images)), subject.classes)


@pytest.mark.parametrize(
    ("name", "size", "top"),
    [
        ("cytolens_tiny", (48, 48), "final.1"),
        ("mobilenetv2_100", (64, 64), "blocks.5.0.bn2"),
        ("vgg16", (32, 32), "features.28"),
        ("vit_tiny_patch16_224", (224, 224), "blocks.11.attn.qkv"),
    ],
)
def test_stages_hold_every_used_weight_once_from_the_head_down(
    name: str, size: tuple[int, int], top: str
) -> None:
    whole = random_subject(name, size).whole
    found = stages(whole)
    names = [parameter for stage in found for parameter in stage.parameters]
    assert 3 <= len(found) <= MOST
    assert len(names) == len(set(names)), "no weight twice"
    assert found[0].name == "head" and all(n.startswith("head.") for n in found[0].parameters)
    assert any(n.startswith(f"body.net.{top}.") for n in found[1].parameters)
    own = {n for n, _ in whole.body.named_parameters()}
    left = own - {n.removeprefix("body.") for n in names}
    unused = ("net.classifier", "net.head", "net.pre_logits")  # what came with the backbone
    assert all(n.startswith(unused) for n in left), left
    sizes = [len(stage.parameters) for stage in found[1:]]
    assert max(sizes) < 0.6 * sum(sizes), "no stage is nearly all of it"


def test_a_randomised_stage_is_new_and_the_rest_is_as_it_was(tiny: Subject) -> None:
    whole = copy.deepcopy(tiny.whole)
    images = noise(3, tiny.size)
    stage = stages(whole)[1]
    before = {name: weights.clone() for name, weights in whole.state_dict().items()}
    Forgetting(whole, images).forget(stage, seed=0)
    touched = {n.rsplit(".", 1)[0] for n in stage.parameters}
    for name, weights in whole.named_parameters():
        if name not in stage.parameters:
            assert torch.equal(weights, before[name]), name
        elif weights.ndim > 1:
            assert abs(np.corrcoef(weights.flatten(), before[name].flatten())[0, 1]) < 0.1
    for name, numbers in whole.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            owner = name.rpartition(".")[0]
            assert torch.equal(numbers, before[name]) == (owner not in touched), name
    assert not any(module.training for module in whole.modules())
    twin = copy.deepcopy(tiny.whole)
    Forgetting(twin, images).forget(stage, seed=0)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), twin.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    ("name", "size"),
    [("cytolens_tiny", (48, 48)), ("vgg16", (32, 32)), ("mobilenetv2_100", (64, 64))],
)
def test_a_network_that_forgot_still_lets_images_through(name: str, size: tuple[int, int]) -> None:
    """Batch norms that were folded into the weights, as in some weight files, must not end it."""
    whole = copy.deepcopy(random_subject(name, size).whole)
    for module in whole.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.fill_(0.01)
            module.bias.data.fill_(-3.0)
    images = noise(4, size)
    pixels = torch.from_numpy(images)
    before = whole(pixels).std(0).mean()
    forgetting = Forgetting(whole, images)
    for stage in stages(whole):
        forgetting.forget(stage, seed=0)
        after = whole(pixels).std(0).mean()
        assert 0.2 < float(after / before) < 5, stage.name
    hooks = [m for m in whole.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert not hooks


def test_grad_cam_notices_and_an_edge_detector_does_not(tiny: Subject) -> None:
    """Smooth images, so that edges are somewhere; the subject is as it was afterwards."""
    images = np.stack([cv2.GaussianBlur(i, (0, 0), 3) for i in noise(6, tiny.size)])
    before = {name: weights.clone() for name, weights in tiny.whole.state_dict().items()}
    methods = [METHODS.get("hires_cam")(), METHODS.get("grad_cam")(), Edges()]
    found = sanity(tiny, images, targets(tiny, images), methods)
    cam, edges = found["grad_cam"], found["edges"]
    assert isinstance(cam, Sanity) and isinstance(edges, Sanity)
    assert [s.stage for s in cam.stages] == [s.name for s in stages(tiny.whole)]
    assert cam.passed
    assert not edges.passed and [s.similarity for s in edges.stages] == pytest.approx(
        [1.0] * len(edges.stages)
    )
    assert all(torch.equal(w, before[n]) for n, w in tiny.whole.state_dict().items())
    again = sanity(tiny, images, targets(tiny, images), methods)
    assert again == found


def test_a_compiled_engine_sees_the_random_weights(
    tiny: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Occlusion asks the engine alone: one that kept the trained weights would change nothing."""
    module = importlib.import_module("cytolens.explain.judgement.sanity")
    monkeypatch.setattr(module, "stages", lambda whole: stages(whole)[:1])
    images = noise(2, tiny.size)
    found = sanity(tiny, images, targets(tiny, images), [METHODS.get("occlusion")()])
    assert isinstance(found["occlusion"], Sanity)
    [head] = found["occlusion"].stages
    assert head.stage == "head" and 0 < head.similarity < 0.9


def test_similarity_is_spearmans_without_its_sign() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 9, 7)).astype(np.float32)
    first[:3] = 0  # ties
    rho = spearmanr(first.ravel(), second.ravel()).statistic
    assert similarity(first, second) == pytest.approx(abs(rho))
    assert similarity(first, -first) == pytest.approx(1)
    assert similarity(first, np.exp(first)) == pytest.approx(1)
    assert similarity(first, np.zeros_like(first)) == 0, "an empty map is another map"


def test_what_cannot_be_compared_says_so(tiny: Subject) -> None:
    images = noise(2, tiny.size)
    found = sanity(tiny, images, targets(tiny, images), [Edges(flat=True)])
    assert found == {"edges": "every map is empty or constant"}
    with pytest.raises(InputError, match="There is no image to compare maps of"):
        sanity(tiny, images[:0], [], [Edges()])
