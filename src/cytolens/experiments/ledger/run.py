"""From a manifest and a recipe to a ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cytolens
from cytolens.core.files import write_json, writing
from cytolens.core.progress import Progress, Silent
from cytolens.data.facts import scan_or_fail
from cytolens.data.manifest import Manifest
from cytolens.experiments.learning.choose import create_learner
from cytolens.experiments.ledger.entries import GROUPED, MAGNIFICATION, Entry, make_entries
from cytolens.experiments.ledger.measure import Measured, inflation, measure, of_originals
from cytolens.experiments.ledger.place import claim, is_finished
from cytolens.experiments.ledger.sentences import UNKNOWN_PATIENTS, ledger_sentences
from cytolens.experiments.ledger.settings import honest_recipe
from cytolens.experiments.preparation import relabel
from cytolens.experiments.recipe import Recipe
from cytolens.experiments.run import run_recipe
from cytolens.report.ledger_page import write_ledger_page


def run_ledger(
    manifest: Manifest, recipe: Recipe, folder: Path, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Run one recipe under the honest protocol and with each common mistake; compare them.

    Rows are run folders under `folder`; finished ones are used again when the call is repeated.
    Beside them stand `ledger.json`, `ledger.html` and `figures/ledger.svg` and `.png`.

    Args:
        recipe: its split must be a k-fold; what leaks in it is taken out for the reference.

    Returns:
        the content of `ledger.json` (docs/how-to/ledger.md). Scores and inflations are shares in
        0 … 1 as {value, low, high}; an inflation is row - reference, paired by image, with an
        interval over the units of the reference.

    Raises:
        InputError: data or recipe that cannot be used, or a folder that holds something else.
    """
    progress = progress or Silent()
    honest, notes = honest_recipe(recipe)
    labelled = relabel(manifest, honest)
    learner = create_learner(honest, labelled.classes)
    with progress.task("looking at the images", len(labelled)) as step:
        facts = scan_or_fail(labelled, step=step)
    entries = make_entries(labelled, facts, honest)
    claim(folder, honest, labelled, facts, learner.identity)
    maker = _Maker(manifest, folder, progress, honest.evaluation.resamples, honest.seed)
    rows = [maker.row(entry) for entry in entries]
    unit = maker.reference.metrics["interval"]["unit"]
    content = {
        "data": manifest.name,
        "recipe": honest.name,
        "n": rows[0]["n"],
        "classes": list(labelled.classes),
        "unit": unit,
        "units": maker.reference.metrics["interval"]["units"],
        "notes": [*notes, *learner.notes, *([] if unit == "group" else [UNKNOWN_PATIENTS])],
        "rows": rows,
        "sentences": ledger_sentences(rows, unit),
        "cytolens": cytolens.__version__,
    }
    with writing(folder, "the ledger"):
        write_json(folder / "ledger.json", content)
        write_ledger_page(content, folder)
    return content


@dataclass
class _Maker:
    """Runs entries, the honest reference first (`manifest` still bears its own labels)."""

    manifest: Manifest
    folder: Path
    progress: Progress
    resamples: int
    seed: int
    reference: Measured = field(init=False)

    def row(self, entry: Entry) -> dict[str, Any]:
        """Return a row of ledger.json; an entry that is not finished is run."""
        row: dict[str, Any] = {
            "name": entry.name,
            "title": entry.title,
            "what": entry.what,
            "protocol": "honest" if entry.name == GROUPED else "published",
            "leaks": [],
            "n": None,
            "accuracy": None,
            "auc": None,
            "inflation": None,
            "reference": None,
            "run": None,
            "skipped": entry.skipped,
        }
        if entry.recipe is None:
            return row
        found = self._run(entry.recipe, entry.name)
        if entry.name == GROUPED:
            self.reference = found
        if entry.originals:
            found = of_originals(found, self.reference, self.resamples, self.seed)
        row |= {"n": found.metrics["n"], "run": entry.name, **found.scores()}
        row |= {key: found.metrics[key] for key in ("protocol", "leaks")}
        if entry.name != GROUPED:
            against = self.reference
            if entry.reference is not None:
                name = f"{MAGNIFICATION}_grouped"
                against = self._run(entry.reference, name)
                row["reference"] = {"run": name, "protocol": "honest", **against.scores()}
            row["inflation"] = inflation(against, found, self.resamples, self.seed)
        return row

    def _run(self, recipe: Recipe, name: str) -> Measured:
        target = self.folder / name
        if not is_finished(target):
            self.progress.say(f"ledger: {name.replace('_', ' ')}")
            run_recipe(recipe, self.manifest, target, progress=self.progress)
        return measure(target)
