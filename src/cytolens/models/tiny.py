"""The small backbone that ships with the package, so that something transfers where no hub is."""

from __future__ import annotations

from torch import Tensor, nn

_WIDTHS = (24, 48, 96, 192)
_DEPTHS = (1, 2, 3, 3)


def _separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Depthwise 3 x 3, then pointwise convolution (Howard et al. 2017)."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = _separable(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)  # type: ignore[no-any-return]


class TinyNet(nn.Module):
    """A residual network of separable convolutions with under 500,000 parameters.

    [N, 3, H, W] -> [N, 256, H / 16, W / 16]; trained by `scripts/train_tiny.py` on phantoms alone.
    """

    num_features = 256

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, _WIDTHS[0], 3, 2, 1, bias=False), nn.BatchNorm2d(_WIDTHS[0]), nn.ReLU()
        )
        stages: list[nn.Module] = []
        previous = _WIDTHS[0]
        for width, depth in zip(_WIDTHS, _DEPTHS, strict=True):
            if width != previous:
                stages.append(_separable(previous, width, 2))
            stages += [_Block(width) for _ in range(depth)]
            previous = width
        self.stages = nn.Sequential(*stages)
        self.final = nn.Sequential(
            nn.Conv2d(previous, self.num_features, 1, bias=False),
            nn.BatchNorm2d(self.num_features),
            nn.ReLU(),
        )

    def forward_features(self, planes: Tensor) -> Tensor:
        features: Tensor = self.final(self.stages(self.stem(planes)))
        return features
