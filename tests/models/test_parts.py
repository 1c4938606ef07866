"""Normalisation, heads, the trainable part, the small backbone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from cytolens.core.errors import InputError
from cytolens.models.backbones import Body, Normalise, check_input, create_backbone
from cytolens.models.config import ModelConfig
from cytolens.models.heads import HEADS, GaussianNoise, create_head, probabilities
from cytolens.models.network import build_backbone, build_trainable
from cytolens.models.tiny import TinyNet
from cytolens.models.weights import Weights

MakeWeights = Callable[..., Weights]


def test_normalise_is_the_formula() -> None:
    pixels = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    found = Normalise(mean, std)(pixels)
    assert found.shape == (2, 3, 5, 7)
    assert found.dtype == torch.float32
    for c in range(3):
        expected = (pixels[..., c].double() / 255 - mean[c]) / std[c]
        torch.testing.assert_close(found[:, c].double(), expected, rtol=0, atol=2e-6)
    inception = Normalise((0.5,) * 3, (0.5,) * 3)(pixels)
    expected = pixels.permute(0, 3, 1, 2).double() / 127.5 - 1
    torch.testing.assert_close(inception.double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pool", ["avg", "max", "none"])
def test_pooling(random_weights: MakeWeights, pool: str) -> None:
    weights = random_weights("cytolens_tiny", 32)
    net = create_backbone(weights)
    body = Body(net, weights, pool)
    pixels = torch.randint(0, 256, (2, 32, 48, 3), dtype=torch.uint8)
    with torch.inference_mode():
        found = body(pixels)
        features = net.forward_features(body.normalise(pixels))  # type: ignore[operator]
    assert features.shape == (2, 256, 2, 3)
    expected = {
        "avg": features.flatten(2).mean(2),
        "max": features.flatten(2).max(2).values,
        "none": features,
    }[pool]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("backbone", "usual", "small", "enough"),
    [("inception_v3", 96, (64, 96), (80, 75)), ("squeezenet1_1", 64, (16, 16), (20, 32))],
)
def test_images_that_a_network_cannot_take(
    random_weights: MakeWeights, backbone: str, usual: int, small: Any, enough: Any
) -> None:
    weights = random_weights(backbone, usual)
    body = Body(create_backbone(weights), weights, "avg")
    check_input(body, (usual, usual))
    check_input(body, enough)
    with pytest.raises(InputError) as caught:
        check_input(body, small)
    assert str(caught.value) == (
        f"{backbone} cannot take images of {small[0]} x {small[1]} pixels.\n"
        f"Expected: a size such as its own, {usual} x {usual}\nWay out: set pixels.size."
    )


def test_the_small_backbone_is_small() -> None:
    net = TinyNet()
    assert sum(p.numel() for p in net.parameters()) <= 500_000
    out = net.forward_features(torch.zeros(2, 3, 64, 96))
    assert out.shape == (2, net.num_features, 4, 6)


def test_random_networks_depend_on_the_seed_alone(random_weights: MakeWeights) -> None:
    weights = random_weights("cytolens_tiny", 32)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (create_backbone(weights, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    name = next(k for k, v in one.items() if v.ndim == 4)
    assert torch.equal(one[name], same[name])
    assert not torch.equal(one[name], other[name])


def test_an_unknown_backbone(random_weights: MakeWeights) -> None:
    with pytest.raises(InputError) as caught:
        create_backbone(random_weights("resnet5O"))
    assert str(caught.value).startswith("Unknown backbone 'resnet5O' (did you mean 'resnet50'?).")
    assert "cytolens_tiny" in caught.value.expected


# ------------------------------------------------------------------ heads


@pytest.mark.parametrize("name", HEADS.names())
@pytest.mark.parametrize("shape", [(12,), (4, 3, 2)])
def test_every_head(name: str, shape: tuple[int, ...]) -> None:
    for output, width in (("softmax", 5), ("sigmoid", 1)):
        config = ModelConfig(head=name, output=output, width=7)  # type: ignore[arg-type]
        head = create_head(shape, 5, config).train()
        scores = head(torch.randn(6, *shape))
        assert scores.shape == (6, width)
        scores.sum().backward()
        assert all(p.grad is not None for p in head.parameters())
        for module in head.modules():
            if isinstance(module, nn.Linear):
                limit = (6 / (module.in_features + module.out_features)) ** 0.5  # Glorot
                assert 0.5 * limit < module.weight.abs().max() <= limit
                assert module.bias.abs().max() == 0


def test_head_layers_and_settings() -> None:
    config = ModelConfig(head="wong2023", width=9, dropout=0.3, noise=0.7)
    kinds = [type(m).__name__ for m in create_head((4, 2, 2), 3, config).children()]
    assert kinds == ["Flatten", "Linear", "ReLU", "Dropout", "GaussianNoise", "Linear"]
    layers: Any = create_head((4, 2, 2), 3, config)
    assert (layers[1].in_features, layers[1].out_features) == (16, 9)
    assert (layers[3].p, layers[4].std) == (0.3, 0.7)
    with pytest.raises(InputError, match=r"^Unknown head 'liner' \(did you mean 'linear'\?\)"):
        create_head((4,), 2, ModelConfig(head="liner"))


def test_gaussian_noise_is_noise_in_training_only() -> None:
    layer = GaussianNoise(0.5)
    x = torch.full((20000,), 3.0)
    assert torch.equal(layer.eval()(x), x)
    noise = layer.train()(x) - 3
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 0.5) < 0.02


def test_probabilities() -> None:
    scores = torch.tensor([[0.0, 1.0, 2.0], [1000.0, 0.0, 0.0]])
    found = probabilities(scores, "softmax")
    assert found.dtype == torch.float64
    expected = torch.tensor([1.0, 2.718281828459045, 7.38905609893065], dtype=torch.float64)
    torch.testing.assert_close(found[0], expected / expected.sum())
    torch.testing.assert_close(found[1], torch.tensor([1.0, 0, 0], dtype=torch.float64))
    found = probabilities(torch.tensor([[0.0], [1.0986122886681098]]), "sigmoid")
    torch.testing.assert_close(
        found, torch.tensor([[0.5, 0.5], [0.25, 0.75]], dtype=torch.float64), atol=1e-7, rtol=0
    )


# ------------------------------------------------------------------ the trainable part


@pytest.mark.parametrize("freeze", ["all", "none", 0.5])
@pytest.mark.parametrize("pool", ["avg", "none"])
def test_build_trainable(random_weights: MakeWeights, freeze: str | float, pool: str) -> None:
    weights = random_weights("cytolens_tiny", 32)
    config = ModelConfig(backbone="cytolens_tiny", freeze=freeze, pool=pool)  # type: ignore[arg-type]
    built = build_backbone(config, weights)
    pixels = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        stored = built.lower(pixels) if built.lower else pixels
        features = built.body(pixels)
    again = None if built.upper is None else lambda: build_backbone(config, weights)
    shape = tuple(stored.shape[1:])
    models = [
        build_trainable(config, weights, again, shape, 3, seed, "fold", 0).eval()
        for seed in (0, 0, 1)
    ]
    scores = [model(stored.clone()) for model in models]
    assert scores[0].shape == (2, 3)
    assert torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[0], scores[2])
    torch.testing.assert_close(scores[0], models[0].head(features.clone()))


@pytest.mark.parametrize(
    ("setting", "card", "moves"),
    [
        ("auto", "trainable", True),
        ("auto", "frozen", False),
        ("frozen", "trainable", False),
        ("train", "frozen", True),
    ],
)
def test_batch_norm_statistics(
    random_weights: MakeWeights, setting: str, card: str, moves: bool
) -> None:
    weights = random_weights("cytolens_tiny", 32, batch_norm=card)
    config = ModelConfig(backbone="cytolens_tiny", freeze="node:stem", batch_norm=setting)  # type: ignore[arg-type]
    built = build_backbone(config, weights)
    assert built.lower is not None
    with torch.inference_mode():
        stored = built.lower(torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8))
    shape = tuple(stored.shape[1:])
    model = build_trainable(config, weights, lambda: built, shape, 2, 0)
    before = {k: v.clone() for k, v in built.body.state_dict().items()}
    model.train()
    model(stored.clone())
    after = built.body.state_dict()
    changed = {k for k, v in before.items() if not torch.equal(v, after[k])}
    above = {k for k in before if "running" in k and not k.startswith("net.stem")}
    assert {k for k in changed if "running" in k} == (above if moves else set())
    assert not any(k.startswith("net.stem") for k in changed)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"freeze": 1.5}, "freeze = 1.5 is not a fraction.\nExpected: 0 … 1"),
        ({"dropout": 1.0}, "dropout = 1.0 is out of range.\nExpected: 0 ≤ p < 1"),
        ({"width": 0}, "width must be at least 1, and noise not negative."),
        ({"noise": -0.1}, "width must be at least 1, and noise not negative."),
    ],
)
def test_settings(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        ModelConfig(**settings)
    assert str(caught.value) == said
