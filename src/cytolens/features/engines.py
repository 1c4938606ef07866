"""Engines that run the frozen lower part: OpenVINO on the CPU, torch anywhere."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cytolens.core.errors import InputError
from cytolens.core.registry import Registry

Precision = Literal["f32", "bf16"]
Pixels = Literal["u8", "f32"]  # the type of what goes in, 0…255 in any case
Batches = Iterable[NDArray[np.uint8]] | Iterable[NDArray[np.float32]]


class Engine(Protocol):
    """Runs one frozen network part over batches, in order."""

    def run(self, batches: Batches) -> Iterator[NDArray[np.float32]]:
        """[n, H, W, 3] batches of pixels -> float32 [n, …] features, an array a batch, in order."""
        ...


class EngineFactory(Protocol):
    """Makes an engine of a network part."""

    def __call__(
        self,
        lower: nn.Module,
        size: tuple[int, int],
        precision: Precision,
        pixels: Pixels = "u8",
    ) -> Engine: ...


ENGINES: Registry[EngineFactory] = Registry("engine")


class TorchEngine:
    """Plain torch in inference mode, on CUDA when there is a device."""

    def __init__(
        self,
        lower: nn.Module,
        size: tuple[int, int],
        precision: Precision,
        pixels: Pixels = "u8",
    ) -> None:
        del size, pixels
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._lower = lower.eval().to(self._device)
        self._half = precision == "bf16"

    def run(self, batches: Batches) -> Iterator[NDArray[np.float32]]:
        kind = self._device.type
        for batch in batches:
            with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=self._half):
                out = self._lower(torch.from_numpy(batch).to(self._device))
            yield out.float().cpu().numpy()


class OpenVINOEngine:
    """OpenVINO on the CPU: small chunks in several asynchronous requests.

    Args:
        lower: traced network part, [N, H, W, 3] -> features.
        size: height and width of the input in pixels.
        precision: "f32", or "bf16" where the processor has it (changes the features: DESIGN).
        pixels: the type of the input.
    """

    chunk = 8

    def __init__(
        self,
        lower: nn.Module,
        size: tuple[int, int],
        precision: Precision,
        pixels: Pixels = "u8",
    ) -> None:
        os.environ.setdefault("OPENVINO_TELEMETRY", "0")
        import openvino

        example = torch.zeros(1, *size, 3, dtype=torch.uint8 if pixels == "u8" else torch.float32)
        with warnings.catch_warnings():
            # OpenVINO's converter traces with torch.jit, which torch has deprecated.
            warnings.filterwarnings("ignore", message=".*torch.jit.*", category=FutureWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            model = openvino.convert_model(
                lower.eval(),
                example_input=example,
                input=[([-1, *size, 3], getattr(openvino.Type, pixels))],
            )
        settings = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": str(max(1, (os.cpu_count() or 1))),
        }
        self._compiled = openvino.Core().compile_model(model, "CPU", settings)
        self._width = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))

    def run(self, batches: Batches) -> Iterator[NDArray[np.float32]]:
        # No Python callbacks: a thread that still leaves one waits for the interpreter while the
        # interpreter, letting go of the network, waits for the thread.
        free = [self._compiled.create_infer_request() for _ in range(self._width)]
        busy: deque[tuple[Any, list[NDArray[np.float32]]]] = deque()
        waiting: deque[tuple[int, list[NDArray[np.float32]]]] = deque()  # chunks, their results

        def finish() -> None:
            request, results = busy.popleft()
            results.append(_result(request))
            free.append(request)

        # The next batch is made while requests of this one are still at work: what goes into a
        # request is copied when it starts, so that its maker may use the array again.
        for batch in batches:
            results: list[NDArray[np.float32]] = []
            chunks = [batch[i : i + self.chunk] for i in range(0, len(batch), self.chunk)]
            waiting.append((len(chunks), results))
            for chunk in chunks:
                if not free:
                    finish()
                request = free.pop()
                request.start_async({0: chunk})
                busy.append((request, results))
            while waiting and len(waiting[0][1]) == waiting[0][0]:
                yield np.concatenate(waiting.popleft()[1])
        while waiting:
            while len(waiting[0][1]) < waiting[0][0]:
                finish()
            yield np.concatenate(waiting.popleft()[1])


def _result(request: Any) -> NDArray[np.float32]:
    """Wait for a request and copy what it computed, before it is used again."""
    request.wait()
    return np.array(request.get_output_tensor(0).data, dtype=np.float32)


ENGINES.register("openvino", OpenVINOEngine)
ENGINES.register("torch", TorchEngine)


def choose_engine(name: str) -> str:
    """Resolve "auto": torch on a CUDA device, else OpenVINO.

    Raises:
        InputError: an unknown engine.
    """
    if name == "auto":
        return "torch" if torch.cuda.is_available() else "openvino"
    if name not in ENGINES:
        raise InputError(
            f"Unknown engine {name!r}.", expected=f"auto, {', '.join(ENGINES.names())}"
        )
    return name
