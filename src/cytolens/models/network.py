"""The network of a recipe: a frozen lower part, a trainable upper part, a head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cytolens.core.errors import InputError
from cytolens.core.seeding import torch_seed
from cytolens.models.backbones import Body, create_backbone
from cytolens.models.config import ModelConfig
from cytolens.models.cut import INPUT, halve, operations, trace
from cytolens.models.freezing import boundary
from cytolens.models.fusing import fuse
from cytolens.models.heads import create_head
from cytolens.models.weights import Weights

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True)
class Backbone:
    """A pretrained backbone cut at the freezing boundary.

    Attributes:
        body: the whole of it; both parts share its modules.
        lower: the frozen part, uint8 [N, H, W, 3] -> features; None when nothing can be stored.
        upper: the part above the cut, features -> vector or map; None when all is frozen.
        cut: name of the node between them; "input" when `lower` is None.
        frozen_above: modules and parameters above the cut that are frozen all the same.
    """

    body: Body
    lower: nn.Module | None
    upper: nn.Module | None
    cut: str
    frozen_above: tuple[str, ...]


def build_backbone(config: ModelConfig, weights: Weights, seed: int = 0) -> Backbone:
    """Create, load, trace and cut the backbone of a recipe.

    Raises:
        InputError: unknown backbone, weights that do not fit, or a `freeze` without meaning.
    """
    body = Body(create_backbone(weights, seed), weights, config.pool).eval()
    traced = trace(body)
    if traced is None:
        if config.freeze == "all":
            return Backbone(body, body, None, "output", ())
        if config.freeze == "none":
            return Backbone(body, None, body, INPUT, ())
        raise InputError(
            f"{weights.backbone} cannot be cut inside: its control flow depends on the input.",
            expected='freeze = "all" or "none" for this backbone',
        )
    for parameter in body.parameters():
        parameter.requires_grad_(False)
    modules = dict(traced.named_modules())
    position = boundary(config.freeze, weights.backbone, operations(traced), modules)
    halves = halve(traced, position)
    return Backbone(body, halves.lower, halves.upper, halves.cut, halves.frozen_above)


class Trainable(nn.Module):
    """What is trained: the upper part (if any) and the head; features in, class scores out."""

    def __init__(
        self,
        upper: nn.Module | None,
        frozen: tuple[str, ...],
        head: nn.Module,
        keep_statistics: bool,
        head_input: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        self.upper = upper
        self.head = head
        self.head_input = head_input
        self._frozen = frozen
        self._keep_statistics = keep_statistics
        if upper is not None:
            inside = tuple(f"{name}." for name in frozen)
            for name, parameter in upper.named_parameters():
                parameter.requires_grad_(not (name in frozen or name.startswith(inside)))

    def _frozen_modules(self) -> list[nn.Module]:
        assert self.upper is not None
        return [module for name, module in self.upper.named_modules() if name in self._frozen]

    def train(self, mode: bool = True) -> Trainable:
        """Switch to training; batch norm that is frozen stays in inference mode."""
        super().train(mode)
        if self.upper is not None and mode:
            still = self._frozen_modules()
            if self._keep_statistics:
                still += [m for m in self.upper.modules() if isinstance(m, _BATCH_NORMS)]
            for module in still:
                module.eval()
        return self

    def with_head(self, head: nn.Module) -> Trainable:
        """Return the same upper part, shared, under another head."""
        return Trainable(self.upper, self._frozen, head, self._keep_statistics, self.head_input)

    def without_upper(self) -> Trainable:
        """Return the head alone, shared: what is left to train when the upper part is done."""
        return Trainable(None, (), self.head, self._keep_statistics, self.head_input)

    def forward(self, features: Tensor) -> Tensor:
        if self.upper is not None:
            features = self.upper(features)
        scores: Tensor = self.head(features)
        return scores


def build_trainable(
    config: ModelConfig,
    weights: Weights,
    backbone: Callable[[], Backbone] | None,
    shape: tuple[int, ...],
    classes: int,
    seed: int,
    *names: str | int,
) -> Trainable:
    """Build a fresh trainable part, the same for the same seed and names.

    Args:
        backbone: makes a fresh backbone (its upper part is trained in place); None when all of
            it is frozen, so that `shape` is already what the head takes.
        shape: of one image's stored features, without the batch axis.
        classes: number of classes.
    """
    keep = config.batch_norm == "frozen" or (
        config.batch_norm == "auto" and weights.card.batch_norm == "frozen"
    )
    made = backbone() if backbone is not None else None
    upper = made.upper if made else None
    if upper is not None:
        upper.eval()
        if keep:
            fuse(upper)
        with torch.inference_mode():
            first = torch.zeros(1, *shape)
            shape = tuple(upper(first).shape[1:])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "head", *names))
        head = create_head(shape, classes, config)
    return Trainable(upper, made.frozen_above if made else (), head, keep, shape)
