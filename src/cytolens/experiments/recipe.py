"""The recipe: everything about an experiment in one TOML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from cytolens.bundle.config import BundleConfig
from cytolens.core.config import assign, from_dict, load_toml
from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean
from cytolens.experiments.harmonise import harmonisations
from cytolens.experiments.papers.cells import Cell, merged, shipped_cells
from cytolens.models.classical.config import ClassifierConfig
from cytolens.models.config import ModelConfig
from cytolens.pixels.config import AugmentConfig, PixelsConfig
from cytolens.splits.plan import SplitConfig
from cytolens.training.config import TrainingConfig
from cytolens.training.contrastive.config import ContrastiveConfig
from cytolens.training.cost.config import CostConfig
from cytolens.training.regimes import check_regime


@dataclass(frozen=True)
class DataConfig:
    """The `[data]` table.

    Attributes:
        label_map: harmonisation, {label in the manifest: class}; "" leaves images out.
        harmonise: or a harmonisation that ships, by name: common classes for public sets that
            label the same thing in different words.
        classes: order of the classes; empty: sorted by name.
        one_label_a_group: refuse groups (patients) whose images carry different labels.
    """

    label_map: dict[str, str] = field(default_factory=dict)
    harmonise: str = ""
    classes: tuple[str, ...] = ()
    one_label_a_group: bool = False

    def __post_init__(self) -> None:
        if self.harmonise:
            harmonisations().get(self.harmonise)
            if self.label_map:
                raise InputError(
                    "data.harmonise and data.label_map are both given.",
                    expected="one of them",
                    fix="remove data.harmonise and write the whole map under [data.label_map].",
                )


@dataclass(frozen=True)
class ExpandConfig:
    """The `[expand]` table: offline augmentation with the parameters of `[augment]`.

    Attributes:
        when: "never"; "train", each fold's training images only; or "before_split", which leaks
            and is therefore refused under the honest protocol.
        factor: every class grows to this multiple of its images.
        targets: or each class to a count.
    """

    when: Literal["never", "train", "before_split"] = "never"
    factor: int = 1
    targets: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.when == "never" and (self.factor != 1 or self.targets):
            raise InputError(
                'expand.factor and expand.targets have no effect with when = "never".',
                fix='set expand.when = "train", or remove them.',
            )


@dataclass(frozen=True)
class FeaturesConfig:
    """The `[features]` table: which engine computes the frozen part, and how precisely.

    Attributes:
        engine: "auto" is torch on a CUDA device, else OpenVINO; or a registered engine.
        precision: "bf16" is faster where the processor has it, and changes the features.
    """

    engine: str = "auto"
    precision: Literal["f32", "bf16"] = "f32"


@dataclass(frozen=True)
class EvaluationConfig:
    """The `[evaluation]` table.

    Attributes:
        resamples: bootstrap samples of the intervals; 0 gives none.
        test_views: fixed views of a test image whose probabilities are averaged.
    """

    resamples: int = 1000
    test_views: tuple[str, ...] = ("identity",)

    def __post_init__(self) -> None:
        if self.resamples < 0 or not self.test_views:
            raise InputError("resamples must not be negative, and test_views not empty.")


@dataclass(frozen=True)
class Recipe:
    """One experiment. Every default is written out in the run's `recipe.toml`.

    Attributes:
        name: of the recipe; the file's name when it is left out.
        about: one line for a reader.
        protocol: "honest" refuses leaks; "published" allows them and stamps every number.
        seed: of all that is drawn: split, views, first weights, order, dropout, bootstrap.
    """

    name: str = "unnamed"
    about: str = ""
    protocol: Literal["honest", "published"] = "honest"
    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    expand: ExpandConfig = field(default_factory=ExpandConfig)
    pixels: PixelsConfig = field(default_factory=PixelsConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    cost: CostConfig = field(default_factory=CostConfig)
    contrastive: ContrastiveConfig = field(default_factory=ContrastiveConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    bundle: BundleConfig = field(default_factory=BundleConfig)

    def __post_init__(self) -> None:
        if self.expand.when == "before_split" and self.protocol == "honest":
            raise InputError(
                "Augmenting before the split puts copies of one image on both sides.",
                expected='expand.when = "train" under the honest protocol',
                fix='or set protocol = "published": every number then carries the stamp "leaks".',
            )
        if self.training.choose_on == "test" and self.protocol == "honest":
            raise InputError(
                "training.choose_on = 'test' chooses the epoch by the test part.",
                expected="choose_on = 'validation' under the honest protocol",
                fix='or set protocol = "published": every number then carries the stamp "leaks".',
            )
        check_regime(self.training, self.cost, self.contrastive, self.model.freeze)
        if self.classifier.used:
            self._check_classifier()
        if self.seed < 0:
            raise InputError(f"seed = {self.seed} is negative.")
        if self.training.view_count and self.augment.identity:
            raise InputError(
                f"training.views = {self.training.views!r} asks for augmented views, but "
                "[augment] changes nothing.",
                fix="set one of augment.rotation, augment.horizontal_flip, …, or views = 0.",
            )

    def _check_classifier(self) -> None:
        """Refuse what a classical classifier would not look at."""
        training, usual = self.training, TrainingConfig()
        idle = [
            f"training.{name} = {getattr(training, name)!r}"
            for name in ("regime", "views", "choose_on")
            if getattr(training, name) != getattr(usual, name)
        ]
        if self.evaluation.test_views != EvaluationConfig().test_views:
            idle.append(f"evaluation.test_views = {list(self.evaluation.test_views)}")
        if self.classifier.features == "deep" and self.model.freeze != "all":
            idle.append(f'model.freeze = {self.model.freeze!r} (deep features are frozen: "all")')
        if idle:
            raise InputError(
                f"Settings without effect with classifier.kind = {self.classifier.kind!r}: it is "
                "fitted once, on the image itself.",
                rows=idle,
                fix="remove them (offline copies, [expand], are possible).",
            )


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that ship with the package, by name."""
    folder = Path(str(files("cytolens.experiments"))) / "recipes"
    return {path.stem: path for path in sorted(folder.rglob("*.toml"))}


def load_recipe(source: str | Path, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        source: a TOML file, the name of a shipped recipe, or an experiment of a paper
            ("contrastive2023/mobilenetv2-contrastive"), as it is under the honest protocol.
        settings: `--set` texts, such as "training.epochs=20", applied in order.

    Raises:
        InputError: no such recipe, or wrong settings (all of them, with suggestions).
    """
    content = _content(str(source), shipped_recipes(), shipped_cells())
    for setting in settings:
        assign(content, setting)
    return from_dict(Recipe, content, str(source))


def _content(source: str, shipped: dict[str, Path], papers: dict[str, Cell]) -> dict[str, Any]:
    """Return the plain content of a recipe by its name or path."""
    path = shipped.get(source, Path(source))
    if not path.exists() and source in papers:
        return merged(papers[source].content)
    if not path.exists():
        near = did_you_mean(source, [*shipped, *papers])
        raise InputError(
            f"There is no recipe {source!r}{near}.",
            expected=f"a TOML file, or one of {', '.join(shipped)}, or an experiment of a paper "
            "(`cytolens recipes`)",
        )
    content = load_toml(path)
    content.setdefault("name", path.stem)
    return content
