"""Every loss over pairs against a naive loop on hand-made vectors in the plane."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from cytolens.training.contrastive.config import ContrastiveConfig
from cytolens.training.contrastive.losses import PAIR_LOSSES, has_pairs

VECTORS = [(1.0, 0.0), (0.8, 0.7), (-0.5, 1), (0, 2), (-1, -0.2), (3, -3), (0.4, -1), (-2, 1)]
BATCHES = {
    "balanced": [0, 0, 1, 1, 2, 2, 0, 1],
    "two classes": [0, 1, 0, 1, 0, 1, 0, 1],
    "alone in its class": [0, 0, 0, 0, 1, 2, 2, 2],
    "uneven": [5, 5, 5, 5, 5, 5, 9, 9],
}
TAU, MARGIN = 0.5, 0.3
Unit = list[tuple[float, float]]


def _unit() -> Unit:
    return [(x / math.hypot(x, y), y / math.hypot(x, y)) for x, y in VECTORS]


def _dot(a: tuple[float, float], b: tuple[float, float]) -> float:
    return a[0] * b[0] + a[1] * b[1]


def _supcon(z: Unit, y: list[int]) -> float:
    anchors = []
    for i in range(len(z)):
        positives = [p for p in range(len(z)) if p != i and y[p] == y[i]]
        below = sum(math.exp(_dot(z[i], z[a]) / TAU) for a in range(len(z)) if a != i)
        logs = [math.log(math.exp(_dot(z[i], z[p]) / TAU) / below) for p in positives]
        if positives:
            anchors.append(-sum(logs) / len(logs))
    return sum(anchors) / len(anchors)


def _ntxent(z: Unit, y: list[int]) -> float:
    pairs = []
    for i in range(len(z)):
        others = sum(math.exp(_dot(z[i], z[n]) / TAU) for n in range(len(z)) if y[n] != y[i])
        for p in range(len(z)):
            if p != i and y[p] == y[i]:
                above = math.exp(_dot(z[i], z[p]) / TAU)
                pairs.append(-math.log(above / (above + others)))
    return sum(pairs) / len(pairs)


def _triplet(z: Unit, y: list[int]) -> float:
    found = []
    for i in range(len(z)):
        for p in range(len(z)):
            for n in range(len(z)):
                if p != i and y[p] == y[i] and y[n] != y[i]:
                    gap = math.dist(z[i], z[p]) - math.dist(z[i], z[n]) + MARGIN
                    if gap > 0:
                        found.append(gap)
    return sum(found) / len(found)


def _npairs(z: Unit, y: list[int]) -> float:
    members = {c: [i for i in range(len(z)) if y[i] == c] for c in sorted(set(y))}
    found = []
    for turn in range(max(map(len, members.values()))):
        positive = {c: z[m[(turn + 1) % len(m)]] for c, m in members.items()}
        for c, m in members.items():
            if len(m) < 2:
                continue
            anchor = z[m[turn % len(m)]]
            right = _dot(anchor, positive[c]) / TAU
            rest = [math.exp(_dot(anchor, p) / TAU - right) for d, p in positive.items() if d != c]
            found.append(math.log(1 + sum(rest)))
    return sum(found) / len(found)


NAIVE: dict[str, Callable[[Unit, list[int]], float]] = {
    "supcon": _supcon,
    "ntxent": _ntxent,
    "triplet": _triplet,
    "npairs": _npairs,
}
EACH = pytest.mark.parametrize("name", PAIR_LOSSES)


def _loss(name: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    config = ContrastiveConfig(loss=name, temperature=TAU, margin=MARGIN)  # type: ignore[arg-type]
    return PAIR_LOSSES.get(name)(config)


@EACH
@pytest.mark.parametrize("batch", BATCHES)
def test_against_a_naive_loop(name: str, batch: str) -> None:
    labels = BATCHES[batch]
    found = _loss(name)(torch.tensor(VECTORS), torch.tensor(labels))
    assert found.ndim == 0
    assert float(found) == pytest.approx(NAIVE[name](_unit(), labels), rel=1e-5)


@EACH
def test_only_directions_count(name: str) -> None:
    vectors, labels = torch.tensor(VECTORS), torch.tensor(BATCHES["balanced"])
    torch.testing.assert_close(_loss(name)(vectors, labels), _loss(name)(3 * vectors, labels))


@EACH
def test_the_order_within_a_batch_changes_nothing_but_npairs(name: str) -> None:
    vectors, labels = torch.tensor(VECTORS), torch.tensor(BATCHES["balanced"])
    order = torch.tensor([7, 2, 5, 1, 0, 3, 6, 4])
    same = torch.isclose(_loss(name)(vectors, labels), _loss(name)(vectors[order], labels[order]))
    assert bool(same) == (name != "npairs")


@EACH
def test_a_step_against_the_gradient_helps(name: str) -> None:
    vectors = torch.tensor(VECTORS, requires_grad=True)
    labels = torch.tensor(BATCHES["balanced"])
    before = _loss(name)(vectors, labels)
    before.backward()  # type: ignore[no-untyped-call]
    assert vectors.grad is not None and torch.isfinite(vectors.grad).all()
    with torch.no_grad():
        assert _loss(name)(vectors - 0.01 * vectors.grad, labels) < before


@EACH
@pytest.mark.parametrize("labels", [[0, 1, 2], [1, 1, 1], [4]])
def test_a_batch_without_pairs_gives_0_that_can_be_differentiated(
    name: str, labels: list[int]
) -> None:
    assert not has_pairs(np.array(labels))
    vectors = torch.tensor(VECTORS[: len(labels)], requires_grad=True)
    found = _loss(name)(vectors, torch.tensor(labels))
    assert float(found.detach()) == 0
    found.backward()  # type: ignore[no-untyped-call]
    assert vectors.grad is not None and torch.isfinite(vectors.grad).all()


@EACH
@pytest.mark.parametrize("labels", [[0, 0, 1], [2, 1, 1, 0], *BATCHES.values()])
def test_a_batch_with_pairs_teaches_something(name: str, labels: list[int]) -> None:
    assert has_pairs(np.array(labels))
    vectors = torch.tensor(VECTORS[: len(labels)], requires_grad=True)
    config = ContrastiveConfig(loss=name, margin=2.0)  # type: ignore[arg-type]
    PAIR_LOSSES.get(name)(config)(vectors, torch.tensor(labels)).backward()  # type: ignore[no-untyped-call]
    assert vectors.grad is not None and vectors.grad.abs().sum() > 0


def test_npairs_uses_every_image_of_a_balanced_batch() -> None:
    """The library's own keeps one pair a class; here each image has a gradient."""
    random = np.random.default_rng(0)
    vectors = torch.tensor(random.normal(size=(24, 5)), requires_grad=True)
    _loss("npairs")(vectors, torch.arange(24) % 3).backward()  # type: ignore[no-untyped-call]
    assert vectors.grad is not None and (vectors.grad.abs().sum(dim=1) > 0).all()
