"""A fused convolution computes and learns what its two layers do."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import nn
from torch.fx import GraphModule

from cytolens.models.config import ModelConfig
from cytolens.models.fusing import FusedConvolution, fuse
from cytolens.models.network import build_backbone
from cytolens.models.weights import resolve_weights

BACKBONES = ("mobilenetv2_100", "resnet50", "cytolens_tiny", "densenet121")


def _upper(name: str, *, fused: bool) -> GraphModule:
    weights = resolve_weights(name, "random", 0)
    backbone = build_backbone(ModelConfig(backbone=name, freeze=0.5), weights, 0)
    upper = cast(GraphModule, backbone.upper)
    upper.eval()
    for parameter in upper.parameters():
        parameter.requires_grad_(True)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for module in upper.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean = 0.1 * torch.randn_like(
                    cast(torch.Tensor, module.running_mean)
                )
                module.running_var = 0.5 + torch.rand_like(cast(torch.Tensor, module.running_var))
    if fused:
        fuse(upper)
    return upper


@pytest.mark.parametrize("name", BACKBONES)
def test_values_and_gradients_are_those_of_the_two_layers(name: str) -> None:
    plain, fused = _upper(name, fused=False), _upper(name, fused=True)
    weights = resolve_weights(name, "random", 0)
    backbone = build_backbone(ModelConfig(backbone=name, freeze=0.5), weights, 0)
    pixels = torch.randint(0, 255, (2, 64, 64, 3), generator=torch.Generator().manual_seed(0))
    lower = cast(nn.Module, backbone.lower)
    with torch.no_grad():
        features = lower(pixels.to(torch.uint8))
    kept = features.clone()
    results = []
    for upper in (plain, fused):
        out = upper(features)
        out.square().mean().backward()
        results.append((out.detach(), {n: p.grad for n, p in upper.named_parameters()}))
    (out, gradients), (fused_out, fused_gradients) = results
    torch.testing.assert_close(features, kept)  # nothing was overwritten
    torch.testing.assert_close(fused_out, out, rtol=1e-4, atol=1e-5)
    assert gradients.keys() == fused_gradients.keys()
    largest = max(float(g.abs().max()) for g in gradients.values() if g is not None)
    for key, gradient in gradients.items():
        other = fused_gradients[key]
        assert (gradient is None) == (other is None), key
        if gradient is not None and other is not None:
            torch.testing.assert_close(other, gradient, rtol=1e-3, atol=1e-5 * largest, msg=key)


def test_convolutions_are_fused_and_the_state_keeps_its_names() -> None:
    plain, fused = _upper("mobilenetv2_100", fused=False), _upper("mobilenetv2_100", fused=True)
    count = sum(isinstance(module, FusedConvolution) for module in fused.modules())
    norms = sum(
        node.op == "call_module" and isinstance(fused.get_submodule(node.target), nn.BatchNorm2d)
        for node in fused.graph.nodes
    )
    assert count >= 20 and norms <= 1  # one may stand right behind the cut
    assert plain.state_dict().keys() == fused.state_dict().keys()


def test_a_network_that_was_not_traced_stays_as_it_is() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))
    fuse(module)
    assert [type(m) for m in module] == [nn.Conv2d, nn.BatchNorm2d]


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16])
def test_relu6_in_place_has_the_values_and_gradients_of_torchs(kind: torch.dtype) -> None:
    convolution, norm = nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, eps=0.0).eval()
    nn.init.ones_(convolution.weight)
    norm.act = nn.ReLU6()
    layer = FusedConvolution(convolution, norm).to(kind)
    convolution.to(kind), norm.to(kind)
    values = torch.tensor([-1.0, -0.0, 0.0, 0.5, 3.0, 6.0, 7.0], dtype=kind)  # both bounds too
    mine = values.view(1, 1, 1, -1).clone().requires_grad_(True)
    theirs = values.clone().requires_grad_(True)
    weights = torch.arange(1, 8, dtype=kind)
    found, expected = layer(mine), nn.functional.relu6(theirs)
    (found.flatten() * weights).sum().backward()
    (expected * weights).sum().backward()
    assert mine.grad is not None and theirs.grad is not None
    assert torch.equal(found.flatten(), expected) and torch.equal(mine.grad.flatten(), theirs.grad)
    with torch.inference_mode():
        assert torch.equal(layer(values.view(1, 1, 1, -1)).flatten(), expected)


def test_mixed_precision_trains_the_fused_part() -> None:
    fused = _upper("mobilenetv2_100", fused=True)
    start = next(p for n, p in fused.named_parameters() if p.ndim == 4)
    features = torch.rand(2, start.shape[1], 8, 8, generator=torch.Generator().manual_seed(0))
    whole = fused(features).detach()
    with torch.autocast("cpu", torch.bfloat16):
        out = fused(features)
    out.float().square().mean().backward()
    assert out.dtype == torch.bfloat16
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in fused.parameters())
    assert start.grad is not None and float(start.grad.abs().max()) > 0
    torch.testing.assert_close(out.float(), whole, rtol=0.1, atol=0.05 * float(whole.abs().max()))
