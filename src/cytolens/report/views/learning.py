"""How the folds were learned: class weights, contrastive batches, features, or what was fitted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cytolens.report.run_folder import RunFolder
from cytolens.report.text import UNDEFINED, counted, defined, number, percent, thousands
from cytolens.report.views.epochs import Kept, epochs
from cytolens.report.views.method import (
    CONTRASTIVE_LOSSES,
    chosen_on_test,
    classifier,
    classifier_features,
)

_TEST_CHOSE = (
    "The test part stood in for the validation part: what is called validation below was measured "
    "on the images that the results are of."
)
_MIN_FEW = 0.01  # a smaller share of pairless batches is no limit worth naming


@dataclass(frozen=True)
class Learning:
    """`weights` are (class, mean over the folds, least and most); `kept` a row a fold and stage."""

    title: str
    sentences: list[str]
    weights: list[tuple[str, str, str]]
    weighing: str
    kept: list[Kept]
    stages: bool


def learning(run: RunFolder) -> Learning | None:
    """Return what `folds.json` and `history.jsonl` say; None where they say nothing."""
    found = Learning(
        title="What was fitted" if classifier(run) else "Training",
        sentences=[
            *(_fitted(run) if classifier(run) else ()),
            *_contrastive(run),
            *_features(run),
            *([_TEST_CHOSE] if chosen_on_test(run) and run.history else []),
        ],
        weights=_weights(run),
        weighing=_weighing(run),
        kept=epochs(run),
        stages=any(line.get("stage") for line in run.history),
    )
    return found if found.sentences or found.weights or found.kept else None


def pairless(run: RunFolder) -> tuple[int, int] | None:
    """Return (batches without a pair, batches) of all folds; None without contrastive training."""
    facts = [fold["contrastive"] for fold in run.folds if fold.get("contrastive")]
    if not facts:
        return None
    return (
        sum(int(fact.get("pairless_batches") or 0) for fact in facts),
        sum(int(fact.get("batches") or 0) for fact in facts),
    )


def many_pairless(run: RunFolder) -> bool:
    """Return whether so many batches lacked a pair that the encoder learned from fewer images."""
    found = pairless(run)
    return found is not None and found[0] > _MIN_FEW * max(found[1], 1)


def _fitted(run: RunFolder) -> Iterator[str]:
    source = {
        "deep": "the frozen backbone's features of the training part",
        "none": "the labels of the training part alone",
    }.get(classifier_features(run), "features of the training part")
    yield (
        f'The classifier "{classifier(run)}" was fitted on {source}, once in each of '
        f"{counted(max(len(run.folds), 1), 'fold')}. No network was trained: there are no epochs "
        "and no curves."
    )
    if groups := next((fold["groups"] for fold in run.folds if fold.get("groups")), None):
        yield f"Features: {', '.join(str(group).replace('_', ' ') for group in groups)}."
    yield from _parts(run)
    if alone := {str(fold["only_class"]) for fold in run.folds if fold.get("only_class")}:
        yield (
            f"In some folds the training part had one class alone ({', '.join(sorted(alone))}): "
            "nothing else could be answered there."
        )
    if slow := sum(fold.get("converged") is False for fold in run.folds):
        yield f"In {counted(slow, 'fold')} the fit did not converge."


def _parts(run: RunFolder) -> Iterator[str]:
    """Say where nucleus and cytoplasm were read, and in how many images there was no nucleus."""
    facts = [fold for fold in run.folds if fold.get("parts_from")]
    if not facts:
        return
    without = max(int(fold.get("without_nucleus") or 0) for fold in facts)
    source = {"masks": "the masks of the manifest"}.get(
        str(facts[0]["parts_from"]), f"the {facts[0]['parts_from']}"
    )
    nuclei = "every image has a nucleus"
    if without:
        some = counted(without, "image")
        nuclei = f"in at most {some} of a fold there is no nucleus, which the classifier is told"
    yield f"Nucleus and cytoplasm come from {source}; {nuclei}."


def _contrastive(run: RunFolder) -> Iterator[str]:
    found = pairless(run)
    if found is None:
        return
    without, batches = found
    fact = next(fold["contrastive"] for fold in run.folds if fold.get("contrastive"))
    name = CONTRASTIVE_LOSSES.get(str(fact.get("loss")), str(fact.get("loss", "")))
    length = f", {counted(int(fact['epochs']), 'epoch')} a fold" if fact.get("epochs") else ""
    pairs = "each image in two views, " if fact.get("views") == 2 else ""
    share = f" ({percent(without / batches)})" if without and batches else ""
    yield (
        f"Encoder: {name}{length}; {pairs}{counted(batches, 'batch', 'batches')} over "
        f"{counted(len(run.folds), 'fold')}. {thousands(without)} of them{share} held no pair of "
        "images to compare and taught the encoder nothing."
    )


def _features(run: RunFolder) -> Iterator[str]:
    counts = [fold["features"] for fold in run.folds if isinstance(fold.get("features"), Mapping)]
    if not counts:
        return
    computed, reused = (sum(int(c.get(key) or 0) for c in counts) for key in ("computed", "reused"))
    if not computed + reused:
        return
    yield (
        "Computed once: what stays fixed is worked out once for each image, or augmented view of "
        f"it, and kept. In this run {thousands(computed)} were computed, and "
        f"{thousands(reused)} times a kept one was taken instead, from an earlier fold or run."
    )


def _weighing(run: RunFolder) -> str:
    given = isinstance((run.recipe.get("cost") or {}).get("class_weights"), Mapping)
    source = "as the recipe gives them" if given else "from the training part of each fold"
    return f"Weights of the classes in the loss, {source}"


def _weights(run: RunFolder) -> list[tuple[str, str, str]]:
    """Return the class weights; empty where no fold weighs its classes."""
    facts: list[Mapping[str, Any]] = [
        f["class_weights"] for f in run.folds if f.get("class_weights")
    ]
    rows = []
    for name in run.classes:
        values = [value for fact in facts if (value := defined(fact.get(name))) is not None]
        if values:
            span = f"{number(min(values))} to {number(max(values))}"
            mean = number(sum(values) / len(values))
            rows.append((name, mean, span if max(values) > min(values) else UNDEFINED))
    return rows
