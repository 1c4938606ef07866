"""Reproduce a paper on a data set: its experiments under both protocols, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import cytolens
from cytolens.core.config import from_dict, to_dict
from cytolens.core.errors import InputError
from cytolens.core.files import lock, write_json, writing
from cytolens.core.progress import Progress, Silent
from cytolens.data.manifest import Manifest
from cytolens.experiments.cluster.where import HERE, Where
from cytolens.experiments.environment import command_line
from cytolens.experiments.papers.cells import merged
from cytolens.experiments.papers.paper import (
    PROTOCOLS,
    Fusion,
    Paper,
    Published,
    load_paper,
    load_published,
)
from cytolens.experiments.recipe import Recipe, load_recipe
from cytolens.experiments.reproduction.networks import Choice, choose_networks, say_networks
from cytolens.experiments.reproduction.numbers import (
    Record,
    cell_record,
    comparisons,
    feature_counts,
    finished,
    gaps,
    weighed,
)
from cytolens.experiments.reproduction.parallel import choose_jobs
from cytolens.experiments.reproduction.planning import FUSION, Wishes, optional_regimes, plan
from cytolens.experiments.reproduction.running import Runs
from cytolens.experiments.reproduction.suiting import Suited, suit
from cytolens.report.study import write_study_report

FIRST = "frozen"  # the recipe that the ledger of leaks is made with
_LEDGER = "ledger"


def reproduce(
    paper: str,
    manifest: Manifest,
    out: Path | None = None,
    *,
    protocol: Literal["published", "honest", "both"] = "both",
    models: Sequence[str] = (),
    only: Sequence[str] = (),
    weights: str = "imagenet",
    stand_in: bool = False,
    quick: bool = False,
    settings: Sequence[str] = (),
    ledger: bool = True,
    jobs: int = 1,
    where: Where = HERE,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Run a paper's experiments on a data set and return the study's folder.

    Finished cells are kept and cut-off ones resumed when the same call is repeated; a cell that
    cannot run says why and does not stop the others.

    Args:
        paper: a name of `paper_names()`.
        out: by default `runs/reproduce-PAPER-DATA`.
        models: of the paper, to keep; empty: all.
        only: regimes, baselines and ensembles to keep; empty: all that are not optional.
        weights: "imagenet", or "random": the paper's own networks with nothing to transfer.
        stand_in: run stand-ins even where a network of the paper has weights.
        quick: the paper's quick settings: they prove the path and measure nothing.
        settings: `--set` texts, for every cell that has such a setting.
        ledger: also make the ledger of leaks.
        jobs: runs at the same time, each in a process with its share of the cores; 0: one a core.
        where: on a cluster instead, which has no use for `jobs`.
        overwrite: replace runs of other settings, data or weights.

    Raises:
        InputError: data that lack what the paper needs, unknown names, settings without effect,
            a folder of something else, a negative number of jobs, or no cell that could run.
    """
    choose_jobs(jobs, 1)  # a negative number is said before anything is read
    progress = progress or Silent()
    chosen, printed = load_paper(paper), load_published(paper)
    protocols = PROTOCOLS if protocol == "both" else (protocol,)
    wishes = Wishes(protocols, tuple(only), quick, tuple(settings))
    suited = suit(chosen, manifest, settings)
    choices = choose_networks(chosen, models, weights=weights, stand_in=stand_in)
    planned = plan(chosen, suited, choices, wishes)
    folder = out or Path("runs") / f"reproduce-{paper}-{manifest.name}"
    guard = folder.with_name(f".{folder.name}.lock")
    with writing(folder, "the study"), lock(guard, f"Another process is working on {folder}."):
        try:
            runs = Runs(folder, manifest, progress, overwrite=overwrite)
            runs.check(planned)
            said = [*_quick(quick), *suited.substitutions, *say_networks(choices)]
            if waiting := optional_regimes(chosen, wishes):
                said.append(f"Without printed numbers, run when asked for: {', '.join(waiting)}.")
            for text in said:
                progress.say(text)
            outcomes = runs.run_all(planned, jobs, where)
            records = [cell_record(one, printed, folder) for one in outcomes]
            _refuse_nothing(records)
            records += _fusions(chosen, runs, records, wishes)
            study = _Study(chosen, printed, manifest, suited, choices, wishes, folder)
            book, notes = study.ledger(runs, progress) if ledger else (None, [])
            content = study.content(records, [*said, *chosen.departures], book, notes)
            write_json(folder / "study.json", content)
            write_study_report(folder)
        finally:
            guard.unlink(missing_ok=True)
    return folder


def _quick(quick: bool) -> list[str]:
    if not quick:
        return []
    return [
        "A quick run: few epochs, folds and views on small images. It proves the path; its numbers "
        "measure nothing."
    ]


def _refuse_nothing(records: Sequence[Record]) -> None:
    if any(record["run"] for record in records):
        return
    if not records:
        raise InputError(
            "Nothing was asked for but ensembles, and there are no networks to make them of.",
            fix="name the regimes of their networks with --only as well.",
        )
    raise InputError(
        "No cell of the paper could run.",
        rows=[f"{r['protocol']}/{r['name']}: {r['why_not'].splitlines()[0]}" for r in records],
        fix="correct what the cells name; --weights random proves the path without weights.",
    )


