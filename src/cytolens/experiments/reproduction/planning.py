"""Which experiments of a paper run on a data set: every cell with its recipe, or why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cytolens.core.config import assign, from_dict
from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean
from cytolens.experiments.papers.cells import BASELINE, Cell, cells, merged
from cytolens.experiments.papers.paper import Paper, Protocol
from cytolens.experiments.recipe import Recipe
from cytolens.experiments.reproduction.networks import Choice
from cytolens.experiments.reproduction.suiting import Suited

FUSION = "fusion"  # regime of ensembles
_OURS = ("protocol", "name", "about")  # settings that a study sets itself


@dataclass(frozen=True)
class Planned:
    """A cell of the study.

    Attributes:
        stands_in_for: the paper's model, where another network runs in its place.
        recipe: None where it cannot run; `why_not` then says why.
    """

    cell: Cell
    stands_in_for: str | None
    recipe: Recipe | None
    why_not: str | None


@dataclass(frozen=True)
class Wishes:
    """What a user asked for.

    Attributes:
        protocols: that run.
        only: regimes, baselines and ensembles to keep, by name; empty: all that are not optional.
        quick: lay the paper's quick settings over everything.
        settings: `--set` texts.
    """

    protocols: tuple[Protocol, ...]
    only: tuple[str, ...] = ()
    quick: bool = False
    settings: tuple[str, ...] = ()

    def keep(self, name: str, regime: str, optional: bool = False) -> bool:
        """Whether a cell (by name and regime) is asked for."""
        return name in self.only or regime in self.only or not (self.only or optional)


def plan(paper: Paper, suited: Suited, choices: Sequence[Choice], wishes: Wishes) -> list[Planned]:
    """Return the cells of a study in the paper's order, ensembles apart.

    Raises:
        InputError: unknown names, settings without effect on any cell, or no cell left that has
            a recipe.
    """
    _check_names(paper, wishes)
    _check_settings(wishes.settings)
    used: set[str] = set()
    found = [
        planned
        for protocol in wishes.protocols
        for cell in cells(paper, protocol, quick=wishes.quick)
        if wishes.keep(cell.name, cell.regime, cell.optional)
        for planned in _planned(cell, suited, choices, wishes, used)
    ]
    if idle := [setting for setting in wishes.settings if setting not in used]:
        raise InputError(f"Settings without effect on any experiment of {paper.name}.", rows=idle)
    return found


def optional_regimes(paper: Paper, wishes: Wishes) -> list[str]:
    """Return the paper's optional regimes that were not asked for."""
    return [r.name for r in paper.regime if r.optional and r.name not in wishes.only]


def _check_names(paper: Paper, wishes: Wishes) -> None:
    known = [*(r.name for r in paper.regime)]
    if paper.extra:
        known += [BASELINE, *(e.name for e in paper.extra)]
    if paper.fusion:
        known += [FUSION, *(f"{FUSION}-{f.name}" for f in paper.fusion)]
    if unknown := [name for name in wishes.only if name not in known]:
        raise InputError(
            f"{paper.name} has no regime or baseline {unknown[0]!r}"
            f"{did_you_mean(unknown[0], known)}.",
            expected=f"some of {', '.join(known)}",
        )


def _check_settings(settings: Sequence[str]) -> None:
    ours = [s for s in settings if s.partition("=")[0].strip() in _OURS]
    if ours:
        raise InputError(
            "A study sets these itself.",
            rows=ours,
            fix="choose the protocol with --protocol, and leave the names.",
        )


def _planned(
    cell: Cell, suited: Suited, choices: Sequence[Choice], wishes: Wishes, used: set[str]
) -> list[Planned]:
    if suited.datasets < cell.datasets:
        why = (
            f"it needs {cell.datasets} data sets (values of the column `dataset`), and there "
            f"{'is' if suited.datasets == 1 else 'are'} {suited.datasets}"
        )
        return [Planned(cell, None, None, why)]
    if not cell.needs_weights:
        return [_build(cell, None, suited, wishes, used)]
    if cell.regime != BASELINE:
        mine = [choice for choice in choices if choice.model.name == cell.model]
        return [_transferred(cell, choice, suited, wishes, used) for choice in mine]
    able = [choice for choice in choices if not choice.why_not]
    able.sort(key=lambda choice: not (choice.model.lead and not choice.stands_in))
    if not able:
        return [Planned(cell, None, None, "no network of the paper has weights")]
    return [_transferred(cell, able[0], suited, wishes, used)]


def _transferred(
    cell: Cell, choice: Choice, suited: Suited, wishes: Wishes, used: set[str]
) -> Planned:
    if choice.why_not:
        return Planned(cell, None, None, choice.why_not)
    whole = cell.content["model"].get("freeze") in ("all", "none")
    other = cell.on(choice.label, choice.backbone, choice.weights, None if whole else choice.freeze)
    stands_in = choice.stands_in and cell.regime != BASELINE  # a baseline is no model of the paper
    return _build(other, choice.model.name if stands_in else None, suited, wishes, used)


def _build(
    cell: Cell, stands_in_for: str | None, suited: Suited, wishes: Wishes, used: set[str]
) -> Planned:
    content = merged(cell.content, suited.content)
    if cell.protocol == "honest":
        content = merged(content, suited.honest)
    if "targets" in content.get("expand", {}):
        content["expand"]["targets"] = dict(suited.targets)
    for setting in wishes.settings:
        if _concerns(setting, cell):
            used.add(setting)
            assign(content, setting)
    try:
        recipe = from_dict(Recipe, content, f"{cell.full_name} ({cell.protocol})")
    except InputError as error:
        return Planned(cell, stands_in_for, None, str(error))
    return Planned(cell, stands_in_for, recipe, None)


def _concerns(setting: str, cell: Cell) -> bool:
    """Whether a setting is for this cell: a baseline has not all the tables of a network."""
    key = setting.partition("=")[0].strip()
    table = key.partition(".")[0]
    contrastive = bool(cell.content.get("training", {}).get("regime") == "contrastive")
    if table == "contrastive":
        return contrastive
    if key == "training.backbone_lr" and contrastive:
        return False
    if table == "classifier":
        return "classifier" in cell.content
    if table in ("data", "seed", "evaluation", "features", "cost"):
        return True
    return not cell.tables or table in cell.tables
