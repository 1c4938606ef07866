"""Backbones by name: those of the papers, any other of timm or a hub, and our own small ones."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean
from cytolens.core.seeding import torch_seed
from cytolens.models.scratch import SCRATCH
from cytolens.models.weights import TINY, Weights, load_state

# The papers' names -> timm. Xception is timm's legacy one, the ported Keras network.
PAPER_BACKBONES = {
    "VGG16": "vgg16",
    "VGG19": "vgg19",
    "ResNet50": "resnet50",
    "ResNet101": "resnet101",
    "ResNet50V2": "resnetv2_50",
    "ResNet101V2": "resnetv2_101",
    "DenseNet121": "densenet121",
    "DenseNet169": "densenet169",
    "MobileNet": "mobilenetv1_100",
    "MobileNetV2": "mobilenetv2_100",
    "InceptionV3": "inception_v3",
    "Xception": "legacy_xception",
    "EfficientNetB0": "efficientnet_b0",
}
_ALIASES = {re.sub(r"[^a-z0-9]", "", k.lower()): v for k, v in PAPER_BACKBONES.items()}
_TORCHVISION = ("squeezenet1_0", "squeezenet1_1")


def canonical(name: str) -> str:
    """Return the name weights are filed under: "ResNet50V2" -> "resnetv2_50".

    A name that is neither a paper's nor known here is passed on; `create_backbone` refuses
    what timm does not know either.
    """
    return _ALIASES.get(re.sub(r"[^a-z0-9]", "", name.lower()), name)


class Normalise(nn.Module):
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W], (x / 255 - mean) / std."""

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        deviation = torch.tensor(std).view(1, 3, 1, 1)
        centre = torch.tensor(mean).view(1, 3, 1, 1)
        self.register_buffer("scale", 1 / (255 * deviation), persistent=False)
        self.register_buffer("shift", -centre / deviation, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        planes = pixels.permute(0, 3, 1, 2).float()  # [N, 3, H, W]
        return planes * self.scale + self.shift


class Body(nn.Module):
    """Normalisation, backbone and pooling: uint8 pixels in, a feature map or vector out.

    Args:
        net: the network with its original classifier (which is not used).
        pool: "avg", "max" or "none"; networks without a feature map (transformers) give their
            own pooled vector.
    """

    def __init__(self, net: nn.Module, weights: Weights, pool: str) -> None:
        super().__init__()
        self.normalise = Normalise(weights.card.mean, weights.card.std)
        self.net = net
        self.pool = pool
        self.backbone = weights.backbone
        self.usual_size = weights.card.input_size
        self.has_map = _has_map(net, self.usual_size)

    def forward(self, pixels: Tensor) -> Tensor:
        planes = self.normalise(pixels)
        # timm's own methods, which torch's Module does not declare: hence the ignores.
        if not self.has_map:
            return self.net.forward_head(self.net.forward_features(planes), pre_logits=True)  # type: ignore[operator,no-any-return]
        features: Tensor = self.net.forward_features(planes)  # type: ignore[operator]
        if self.pool == "avg":
            return features.mean((2, 3))  # [N, C]
        if self.pool == "max":
            return features.amax((2, 3))  # [N, C]
        return features  # [N, C, h, w]


def _has_map(net: nn.Module, size: tuple[int, int]) -> bool:
    """Whether `forward_features` gives [N, C, h, w]; transformers give tokens or channels last."""
    device = next(net.parameters()).device
    with torch.inference_mode():
        net.eval()
        out = net.forward_features(torch.zeros(1, 3, *size, device=device))  # type: ignore[operator]  # as above
    return bool(out.ndim == 4 and out.shape[1] == net.num_features)


def check_input(body: Body, size: tuple[int, int]) -> None:
    """Refuse images (height, width in pixels) that a network cannot take: one is tried.

    Small images are reduced to nothing by some networks; transformers may take one size alone.

    Raises:
        InputError: with the size that the weights were made for.
    """
    if size == body.usual_size:  # tried when the body was made
        return
    device = next(body.parameters()).device
    try:
        with torch.inference_mode():
            body.eval()(torch.zeros(1, *size, 3, dtype=torch.uint8, device=device))
    except (RuntimeError, AssertionError) as error:
        usual = f"{body.usual_size[0]} x {body.usual_size[1]}"
        raise InputError(
            f"{body.backbone} cannot take images of {size[0]} x {size[1]} pixels.",
            expected=f"a size such as its own, {usual}",
            fix="set pixels.size.",
        ) from error


def create_backbone(weights: Weights, seed: int = 0) -> nn.Module:
    """Build the network of `weights` and load them strictly, in inference mode.

    In-place activations are switched off: just above a cut they would overwrite stored features.

    Raises:
        InputError: unknown backbone, or weights whose names or shapes do not match.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "backbone", weights.backbone))
        net = _create(weights)
    if weights.path is not None:
        _load_strictly(net, weights)
    for module in net.modules():
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010  # unknown to mypy
    return net.eval()


def _create(weights: Weights) -> nn.Module:
    name = weights.backbone
    if name == TINY:
        from cytolens.models.tiny import TinyNet

        return TinyNet()
    if name in SCRATCH:
        return SCRATCH[name]()
    if name in _TORCHVISION:
        from cytolens.models.squeezenet import create_squeezenet

        return create_squeezenet(name)
    import timm

    try:
        net: nn.Module = timm.create_model(name, pretrained=False, **weights.card.create)
    except RuntimeError as error:
        if "Unknown model" not in str(error):
            raise
        known = [*timm.list_models(), *_TORCHVISION, TINY, *SCRATCH, *PAPER_BACKBONES]
        raise InputError(
            f"Unknown backbone {name!r}{did_you_mean(name, known)}.",
            expected="a timm name, hf-hub:NAME, or "
            + ", ".join([*PAPER_BACKBONES, TINY, *SCRATCH]),
        ) from error
    return net


def _load_strictly(net: nn.Module, weights: Weights) -> None:
    assert weights.path is not None
    state = load_state(weights.path)
    own = net.state_dict()
    wrong = [f"{name}: missing in the file" for name in own if name not in state]
    wrong += [f"{name}: not in the network" for name in state if name not in own]
    wrong += [
        f"{name}: {tuple(state[name].shape)} in the file, {tuple(own[name].shape)} in the network"
        for name in own
        if name in state and own[name].shape != state[name].shape
    ]
    if wrong:
        raise InputError(
            f"{weights.path} does not fit {weights.backbone}.",
            rows=wrong,
            expected="the same names and shapes",
            fix="correct the card's backbone or its `create` arguments.",
        )
    net.load_state_dict(state)
