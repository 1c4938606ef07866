"""Requests of OpenVINO: in order, whole batches, a look ahead, and nothing of it needs torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13

from cytolens.features.requests import Requests
from cytolens.features.requests import _chunk as chunk_of

SIZES = (1, 40, 3, 20, 8, 9)


@pytest.fixture(scope="module")
def requests() -> Requests:
    """Of [n, 2, 3] bytes: their sum over all, and twice their values."""
    pixels = opset13.parameter([-1, 2, 3], np.uint8)
    floats = opset13.convert(pixels, np.float32)
    total = opset13.reduce_sum(floats, np.array([1, 2]))
    twice = opset13.multiply(floats, np.float32(2))
    return Requests(openvino.Model([total, twice], [pixels]), "f32")


def batches() -> list[Any]:
    drawn = np.random.default_rng(0)
    return [drawn.integers(0, 256, (size, 2, 3), dtype=np.uint8) for size in SIZES]


def test_all_outputs_of_each_batch_in_order(requests: Requests) -> None:
    given = batches()
    found = list(requests.run(iter(given)))
    assert [len(total) for total, _ in found] == list(SIZES)
    for batch, (total, twice) in zip(given, found, strict=True):
        np.testing.assert_array_equal(total, batch.sum(axis=(1, 2), dtype=np.float32))
        np.testing.assert_array_equal(twice, 2.0 * batch)
        assert total.dtype == twice.dtype == np.float32
    assert list(requests.run([])) == []


def test_the_maker_may_use_its_array_again(requests: Requests) -> None:
    """The next batch is asked for while requests are at work: what went in was copied."""

    def same() -> Iterator[Any]:
        array = np.empty((24, 2, 3), np.uint8)
        for number in range(50):
            array[:] = number
            yield array

    for number, (total, _) in enumerate(requests.run(same())):
        np.testing.assert_array_equal(total, np.full(24, 6.0 * number))
    assert number == 49


def test_several_at_once_and_one_that_is_left(requests: Requests) -> None:
    given = batches()
    runs = [requests.run(iter(given)) for _ in range(3)]
    next(runs[2])
    runs[2].close()  # type: ignore[attr-defined]
    for one, other in zip(*runs[:2], strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_makes_the_batches_may_fail(requests: Requests) -> None:
    def broken() -> Iterator[Any]:
        yield from batches()[:2]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        list(requests.run(broken()))


def test_it_needs_no_torch() -> None:
    code = "import sys, cytolens.features.requests; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("shape", "images"),
    [
        ((224, 224, 3), 1),
        ((512, 512, 3), 1),
        ((128, 128, 3), 4),
        ((96, 96, 3), 4),
        ((48, 48, 3), 8),
        ((10,), 8),
    ],
)
def test_large_images_go_in_small_parts(shape: tuple[int, ...], images: int) -> None:
    assert chunk_of(shape) == images


def test_chunks_that_are_not_full_change_nothing() -> None:
    """A network is compiled for chunks of one size: what stands behind a smaller one is dropped."""
    random = np.random.default_rng(1)
    pixels = opset13.parameter([-1, 9, 9, 3], np.uint8)
    floats = opset13.transpose(opset13.convert(pixels, np.float32), np.array([0, 3, 1, 2]))
    kernel = random.normal(size=(4, 3, 3, 3)).astype(np.float32)
    out = opset13.convolution(floats, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
    model = openvino.Model([out], [pixels])
    images = random.integers(0, 256, (21, 9, 9, 3), dtype=np.uint8)
    one = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    expected = np.concatenate([one(image[None])[0] for image in images])
    for size in (21, 8, 5):
        parts = [images[i : i + size] for i in range(0, 21, size)]
        found = np.concatenate([got for (got,) in Requests(model, "f32").run(parts)])
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)
    assert model.input(0).get_partial_shape()[0].is_dynamic  # the caller's own is as it was
