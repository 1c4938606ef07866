"""The loop: resumes bitwise, stops early, keeps the best, touches nothing that is frozen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from cytolens.core.errors import InputError
from cytolens.features.table import FeatureTable
from cytolens.models.config import ModelConfig
from cytolens.models.heads import probabilities
from cytolens.models.network import Trainable
from cytolens.training import checkpoint
from cytolens.training.batches import cut
from cytolens.training.checkpoint import Checkpoint, Keeper, read_checkpoint
from cytolens.training.config import TrainingConfig
from cytolens.training.loop import FoldData, Trainer, predict
from cytolens.training.losses import Loss

MakeRun = Callable[..., tuple[Trainable, FeatureTable]]
LABELS = np.arange(27, dtype=np.int64) % 3
TRAIN, VALIDATION = np.arange(18), np.arange(18, 27)
HALF = ModelConfig(backbone="cytolens_tiny", freeze=0.5)


def _data(table: FeatureTable, validation: np.ndarray = VALIDATION) -> FoldData:
    return FoldData(table, LABELS, TRAIN, validation, (0, 0))


def _config(**settings: Any) -> TrainingConfig:
    return TrainingConfig(**({"epochs": 5, "batch": 8, "lr": 0.003, "precision": "f32"} | settings))


LOSS = Loss(_config(), "softmax")


def _without_time(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in history]


@pytest.mark.parametrize("after", [1, 3, 5])
@pytest.mark.parametrize("schedule", ["plateau", "cosine"])
def test_a_resumed_training_is_the_uninterrupted_one(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, schedule: str
) -> None:
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", -1.0)
    config = _config(views=2, schedule=schedule)
    model, table = make_run(HALF, (0, 1, 2))
    whole = Trainer(model, _data(table), config, LOSS, 0)
    expected = whole.fit()

    def interrupt(line: dict[str, Any]) -> None:
        if line["epoch"] == after:
            raise KeyboardInterrupt

    path = tmp_path / "checkpoint.pt"
    part, _ = make_run(HALF, (0, 1, 2))
    with pytest.raises(KeyboardInterrupt):
        Trainer(part, _data(table), config, LOSS, 0, path, interrupt).fit()
    saved = read_checkpoint(path)
    assert (saved.epoch if saved else 0) == after - 1  # cut in the middle of an epoch's end

    lines: list[int] = []
    again, _ = make_run(HALF, (0, 1, 2))
    second = Trainer(
        again, _data(table), config, LOSS, 0, path, lambda line: lines.append(line["epoch"])
    )
    history = second.fit()
    assert lines == list(range(after, 6))  # nothing is done twice
    assert _without_time(history) == _without_time(expected)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_the_best_weights_survive_an_interruption(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first epoch was the best; the training is cut off after the third and goes on."""
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", -1.0)
    first: dict[str, torch.Tensor] = {}
    for losses in ([1.0, 2.0, 3.0, None], [4.0, 5.0]):
        said = iter(losses)
        model, table = make_run(HALF)

        def keep(line: dict[str, Any], model: Trainable = model) -> None:
            if line["epoch"] == 1:
                first.update({k: v.clone() for k, v in model.state_dict().items()})

        path = tmp_path / "c.pt"
        trainer = Trainer(model, _data(table), _config(), LOSS, 0, path, keep)

        def validate(said: Any = said) -> tuple[float, float]:
            loss = next(said)
            if loss is None:
                raise KeyboardInterrupt
            return loss, 0.5

        monkeypatch.setattr(trainer, "_validate", validate)
        if losses[-1] is None:
            with pytest.raises(KeyboardInterrupt):
                trainer.fit()
    history = trainer.fit()
    assert [line["validation_loss"] for line in history] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert [line["best"] for line in history] == [True, False, False, False, False]
    for name, value in model.state_dict().items():
        assert torch.equal(value, first[name]), name


def test_a_checkpoint_is_written_when_it_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(monotonic=lambda: clock.now))
    asked: list[float] = []

    def state() -> Checkpoint:
        asked.append(clock.now)
        return Checkpoint(len(asked), {}, {}, {}, [])

    path = tmp_path / "c.pt"
    keeper = Keeper(path)
    for clock.now in (101.0, 129.0, 131.0, 140.0, 160.0, 162.0):
        keeper.keep(state)
    assert asked == [131.0, 162.0]
    keeper.keep(state, now=True)
    saved = keeper.read()
    assert saved is not None and saved.epoch == 3
    nowhere = Keeper(None)
    clock.now = 999.0
    nowhere.keep(state, now=True)
    assert nowhere.read() is None and len(asked) == 3


