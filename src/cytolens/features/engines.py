"""Engines that run the frozen lower part: OpenVINO on the CPU, torch anywhere."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cytolens.core.errors import InputError
from cytolens.core.registry import Registry
from cytolens.features.requests import Requests, load_openvino

Precision = Literal["f32", "bf16"]
Pixels = Literal["u8", "f32"]  # the type of what goes in, 0…255 in any case
_AHEAD = 1  # batches that are under way while the features of one are taken

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
    """Torch in inference mode: on CUDA when there is a device, else on the CPU.

    On CUDA convolutions run channels last, batches travel from pinned memory while the one before
    is computed, and what comes back does not stop the next. Each of these can be asked for on any
    device, so that one code serves both.

    Args:
        lower: network part, [N, H, W, 3] -> features.
        size: not used: torch takes any.
        precision: "bf16" is autocast.
        pixels: not used.
        device: where it runs; None: CUDA when there is a device, else the CPU.
        channels_last: memory format of the weights; None: on CUDA.
        compiled: compile for whole batches; the first one takes a minute, and a batch of another
            size runs as it is.
    """

    def __init__(
        self,
        lower: nn.Module,
        size: tuple[int, int],
        precision: Precision,
        pixels: Pixels = "u8",
        *,
        device: torch.device | str | None = None,
        channels_last: bool | None = None,
        compiled: bool = False,
    ) -> None:
        del size, pixels
        usual = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(device or usual)
        self._cuda = self._device.type == "cuda"
        self._lower = lower.eval().to(self._device)
        if self._cuda if channels_last is None else channels_last:
            self._lower = self._lower.to(memory_format=torch.channels_last)
        self._half = precision == "bf16"
        self._compiled = torch.compile(self._lower, dynamic=False) if compiled else None
        self._whole = 0  # images of the batches that the compiled one is for

    def run(self, batches: Batches) -> Iterator[NDArray[np.float32]]:
        waiting: deque[tuple[torch.Tensor, torch.cuda.Event | None]] = deque()
        for batch in batches:
            waiting.append(self._started(batch))
            if len(waiting) > _AHEAD:
                yield _arrived(*waiting.popleft())
        while waiting:
            yield _arrived(*waiting.popleft())

    def _started(
        self, batch: NDArray[np.uint8] | NDArray[np.float32]
    ) -> tuple[torch.Tensor, torch.cuda.Event | None]:
        """Send a batch, compute it and ask for its features; on CUDA none of it is waited for."""
        sent = torch.from_numpy(batch)
        if self._cuda:
            sent = sent.pin_memory()
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._half),
        ):
            out = self._network(len(batch))(sent.to(self._device, non_blocking=True)).float()
        if not self._cuda:
            return out, None
        back = torch.empty(out.shape, dtype=out.dtype, pin_memory=True)
        back.copy_(out, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        event.record()
        return back, event

    def _network(self, images: int) -> Callable[[torch.Tensor], torch.Tensor]:
        if self._compiled is None:
            return self._lower
        self._whole = self._whole or images
        return self._compiled if images == self._whole else self._lower


def _arrived(features: torch.Tensor, event: torch.cuda.Event | None) -> NDArray[np.float32]:
    """Wait until features are in this machine's memory."""
    if event is not None:
        event.synchronize()
    found: NDArray[np.float32] = features.contiguous().numpy()
    return found


class OpenVINOEngine:
    """OpenVINO on the CPU; see `Requests`.

    Args:
        lower: traced network part, [N, H, W, 3] -> features.
        size: height and width of the input in pixels.
        precision: "f32", or "bf16" where the processor has it (changes the features: DESIGN).
        pixels: the type of the input.
    """

    def __init__(
        self,
        lower: nn.Module,
        size: tuple[int, int],
        precision: Precision,
        pixels: Pixels = "u8",
    ) -> None:
        openvino = load_openvino()
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
        self._requests = Requests(model, precision)

    def run(self, batches: Batches) -> Iterator[NDArray[np.float32]]:
        for (features,) in self._requests.run(batches):
            yield features


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
