"""The contract of a method: every registered one on every backbone, with random weights."""

from __future__ import annotations

import gc
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.explain.conftest import HAND_SIZE, hand_subject, noise, random_subject
from torch import Tensor

from cytolens.explain import METHODS, Explanation, Method, Subject, class_target
from cytolens.explain.layers import spatial_layers
from cytolens.models.backbones import PAPER_BACKBONES
from cytolens.models.cut import trace

VIT = "vit_tiny_patch16_224"
SIZES = {"inception_v3": 75, "legacy_xception": 71}  # the smallest they take; others 32 px
BACKBONES = (*PAPER_BACKBONES.values(), VIT, "squeezenet1_1", "cytolens_tiny")
QUICK: dict[str, dict[str, Any]] = {
    "lime": {"segments": 6, "samples": 20},
    "integrated_gradients": {"steps": 2},
    "occlusion": {"window": 16, "stride": 16},
    "rise": {"masks": 16, "grid": 3},
}
A_PASS_A_CHANNEL = ("score_cam", "ablation_cam")  # asked of the stem, which has few channels
PAIRS = [(backbone, name) for backbone in BACKBONES for name in METHODS.names()]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny layers on a busy machine: a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@lru_cache(maxsize=1)  # one network in memory: pairs come backbone by backbone
def _subject(backbone: str) -> Subject:
    size = (SIZES.get(backbone, 32),) * 2
    create = {"img_size": 32} if backbone == VIT else None
    return random_subject(backbone, size, engine="torch", create=create)


@pytest.mark.parametrize(("backbone", "name"), PAIRS)
def test_every_method_on_every_backbone(backbone: str, name: str) -> None:
    subject = _subject(backbone)
    settings = QUICK.get(name, {})
    if name in A_PASS_A_CHANNEL:
        settings = {"layer": _stem(subject)}
    method = METHODS.get(name)(**settings)
    images = noise(2, subject.size)
    state = _state(subject)
    found = _explain(method, subject, images)
    assert len(found) == 2
    for one in found:
        assert one.map.shape == subject.size and one.map.dtype == np.float32
        assert np.isfinite(one.map).all()
        assert method.signed or one.map.min() >= 0
        assert (one.method, one.target) == (name, "class 1")
        assert set(one.settings) == set(vars(method))
        assert one.seconds > 0
    [alone] = _explain(method, subject, images[-1:])
    # Within rounding: a convolution may add up in another order for another batch.
    tolerance = 1e-4 * float(np.abs(alone.map).max())
    np.testing.assert_allclose(found[-1].map, alone.map, rtol=1e-3, atol=tolerance)
    assert _state(subject) == state
    for module in subject.whole.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
        assert not module._backward_hooks and not module._backward_pre_hooks
        assert not module.training


def test_a_thousand_explanations_leave_memory_as_it_was() -> None:
    method, subject = METHODS.get("grad_cam")(), hand_subject(np.eye(2, dtype=np.float32))
    images = noise(1, HAND_SIZE)
    target = class_target(subject.classes, "c1")
    for _ in range(50):  # until allocator and caches have settled
        method.explain(subject, images, [target])
    tensors, resident = _live_tensors(), _resident()
    for _ in range(1000):
        method.explain(subject, images, [target])
    assert _live_tensors() == tensors
    assert _resident() - resident < 4 * 2**20


def _stem(subject: Subject) -> str:
    """Name the first layer: as good as any for the contract, and "auto" is asked of the others."""
    traced = trace(subject.whole)
    assert traced is not None
    return spatial_layers(traced, subject.size)[0].name


def _explain(method: Method, subject: Subject, images: NDArray[np.uint8]) -> list[Explanation]:
    target = class_target(subject.classes, "class 1")
    return method.explain(subject, images, [target] * len(images))


def _state(subject: Subject) -> dict[str, tuple[object, ...]]:
    """Of each tensor: where it lies, how often it was written to, its values and its gradient."""
    named = [*subject.whole.named_parameters(), *subject.whole.named_buffers()]
    return {
        name: (t.data_ptr(), t._version, _checksum(t), t.requires_grad, t.grad) for name, t in named
    }


def _checksum(tensor: Tensor) -> int:
    """Of the first values: torch itself counts its writes."""
    return zlib.crc32(tensor.detach().flatten()[:10_000].numpy().tobytes())


def _live_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())


def _resident() -> int:
    """Bytes of this process in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
