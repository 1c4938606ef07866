"""LeNet-5 and the plain network: their shapes are the sources', and nothing is pretrained."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from cytolens.core.errors import InputError
from cytolens.experiments.network import Network
from cytolens.experiments.recipe import load_recipe
from cytolens.models.backbones import create_backbone
from cytolens.models.cards import shipped_card
from cytolens.models.config import ModelConfig
from cytolens.models.heads import create_head
from cytolens.models.scratch import SCRATCH, SMALLEST_SIDE, LeNet5
from cytolens.models.weights import Weights, resolve_weights

MakeWeights = Callable[..., Weights]


def test_lenet5_has_the_maps_of_the_paper() -> None:
    net = LeNet5().eval()
    shapes: dict[str, tuple[int, ...]] = {}
    for name in ("c1", "c3", "fit", "c5"):
        module = getattr(net, name)
        module.register_forward_hook(
            lambda _m, _i, out, name=name: shapes.__setitem__(name, tuple(out.shape[1:]))
        )
    out = net.forward_features(torch.zeros(2, 3, 32, 32))
    assert shapes == {"c1": (6, 28, 28), "c3": (16, 10, 10), "fit": (16, 5, 5), "c5": (120, 1, 1)}
    assert out.shape == (2, 120, 1, 1)
    s4 = torch.rand(1, 16, 5, 5)
    torch.testing.assert_close(net.fit(s4), s4)  # at 32 pixels nothing is averaged away
    counts = [sum(p.numel() for p in m.parameters()) for m in (net.c1, net.c3, net.c5)]
    # LeCun 1998 counts 156 in C1 (one colour: 6 · 25 + 6) and 48,120 in C5.
    assert counts == [6 * (3 * 25 + 1), 16 * (6 * 25 + 1), 48_120]


def test_the_head_of_lenet5() -> None:
    config = ModelConfig(head="lenet5", width=84)
    kinds = [type(m).__name__ for m in create_head((120, 1, 1), 10, config).children()]
    assert kinds == ["Flatten", "Linear", "Tanh", "Linear"]
    layers: list[nn.Linear] = [
        m for m in create_head((120, 1, 1), 10, config).children() if isinstance(m, nn.Linear)
    ]
    assert [(m.in_features, m.out_features) for m in layers] == [(120, 84), (84, 10)]


@pytest.mark.parametrize("name", SCRATCH)
@pytest.mark.parametrize("size", [(SMALLEST_SIDE, SMALLEST_SIDE), (33, 50), (96, 96)])
def test_any_size(random_weights: MakeWeights, name: str, size: tuple[int, int]) -> None:
    net = create_backbone(random_weights(name, 32))
    out = net.forward_features(torch.zeros(2, 3, *size))  # type: ignore[operator]
    height, width = (1, 1) if name == "lenet5" else (size[0] // 16, size[1] // 16)
    assert out.shape == (2, net.num_features, height, width)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("name", SCRATCH)
def test_a_network_from_scratch_learns_all_of_itself(name: str) -> None:
    net = SCRATCH[name]().train()
    planes = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    net.forward_features(planes).square().sum().backward()  # type: ignore[operator]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize("name", SCRATCH)
@pytest.mark.parametrize("weights", ["imagenet", "auto"])
def test_there_are_no_pretrained_weights(name: str, weights: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve_weights(name, weights)
    assert str(caught.value) == (
        f"There are no weights {weights!r} of {name}: it is trained from scratch.\n"
        'Expected: model.weights = "random" and model.freeze = "none"\n'
        f"Way out: set both, or start from the shipped recipe that trains {name}."
    )


@pytest.mark.parametrize(("recipe", "name"), [("lenet5", "lenet5"), ("scratch", "scratch_cnn")])
def test_the_shipped_recipes_train_everything(recipe: str, name: str) -> None:
    model = load_recipe(recipe).model
    assert (model.backbone, model.weights, model.freeze) == (name, "random", "none")
    found = resolve_weights(name, "random", 3)
    assert found.card == shipped_card(name) and found.identity == "random-3"
    assert "nothing is transferred" in found.note


def test_images_that_are_too_small() -> None:
    recipe = load_recipe("lenet5", ["pixels.size=12"])
    with pytest.raises(InputError) as caught:
        Network(recipe, 2)
    assert str(caught.value) == (
        "lenet5 takes images of at least 16 pixels a side, not 12 x 12.\nWay out: set pixels.size."
    )
