"""What the runs of a study say together: gaps, comparisons, complexity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cytolens.core.config import from_dict, load_toml
from cytolens.evaluation import Predictions, compare, unpaired_difference
from cytolens.evaluation.metrics import OVERALL
from cytolens.experiments.papers.paper import PROTOCOLS, Published
from cytolens.experiments.predictions_file import read_predictions
from cytolens.experiments.recipe import Recipe
from cytolens.experiments.reproduction.planning import FUSION
from cytolens.experiments.reproduction.running import Outcome, run_facts
from cytolens.features.engines import ENGINES, choose_engine
from cytolens.models.backbones import canonical
from cytolens.models.complexity import complexity
from cytolens.models.weights import resolve_weights
from cytolens.report.text import MINUS, number, percent

Record = dict[str, Any]
_SAME_MIX = 0.05  # classes whose shares of two test parts differ by less count as alike


def cell_record(outcome: Outcome, published: Published, folder: Path) -> Record:
    """Return an entry of `cells` of study.json."""
    planned = outcome.planned
    cell, recipe = planned.cell, planned.recipe
    network = cell.content.get("model", {})
    of = planned.stands_in_for or cell.model
    record: Record = {
        "name": cell.name,
        "model": cell.model,
        "regime": cell.regime,
        "backbone": canonical(network["backbone"]) if network else None,
        "weights": None if recipe is None or not network else recipe.model.weights,
        "stands_in_for": planned.stands_in_for,
        "protocol": cell.protocol,
        "run": None,
        "why_not": outcome.why_not,
        "metrics": None,
        "paper_accuracy": published.accuracy(of, cell.regime),
        "seconds": None,
    }
    return record if outcome.run is None else record | finished(outcome.run, folder)


def finished(run: Path, folder: Path) -> Record:
    """Return what a finished run adds to its entry."""
    metrics, environment, _ = run_facts(run)
    wanted = ("protocol", "leaks", "n", "classes", "interval", *OVERALL)
    return {
        "run": run.relative_to(folder).as_posix(),
        "metrics": {key: metrics[key] for key in wanted if key in metrics},
        "seconds": round(sum(environment["seconds"].values()), 3),
    }


def gaps(records: Sequence[Record], folder: Path, resamples: int, seed: int) -> list[Record]:
    """Return published minus honest accuracy of every cell that ran under both protocols."""
    ran = {(r["name"], r["protocol"]): r for r in records if r["run"]}
    found = []
    for (name, protocol), one in ran.items():
        other = ran.get((name, "honest"))
        if protocol != "published" or other is None:
            continue
        honest, leaky = (_predictions(r, folder) for r in (other, one))
        apart = unpaired_difference(honest, leaky, "accuracy", resamples=resamples, seed=seed)
        gap = {"value": apart.value, "low": apart.low, "high": apart.high}
        row = {key: one[key] for key in ("name", "model", "regime", "paper_accuracy")}
        row |= {"published": one["metrics"]["accuracy"], "honest": other["metrics"]["accuracy"]}
        said = [gap_sentence(one, other, gap)]
        if caution := mix_sentence(leaky, honest, one, other):
            said.append(caution)
        found.append(row | {"gap": gap, "sentence": " ".join(said), "caution": caution})
    return found


def mix_sentence(
    leaky: Predictions, honest: Predictions, published_record: Record, honest_record: Record
) -> str:
    """Say that the two test parts hold the classes in other shares; "" where they hardly do.

    A set that was augmented before the split is tested with its copies, and grew by class.
    """
    count = len(honest.classes)
    was, now = (
        np.bincount(one.labels, minlength=count) / len(one.labels) for one in (leaky, honest)
    )
    most = int(np.abs(was - now).argmax())
    if abs(was[most] - now[most]) < _SAME_MIX:
        return ""
    balanced = (
        number((record["metrics"].get("balanced_accuracy") or {}).get("value"))
        for record in (published_record, honest_record)
    )
    return (
        f"The two test parts hold the classes in other shares ({honest.classes[most]}: "
        f"{percent(float(was[most]), 0)} and {percent(float(now[most]), 0)}), which moves accuracy "
        f"by itself; balanced accuracy is {' and '.join(balanced)}."
    )


def gap_sentence(published: Record, honest: Record, gap: Record) -> str:
    """Say what the published protocol, with its leak, is worth."""
    was, now = (number(r["metrics"]["accuracy"]["value"]) for r in (published, honest))
    model, stood = published["model"], published["stands_in_for"]
    worth = f"he leaking protocol is worth {_points(gap['value'])} points"
    if gap["low"] is not None:
        worth += f" ({_points(gap['low'])} to {_points(gap['high'])})"
    start = "T"
    if (paper := published["paper_accuracy"]) is not None:
        start = f"Of the {paper:g} that the paper reports for {stood or model} on its data, t"
    who = f"{model}, which stands in for {stood}," if stood else model
    text = (
        f"{start}{worth} on this data: {who} reaches {was} under the published protocol and {now} "
        "under the honest one."
    )
    if gap["low"] is not None and gap["low"] <= 0 <= gap["high"]:
        text += " The interval holds 0: no gain by leaking is shown here."
    return text


def _points(share: float | None) -> str:
    if share is None:
        return "an undefined number of"
    text = f"{100 * share:+.1f}"
    return text.replace("-", MINUS) if float(text) else "0.0"


def comparisons(
    records: Sequence[Record], folder: Path, resamples: int, seed: int
) -> tuple[Record, list[str]]:
    """Compare the cells of each protocol in pairs.

    Returns:
        {protocol: comparison or None}, and notes on cells that tested other images.
    """
    found: Record = {}
    notes = []
    for protocol in PROTOCOLS:
        ran = [r for r in records if r["run"] and r["protocol"] == protocol]
        sets = {r["name"]: _predictions(r, folder) for r in ran}
        images = {name: _images(one) for name, one in sets.items()}
        first = next(iter(images.values()), None)
        alike = {name: one for name, one in sets.items() if images[name] == first}
        if apart := [name for name in sets if name not in alike]:
            notes.append(
                f"Not compared with the others under the {protocol} protocol, because they "
                f"tested other images: {', '.join(apart)}."
            )
        unit = ran[0]["metrics"]["interval"]["unit"] if ran else "unit"
        found[protocol] = (
            compare(alike, "accuracy", resamples=resamples, seed=seed, unit_name=unit)
            if len(alike) > 1
            else None
        )
    return found, notes


def _images(predictions: Predictions) -> set[tuple[str, str]]:
    return set(zip(predictions.ids, predictions.units, strict=True))


def _predictions(record: Record, folder: Path) -> Predictions:
    classes = tuple(record["metrics"]["classes"])
    return read_predictions(folder / record["run"] / "predictions.parquet", classes)


def weighed(records: Sequence[Record], folder: Path) -> list[Record]:
    """Return what each network that ran takes to keep and to ask, beside its honest accuracy.

    Of a network that ran under several regimes, the first one stands; an honest run before a
    published one, whose accuracy is not repeated here.
    """
    ran = [r for r in records if r["run"] and r["backbone"] and r["regime"] != FUSION]
    ran.sort(key=lambda r: r["protocol"] != "honest")
    found: dict[str, Record] = {}
    for one in ran:
        content = load_toml(folder / one["run"] / "recipe.toml")
        recipe = from_dict(Recipe, content, one["run"])
        if one["model"] in found or recipe.classifier.used:
            continue
        weights = resolve_weights(
            canonical(recipe.model.backbone), recipe.model.weights, recipe.seed
        )
        engine = choose_engine(recipe.features.engine)
        size = recipe.pixels.resolve(weights.card.input_size)
        it = complexity(
            recipe.model,
            weights,
            size,
            len(one["metrics"]["classes"]),
            engine=ENGINES.get(engine),
            engine_name=engine,
            seed=recipe.seed,
        )
        honest = one["protocol"] == "honest"
        found[one["model"]] = {
            "model": one["model"],
            "regime": one["regime"],
            "backbone": one["backbone"],
            **vars(it),
            "accuracy": one["metrics"]["accuracy"] if honest else None,
        }
    return list(found.values())


def feature_counts(records: Sequence[Record], folder: Path) -> dict[str, int]:
    """Return how many features the runs computed and how many they found in the store."""
    total = {"computed": 0, "reused": 0}
    for one in records:
        if one["run"]:
            for fold in run_facts(folder / one["run"])[2]:
                for key in total:
                    total[key] += fold.get("features", {}).get(key, 0)
    return total
