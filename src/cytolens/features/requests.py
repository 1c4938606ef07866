"""OpenVINO on the CPU for many images: small chunks in several requests. Needs no torch."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.threads import cores

Arrays = tuple[NDArray[np.float32], ...]  # what a model puts out, in its order
Pixels = NDArray[np.uint8] | NDArray[np.float32]

_CHUNK = 8  # images a request, at most
# Pixels a request: what two images of 224 px become inside stays in the cache of a core.
# MobileNetV2 then takes 8.2 ms of processor time an image, and 9.9 where eight go together.
_CHUNK_PIXELS = 2 * 224 * 224
_AHEAD = 2  # requests a stream: one at work, one that waits while results of another are taken


def load_openvino() -> Any:
    """Return the module, which reports nothing to anybody."""
    os.environ.setdefault("OPENVINO_TELEMETRY", "0")
    import openvino

    return openvino


@dataclass
class _Batch:
    """A batch on its way: how many requests it takes, and what the finished ones gave."""

    requests: int
    found: list[Arrays] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return len(self.found) == self.requests

    def joined(self) -> Arrays:
        return tuple(np.concatenate(parts) for parts in zip(*self.found, strict=True))


class Requests:
    """A model compiled for as many images a second as may be, one stream a core.

    Args:
        model: of OpenVINO, with one input [n, …].
        precision: "f32", or "bf16" where the processor has it.
    """

    def __init__(self, model: Any, precision: str) -> None:
        streams = cores()
        settings = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": str(streams),
        }
        if streams != os.cpu_count():  # a share of a node: one thread a stream
            settings["INFERENCE_NUM_THREADS"] = str(streams)
        self._compiled = load_openvino().Core().compile_model(model, "CPU", settings)
        self._count = _AHEAD * streams

    def run(self, batches: Iterable[Pixels]) -> Iterator[Arrays]:
        """Yield what the model makes of each batch [n, …], n > 0: float32 arrays, in order.

        The next batch is asked for while requests of this one are still at work. Several of these
        may be under way at once; each has requests of its own.
        """
        # No Python callbacks: a thread that still leaves one waits for the interpreter while the
        # interpreter, letting go of the network, waits for the thread.
        free = [self._compiled.create_infer_request() for _ in range(self._count)]
        busy: deque[tuple[Any, _Batch]] = deque()
        waiting: deque[_Batch] = deque()

        def finish() -> None:
            request, batch = busy.popleft()
            batch.found.append(_results(request))
            free.append(request)

        for pixels in batches:
            size = _chunk(pixels.shape)
            chunks = [pixels[i : i + size] for i in range(0, len(pixels), size)]
            waiting.append(_Batch(len(chunks)))
            for chunk in chunks:
                if not free:
                    finish()
                request = free.pop()
                # What goes in is copied here, so that its maker may use the array again.
                request.start_async({0: chunk})
                busy.append((request, waiting[-1]))
            while busy and busy[0][0].wait_for(0):
                finish()
            while waiting and waiting[0].whole:
                yield waiting.popleft().joined()
        while waiting:
            while not waiting[0].whole:
                finish()
            yield waiting.popleft().joined()


def _chunk(shape: tuple[int, ...]) -> int:
    """Return how many images [n, H, W, …] go together."""
    return min(_CHUNK, max(1, _CHUNK_PIXELS // max(1, math.prod(shape[1:3]))))


def _results(request: Any) -> Arrays:
    """Wait for a request and copy what it computed, before it is used again."""
    request.wait()
    return tuple(np.array(tensor.data, np.float32) for tensor in request.output_tensors)