def test_a_damaged_checkpoint_counts_for_nothing(tmp_path: Path, make_run: MakeRun) -> None:
    model, table = make_run(HALF)
    path = tmp_path / "c.pt"
    trainer = Trainer(model, _data(table), _config(epochs=1), LOSS, 0, path)
    trainer.fit()
    trainer._state().write(path)
    content = path.read_bytes()
    assert read_checkpoint(path) is not None
    for damaged in (b"", b"x", content[: len(content) // 2], content[:-3], content[:60]):
        path.write_bytes(damaged)
        assert read_checkpoint(path) is None
    assert read_checkpoint(tmp_path / "none.pt") is None


def test_what_is_frozen_does_not_change(make_run: MakeRun) -> None:
    for batch_norm, statistics in (("frozen", False), ("train", True)):
        config = ModelConfig(backbone="cytolens_tiny", freeze=0.35, batch_norm=batch_norm)  # type: ignore[arg-type]
        model, table = make_run(config)
        assert model._frozen  # this boundary lies inside a block
        before = {k: v.clone() for k, v in model.state_dict().items()}
        Trainer(model, _data(table), _config(), LOSS, 0).fit()
        learns = {n for n, p in model.named_parameters() if p.requires_grad}
        frozen = tuple(f"upper.{name}." for name in model._frozen)
        changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
        assert not any(name.startswith(frozen) for name in changed)
        assert any("running_mean" in name for name in changed) == statistics
        assert {n for n in changed if "running" not in n and "tracked" not in n} == learns


def test_the_lower_part_keeps_its_weights_when_nothing_is_stored(make_run: MakeRun) -> None:
    model, table = make_run(ModelConfig(backbone="cytolens_tiny", freeze="none"), (0, 1))
    assert table.stores_pixels
    history = Trainer(model, _data(table), _config(views=1, epochs=2), LOSS, 0).fit()
    assert len(history) == 2
    assert all(p.requires_grad for p in model.parameters())


def test_a_history_line(make_run: MakeRun) -> None:
    model, table = make_run(HALF)
    (line,) = Trainer(model, _data(table), _config(epochs=1), LOSS, 0).fit()
    assert set(line) == {
        "repeat", "fold", "epoch", "lr", "seconds", "train_loss", "train_accuracy",
        "validation_loss", "validation_accuracy", "best",
    }  # fmt: skip
    scores = predict(model, table, VALIDATION, (0,), "softmax")
    loss = -np.log(scores[np.arange(9), LABELS[VALIDATION]]).mean()
    assert line["validation_loss"] == pytest.approx(loss, rel=1e-5)
    right = (scores.argmax(1) == LABELS[VALIDATION]).mean()
    assert line["validation_accuracy"] == pytest.approx(right)


def test_a_history_without_validation(make_run: MakeRun) -> None:
    model, table = make_run(HALF)
    data = _data(table, np.array([], np.int64))
    history = Trainer(model, data, _config(epochs=3, patience=1), LOSS, 0).fit()
    assert [line["best"] for line in history] == [True] * 3
    assert history[0]["validation_loss"] is None


@pytest.mark.parametrize(
    ("losses", "stops", "best"),
    [
        ([5.0, 4.0, 4.5, 4.0, 3.0, 1.0], 4, 2),  # equal is not better
        ([5.0, 4.0, 4.5, 3.9, 4.0, 4.1, 4.2], 6, 4),
        ([1.0, 2.0, 0.5, 2.0, 0.4], 5, 5),
    ],
)
def test_early_stopping_and_the_best_weights(
    make_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
    losses: list[float],
    stops: int,
    best: int,
) -> None:
    model, table = make_run(HALF)
    trainer = Trainer(model, _data(table), _config(epochs=len(losses), patience=2), LOSS, 0)
    said = iter(losses)
    monkeypatch.setattr(trainer, "_validate", lambda: (next(said), 0.5))
    weights: list[dict[str, torch.Tensor]] = []
    trainer.on_epoch = lambda _: weights.append(
        {k: v.clone() for k, v in model.state_dict().items()}
    )
    history = trainer.fit()
    assert len(history) == stops
    assert max(line["epoch"] for line in history if line["best"]) == best
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[best - 1][name])
    assert not torch.equal(weights[0]["head.2.weight"], weights[-1]["head.2.weight"])


def test_monitoring_the_accuracy(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    model, table = make_run(HALF)
    config = _config(epochs=4, monitor="validation_accuracy")
    trainer = Trainer(model, _data(table), config, LOSS, 0)
    said = iter([0.5, 0.7, 0.6, 0.8])
    monkeypatch.setattr(trainer, "_validate", lambda: (1.0, next(said)))
    assert [line["best"] for line in trainer.fit()] == [True, True, False, True]


def test_a_loss_that_is_not_finite(make_run: MakeRun) -> None:
    model, table = make_run(HALF)
    with torch.no_grad():
        next(model.head.parameters())[0, 0] = float("nan")
    with pytest.raises(InputError) as caught:
        Trainer(model, _data(table), _config(), LOSS, 0).fit()
    assert "loss became nan in epoch 1" in str(caught.value)
    assert str(caught.value).endswith("Way out: lower training.lr, or set training.clip = 1.0.")


def test_views_of_the_epochs(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    model, table = make_run(HALF, (0, 1, 2, 3))
    asked: list[int] = []
    gather = table.gather
    monkeypatch.setattr(table, "gather", lambda rows, v: (asked.append(v), gather(rows, v))[1])
    Trainer(model, _data(table), _config(epochs=4, batch=18, views=3), LOSS, 0).fit()
    assert asked == [1, 0, 2, 0, 3, 0, 1, 0]  # training on its view, validation on the image
    assert _config(epochs=7, views="epochs").view_count == 7
    assert _config(views=0).view_of(3) == 0


def test_batches_have_no_last_one_of_a_single_image() -> None:
    for n, size, expected in ((17, 8, [8, 9]), (16, 8, [8, 8]), (18, 8, [8, 8, 2]), (1, 8, [1])):
        parts = cut(np.arange(n), size)
        assert [len(p) for p in parts] == expected
        assert np.concatenate(parts).tolist() == list(range(n))


@pytest.mark.parametrize("freeze", ["all", "none"])
def test_predictions_average_the_views(make_run: MakeRun, freeze: str) -> None:
    views = (0, "hflip", "rot180")
    model, table = make_run(ModelConfig(backbone="cytolens_tiny", freeze=freeze), views)
    rows = np.array([5, 2, 26])
    found = predict(model, table, rows, views, "softmax")
    each = []
    for v in views:
        with torch.inference_mode():
            scores = model.eval()(torch.from_numpy(table.gather(rows, v)))
        each.append(probabilities(scores, "softmax").numpy())
    assert not np.allclose(each[0], each[1], atol=1e-4)
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)
    np.testing.assert_allclose(found.sum(1), 1)
