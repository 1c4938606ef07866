"""The network side of a run: weights, features, a fresh trainable part a fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import torch

from cytolens.data.facts import Facts
from cytolens.data.manifest import Manifest
from cytolens.experiments.recipe import Recipe
from cytolens.features.engines import choose_engine
from cytolens.features.store import Store
from cytolens.features.table import FeatureSpec, FeatureTable, Source, View
from cytolens.models.backbones import canonical, check_input
from cytolens.models.network import Backbone, Trainable, build_backbone, build_trainable
from cytolens.models.scratch import check_size
from cytolens.models.weights import Weights, load_state, resolve_weights


class Network:
    """Builds what a recipe's `[model]` says, as late and as seldom as possible.

    When all of the backbone is frozen and every feature is in the store, the backbone itself is
    never built.
    """

    def __init__(self, recipe: Recipe, classes: int) -> None:
        self.recipe = recipe
        self.classes = classes
        name = canonical(recipe.model.backbone)
        self.weights: Weights = resolve_weights(name, recipe.model.weights, recipe.seed)
        self.engine = choose_engine(recipe.features.engine)
        self.size = recipe.pixels.resolve(self.weights.card.input_size)
        check_size(self.weights.backbone, self.size)
        self._backbone: Backbone | None = None
        self._all_frozen = recipe.model.freeze == "all"

    @property
    def backbone(self) -> Backbone:
        """The pretrained backbone, never trained.

        Raises:
            InputError: as `build_backbone`, or the network cannot take images of `size`.
        """
        if self._backbone is None:
            backbone = self.fresh()
            check_input(backbone.body, self.size)
            self._backbone = backbone
        return self._backbone

    def fresh(self) -> Backbone:
        """Build another copy, to be trained."""
        return build_backbone(self.recipe.model, self.weights, self.recipe.seed)

    def table(self, manifest: Manifest, facts: Facts, store: Store) -> FeatureTable:
        """Return the feature table of a manifest (nothing is computed yet)."""
        sources = [
            Source(row.id, row.image, sha)
            for row, sha in zip(manifest.rows, facts.sha256, strict=True)
        ]
        return self.table_of(sources, store)

    def table_of(self, sources: Sequence[Source], store: Store) -> FeatureTable:
        """Return the feature table of some images (nothing is computed yet)."""
        frozen = self._all_frozen or self.backbone.lower is not None
        card = self.weights.card
        network = {
            "backbone": self.weights.backbone,
            "weights": self.weights.identity,
            "freeze": self.recipe.model.freeze,
            "pool": self.recipe.model.pool if self._all_frozen else None,
            "card": [card.mean, card.std, card.create],
        }
        spec = FeatureSpec(
            network=network if frozen else None,
            pixels=self.recipe.pixels,
            augment=self.recipe.augment,
            size=self.size,
            engine=self.engine,
            precision=self.recipe.features.precision,
            seed=self.recipe.seed,
        )
        return FeatureTable(sources, spec, self._lower, store)

    def _lower(self) -> torch.nn.Module:
        lower = self.backbone.lower
        assert lower is not None, "the frozen part is asked for only where there is one"
        return lower

    def trainable(
        self, shape: tuple[int, ...], *names: str | int
    ) -> tuple[Trainable, Backbone | None]:
        """Return a fresh trainable part, and the backbone whose upper part it trains (if any)."""
        backbone = None if self._all_frozen else self.fresh()
        model = build_trainable(
            self.recipe.model,
            self.weights,
            (lambda: backbone) if backbone is not None else None,
            shape,
            self.classes,
            self.recipe.seed,
            *names,
        )
        return model, backbone

    def state(self, model: Trainable, backbone: Backbone | None) -> dict[str, torch.Tensor]:
        """Return the whole network's tensors: `net.*` and `head.*`."""
        if backbone is not None:
            net = backbone.body.net.state_dict()
        elif self.weights.path is not None:
            net = load_state(self.weights.path)
        else:
            net = self.backbone.body.net.state_dict()
        head = model.head.state_dict()
        return {f"net.{k}": v for k, v in net.items()} | {f"head.{k}": v for k, v in head.items()}

    def test_views(self) -> tuple[View, ...]:
        """Return the test-time views; the identity is view 0."""
        names = self.recipe.evaluation.test_views
        return tuple(0 if name == "identity" else name for name in names)


def weights_summary(weights: Weights) -> dict[str, object]:
    """Return where the weights came from, for provenance (no path of this machine)."""
    return {
        "backbone": weights.backbone,
        "identity": weights.identity,
        "file": weights.path.name if weights.path else None,
        "card": asdict(weights.card),
        "note": weights.note,
    }
