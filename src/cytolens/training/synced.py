"""Batch norm whose statistics are those of the whole batch, although each process has a share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed, nn


def synchronise(model: nn.Module) -> None:
    """Let the batch norms of a model that is trained by several processes act as one, in place.

    torch's own SyncBatchNorm wants a GPU and another class of module; this one is the same on a
    processor, keeps every name, and leaves batch norm that is not in training mode as it is.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            plain = type(module).forward
            module.forward = partial(_forward, module, plain)  # type: ignore[method-assign]


def release(model: nn.Module) -> None:
    """Undo `synchronise`."""
    for module in model.modules():
        vars(module).pop("forward", None)


def _forward(norm: Any, plain: Callable[..., Tensor], features: Tensor) -> Tensor:
    """Normalise [N, C, …] by the mean and variance of all processes' features together."""
    if not norm.training:
        return plain(norm, features)
    axes = [axis for axis in range(features.dim()) if axis != 1]
    shape = [1, -1] + [1] * (features.dim() - 2)
    values = features.float()
    here = torch.full((1,), values.numel() / values.shape[1], device=values.device)
    count = _sum(here)
    mean = _sum(values.sum(axes)) / count  # [C]
    centred = values - mean.view(shape)
    variance = _sum(centred.square().sum(axes)) / count  # [C]
    if norm.track_running_stats:
        norm.num_batches_tracked.add_(1)
        rate = norm.momentum
        if rate is None:  # the mean over all batches so far
            rate = 1.0 / float(norm.num_batches_tracked)
        with torch.no_grad():
            norm.running_mean.lerp_(mean, rate)
            norm.running_var.lerp_(variance * count / (count - 1), rate)
    normed = centred * torch.rsqrt(variance + norm.eps).view(shape)
    if norm.affine:
        normed = normed * norm.weight.view(shape) + norm.bias.view(shape)
    normed = normed.to(features.dtype)
    for after in (getattr(norm, "drop", None), getattr(norm, "act", None)):  # timm's BatchNormAct2d
        if after is not None:
            normed = after(normed)
    return normed


class _Sum(torch.autograd.Function):
    """Sum over the processes; each one's gradient reaches all of them, so it is summed too."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        del context
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        del context
        total = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total


def _sum(value: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(value)
    return total
