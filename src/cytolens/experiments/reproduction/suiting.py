"""Whether a data set has what a paper needs, and what takes the place of what it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cytolens.core.config import assign, from_dict
from cytolens.core.errors import InputError
from cytolens.data.manifest import Manifest
from cytolens.experiments.harmonise import folded, harmonisations
from cytolens.experiments.papers.cells import merged
from cytolens.experiments.papers.paper import Paper, Tables
from cytolens.experiments.preparation import relabel
from cytolens.experiments.recipe import DataConfig, Recipe


@dataclass(frozen=True)
class Suited:
    """A data set as a paper's experiments will see it.

    Attributes:
        manifest: with the labels of the experiments.
        content: tables for every recipe: labels, the tested values of the attribute.
        substitutions: what differs from the paper's data, in sentences.
        targets: counts a class of the offline expansion, where the paper has one.
        honest: tables for the recipes of the honest protocol alone.
    """

    manifest: Manifest
    content: Tables
    substitutions: tuple[str, ...]
    targets: dict[str, int]
    honest: Tables = field(default_factory=dict)

    @property
    def datasets(self) -> int:
        """How many values the column `dataset` has; 0 where images lack one."""
        names = {row.dataset for row in self.manifest.rows}
        return 0 if None in names else len(names)

    def describe(self, original: Manifest) -> dict[str, Any]:
        """Return the `data` part of `study.json`."""
        rows = self.manifest.rows
        notes = []
        if left_out := len(original) - len(self.manifest):
            notes.append(f"{left_out} of {len(original)} images are left out by the label map.")
        return {
            "name": original.name,
            "images": len(rows),
            "classes": self.manifest.counts(),
            "groups": len({row.group for row in rows}) if self.manifest.has_groups else None,
            "notes": notes,
        }


def suit(paper: Paper, manifest: Manifest, settings: Sequence[str] = ()) -> Suited:
    """Check a data set against what a paper needs.

    Args:
        settings: `--set` texts; those of `data.` decide the labels, and `split.test_values`
            the tested values of the attribute.

    Raises:
        InputError: something is lacking that nothing can stand in for.
    """
    said: list[str] = []
    given: Tables = {}
    for setting in settings:
        assign(given, setting)
    content: Tables = {"data": given.get("data", {})}
    if content["data"]:
        said.append(f"The labels are those of the settings: data = {content['data']}.")
    else:
        content["data"] = _labels(paper, manifest, said)
    config = from_dict(DataConfig, content["data"], "the settings of data")
    chosen = relabel(manifest, Recipe(data=config))
    _check_count(paper, chosen)
    _tell_classes(paper, chosen, said)
    if paper.needs.attribute:
        values = given.get("split", {}).get("test_values")
        content = merged(content, {"split": {"test_values": values or _tested(paper, chosen)}})
    if not chosen.has_groups:
        said.append(
            f"{manifest.name} has no groups (patients, slides): near-duplicate clusters stand in "
            "for them under the honest protocol. Images of one patient may still stand on both "
            "sides, and intervals are too narrow."
        )
    wanted = paper.recipe.get("expand", {}).get("targets", {})
    targets = _targets(paper, chosen, wanted, said) if wanted else {}
    honest = _fewer_folds(paper, chosen, given, said)
    return Suited(chosen, content, tuple(said), targets, honest)


def _fewer_folds(paper: Paper, manifest: Manifest, given: Tables, said: list[str]) -> Tables:
    """Return the folds of the honest protocol where there are fewer groups than the recipe's.

    Args:
        given: the tables of the settings. What they say of `[split]` wins, so nothing is said
            of it.
    """
    split = paper.honest.get("split", {})
    groups = len({row.group for row in manifest.rows})
    if not manifest.has_groups or not 2 <= groups < split.get("folds", 0):
        return {}
    own = given.get("split")
    own = own if isinstance(own, dict) else {}
    what = []
    if not own.keys() & {"kind", "folds"}:
        what.append(f"holds one out at a time, in {groups} folds instead of {split['folds']}")
    if "validation" not in own:
        what.append("and without a validation part" if what else "has no validation part")
    if what:
        text = f"{manifest.name} has {groups} groups: the honest protocol {', '.join(what)}."
        said.append(text)
    return {"split": {"folds": groups, "validation": 0.0}}


def _labels(paper: Paper, manifest: Manifest, said: list[str]) -> Tables:
    """Return a `[data]` table that brings the labels as near to the paper's as can be."""
    own = {folded(name): name for name in manifest.classes}
    if set(own) == {folded(name) for name in paper.needs.classes}:
        return {"classes": [own[folded(name)] for name in paper.needs.classes]}
    for name in paper.needs.harmonise:
        chosen = harmonisations().get(name)
        if all(label in chosen.meaning for label in own):
            present = dict.fromkeys(chosen.meaning[label] for label in own)
            if len(present) < 2 or paper.needs.class_count not in (0, len(present)):
                continue
            if present.keys() != set(own.values()):
                said.append(
                    f"The {len(own)} labels of {manifest.name} become {len(present)} classes by "
                    f"the harmonisation {name!r}. {chosen.about}"
                )
            return {"harmonise": name}
    return {}


