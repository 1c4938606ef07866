"""Convolution and frozen batch norm as one operation, for training on small feature maps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.nn import functional


class FusedConvolution(nn.Module):
    """`norm(convolution(x))` with running statistics, computed by scaling the kernel.

    norm(y) = y · k + (β - μ · k) with k = γ / √(σ² + ε), so one convolution with the kernel w · k
    does both; γ, β and w keep their gradients. It saves two passes over the feature map forward
    and three backward: on two cores the upper part of MobileNetV2 at 110 px trains 1.1 times
    faster. Both modules stay in the network under their own names; here they are only read.
    """

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self._layers = (convolution, norm)  # in a tuple: not registered a second time
        activation = getattr(norm, "act", None)  # timm's BatchNormAct2d
        self.activation = None if isinstance(activation, nn.Identity) else activation

    def forward(self, features: Tensor) -> Tensor:
        layer, norm = self._layers
        assert norm.running_var is not None and norm.running_mean is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)  # [C]
        shift = norm.bias - norm.running_mean * scale
        kernel = layer.weight * scale.view(-1, 1, 1, 1)  # [C, C / groups, h, w]
        planes = functional.conv2d(
            features, kernel, shift, layer.stride, layer.padding, layer.dilation, layer.groups
        )
        if self.activation is None:
            return planes
        own = isinstance(self.activation, nn.ReLU6)  # and `planes` is nobody else's
        active: Tensor = _ReLU6.apply(planes) if own else self.activation(planes)
        return active


class _ReLU6(torch.autograd.Function):
    """y = min(max(x, 0), 6) in place of x, where dL/dx = dL/dy · [0 < y < 6].

    torch's own in-place ReLU6 asks x instead, of which it keeps a copy: a pass over the map.
    """

    @staticmethod
    def forward(context: Any, planes: Tensor) -> Tensor:
        context.mark_dirty(planes)
        context.save_for_backward(planes.clamp_(0, 6))
        return planes

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (planes,) = context.saved_tensors
        found: Tensor = torch.ops.aten.hardtanh_backward(gradient, planes, 0.0, 6.0)
        return found


def fuse(upper: nn.Module) -> None:
    """Replace each convolution whose only reader is a batch norm, in place.

    Valid only while the batch norms keep their running statistics. Networks that were not traced
    stay as they are.
    """
    if not isinstance(upper, GraphModule):
        return
    modules = dict(upper.named_modules())
    for node in list(upper.graph.nodes):
        follower = _only_reader(node)
        if follower is None or node.op != "call_module" or follower.op != "call_module":
            continue
        convolution, norm = modules[str(node.target)], modules[str(follower.target)]
        if not (_is_plain(convolution) and _is_foldable(norm)):
            continue
        assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        name = f"fused_{node.name}"
        upper.add_submodule(name, FusedConvolution(convolution, norm))
        node.target = name
        follower.replace_all_uses_with(node)
        upper.graph.erase_node(follower)
    upper.recompile()


def _only_reader(node: Node) -> Node | None:
    readers = list(node.users)
    return readers[0] if len(readers) == 1 else None


def _is_plain(module: nn.Module) -> bool:
    """Whether it is torch's own convolution without bias ("same" padding is computed by timm's)."""
    return type(module) is nn.Conv2d and module.bias is None and module.padding_mode == "zeros"


def _is_foldable(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.BatchNorm2d)
        and module.track_running_stats
        and module.affine
        and isinstance(getattr(module, "drop", None), (nn.Identity, type(None)))
    )
