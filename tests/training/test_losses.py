"""Losses against naive loops; rates and optimisers against their formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from cytolens.core.errors import InputError
from cytolens.models.network import Trainable
from cytolens.training.config import TrainingConfig
from cytolens.training.losses import Loss, check_loss, correct
from cytolens.training.optimisers import create_optimizer, set_rate

SCORES = [[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [-3.0, 4.0, 1.0], [0.1, 0.2, 0.3]]
LABELS = [0, 2, 0, 1]


def _softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(v) for v in row)
    return [math.exp(v) / total for v in row]


def _loss(scores: list[list[float]], labels: list[int], output: str, **settings: Any) -> float:
    config = TrainingConfig(**settings)
    return float(Loss(config, output)(torch.tensor(scores), torch.tensor(labels)))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(smoothing: float) -> None:
    total = 0.0
    for row, label in zip(SCORES, LABELS, strict=True):
        for k, p in enumerate(_softmax(row)):
            target = (1 - smoothing) * (k == label) + smoothing / 3
            total -= target * math.log(p)
    found = _loss(SCORES, LABELS, "softmax", label_smoothing=smoothing)
    assert found == pytest.approx(total / 4, rel=1e-6)


def test_mean_squared_error_over_classes() -> None:
    total = 0.0
    for row, label in zip(SCORES, LABELS, strict=True):
        total += sum((p - (k == label)) ** 2 for k, p in enumerate(_softmax(row)))
    assert _loss(SCORES, LABELS, "softmax", loss="mse") == pytest.approx(total / 12, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_losses(smoothing: float) -> None:
    scores, labels = [[1.5], [-2.0], [0.3]], [1, 1, 0]
    entropy = squares = 0.0
    for (score,), label in zip(scores, labels, strict=True):
        p = 1 / (1 + math.exp(-score))
        target = label * (1 - smoothing) + smoothing / 2
        entropy -= target * math.log(p) + (1 - target) * math.log(1 - p)
        squares += (p - label) ** 2
    found = _loss(scores, labels, "sigmoid", loss="binary_cross_entropy", label_smoothing=smoothing)
    assert found == pytest.approx(entropy / 3, rel=1e-6)
    assert _loss(scores, labels, "sigmoid", loss="mse") == pytest.approx(squares / 3, rel=1e-6)


def test_correct() -> None:
    assert correct(torch.tensor(SCORES), torch.tensor([0, 0, 0, 2])) == 3
    assert correct(torch.tensor([[0.1], [-0.1], [5.0]]), torch.tensor([1, 1, 0])) == 1


@pytest.mark.parametrize(
    ("loss", "output", "classes", "said"),
    [
        ("cross_entropy", "sigmoid", 3, "A sigmoid output has two classes; the data has 3."),
        ("binary_cross_entropy", "softmax", 2,
         "The loss binary_cross_entropy does not fit the output softmax."),
        ("cross_entropy", "sigmoid", 2, "The loss cross_entropy does not fit the output sigmoid."),
    ],
)  # fmt: skip
def test_combinations_that_mean_nothing(loss: str, output: str, classes: int, said: str) -> None:
    with pytest.raises(InputError) as caught:
        check_loss(TrainingConfig(loss=loss), output, classes)  # type: ignore[arg-type]
    assert caught.value.what == said


def test_combinations_that_mean_something() -> None:
    for loss, output in (
        ("cross_entropy", "softmax"),
        ("mse", "softmax"),
        ("mse", "sigmoid"),
        ("binary_cross_entropy", "sigmoid"),
    ):
        check_loss(TrainingConfig(loss=loss), output, 2)  # type: ignore[arg-type]


# ------------------------------------------------------------------ optimisers and rates


def _model() -> Trainable:
    upper = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1))
    return Trainable(upper, ("2",), nn.Linear(3, 2), False)


def _rates(at: list[float], monitored: list[float] | None = None, **settings: Any) -> list[float]:
    config = TrainingConfig(lr=1.0, **settings)
    optimizer = create_optimizer(_model(), config)
    return [set_rate(optimizer, config, epoch, monitored or []) for epoch in at]


def test_schedules() -> None:
    assert _rates([0, 3.5, 9], epochs=10) == [1.0, 1.0, 1.0]
    found = _rates([0, 2.5, 5, 10, 12], epochs=10, schedule="cosine")
    assert found == pytest.approx([1, 0.5 + math.sqrt(0.125), 0.5, 0, 0], abs=1e-12)
    found = _rates([0, 4.9, 5, 7.4, 7.5, 9], epochs=10, schedule="step")
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    found = _rates([0, 1, 2, 7], epochs=12, warmup=2, schedule="cosine")
    assert found == pytest.approx([0.1 / 2.1, 1.1 / 2.1, 1, 0.5])


@pytest.mark.parametrize(
    ("monitored", "factor"),
    [
        ([], 1),
        ([3, 2, 1], 1),
        ([1, 2, 2], 1),
        ([1, 2, 2, 2], 0.5),
        ([1, 2, 2, 2, 2, 2], 0.5),
        ([1, 2, 2, 2, 2, 2, 2], 0.25),
        ([1, 2, 2, 0.5, 1, 1], 1),
        ([1, 1, 1, 1], 0.5),  # equal is not better
    ],
)
def test_plateau(monitored: list[float], factor: float) -> None:
    assert _rates([5.0], monitored, schedule="plateau") == [factor]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("rmsprop", torch.optim.RMSprop),
        ("sgd", torch.optim.SGD),
    ],
)
def test_every_optimiser_and_its_groups(name: str, kind: type[torch.optim.Optimizer]) -> None:
    config = TrainingConfig(
        optimizer=name, lr=0.5, backbone_lr=0.1, weight_decay=0.01  # type: ignore[arg-type]
    )  # fmt: skip
    model = _model()
    optimizer = create_optimizer(model, config)
    assert type(optimizer) is kind
    found = [
        ([tuple(p.shape) for p in g["params"]], round(g["lr"], 9), g["weight_decay"])
        for g in optimizer.param_groups
    ]
    assert found == [
        ([(2, 3), (2,)], 0.5, 0.01),
        ([(3, 2, 1, 1)], 0.05, 0.01),
        ([(3,), (3,), (3,)], 0.05, 0.0),  # bias and normalisation; module "2" is frozen
    ]
    assert set_rate(optimizer, config, 0.0, []) == 0.5
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.5, 0.05, 0.05])


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 0}, {"batch": 0}, {"lr": 0.0}, {"backbone_lr": -1.0}, {"weight_decay": -1.0},
        {"clip": -1.0}, {"label_smoothing": 1.0}, {"momentum": 1.0}, {"patience": -1},
        {"warmup": -1}, {"views": -1},
    ],
)  # fmt: skip
def test_settings_out_of_range(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        TrainingConfig(**settings)
