"""Run a bundle's network: OpenVINO or ONNX Runtime, neither of which needs torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from cytolens.bundle.card import ONNX, OPENVINO, OPENVINO_INT8, BundleCard
from cytolens.core.errors import InputError
from cytolens.core.registry import Registry
from cytolens.features.requests import Requests, load_openvino

Pixels = NDArray[np.uint8]  # [n, H, W, 3]
Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]  # scores [n, k], features [n, d]
Precision = Literal["f32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class Runtime(Protocol):
    """Runs the network of one bundle."""

    def run(self, pixels: Pixels) -> Outputs:
        """Return scores and features of one batch, as soon as may be."""
        ...

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Outputs]:
        """Yield scores and features batch by batch, as many images a second as may be."""
        ...


class OpenVINORuntime:
    """OpenVINO on the CPU; compiled for short answers, or for many images, as it is first used."""

    def __init__(self, folder: Path, card: BundleCard, precision: Precision) -> None:
        del card
        self._core = load_openvino().Core()
        file = (OPENVINO_INT8 if precision == "int8" else OPENVINO)[0]
        self._model = self._core.read_model(folder / file)
        self._precision = "bf16" if precision == "bf16" else "f32"  # of what is not quantised
        self._one = Lock()  # its one request for short answers serves one caller at a time

    @cached_property
    def _quick(self) -> Any:
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": self._precision,
        }
        return self._core.compile_model(self._model, "CPU", settings).create_infer_request()

    @cached_property
    def _wide(self) -> Requests:
        return Requests(self._model, self._precision)

    def run(self, pixels: Pixels) -> Outputs:
        with self._one:
            self._quick.infer({0: pixels})
            scores, features = (np.array(t.data, np.float32) for t in self._quick.output_tensors)
        return scores, features

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Outputs]:
        for found in self._wide.run(batches):
            scores, features = found
            yield scores, features


class OnnxRuntime:
    """ONNX Runtime on the CPU."""

    def __init__(self, folder: Path, card: BundleCard, precision: Precision) -> None:
        import onnxruntime

        del card, precision
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        self._session = onnxruntime.InferenceSession(
            str(folder / ONNX), options, providers=["CPUExecutionProvider"]
        )

    def run(self, pixels: Pixels) -> Outputs:
        scores, features = self._session.run(["scores", "features"], {"pixels": pixels})
        return scores, features

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Outputs]:
        yield from map(self.run, batches)


class TorchRuntime:
    """The network itself, where nothing else can run it."""

    def __init__(self, folder: Path, card: BundleCard, precision: Precision) -> None:
        from cytolens.bundle.network import load_network

        del precision
        self._network = load_network(folder, card)

    def run(self, pixels: Pixels) -> Outputs:
        import torch

        with torch.inference_mode():
            scores, features = self._network(torch.from_numpy(pixels))
        return scores.numpy(), features.numpy()

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Outputs]:
        yield from map(self.run, batches)


class _Make(Protocol):
    def __call__(self, folder: Path, card: BundleCard, precision: Precision) -> Runtime: ...


RUNTIMES: Registry[_Make] = Registry("runtime")
RUNTIMES.register("openvino", OpenVINORuntime)
RUNTIMES.register("onnx", OnnxRuntime)
RUNTIMES.register("torch", TorchRuntime)


def create_runtime(
    folder: Path, card: BundleCard, name: str, precision: Precision = "f32"
) -> Runtime:
    """Return a runtime that `choose_runtime` allows."""
    return RUNTIMES.get(name)(folder, card, precision)


_PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime", "torch": "torch"}
_FILES: dict[str, tuple[str, ...]] = {"openvino": OPENVINO, "onnx": (ONNX,), "torch": ()}


def choose_runtime(card: BundleCard, wanted: str = "auto", precision: Precision = "f32") -> str:
    """Return the runtime to use: as wanted, or ("auto") the first that can run the bundle.

    All but f32 takes OpenVINO, int8 also the files that `cytolens export --precision int8` adds.

    Raises:
        InputError: an unknown one, one whose package or export is missing, or none at all.
    """
    if wanted != "auto":
        RUNTIMES.get(wanted)
    if precision not in PRECISIONS:
        raise InputError(
            f"Unknown precision {precision!r}.", expected=f"one of {', '.join(PRECISIONS)}"
        )
    why = {name: _why_not(name, card, precision) for name in RUNTIMES}
    if wanted == "auto":
        able = next((name for name, reason in why.items() if not reason), None)
        if able is not None:
            return able
    elif not why[wanted]:
        return wanted
    names = [wanted] if wanted != "auto" else list(why)
    how = ("" if wanted == "auto" else f" with {wanted}") + (
        "" if precision == "f32" else f" in {precision}"
    )
    raise InputError(
        f"Nothing here can run this bundle{how}.",
        rows=[f"{name}: {why[name]}" for name in names],
        fix="install the package, or add the export with `cytolens export`.",
    )


def _why_not(name: str, card: BundleCard, precision: Precision) -> str:
    if precision != "f32" and name != "openvino":
        return "computes in f32 alone"
    files = OPENVINO_INT8 if precision == "int8" else _FILES[name]
    if missing := [file for file in files if file not in card.files]:
        return f"the bundle holds no {missing[0]}"
    return "" if _installed(_PACKAGES[name]) else f"{_PACKAGES[name]} is not installed"


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # blocked by whoever embeds us
        return False
