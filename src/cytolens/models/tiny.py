"""The small backbone that ships with the package, so that something transfers where no hub is."""

from __future__ import annotations

from torch import Tensor, nn


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class _Residual(nn.Module):
    """Two convolutions beside the identity (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_convolution(width, width), _convolution(width, width))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)  # type: ignore[no-any-return]


class TinyNet(nn.Module):
    """A small residual network of plain convolutions, with under 500,000 parameters.

    [N, 3, H, W] -> [N, 256, H / 16, W / 16]; trained by `scripts/train_tiny.py` on phantoms alone.
    Plain 3 x 3 convolutions, because torch trains depthwise ones many times slower on a CPU.
    """

    num_features = 256

    def __init__(self) -> None:
        super().__init__()
        self.stem = _convolution(3, 24, stride=2)
        self.stages = nn.Sequential(
            _convolution(24, 48, stride=2),
            _Residual(48),
            _convolution(48, 96, stride=2),
            _Residual(96),
            _convolution(96, 128, stride=2),
        )
        self.final = nn.Sequential(
            nn.Conv2d(128, self.num_features, 1, bias=False),
            nn.BatchNorm2d(self.num_features),
            nn.ReLU(),
        )

    def forward_features(self, planes: Tensor) -> Tensor:
        features: Tensor = self.final(self.stages(self.stem(planes)))
        return features
