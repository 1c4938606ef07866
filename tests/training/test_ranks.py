"""Several processes train as one: the same steps, history and weights, but for rounding."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cytolens.core.errors import InputError
from cytolens.models.network import Trainable
from cytolens.training.batches import cut
from cytolens.training.config import TrainingConfig
from cytolens.training.loop import FoldData, Trainer
from cytolens.training.losses import Loss
from cytolens.training.ranks import ALONE, Ranks

SIZE = 3
TRAIN, VALIDATION = np.arange(22), np.arange(22, 27)  # 22 in batches of 8: 8, 8, 6
LABELS = np.arange(27, dtype=np.int64) % 3


@dataclass
class Memory:
    """A table of made-up features."""

    values: np.ndarray
    stores_pixels: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape[1:]

    def gather(self, rows: np.ndarray, v: Any) -> np.ndarray:
        del v
        return self.values[rows]


def _model() -> Trainable:
    """A network whose batch norm learns its statistics."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        upper = nn.Sequential(
            nn.Conv2d(2, 4, 3, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        return Trainable(upper, (), nn.Linear(4, 3), keep_statistics=False)


def _data(validation: np.ndarray = VALIDATION) -> FoldData:
    random = np.random.default_rng(0)
    values = random.normal(2, 3, (27, 2, 6, 6)).astype(np.float32)
    values += LABELS[:, None, None, None]
    return FoldData(Memory(values), LABELS, TRAIN, validation, (0, 0))


def _fit(
    ranks: Ranks, weights: list[float] | None, validation: int, checkpoint: Path | None = None
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    config = TrainingConfig(
        epochs=4, batch=8, lr=0.01, clip=1.0, schedule="plateau", precision="f32"
    )
    loss = Loss(config, "softmax", None if weights is None else torch.tensor(weights))
    model = _model()
    data = _data(VALIDATION[:validation])
    history = Trainer(model, data, config, loss, 0, checkpoint, ranks=ranks).fit()
    assert not any("forward" in vars(module) for module in model.modules())
    return history, {k: v.numpy() for k, v in model.state_dict().items()}


def _in_one(rank: int, size: int, meeting: Path, work: Any) -> Any:
    torch.set_num_threads(1)
    with Ranks.meet(meeting, rank, size) as ranks:
        return work(ranks)


def together(size: int, meeting: Path, work: Any) -> list[Any]:
    """Return what each of some processes makes of its `Ranks`."""
    with ProcessPoolExecutor(size, get_context("spawn")) as pool:
        tickets = [pool.submit(_in_one, rank, size, meeting, work) for rank in range(size)]
        return [ticket.result(100) for ticket in tickets]


def _cases(ranks: Ranks) -> list[Any]:
    """Every case in one start of the processes."""
    return [
        _fit(ranks, None, 5),
        _fit(ranks, [0.5, 2.0, 0.0], 5),
        _fit(ranks, None, 1),  # one validation image for three processes
        _fit(ranks, None, 0),
        ranks.sum(1.0 + ranks.rank, 2.0),
        ranks.same(f"from {ranks.rank}"),
        ranks.share(np.arange(7)).tolist(),
    ]


def test_three_processes_train_the_network_of_one(tmp_path: Path) -> None:
    found = together(SIZE, tmp_path / "meeting", _cases)
    alone = _cases(ALONE)
    start = {name: value.numpy() for name, value in _model().state_dict().items()}
    for case, (history, state) in enumerate(alone[:4]):
        for rank in range(SIZE):
            theirs, weights = found[rank][case]
            for mine, line in zip(history, theirs, strict=True):
                for key in mine.keys() - {"seconds"}:
                    expected = mine[key]
                    if isinstance(expected, float):
                        expected = pytest.approx(expected, rel=1e-4)
                    assert line[key] == expected, (case, key)
            for name, value in state.items():
                np.testing.assert_allclose(weights[name], value, rtol=1e-3, atol=1e-5)
                if name.startswith(("upper.0", "upper.1", "head")):
                    assert not np.array_equal(value, start[name]), name  # it was trained
        lines = [[{**line, "seconds": 0} for line in one[case][0]] for one in found]
        assert lines[0] == lines[1] == lines[2], "all ranks must decide alike"
    assert [one[4] for one in found] == [[6.0, 6.0]] * SIZE
    assert [one[5] for one in found] == ["from 0"] * SIZE
    assert sorted(row for one in found for row in one[6]) == list(range(7))
    assert alone[4:] == [[1.0, 2.0], "from 0", list(range(7))]


def _resumed(ranks: Ranks, path: Path) -> Any:
    from cytolens.training import checkpoint

    checkpoint.SAVE_SECONDS = -1.0
    seen: list[int] = []
    config = TrainingConfig(epochs=4, batch=8, lr=0.01, precision="f32")

    def fit(stop: int) -> list[dict[str, Any]]:
        def ended(line: dict[str, Any]) -> None:
            seen.append(line["epoch"])
            if line["epoch"] == stop:
                raise KeyboardInterrupt

        mine = path if ranks.first else path.with_name("never")
        loss = Loss(config, "softmax")
        return Trainer(_model(), _data(), config, loss, 0, mine, ended, ranks).fit()

    with pytest.raises(KeyboardInterrupt):
        fit(3)
    fit(0)
    return seen


def test_all_go_on_from_the_checkpoint_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    found = together(2, tmp_path / "meeting", partial(_resumed, path=path))
    assert found == [[1, 2, 3, 3, 4]] * 2
    assert path.exists() and not path.with_name("never").exists()


def test_batches_that_cannot_be_shared_are_refused() -> None:
    assert [len(part) for part in cut(np.arange(17), 8, 3)] == [8, 9]
    assert [len(part) for part in cut(np.arange(18), 8, 3)] == [8, 10]
    assert [len(part) for part in cut(np.arange(19), 8, 3)] == [8, 8, 3]
    config = TrainingConfig(epochs=1, batch=2)
    with pytest.raises(InputError, match=r"3 devices cannot share batches of 2 from 22 training"):
        Trainer(_model(), _data(), config, Loss(config, "softmax"), 0, ranks=Ranks(0, 3))
