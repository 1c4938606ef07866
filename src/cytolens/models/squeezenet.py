"""torchvision's SqueezeNet with the two methods the other backbones have."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import squeezenet1_0, squeezenet1_1
from torchvision.models.squeezenet import SqueezeNet

_FACTORIES = {"squeezenet1_0": squeezenet1_0, "squeezenet1_1": squeezenet1_1}


def create_squeezenet(name: str) -> nn.Module:
    """Build a SqueezeNet (Iandola et al. 2016) whose state dict is torchvision's."""
    net: nn.Module = _FACTORIES[name](weights=None)
    net.__class__ = _SqueezeFeatures  # same parameters and names, one method more
    return net


class _SqueezeFeatures(SqueezeNet):  # type: ignore[misc]  # torchvision is untyped here
    num_features = 512

    def forward_features(self, planes: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, 512, h, w]."""
        features: Tensor = self.features(planes)
        return features
