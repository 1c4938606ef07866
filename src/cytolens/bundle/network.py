"""The network of a bundle in torch: for explanations, exports, and where no runtime is at hand."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from cytolens.bundle.card import MODEL, BundleCard
from cytolens.core.errors import InputError
from cytolens.models.backbones import Body, create_backbone
from cytolens.models.heads import create_head
from cytolens.models.weights import Weights, load_state


class BundleNetwork(nn.Module):
    """uint8 pixels [N, H, W, 3] -> scores [N, k] and features [N, d], both float32.

    A sigmoid output z becomes two scores, -z/2 and z/2, whose softmax is its two probabilities.
    Features are what the head takes; of a map [N, C, h, w] its mean over the places.
    """

    def __init__(self, body: Body, head: nn.Module, output: str) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.output = output

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(pixels)
        scores = self.head(features)
        if self.output == "sigmoid":
            scores = torch.cat([-scores / 2, scores / 2], dim=1)
        if features.ndim == 4:
            features = features.mean((2, 3))
        return scores, features


def load_network(folder: Path, card: BundleCard) -> BundleNetwork:
    """Build the network of a bundle whose files were checked, in inference mode.

    Raises:
        InputError: the model does not fit the description.
    """
    state = load_state(folder / MODEL)
    bare = Weights(card.backbone, None, card.card, "bundle")
    body = Body(create_backbone(bare), bare, card.model.pool)
    head = create_head(card.feature_shape, len(card.classes), card.model)
    for module, prefix in ((body.net, "net."), (head, "head.")):
        part = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        try:
            module.load_state_dict(part, strict=True)
        except RuntimeError as error:
            raise InputError(
                f"The bundle's model does not fit its bundle.json: {error}.",
                fix="fetch the bundle again; do not use this one.",
            ) from error
    network = BundleNetwork(body, head, card.model.output).eval()
    return network.requires_grad_(False)
