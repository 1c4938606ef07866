"""A paper as data: what it did, what it printed, and its experiments as pieces of recipes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from cytolens.core.config import from_dict, load_toml
from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean

Tables = dict[str, Any]  # tables of a recipe
Protocol = Literal["published", "honest"]
PROTOCOLS: tuple[Protocol, ...] = ("published", "honest")


@dataclass(frozen=True)
class Needs:
    """What the paper's experiments ask of a data set.

    Attributes:
        classes: of the paper; a set with other labels runs with a stated substitution.
        harmonise: harmonisations that may turn other labels into the paper's, in this order.
        class_count: how many classes the network can tell apart (0: any number).
        attribute: column that the split needs, and the values of it that are tested.
    """

    classes: tuple[str, ...]
    harmonise: tuple[str, ...] = ()
    class_count: int = 0
    attribute: str = ""
    attribute_values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """A network of the paper.

    Attributes:
        name: the paper's, which is also the backbone's.
        lead: the one that stand-ins stand in for.
        surveyed: named by the paper, but without a number.
        convolutions_frozen: how many of how many convolutions, where `freeze` counts layers of
            Keras; a stand-in freezes the same share.
        settings: tables of a recipe.
    """

    name: str
    lead: bool = False
    surveyed: bool = False
    convolutions_frozen: tuple[int, int] | None = None
    settings: Tables = field(default_factory=dict)


@dataclass(frozen=True)
class Regime:
    """A way every network of the paper is trained.

    Attributes:
        optional: without a number in the paper; runs when it is asked for.
        quick: further settings of a quick run.
    """

    name: str
    title: str
    optional: bool = False
    settings: Tables = field(default_factory=dict)
    quick: Tables = field(default_factory=dict)


@dataclass(frozen=True)
class Extra:
    """An experiment beside models and regimes: a baseline, another split.

    Attributes:
        transfer: it needs a pretrained network: the paper's lead model, or what stands in.
        datasets: so many values of the column `dataset` are needed.
        protocols: under which it runs.
        inherits: tables of the paper's recipe that it takes over; empty: all.
    """

    name: str
    title: str
    transfer: bool = False
    datasets: int = 0
    protocols: tuple[Protocol, ...] = ("honest",)
    inherits: tuple[str, ...] = ()
    settings: Tables = field(default_factory=dict)
    quick: Tables = field(default_factory=dict)


@dataclass(frozen=True)
class Fusion:
    """An ensemble of the networks that ran under some regimes."""

    name: str
    title: str
    regimes: tuple[str, ...]


@dataclass(frozen=True)
class Paper:
    """The content of a `paper.toml`.

    Attributes:
        system: what was built around the networks, in sentences.
        published_protocol: how the paper measured, in sentences.
        departures: where the recipes do otherwise than the paper, or where it is silent.
        counts: images a class in the paper's data, as far as its recipes depend on them.
        recipe: tables that all experiments share; `published` and `honest` are laid over it.
        quick: laid over everything for a quick run.
    """

    name: str
    title: str
    task: str
    data: str
    system: tuple[str, ...]
    published_protocol: tuple[str, ...]
    departures: tuple[str, ...]
    needs: Needs
    recipe: Tables
    published: Tables
    honest: Tables
    quick: Tables
    model: tuple[Model, ...]
    regime: tuple[Regime, ...]
    authors: str = ""
    source: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    extra: tuple[Extra, ...] = ()
    fusion: tuple[Fusion, ...] = ()

    @property
    def lead(self) -> Model:
        """The model that stand-ins stand in for."""
        return next(model for model in self.model if model.lead)


@dataclass(frozen=True)
class Result:
    """A line of the paper's table of results.

    Attributes:
        accuracy: as a share.
        per_class: {class: {precision, recall, f1}}; empty where none is printed.
        other: what else is printed.
    """

    model: str
    regime: str
    accuracy: float
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)
    other: Tables = field(default_factory=dict)


@dataclass(frozen=True)
class Compared:
    """A line of the paper's comparison with other works."""

    method: str
    accuracy: float
    classes: int | None = None
    images: int | None = None


@dataclass(frozen=True)
class Table:
    """Another table of the paper, cell by cell as printed."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Published:
    """The content of a `published.toml`: the tables as printed."""

    columns: tuple[str, ...]
    row: tuple[Result, ...]
    comparison: tuple[Compared, ...] = ()
    table: tuple[Table, ...] = ()

    def accuracy(self, model: str, regime: str) -> float | None:
        """Return the printed accuracy of a model under a regime, or None."""
        found = [r.accuracy for r in self.row if (r.model, r.regime) == (model, regime)]
        return found[0] if found else None


def paper_names() -> tuple[str, ...]:
    """Return the papers that ship with the package."""
    return tuple(path.parent.name for path in sorted(_folder().glob("*/paper.toml")))


@cache
def load_paper(name: str) -> Paper:
    """Read a paper.

    Raises:
        InputError: no such paper.
    """
    return from_dict(Paper, load_toml(_file(name, "paper.toml")), f"paper {name}")


@cache
def load_published(name: str) -> Published:
    """Read the printed tables of a paper.

    Raises:
        InputError: no such paper.
    """
    return from_dict(
        Published, load_toml(_file(name, "published.toml")), f"published tables of {name}"
    )


def _folder() -> Path:
    return Path(str(files("cytolens.experiments"))) / "papers"


def _file(name: str, file: str) -> Path:
    names = paper_names()
    if name not in names:
        raise InputError(
            f"There is no paper {name!r}{did_you_mean(name, names)}.",
            expected=f"one of {', '.join(names)}",
        )
    return _folder() / name / file