def _check_count(paper: Paper, manifest: Manifest) -> None:
    wanted = paper.needs.class_count
    if wanted and len(manifest.classes) != wanted:
        raise InputError(
            f"{paper.name} tells {wanted} classes apart; {manifest.name} has "
            f"{len(manifest.classes)}.",
            rows=[f"{name}: {count}" for name, count in manifest.counts().items()],
            expected=f"labels that mean {' or '.join(paper.needs.classes)}",
            fix="map the labels, as in --set 'data.label_map={adenoma=\"benign\", …}'.",
        )


def _tell_classes(paper: Paper, manifest: Manifest, said: list[str]) -> None:
    own = {folded(name) for name in manifest.classes}
    paper_own = {folded(name): name for name in paper.needs.classes}
    if own == paper_own.keys():
        return
    if own < paper_own.keys():
        absent = ", ".join(name for key, name in paper_own.items() if key not in own)
        said.append(f"{manifest.name} has no image of {absent}: {len(own)} classes are learned.")
        return
    said.append(
        f"The classes are those of {manifest.name} ({', '.join(manifest.classes)}), not the "
        f"paper's ({', '.join(paper.needs.classes)})."
    )


def _tested(paper: Paper, manifest: Manifest) -> list[str]:
    """Return the data set's spelling of the values that the paper tests on ("40", "40X").

    Raises:
        InputError: images without a value, or none with the wanted ones.
    """
    name = paper.needs.attribute
    values = [row.attribute(name) for row in manifest.rows]
    wanted = ", ".join(f"{value}X" for value in paper.needs.attribute_values)
    without = [row.id for row, value in zip(manifest.rows, values, strict=True) if value is None]
    if without:
        raise InputError(
            f"{paper.name} tests on images at {wanted}; {len(without)} of {len(manifest)} images "
            f"of {manifest.name} have no {name}.",
            rows=without,
            expected=f"a column {name!r} with a value for each image",
        )
    present = sorted({value for value in values if value is not None})
    plain = {value: value.strip().casefold().removesuffix("x") for value in present}
    found = [value for value in present if plain[value] in paper.needs.attribute_values]
    if not found:
        raise InputError(
            f"{paper.name} tests on images at {wanted}; {manifest.name} has none.",
            rows=[f"{name} = {value}" for value in present],
            fix=f"choose other values, as in --set 'split.test_values=[\"{present[0]}\"]'.",
        )
    return found


def _targets(
    paper: Paper, manifest: Manifest, wanted: dict[str, int], said: list[str]
) -> dict[str, int]:
    """Return the paper's counts after expansion, scaled to another set by the same ratios."""
    counts = manifest.counts()
    own = {folded(name): name for name in wanted}
    ratio = {own[key]: wanted[own[key]] / paper.counts[own[key]] for key in own}
    if all(folded(name) in own for name in counts):
        targets = {name: max(n, round(n * ratio[own[folded(name)]])) for name, n in counts.items()}
        if any(paper.counts[own[folded(name)]] != n for name, n in counts.items()):
            said.append(
                "The classes grow by the paper's ratios ("
                + ", ".join(f"{name} {ratio[own[folded(name)]]:.2f}" for name in counts)
                + f") to {', '.join(f'{n} {name}' for name, n in targets.items())}."
            )
        return targets
    grown = sum(wanted.values()) / sum(paper.counts.values())
    even = round(len(manifest) * grown / len(counts))
    targets = {name: max(n, even) for name, n in counts.items()}
    said.append(
        f"With other classes, the set grows {grown:.2f}-fold like the paper's, to classes as "
        f"equal as can be: {', '.join(f'{n} {name}' for name, n in targets.items())}."
    )
    return targets
