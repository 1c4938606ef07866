"""The cost-sensitive loss against naive loops, and the mean of several batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cytolens.features.table import FeatureTable
from cytolens.models.config import ModelConfig
from cytolens.models.network import Trainable
from cytolens.training.config import TrainingConfig
from cytolens.training.cost.config import CostConfig
from cytolens.training.loop import FoldData, Trainer
from cytolens.training.losses import Loss, fold_loss

CLASSES = ("a", "b", "c")
SCORES = [[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [-3.0, 4.0, 1.0], [0.1, 0.2, 0.3]]
LABELS = [0, 2, 0, 1]
TRAIN = np.array([0, 0, 0, 1, 1, 2])
WEIGHTS = [6 / (3 * 3), 6 / (3 * 2), 6 / (3 * 1)]
COSTS = {"a": {"b": 3.0}, "c": {"a": 8.0}}
MATRIX = [[0, 3, 1], [1, 0, 1], [8, 1, 0]]


def _softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(v) for v in row)
    return [math.exp(v) / total for v in row]


def _fold_loss(cost: CostConfig, output: str = "softmax", **settings: Any) -> Loss:
    config = TrainingConfig(regime="cost_sensitive", **settings)
    return fold_loss(config, cost, output, TRAIN, CLASSES[: 2 if output == "sigmoid" else 3])


@pytest.mark.parametrize("matrix", [False, True])
@pytest.mark.parametrize("kind", ["cross_entropy", "mse"])
def test_weights_and_expected_costs(matrix: bool, kind: str) -> None:
    above = below = 0.0
    for row, label in zip(SCORES, LABELS, strict=True):
        chances = _softmax(row)
        each = -math.log(chances[label])
        if kind == "mse":
            each = sum((p - (k == label)) ** 2 for k, p in enumerate(chances)) / 3
        if matrix:
            each += 0.5 * sum(p * c for p, c in zip(chances, MATRIX[label], strict=True))
        above += WEIGHTS[label] * each
        below += WEIGHTS[label]
    cost = CostConfig(matrix=COSTS if matrix else "none", loss_weight=0.5)
    loss = _fold_loss(cost, loss=kind)
    found = float(loss(torch.tensor(SCORES), torch.tensor(LABELS)))
    assert found == pytest.approx(above / below, rel=1e-6)
    assert loss.weight(np.array(LABELS)) == pytest.approx(below, rel=1e-6)


def test_weighted_cross_entropy_is_torchs() -> None:
    scores, labels = torch.tensor(SCORES), torch.tensor(LABELS)
    expected = torch.nn.functional.cross_entropy(scores, labels, weight=torch.tensor(WEIGHTS))
    torch.testing.assert_close(_fold_loss(CostConfig())(scores, labels), expected)


def test_two_classes_with_a_sigmoid() -> None:
    scores, labels = [[1.5], [-2.0], [0.3]], [1, 1, 0]
    cost = CostConfig(class_weights={"a": 1.0, "b": 4.0}, matrix={"b": {"a": 5.0}})
    above = below = 0.0
    for (score,), label in zip(scores, labels, strict=True):
        p = 1 / (1 + math.exp(-score))
        each = -math.log(p if label else 1 - p) + (5 * (1 - p) if label else p)
        above, below = above + (1, 4)[label] * each, below + (1, 4)[label]
    config = TrainingConfig(regime="cost_sensitive", loss="binary_cross_entropy")
    loss = fold_loss(config, cost, "sigmoid", np.array([0, 1]), ("a", "b"))
    assert float(loss(torch.tensor(scores), torch.tensor(labels))) == pytest.approx(above / below)


def test_without_a_matrix_there_is_no_cost_term_and_other_regimes_have_neither() -> None:
    assert _fold_loss(CostConfig()).costs is None
    assert _fold_loss(CostConfig(matrix=COSTS, loss_weight=0.0)).costs is None
    assert _fold_loss(CostConfig(class_weights="none", matrix=COSTS)).weights is None
    for regime in ("finetune", "contrastive"):
        config = TrainingConfig(regime=regime)  # type: ignore[arg-type]
        loss = fold_loss(config, CostConfig(matrix=COSTS), "softmax", TRAIN, CLASSES)
        assert loss.weights is None and loss.costs is None


def test_a_batch_that_counts_nothing_gives_0_with_a_gradient() -> None:
    loss = _fold_loss(CostConfig(class_weights={"a": 0.0, "b": 1.0, "c": 1.0}))
    scores = torch.tensor(SCORES[:2], requires_grad=True)
    found = loss(scores, torch.tensor([0, 0]))
    found.backward()  # type: ignore[no-untyped-call]
    assert float(found.detach()) == 0 and loss.weight(np.array([0, 0])) == 0
    assert scores.grad is not None and not scores.grad.any()


MakeRun = Callable[..., tuple[Trainable, FeatureTable]]


def test_an_epochs_loss_is_the_weighted_mean_over_all_images(make_run: MakeRun) -> None:
    """Batches of other weights must not count the same; the class "c" is missing in training."""
    model, table = make_run(ModelConfig(backbone="cytolens_tiny", dropout=0.0))
    labels = np.arange(27, dtype=np.int64) % 3
    rows = np.arange(27)
    train = rows[labels != 2][:12]
    validation = rows[-9:]
    config = TrainingConfig(
        regime="cost_sensitive", epochs=1, batch=5, lr=1e-12, optimizer="sgd", precision="f32"
    )
    loss = fold_loss(config, CostConfig(), "softmax", labels[train], CLASSES)
    assert loss.weights is not None and loss.weights[2] == 0
    data = FoldData(table, labels, train, validation, (0, 0))
    (line,) = Trainer(model, data, config, loss, 0).fit()
    for part, chosen in (("train", train), ("validation", validation)):
        with torch.inference_mode():
            scores = model(torch.from_numpy(table.gather(chosen, 0)))
            whole = loss(scores, torch.from_numpy(labels[chosen]))
        assert line[f"{part}_loss"] == pytest.approx(float(whole), rel=1e-5)


def test_a_validation_part_that_counts_nothing_has_no_loss(make_run: MakeRun) -> None:
    model, table = make_run(ModelConfig(backbone="cytolens_tiny"))
    labels = np.arange(27, dtype=np.int64) % 3
    rows = np.arange(27)
    config = TrainingConfig(regime="cost_sensitive", epochs=2, precision="f32")
    train = rows[labels != 2]
    loss = fold_loss(config, CostConfig(), "softmax", labels[train], CLASSES)
    data = FoldData(table, labels, train, rows[labels == 2], (0, 0))
    history = Trainer(model, data, config, loss, 0).fit()
    assert [line["validation_loss"] for line in history] == [None, None]
    assert history[0]["validation_accuracy"] is not None and history[0]["best"] is True
