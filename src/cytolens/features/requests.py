"""OpenVINO on the CPU for many images: small chunks in several requests. Needs no torch."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.threads import cores
from cytolens.features.layout import turn_late

Arrays = tuple[NDArray[np.float32], ...]  # what a model puts out, in its order
Pixels = NDArray[np.uint8] | NDArray[np.float32]

_CHUNK = 8  # images a request, at most
# Pixels a request: what one image of 224 px, or four of 128, become inside stays in the cache of a
# core. MobileNetV2 takes 6.6 ms of processor time for one of 224 px, and 8.8 an image for eight.
_CHUNK_PIXELS = 4 * 128 * 128
_AHEAD = 3  # requests a stream: one at work, others that wait while results of another are taken


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


class _Request:
    """A request and the memory of its input, which is as large as a chunk."""

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()
        self._room = self._request.input_tensors[0].data
        self._room[:] = 0  # what stands behind a smaller chunk is computed too
        self._images = 0

    def start(self, pixels: Pixels) -> None:
        """Copy at most a chunk of images, so that their maker may use the array again."""
        self._images = len(pixels)
        self._room[: len(pixels)] = pixels
        self._request.start_async()

    def done(self) -> bool:
        return bool(self._request.wait_for(0))

    def results(self) -> Arrays:
        """Wait, and copy what was computed before the request is used again."""
        self._request.wait()
        tensors = self._request.output_tensors
        return tuple(np.array(tensor.data[: self._images], np.float32) for tensor in tensors)


class Requests:
    """A model compiled for as many images a second as may be, one stream a core.

    It is compiled for chunks of one size, which OpenVINO runs faster than any size (MobileNetV2 at
    224 px: 6.6 ms of processor time an image instead of 7.3, with equal values). A chunk that is
    not full takes as long as a full one.

    Args:
        model: of OpenVINO, with one input [n, …] of which n alone is open.
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
        shape = [side.get_length() for side in list(model.input(0).get_partial_shape())[1:]]
        self._chunk = _chunk(shape)
        fixed = model.clone()
        fixed.reshape([self._chunk, *shape])
        turn_late(fixed)
        self._compiled = load_openvino().Core().compile_model(fixed, "CPU", settings)
        self._count = _AHEAD * streams

    def run(self, batches: Iterable[Pixels]) -> Iterator[Arrays]:
        """Yield what the model makes of each batch [n, …], n > 0: float32 arrays, in order.

        The next batch is asked for while requests of this one are still at work. Several of these
        may be under way at once; each has requests of its own.
        """
        # No Python callbacks: a thread that still leaves one waits for the interpreter while the
        # interpreter, letting go of the network, waits for the thread.
        free = [_Request(self._compiled) for _ in range(self._count)]
        busy: deque[tuple[_Request, _Batch]] = deque()
        waiting: deque[_Batch] = deque()

        def finish() -> None:
            request, batch = busy.popleft()
            batch.found.append(request.results())
            free.append(request)

        for pixels in batches:
            starts = range(0, len(pixels), self._chunk)
            waiting.append(_Batch(len(starts)))
            for start in starts:
                if not free:
                    finish()
                request = free.pop()
                request.start(pixels[start : start + self._chunk])
                busy.append((request, waiting[-1]))
            while busy and busy[0][0].done():
                finish()
            while waiting and waiting[0].whole:
                yield waiting.popleft().joined()
        while waiting:
            while not waiting[0].whole:
                finish()
            yield waiting.popleft().joined()


def _chunk(shape: Sequence[int]) -> int:
    """Return how many images [H, W, …] go together: a power of two, as batches have."""
    images = min(_CHUNK, _CHUNK_PIXELS // max(1, math.prod(shape[:2])))
    return 1 << max(0, images.bit_length() - 1)
