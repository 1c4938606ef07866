"""The torch engine: one code for the CPU and for CUDA, whatever it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cytolens.features.engines import TorchEngine

SIZES = (4, 4, 3)


class Lower(nn.Module):
    """Two convolutions over pixels, as maps [N, 5, h, w]."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 5, 3))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(pixels.permute(0, 3, 1, 2).float() / 255)
        return found


def batches() -> list[Any]:
    drawn = np.random.default_rng(0)
    return [drawn.integers(0, 256, (size, 16, 16, 3), dtype=np.uint8) for size in SIZES]


def expected() -> list[Any]:
    lower = Lower().eval()
    with torch.inference_mode():
        return [lower(torch.from_numpy(batch)).numpy() for batch in batches()]


@pytest.mark.parametrize("channels_last", [None, False, True])
def test_batches_come_back_in_order(channels_last: bool | None) -> None:
    engine = TorchEngine(Lower(), (16, 16), "f32", device="cpu", channels_last=channels_last)
    found = list(engine.run(batches()))
    assert [len(one) for one in found] == list(SIZES)
    for one, wanted in zip(found, expected(), strict=True):
        assert one.dtype == np.float32 and one.flags.c_contiguous
        np.testing.assert_allclose(one, wanted, rtol=1e-5, atol=1e-6)
    assert list(engine.run([])) == []


def test_autocast_reduces_the_digits_and_gives_float32() -> None:
    found = next(TorchEngine(Lower(), (16, 16), "bf16", device="cpu").run(batches()))
    assert found.dtype == np.float32
    difference = np.abs(found - expected()[0]).max()
    assert 0 < difference < 0.02


def test_the_next_batch_is_started_before_the_last_is_taken() -> None:
    asked: list[int] = []

    def counted() -> Iterator[Any]:
        for number, batch in enumerate(batches()):
            asked.append(number)
            yield batch

    running = TorchEngine(Lower(), (16, 16), "f32", device="cpu").run(counted())
    next(running)
    assert asked == [0, 1]
    running.close()  # type: ignore[attr-defined]  # it is a generator


def test_a_compiled_network_runs_whole_batches_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def compile_(network: nn.Module, *, dynamic: bool) -> Callable[[torch.Tensor], torch.Tensor]:
        assert not dynamic

        def run(pixels: torch.Tensor) -> torch.Tensor:
            sizes.append(len(pixels))
            return network(pixels)  # type: ignore[no-any-return]

        return run

    monkeypatch.setattr(torch, "compile", compile_)
    engine = TorchEngine(Lower(), (16, 16), "f32", device="cpu", compiled=True)
    found = list(engine.run(batches()))
    assert sizes == [4, 4]  # the last batch, of 3, would compile it again
    for one, wanted in zip(found, expected(), strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_gives_what_the_processor_gives() -> None:
    found = list(TorchEngine(Lower(), (16, 16), "f32", device="cuda").run(batches()))
    for one, wanted in zip(found, expected(), strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-3, atol=1e-3)
