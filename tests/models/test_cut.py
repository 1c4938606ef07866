"""Every backbone of the papers, and others: cut anywhere, the two parts are the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from cytolens.core.errors import InputError
from cytolens.models.backbones import PAPER_BACKBONES, Body, canonical, create_backbone
from cytolens.models.config import ModelConfig
from cytolens.models.cut import INPUT, Halves, cut_points, halve, operations, trace
from cytolens.models.freezing import KERAS_CONVOLUTIONS, boundary
from cytolens.models.network import Trainable, build_backbone
from cytolens.models.scratch import SCRATCH
from cytolens.models.weights import Weights

MakeWeights = Callable[..., Weights]

VIT, CONVNEXT = "vit_tiny_patch16_224", "convnext_atto"
SMALLEST = {"inception_v3": 75, "legacy_xception": 71}
CREATE = {VIT: {"img_size": 32}}
# Trained as a whole, too:
QUICK = ("mobilenetv2_100", "squeezenet1_1", "cytolens_tiny", *SCRATCH, VIT)
NAMES = [*PAPER_BACKBONES.values(), "squeezenet1_1", "cytolens_tiny", *SCRATCH, VIT, CONVNEXT]
# What contrastive2023 froze, checked against keras.applications (K: convolutions of all).
KERAS = {
    "resnet50": (86, 26, 53),
    "mobilenetv2_100": (100, 34, 52),
    "densenet169": (249, 70, 168),
    "vgg16": (13, 9, 13),
    "vgg19": (17, 12, 16),
}


@dataclass(frozen=True)
class Case:
    name: str
    body: Body
    traced: GraphModule
    pixels: Tensor
    expected: Tensor
    layers: list[nn.Module]  # weight layers in the order they run, found by hooks

    def halve(self, freeze: str | float) -> Halves:
        modules = dict(self.traced.named_modules())
        nodes = operations(self.traced)
        return halve(self.traced, boundary(freeze, self.name, nodes, modules))


@pytest.fixture(scope="module", params=NAMES)
def case(request: pytest.FixtureRequest, random_weights: MakeWeights) -> Iterator[Case]:
    name = request.param
    size = SMALLEST.get(name, 32)
    weights = random_weights(name, size, create=CREATE.get(name, {}))
    body = Body(create_backbone(weights), weights, "avg").eval()
    traced = trace(body)
    assert traced is not None
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8, generator=generator)
    layers: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda m, *_: layers.append(m))
        for module in body.modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    with torch.inference_mode():
        expected = body(pixels)
    for hook in hooks:
        hook.remove()
    yield Case(name, body, traced, pixels, expected, layers)


def _freeze_everything(case: Case) -> None:
    case.body.eval()
    for parameter in case.body.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None


def _frozen_layers(case: Case) -> list[bool]:
    return [not layer.weight.requires_grad for layer in case.layers]  # type: ignore[union-attr]


@pytest.mark.parametrize("freeze", ["all", "none", 0.5])
def test_the_parts_are_the_whole_and_the_right_ones_learn(case: Case, freeze: str | float) -> None:
    _freeze_everything(case)
    halves = case.halve(freeze)
    stored = case.pixels
    if halves.lower is not None:
        with torch.inference_mode():
            stored = halves.lower(case.pixels)
    kept = stored.clone()
    if halves.upper is not None:
        with torch.inference_mode():
            found = halves.upper(stored)
        assert torch.equal(kept, stored)  # nothing above the cut writes into what is stored
    else:
        found = stored
    assert torch.equal(found, case.expected)
    assert (halves.lower is None) == (freeze == "none") == (halves.cut == INPUT)
    assert (halves.upper is None) == (freeze == "all")

    model = Trainable(halves.upper, halves.frozen_above, nn.Linear(found.shape[1], 2), True)
    count = round({"all": 1.0, "none": 0.0}.get(str(freeze), freeze) * len(case.layers))  # type: ignore[operator]
    assert _frozen_layers(case) == [True] * count + [False] * (len(case.layers) - count)
    if freeze == "none" and case.name not in QUICK:
        return
    model.train()
    model(kept.clone()).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    for name, parameter in case.body.named_parameters():
        assert id(parameter) in trained or parameter.grad is None, name


def test_what_is_frozen_above_the_cut_is_every_operation_below_the_boundary(case: Case) -> None:
    """Not one parameter before the boundary learns, be it a module's or bare (layer norms)."""
    _freeze_everything(case)
    modules = dict(case.traced.named_modules())
    nodes = operations(case.traced)
    for freeze in (0.3, 0.45, 0.7):
        end = boundary(freeze, case.name, nodes, modules)
        halves = halve(case.traced, end)
        assert halves.upper is not None
        Trainable(halves.upper, halves.frozen_above, nn.Identity(), False)
        learns = {name for name, p in halves.upper.named_parameters() if p.requires_grad}
        before, after = ({str(n.target) for n in part} for part in (nodes[:end], nodes[end:]))
        owners = {name for name in learns for n in (name, name.rpartition(".")[0]) if n in before}
        assert owners == set()
        assert learns
        assert all(n in after or n.rpartition(".")[0] in after for n in learns)


def test_no_operation_works_in_place(case: Case) -> None:
    inside = [n for n, m in case.body.named_modules() if getattr(m, "inplace", False)]
    assert inside == []
    functions = [n for n in operations(case.traced) if n.kwargs.get("inplace")]
    assert functions == []


