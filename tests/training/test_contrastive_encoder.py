"""The encoder's training: two views, what moves and what does not, resumed bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cytolens.core.errors import InputError
from cytolens.features.table import FeatureTable
from cytolens.models.config import ModelConfig
from cytolens.models.network import Trainable
from cytolens.training import checkpoint
from cytolens.training.config import TrainingConfig
from cytolens.training.contrastive.config import ContrastiveConfig
from cytolens.training.contrastive.embeddings import embed
from cytolens.training.contrastive.encoder import EncoderTrainer, pair_of_views
from cytolens.training.contrastive.losses import PAIR_LOSSES
from cytolens.training.loop import FoldData, Trainer
from cytolens.training.losses import Loss

MakeRun = Callable[..., tuple[Trainable, FeatureTable]]
LABELS = np.arange(27, dtype=np.int64) % 3
TRAIN, VALIDATION = np.arange(18), np.arange(18, 27)
HALF = ModelConfig(backbone="cytolens_tiny", freeze=0.5)
TRAINING = TrainingConfig(regime="contrastive", views=3, precision="f32", epochs=2)
CONFIG = ContrastiveConfig(epochs=4, batch=9, lr=0.003)


def _data(table: FeatureTable, labels: np.ndarray = LABELS) -> FoldData:
    return FoldData(table, labels, TRAIN, VALIDATION, (0, 0))


def _without_time(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in history]


@pytest.mark.parametrize("loss", PAIR_LOSSES)
def test_classes_draw_together(make_run: MakeRun, loss: str) -> None:
    model, table = make_run(HALF, (0, 1, 2, 3))
    head = {k: v.clone() for k, v in model.head.state_dict().items()}
    config = replace(CONFIG, loss=loss, epochs=8)  # type: ignore[arg-type]
    history = EncoderTrainer(model, _data(table), TRAINING, config, 0).fit()
    assert history[-1]["train_loss"] < 0.9 * history[0]["train_loss"]
    assert all(torch.equal(v, head[k]) for k, v in model.head.state_dict().items())
    assert not model.upper.training  # type: ignore[union-attr]


def test_a_line_of_the_history(make_run: MakeRun) -> None:
    model, table = make_run(HALF, (0, 1, 2, 3))
    seen: list[dict[str, Any]] = []
    config = replace(CONFIG, epochs=2)
    history = EncoderTrainer(model, _data(table), TRAINING, config, 0, on_epoch=seen.append).fit()
    assert seen == history
    assert set(history[0]) == {
        "repeat", "fold", "stage", "epoch", "lr", "seconds", "train_loss", "train_accuracy",
        "validation_loss", "validation_accuracy", "best", "batches", "pairless_batches",
    }  # fmt: skip
    assert [(line["stage"], line["epoch"]) for line in history] == [("encoder", 1), ("encoder", 2)]
    assert (history[0]["batches"], history[0]["pairless_batches"]) == (2, 0)
    assert history[0]["lr"] == CONFIG.lr and history[0]["validation_loss"] is None


@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize("schedule", ["plateau", "cosine"])
def test_a_resumed_encoder_is_the_uninterrupted_one(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, schedule: str
) -> None:
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", -1.0)
    training = replace(TRAINING, schedule=schedule)  # type: ignore[arg-type]
    model, table = make_run(HALF, (0, 1, 2, 3))
    expected = EncoderTrainer(model, _data(table), training, CONFIG, 0).fit()

    def interrupt(line: dict[str, Any]) -> None:
        if line["epoch"] == after + 1:
            raise KeyboardInterrupt

    path = tmp_path / "encoder.pt"
    part, _ = make_run(HALF, (0, 1, 2, 3))
    with pytest.raises(KeyboardInterrupt):
        EncoderTrainer(part, _data(table), training, CONFIG, 0, path, interrupt).fit()
    again, _ = make_run(HALF, (0, 1, 2, 3))
    lines: list[int] = []
    second = EncoderTrainer(
        again, _data(table), training, CONFIG, 0, path, lambda line: lines.append(line["epoch"])
    )
    assert _without_time(second.fit()) == _without_time(expected)
    assert lines == list(range(after + 1, 5))
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_the_end_of_the_encoder_is_always_kept(make_run: MakeRun, tmp_path: Path) -> None:
    """A run that is killed while the classifier trains must not train the encoder again."""
    model, table = make_run(HALF, (0, 1, 2, 3))
    path = tmp_path / "encoder.pt"
    EncoderTrainer(model, _data(table), TRAINING, CONFIG, 0, path).fit()
    again, _ = make_run(HALF, (0, 1, 2, 3))
    lines: list[Any] = []
    history = EncoderTrainer(again, _data(table), TRAINING, CONFIG, 0, path, lines.append).fit()
    assert len(history) == 4 and not lines
    assert torch.equal(_flat(model), _flat(again))


def _flat(model: Trainable) -> torch.Tensor:
    assert model.upper is not None
    return torch.cat([p.detach().flatten() for p in model.upper.parameters()])


def test_what_is_frozen_does_not_change(make_run: MakeRun) -> None:
    for batch_norm, statistics in (("frozen", False), ("train", True)):
        config = ModelConfig(backbone="cytolens_tiny", freeze=0.35, batch_norm=batch_norm)  # type: ignore[arg-type]
        model, table = make_run(config, (0, 1, 2, 3))
        before = {k: v.clone() for k, v in model.state_dict().items()}
        EncoderTrainer(model, _data(table), TRAINING, CONFIG, 0).fit()
        changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
        assert changed and model._frozen
        assert not any(k.startswith(tuple(f"upper.{n}." for n in model._frozen)) for k in changed)
        assert any("running_mean" in name for name in changed) == statistics


def test_pairs_of_views() -> None:
    def pairs(views: int, epochs: int) -> list[tuple[Any, ...]]:
        return [pair_of_views(replace(TRAINING, views=views), e) for e in range(epochs)]

    assert pairs(7, 4) == [(1, 2), (3, 4), (5, 6), (7, 1)]
    assert pairs(2, 2) == [(1, 2), (1, 2)]
    assert pairs(1, 2) == [(1,), (1,)] and pairs(0, 2) == [(0,), (0,)]
    for views in range(2, 9):
        seen = pairs(views, views)
        assert all(a != b for a, b in seen)
        counts = np.bincount(np.array(seen).ravel(), minlength=views + 1)
        assert set(counts[1:].tolist()) == {2}, "every view as often as any other"


def test_one_forward_pass_for_both_views(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, table = make_run(HALF, (0, 1, 2, 3))
    trainer = EncoderTrainer(model, _data(table), TRAINING, CONFIG, 0)
    passed: list[torch.Tensor] = []
    labelled: list[list[int]] = []
    model.upper.register_forward_hook(lambda _, given, __: passed.append(given[0]))  # type: ignore[union-attr]
    step = trainer.step
    monkeypatch.setattr(trainer, "step", lambda f, y: (labelled.append(y.tolist()), step(f, y))[1])
    trainer.epoch(1)
    rows = trainer._batches(1)[0]
    expected = np.concatenate([table.gather(rows, v) for v in (3, 1)])
    assert len(passed) == 2 and torch.equal(passed[0], torch.from_numpy(expected))
    assert labelled[0] == LABELS[rows].tolist() * 2


@pytest.mark.parametrize("views", [0, 1])
def test_with_one_view_class_mates_are_the_pairs(make_run: MakeRun, views: int) -> None:
    model, table = make_run(HALF, (0, 1))
    training = replace(TRAINING, views=views)
    (line, *_) = EncoderTrainer(model, _data(table), training, CONFIG, 0).fit()
    assert line["pairless_batches"] == 0


def test_batches_without_pairs_are_skipped_and_counted(make_run: MakeRun) -> None:
    """Nine classes of one image and one of nine, one view: a batch of two classes may have none."""
    labels = np.concatenate([np.arange(9), np.full(9, 9), np.zeros(9, int)])
    model, table = make_run(HALF, (0,))
    training, config = replace(TRAINING, views=0), replace(CONFIG, batch=4)
    history = EncoderTrainer(model, _data(table, labels), training, config, 0).fit()
    assert any(line["pairless_batches"] for line in history)
    assert all(line["pairless_batches"] < line["batches"] for line in history)


@pytest.mark.parametrize(
    ("labels", "views", "said"),
    [
        (np.zeros(27, int), 2, ("1", "18", "2")),
        (np.arange(27), 0, ("18", "1", "1")),
    ],
)
def test_no_pairs_at_all(
    make_run: MakeRun, labels: np.ndarray, views: int, said: tuple[str, ...]
) -> None:
    model, table = make_run(HALF, (0, 1, 2))
    training = replace(TRAINING, views=views)
    with pytest.raises(InputError) as caught:
        EncoderTrainer(model, _data(table, labels), training, CONFIG, 0).fit()
    assert caught.value.what == "No batch of fold 0 has a pair to learn from."
    assert tuple(row.rpartition(" ")[2] for row in caught.value.rows) == said


@pytest.mark.parametrize("freeze", ["all", 1.0])
def test_nothing_above_the_cut(make_run: MakeRun, freeze: Any) -> None:
    model, table = make_run(ModelConfig(backbone="cytolens_tiny", freeze=freeze), (0, 1, 2, 3))
    with pytest.raises(InputError, match="trains the backbone, but all of it is frozen"):
        EncoderTrainer(model, _data(table), TRAINING, CONFIG, 0)


def test_a_loss_that_is_not_finite(make_run: MakeRun) -> None:
    model, table = make_run(HALF, (0, 1, 2, 3))
    trainer = EncoderTrainer(model, _data(table), TRAINING, CONFIG, 0)
    with torch.no_grad():
        next(trainer.encoder.head.parameters())[0, 0] = float("nan")
    with pytest.raises(InputError, match="The contrastive loss became nan in epoch 1."):
        trainer.fit()


@pytest.mark.parametrize("freeze", [0.5, "none"])
def test_a_classifier_on_embeddings_is_one_on_the_frozen_encoder(
    make_run: MakeRun, freeze: Any
) -> None:
    """What the encoder makes of the images is computed once, and nothing changes by it."""
    config = TrainingConfig(views=2, epochs=2, batch=8, optimizer="sgd", lr=0.05, precision="f32")
    model, table = make_run(ModelConfig(backbone="cytolens_tiny", freeze=freeze), (0, 1, 2))
    twin, _ = make_run(ModelConfig(backbone="cytolens_tiny", freeze=freeze), (0, 1, 2))
    embedded = embed(model, table, 27, {1: TRAIN.tolist(), 2: TRAIN.tolist(), 0: VALIDATION})
    assert embedded.shape == model.head_input and not embedded.stores_pixels
    history = Trainer(
        model.without_upper(),
        FoldData(embedded, LABELS, TRAIN, VALIDATION, (0, 0)),
        config,
        Loss(config, "softmax"),
        0,
    ).fit()
    for parameter in twin.upper.parameters():  # type: ignore[union-attr]
        parameter.requires_grad_(False)
    twin._keep_statistics = True
    expected = Trainer(twin, _data(table), config, Loss(config, "softmax"), 0).fit()
    for name, value in model.head.state_dict().items():
        torch.testing.assert_close(value, twin.head.state_dict()[name], rtol=1e-4, atol=1e-5)
    assert [line["train_accuracy"] for line in history] == [
        line["train_accuracy"] for line in expected
    ]
    with pytest.raises(AssertionError, match="rows that were not embedded"):
        embedded.gather(np.array([0]), 0)