def _fusions(paper: Paper, runs: Runs, records: Sequence[Record], wishes: Wishes) -> list[Record]:
    """Make the paper's ensembles of the networks that ran."""
    return [
        _fusion(fusion, runs, records, protocol)
        for protocol in wishes.protocols
        for fusion in paper.fusion
        if wishes.keep(f"{FUSION}-{fusion.name}", FUSION)
    ]


def _fusion(fusion: Fusion, runs: Runs, records: Sequence[Record], protocol: str) -> Record:
    ran = [
        record
        for record in records
        if record["run"] and record["protocol"] == protocol and record["regime"] in fusion.regimes
    ]
    record: Record = {
        "name": f"{FUSION}-{fusion.name}",
        "model": fusion.title,
        "regime": FUSION,
        "backbone": None,
        "weights": None,
        "stands_in_for": None,
        "protocol": protocol,
        "run": None,
        "why_not": None,
        "metrics": None,
        "paper_accuracy": None,
        "seconds": None,
    }
    if len(ran) < 2:
        why = f"an ensemble takes two networks or more; {len(ran)} ran"
        return record | {"why_not": why}
    try:
        made = runs.fuse(fusion, [runs.folder / one["run"] for one in ran], protocol)
    except InputError as error:
        return record | {"why_not": str(error)}
    return record | finished(made, runs.folder)


class _Study:
    """Gathers the content of `study.json`."""

    def __init__(
        self,
        paper: Paper,
        printed: Published,
        manifest: Manifest,
        suited: Suited,
        choices: Sequence[Choice],
        wishes: Wishes,
        folder: Path,
    ) -> None:
        self.paper = paper
        self.printed = printed
        self.manifest = manifest
        self.suited = suited
        self.choices = choices
        self.wishes = wishes
        self.folder = folder

    def ledger(self, runs: Runs, progress: Progress) -> tuple[dict[str, Any] | None, list[str]]:
        """Make the ledger of leaks with the first network that can run, frozen."""
        from cytolens.experiments.ledger import run_ledger

        able = [choice for choice in self.choices if not choice.why_not]
        if not able:
            return None, ["No ledger of leaks: no network has weights."]
        settings = [f"model.backbone={able[0].backbone}", f"model.weights={able[0].weights}"]
        if folds := self.suited.honest.get("split", {}).get("folds"):
            settings.append(f"split.folds={folds}")
        if self.wishes.quick:
            settings += ["training.epochs=3", "split.folds=2", "pixels.size=48"]
            settings += ["evaluation.resamples=100"]
        data = [s for s in self.wishes.settings if s.startswith(("data.", "seed="))]
        recipe = load_recipe(FIRST, [*settings, *data])
        if not data:
            recipe = from_dict(
                Recipe, merged(to_dict(recipe), {"data": self.suited.content["data"]}), FIRST
            )
        try:
            place = runs.claim(_LEDGER, runs.digest(recipe))
            return run_ledger(self.manifest, recipe, place, progress=progress), []
        except InputError as error:
            return None, [f"No ledger of leaks: {error}"]

    def content(
        self,
        records: list[Record],
        substitutions: list[str],
        ledger: dict[str, Any] | None,
        notes: list[str],
    ) -> dict[str, Any]:
        """Return the content of `study.json`."""
        resamples, seed = self._bootstrap(records)
        compared, apart = comparisons(records, self.folder, resamples, seed)
        data = self.suited.describe(self.manifest)
        paper = self.paper
        return {
            "paper": {
                "name": paper.name,
                "title": paper.title,
                "authors": paper.authors,
                "source": paper.source,
                "task": paper.task,
                "data": paper.data,
                "system": list(paper.system),
                "published_protocol": list(paper.published_protocol),
                "comparison": [asdict(row) for row in self.printed.comparison],
            },
            "published": {
                "columns": list(self.printed.columns),
                "rows": [
                    asdict(row) | {"per_class": row.per_class or None} for row in self.printed.row
                ],
                "tables": [asdict(table) for table in self.printed.table],
            },
            "data": data | {"notes": [*data["notes"], *apart, *notes]},
            "substitutions": substitutions,
            "quick": self.wishes.quick,
            "cells": records,
            "gaps": gaps(records, self.folder, resamples, seed),
            "comparisons": compared,
            "complexity": weighed(records, self.folder),
            "ledger": ledger,
            "features": feature_counts(records, self.folder),
            "seconds": round(sum(record["seconds"] or 0.0 for record in records), 3),
            "command": command_line(),
            "cytolens": cytolens.__version__,
        }

    def _bootstrap(self, records: Sequence[Record]) -> tuple[int, int]:
        """Return resamples and seed of the first run: all were given the same."""
        run = next(record["run"] for record in records if record["run"])
        recipe = load_recipe(self.folder / run / "recipe.toml")
        return recipe.evaluation.resamples, recipe.seed
