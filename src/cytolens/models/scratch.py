"""Networks that are trained from scratch: the baselines that transfer nothing."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from cytolens.core.errors import InputError

SMALLEST_SIDE = 16  # pixels; below it nothing is left after the poolings


class LeNet5(nn.Module):
    """LeNet-5 up to its layer C5 (LeCun et al. 1998, "Gradient-based learning", section II.B).

    [N, 3, H, W] -> [N, 120, 1, 1]. At 32 × 32 the maps are the paper's (C1 28, S2 14, C3 10, S4 5,
    C5 1); from other sizes S4 is averaged to 5 × 5. Today's reading of it: three colours instead
    of one, every map of C3 sees every map of S2, pooling without weights of its own, tanh without
    its scale. The head `lenet5` adds F6 (84 units) and the output.
    """

    num_features = 120

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(3, 6, 5)
        self.c3 = nn.Conv2d(6, 16, 5)
        self.c5 = nn.Conv2d(16, 120, 5)
        self.pool = nn.AvgPool2d(2)
        self.fit = nn.AdaptiveAvgPool2d(5)
        self.act = nn.Tanh()

    def forward_features(self, planes: Tensor) -> Tensor:
        s2 = self.pool(self.act(self.c1(planes)))  # [N, 6, (H - 4) / 2, (W - 4) / 2]
        s4 = self.pool(self.act(self.c3(s2)))  # [N, 16, …]
        features: Tensor = self.act(self.c5(self.fit(s4)))  # [N, 16, 5, 5] -> [N, 120, 1, 1]
        return features


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


class ScratchCNN(nn.Module):
    """Four plain blocks of convolution, batch norm, ReLU and pooling (murtoza's baseline).

    [N, 3, H, W] -> [N, 256, H / 16, W / 16]. murtoza gives no layers: the widths 32, 64, 128 and
    256 are ours.
    """

    num_features = 256

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            _block(3, 32), _block(32, 64), _block(64, 128), _block(128, self.num_features)
        )

    def forward_features(self, planes: Tensor) -> Tensor:
        features: Tensor = self.blocks(planes)
        return features


SCRATCH: dict[str, Callable[[], nn.Module]] = {"lenet5": LeNet5, "scratch_cnn": ScratchCNN}


def check_size(backbone: str, size: tuple[int, int]) -> None:
    """Refuse inputs that the poolings of a network from scratch would reduce to nothing.

    Raises:
        InputError: a side (height, width in pixels) is below `SMALLEST_SIDE`.
    """
    if backbone in SCRATCH and min(size) < SMALLEST_SIDE:
        raise InputError(
            f"{backbone} takes images of at least {SMALLEST_SIDE} pixels a side, "
            f"not {size[0]} x {size[1]}.",
            fix="set pixels.size.",
        )