def test_keras_counts(case: Case) -> None:
    if case.name not in KERAS:
        with pytest.raises(InputError, match=f"^No Keras layer table has entry 86 for {case.name}"):
            case.halve("keras:86")
        return
    number, convolutions, of = KERAS[case.name]
    _freeze_everything(case)
    assert len(case.layers) == of
    halves = case.halve(f"keras:{number}")
    Trainable(halves.upper, halves.frozen_above, nn.Identity(), False)
    assert _frozen_layers(case) == [True] * convolutions + [False] * (of - convolutions)


def test_a_cut_leaves_one_tensor_alive(case: Case) -> None:
    """Checked by cutting everywhere: each point's halves only need the one tensor (or raise)."""
    nodes = operations(case.traced)
    points = cut_points(nodes)
    assert points[-1] == len(nodes) - 1
    assert len(points) > 5
    for point in points:
        after = set(nodes[point + 1 :])
        alive = {
            node
            for node in nodes[: point + 1]
            if node.op != "get_attr" and any(user in after for user in node.users)
        }
        assert alive <= {nodes[point]}


# ------------------------------------------------------------------ freeze, on four layers


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm, self.act = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU()
        self.conv2 = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.conv2(self.act(self.norm(self.conv1(x))))
        return x + inner


class _Four(nn.Module):
    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.block = _Block()
        self.final = nn.Conv2d(4, 4, 1)

    def forward_features(self, planes: Tensor) -> Tensor:
        features: Tensor = self.final(self.block(self.stem(planes)))
        return features


@pytest.fixture
def four(random_weights: MakeWeights, monkeypatch: pytest.MonkeyPatch) -> Weights:
    monkeypatch.setattr("cytolens.models.network.create_backbone", lambda *_: _Four().eval())
    return random_weights("four", 8)


STEM, INSIDE = "net_stem_2", ("net.block.conv1", "net.block.norm")


@pytest.mark.parametrize(
    ("freeze", "cut", "frozen"),
    [
        ("all", "mean", ()),
        (1.0, "mean", ()),
        ("none", "input", ()),
        (0.0, "input", ()),
        (0.25, STEM, ()),  # with its normalisation and activation
        (0.5, STEM, INSIDE),  # up to the second convolution of the block, which has no cut
        (0.75, "add_1", ()),
        ("node:stem.0", "net_stem_0", ()),
        ("node:stem", STEM, ()),
        ("node:block.norm", STEM, INSIDE),
        ("node:net_block_conv1", STEM, INSIDE[:1]),
        ("node:add_1", "add_1", ()),
        ("node:final", "net_final", ()),
    ],
)
def test_where_a_freeze_cuts(
    four: Weights, freeze: str | float, cut: str, frozen: tuple[str, ...]
) -> None:
    built = build_backbone(ModelConfig(backbone="four", freeze=freeze), four)
    assert (built.cut, built.frozen_above) == (cut, frozen)
    pixels = torch.randint(0, 256, (3, 8, 8, 3), dtype=torch.uint8)
    with torch.inference_mode():
        lower = built.lower(pixels) if built.lower else pixels
        upper = built.upper(lower) if built.upper else lower
        assert torch.equal(upper, built.body(pixels))


FORMS = 'Expected: "all", "none", a fraction 0 … 1, "node:NAME" or "keras:K"'


@pytest.mark.parametrize(
    ("freeze", "said"),
    [
        ("half", f"freeze = 'half' means nothing.\n{FORMS}"),
        ("keras:x", f"freeze = 'keras:x' means nothing.\n{FORMS}"),
        (
            "keras:7",
            "No Keras layer table has entry 7 for four.\nExpected: resnet50 keras:86, "
            "mobilenetv2_100 keras:100, densenet169 keras:249, vgg16 keras:13, vgg19 keras:17\n"
            "Way out: use a fraction or node:NAME.",
        ),
        (
            "node:finall",
            "The network has no node or module 'finall' (did you mean 'final'?).\n"
            "Expected: one of block, stem",
        ),
    ],
)
def test_freezes_that_mean_nothing(four: Weights, freeze: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        build_backbone(ModelConfig(backbone="four", freeze=freeze), four)
    assert str(caught.value) == said


class _Untraceable(nn.Module):
    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1)

    def forward_features(self, planes: Tensor) -> Tensor:
        if planes.mean() > 1e9:
            return planes
        features: Tensor = self.layer(planes)
        return features


def test_a_network_that_cannot_be_traced(
    random_weights: MakeWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = random_weights("cytolens_tiny", 32)
    monkeypatch.setattr("cytolens.models.network.create_backbone", lambda *_: _Untraceable().eval())
    whole = build_backbone(ModelConfig(freeze="all"), tiny)
    assert (whole.lower is whole.body, whole.upper, whole.cut) == (True, None, "output")
    none = build_backbone(ModelConfig(freeze="none"), tiny)
    assert (none.lower, none.upper is none.body, none.cut) == (None, True, INPUT)
    with pytest.raises(InputError) as caught:
        build_backbone(ModelConfig(freeze=0.5), tiny)
    assert str(caught.value) == (
        "cytolens_tiny cannot be cut inside: its control flow depends on the input.\n"
        'Expected: freeze = "all" or "none" for this backbone'
    )


def test_the_keras_table_is_the_one_that_was_checked() -> None:
    assert {(n, k): c for n, (k, c, _) in KERAS.items()} == KERAS_CONVOLUTIONS


def test_the_papers_names() -> None:
    assert canonical("ResNet50V2") == canonical("resnet50-v2") == "resnetv2_50"
    assert canonical("Xception") == "legacy_xception"
    assert canonical("efficientnet_b0") == canonical("EfficientNetB0") == "efficientnet_b0"
    assert canonical("vit_tiny_patch16_224") == "vit_tiny_patch16_224"
    for name in PAPER_BACKBONES.values():
        assert canonical(name) == name
