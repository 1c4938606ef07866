"""How good the run's models are on images they had not seen, and where they fail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cytolens.bundle.model_card.document import Block, Points, Section, Table, Text
from cytolens.bundle.model_card.words import at, count, defined, many, score, table

Content = Mapping[str, Any]
_NONE = "The bundle holds no scores."
_PAIRS = 5  # that are named
_OVERALL = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "auc": "AUC, one class against the rest",
    "average_precision": "Average precision",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall (sensitivity)",
    "macro_specificity": "Macro specificity",
    "weighted_f1": "Weighted F1",
    "kappa": "Cohen's kappa",
    "quadratic_kappa": "Quadratic kappa",
    "mcc": "Matthews correlation",
    "ece": "Expected calibration error, uncalibrated",
    "brier": "Brier score, uncalibrated",
    "log_loss": "Log loss, uncalibrated",
}
_PER_CLASS = {
    "recall": "Recall (sensitivity)",
    "precision": "Precision",
    "specificity": "Specificity",
    "f1": "F1",
    "auc": "AUC",
}
_SUBGROUP = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "auc": "AUC"}
_COLUMNS = {"dataset": "Site (data set)", "magnification": "Magnification"}


def results(content: Content) -> Section:
    metrics = table(content, "metrics")
    rows = [(title, score(metrics[name])) for name, title in _OVERALL.items() if name in metrics]
    if not rows:
        return Section("results", "Results", (Text(_NONE, strong=True),))
    blocks: list[Block] = [
        Table(("Score", "Value and interval"), tuple(rows), caption=_scored(metrics))
    ]
    per_class = table(metrics, "per_class")
    if per_class:
        blocks.append(
            Table(
                ("Class", "Images", *_PER_CLASS.values()),
                tuple(
                    (
                        str(name),
                        count(at(row, "support")),
                        *(score(at(row, key)) for key in _PER_CLASS),
                    )
                    for name, row in per_class.items()
                ),
                caption="Each class",
            )
        )
    cost = table(metrics, "cost")
    if cost:
        text = (
            f"Mean cost of an image called by probability: {score(at(cost, 'most_probable.mean'))}"
        )
        if cost.get("cheapest"):
            text += f"; by the cheapest decision: {score(at(cost, 'cheapest.mean'))}"
        blocks.append(Text(f"{text}. The costs of the errors are those of the recipe."))
    return Section("results", "Results", tuple(blocks))


def _scored(metrics: Mapping[str, Any]) -> str:
    return f"All classes, {many(metrics.get('n'), 'image')}"


def subgroups(content: Content) -> Section:
    found = table(content, "metrics.subgroups")
    blocks: list[Block] = [
        Table(
            (_COLUMNS.get(column, column), "Images", *_SUBGROUP.values()),
            tuple(
                (str(value), count(at(row, "n")), *(score(at(row, key)) for key in _SUBGROUP))
                for value, row in rows.items()
            ),
        )
        for column, rows in found.items()
        if isinstance(rows, Mapping)
    ]
    missing = [title.lower() for name, title in _COLUMNS.items() if name not in found]
    if missing:
        blocks.append(
            Text(
                f"Missing: scores by {' and by '.join(missing)} (the test images have fewer than "
                "two values of it, or none was recorded)."
            )
        )
    blocks.append(
        Text(
            "Missing: scores by age, sex, origin or illness of patients; a run knows none of these."
        )
    )
    return Section("subgroups", "Subgroups", tuple(blocks))


def failures(content: Content) -> Section:
    metrics = table(content, "metrics")
    classes = content["classes"]
    matrix: Any = metrics.get("confusion")
    title = "Failure analysis"
    if not _is_square(matrix, len(classes)):
        return Section("failures", title, (Text("The bundle holds no confusion matrix."),))
    pairs = sorted(
        (
            (int(n), row, column)
            for row, line in enumerate(matrix)
            for column, n in enumerate(line)
            if row != column and n
        ),
        key=lambda found: (-found[0], found[1:]),
    )
    total, right = sum(map(sum, matrix)), sum(matrix[i][i] for i in range(len(classes)))
    blocks: list[Block] = [
        Text(
            f"{total - right} of {many(total, 'test prediction')} are wrong."
            f"{_repeated(metrics, total)}"
        )
    ]
    if pairs:
        rows = tuple(
            (classes[row], classes[column], str(n), str(sum(matrix[row])))
            for n, row, column in pairs[:_PAIRS]
        )
        blocks.append(
            Table(
                ("True class", "Called", "Predictions", "Of the true class"),
                rows,
                words=2,
                caption="The pairs that are confused most",
            )
        )
    blocks.append(
        Table(
            ("True class", *(f"called {name}" for name in classes)),
            tuple((name, *map(str, line)) for name, line in zip(classes, matrix, strict=True)),
            caption="Confusion matrix",
        )
    )
    if weakest := tuple(_weakest(content)):
        blocks.append(Points(weakest))
    blocks.append(
        Text(
            "The surest mistakes, image by image, stand in the report of the run, not in the "
            "bundle."
        )
    )
    return Section("failures", title, tuple(blocks))


def _repeated(metrics: Mapping[str, Any], total: int) -> str:
    n = defined(metrics.get("n"))
    if n is None or n == total:
        return ""
    return f" The {many(n, 'image')} were predicted more than once, by repeated splits."


def _is_square(matrix: Any, k: int) -> bool:
    return (
        isinstance(matrix, Sequence)
        and len(matrix) == k
        and all(isinstance(line, Sequence) and len(line) == k for line in matrix)
        and all(isinstance(n, int) for line in matrix for n in line)
    )


def _weakest(content: Content) -> Iterator[str]:
    """Yield where the model is weakest: a class, a subgroup, sets of a class."""
    per_class = table(content, "metrics.per_class")
    if found := _lowest(per_class, "recall"):
        name, value = found
        yield f"The class that is missed most often is {name}, with a recall of {value}."
    for column, title in _COLUMNS.items():
        if found := _lowest(table(content, f"metrics.subgroups.{column}"), "accuracy"):
            name, value = found
            yield f"{title} with the lowest accuracy: {name}, {value}."
    if found := _lowest(table(content, "conformal.results.per_class"), "coverage"):
        name, value = found
        yield f"The class whose images are least often in their set is {name}: {value}."


def _lowest(rows: Mapping[str, Any], key: str) -> tuple[str, str] | None:
    """Return the name and the score of the row whose `key` is lowest; None where all are 1."""
    values = {name: defined(at(row, f"{key}.value")) for name, row in rows.items()}
    known = {name: value for name, value in values.items() if value is not None}
    if min(known.values(), default=1.0) >= 1:
        return None
    name = min(known, key=lambda one: known[one])
    return str(name), score(at(rows[name], key))
