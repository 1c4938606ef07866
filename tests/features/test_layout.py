"""Pixels are normalised as they lie and turned afterwards; nothing else of a model changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13

from cytolens.features.layout import turn_late

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
SCALE = np.array([0.5, 1.1, 2.3], np.float32).reshape(1, 3, 1, 1)


def kinds(model: Any) -> list[str]:
    return [
        op.get_type_name() for op in model.get_ordered_ops() if op.get_type_name() != "Constant"
    ]


def ran(model: Any) -> np.ndarray:
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    found: np.ndarray = openvino.Core().compile_model(model, "CPU", settings)(PIXELS)[0]
    return found


def planes(first: str = "convert") -> tuple[Any, Any]:
    """Return a parameter [n, H, W, 3] and its float planes, converted before or after the turn."""
    pixels = opset13.parameter([-1, 4, 5, 3], np.uint8)
    order = np.array([0, 3, 1, 2])
    if first == "convert":
        return pixels, opset13.transpose(opset13.convert(pixels, np.float32), order)
    return pixels, opset13.convert(opset13.transpose(pixels, order), np.float32)


@pytest.mark.parametrize("first", ["convert", "transpose"])
def test_normalisation_comes_first_and_every_value_stays(first: str) -> None:
    pixels, turned = planes(first)
    scaled = opset13.multiply(SCALE, turned)  # a constant may stand on either side
    shifted = opset13.add(scaled, np.float32(-1.5))
    out = opset13.max_pool(shifted, [1, 1], [1, 1], [0, 0], [0, 0], [2, 2])
    shape = opset13.shape_of(shifted)  # what is turned may be used twice
    model = openvino.Model([out.output(0), shape.output(0)], [pixels])
    before = ran(model)
    turn_late(model)
    assert [k for k in kinds(model) if k in ("Convert", "Multiply", "Add", "Transpose")] == [
        "Convert",
        "Multiply",
        "Add",
        "Transpose",
    ]
    np.testing.assert_array_equal(ran(model), before)


def test_it_stops_at_what_is_no_constant() -> None:
    pixels, turned = planes()
    scaled = opset13.multiply(turned, SCALE)
    out = opset13.multiply(scaled, scaled)
    model = openvino.Model([out], [pixels])
    before = ran(model)
    turn_late(model)
    assert kinds(model)[:5] == ["Parameter", "Convert", "Multiply", "Transpose", "Multiply"]
    np.testing.assert_array_equal(ran(model), before)


def test_models_that_begin_otherwise_stay() -> None:
    pixels = opset13.parameter([-1, 4, 5, 3], np.uint8)
    floats = opset13.convert(pixels, np.float32)
    plain = openvino.Model([opset13.reduce_sum(floats, np.array([1, 2]))], [pixels])
    pixels, turned = planes()
    twice = openvino.Model([opset13.relu(turned), opset13.multiply(turned, SCALE)], [pixels])
    pixels, turned = planes()
    rows = opset13.add(turned, np.ones((4, 5), np.float32))  # its axes are not the input's
    for model in (plain, twice, openvino.Model([rows], [pixels])):
        before, values = kinds(model), ran(model)
        turn_late(model)
        assert kinds(model) == before
        np.testing.assert_array_equal(ran(model), values)
