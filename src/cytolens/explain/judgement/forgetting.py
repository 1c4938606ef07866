"""How a part of a network forgets what it learned, and still lets an image through."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cytolens.core.seeding import rng
from cytolens.explain.judgement.stages import Stage
from cytolens.explain.subject import Whole

_LEAST = 1e-12  # of a variance that is divided by

Hook = Callable[[str, nn.Module, Tensor], Tensor | None]  # name, module, input or output


@dataclass(frozen=True)
class Level:
    """Where the values of a layer lie, over places, images and channels."""

    mean: float
    spread: float


class Forgetting:
    """Draws the weights of a network anew, stage by stage, in place.

    Weights of the trained deviation alone would silence a network: they do not fit its biases and
    the statistics of its batch norms, all features become constant, and any map changes then. So
    each layer is brought to the level that it had: convolutions and dense layers by a factor,
    batch norms by their statistics, measured anew channel by channel.

    Args:
        whole: a private copy, still trained; its layers are watched only while an image batch
            runs through.
        images: uint8 [n, H, W, 3] on which levels are measured, with their mirror images.
    """

    def __init__(self, whole: Whole, images: NDArray[np.uint8]) -> None:
        self._whole = whole
        both = np.concatenate([images, images[:, :, ::-1]])
        self._images = torch.from_numpy(both).to(next(whole.parameters()).device)
        self._levels: dict[str, Level] = {}
        self._run(set(_watchable(whole)), self._note)

    def forget(self, stage: Stage, seed: int) -> None:
        """Draw a stage anew: normal, with the mean and deviation of each of its tensors."""
        known = dict(self._whole.named_parameters())
        with torch.no_grad():
            for name in stage.parameters:
                weights = known[name]
                draws = rng(seed, "randomised", name).standard_normal(weights.shape, np.float32)
                deviation = weights.std(correction=0)
                fresh = torch.from_numpy(draws).to(weights.device)
                weights.copy_(weights.mean() + deviation * fresh)
        owners = {name.rpartition(".")[0] for name in stage.parameters}
        self._run(owners & set(self._levels), self._level)

    def _run(self, names: set[str], hook: Hook) -> None:
        with torch.no_grad(), _watched(self._whole, names, hook):
            self._whole(self._images)

    def _note(self, name: str, module: nn.Module, values: Tensor) -> None:
        if isinstance(module, _BatchNorm):  # how the statistics that it has fit what comes in
            mean, variance = module.running_mean, module.running_var
            assert mean is not None and variance is not None
            found = (_by_channel(module, values) - mean[:, None]) / (
                variance[:, None] + _LEAST
            ).sqrt()
        else:
            found = _by_channel(module, values)
        spread = found.var(dim=1, correction=0).mean().sqrt()
        self._levels[name] = Level(float(found.mean()), float(spread))

    def _level(self, name: str, module: nn.Module, values: Tensor) -> Tensor | None:
        channels, wanted = _by_channel(module, values), self._levels[name]
        variance = channels.var(dim=1, correction=0)  # [C]
        if wanted.spread == 0:
            return None
        if isinstance(module, _BatchNorm):
            assert module.running_mean is not None and module.running_var is not None
            scale = (variance + _LEAST).sqrt() / wanted.spread
            module.running_var.copy_(scale**2)
            module.running_mean.copy_(channels.mean(dim=1) - wanted.mean * scale)
            return None
        factor = wanted.spread / float((variance.mean() + _LEAST).sqrt())
        assert isinstance(module.weight, Tensor)
        module.weight.mul_(factor)
        bias = module.bias
        if not isinstance(bias, Tensor):
            return values * factor
        shift = bias.view(-1, *[1] * (values.ndim - 2)) if _planes(module) else bias
        return (values - shift) * factor + shift


def _watchable(whole: nn.Module) -> Iterator[str]:
    for name, module in whole.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            yield name
        elif isinstance(module, _BatchNorm) and module.running_mean is not None:
            yield name


def _planes(module: nn.Module) -> bool:
    """Whether channels are the second axis; else they are the last."""
    return not isinstance(module, nn.Linear)


def _by_channel(module: nn.Module, values: Tensor) -> Tensor:
    """[N, C, …] or [N, …, C] -> [C, n]."""
    return values.transpose(0, 1 if _planes(module) else -1).flatten(1)


@contextlib.contextmanager
def _watched(whole: nn.Module, names: set[str], hook: Hook) -> Iterator[None]:
    """Show what comes into batch norms, and out of other layers: that the hook may replace."""

    def comes_in(name: str) -> Callable[..., None]:
        def show(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            hook(name, module, inputs[0])

        return show

    def comes_out(name: str) -> Callable[..., Tensor | None]:
        def show(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            del inputs
            return hook(name, module, output)

        return show

    with contextlib.ExitStack() as stack:
        for name, module in whole.named_modules():
            if name in names and isinstance(module, _BatchNorm):
                stack.callback(module.register_forward_pre_hook(comes_in(name)).remove)
            elif name in names:
                stack.callback(module.register_forward_hook(comes_out(name)).remove)
        yield
