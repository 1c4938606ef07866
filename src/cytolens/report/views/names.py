"""The metrics in the order of the report: their names, and what they mean in plain words."""

from __future__ import annotations

from dataclasses import dataclass

from cytolens.report.text import Score


@dataclass(frozen=True)
class Name:
    """A metric: its name, one line in words, and whether more is better."""

    title: str
    words: str
    more_is_better: bool = True


@dataclass(frozen=True)
class GapRow:
    """A metric under both protocols, and the gap as text ("+0.111 (0.070-0.152)")."""

    name: str
    published: Score
    honest: Score
    gap: str


OVERALL = {
    "accuracy": Name("Accuracy", "share of images named right"),
    "balanced_accuracy": Name("Balanced accuracy", "mean recall, every class counting alike"),
    "macro_f1": Name("Macro F1", "mean F1, every class counting alike"),
    "auc": Name("AUC", "chance that an image of a class ranks above one of another"),
    "average_precision": Name("Average precision", "area under precision over recall"),
    "macro_precision": Name("Macro precision", "of what is called a class, the share that is it"),
    "macro_recall": Name("Macro recall", "of a class, the share that is found"),
    "macro_specificity": Name("Macro specificity", "of all others, the share left alone"),
    "weighted_f1": Name("Weighted F1", "mean F1, every image counting alike"),
    "mcc": Name("Matthews correlation", "0 is chance, 1 is perfect, for unequal classes too"),
    "kappa": Name("Cohen's kappa", "agreement beyond chance"),
    "quadratic_kappa": Name(
        "Quadratic kappa", "the same, far errors weighing more (ordered classes)"
    ),
    "ece": Name("Calibration error", "mean gap between confidence and truth (ECE)", False),
    "brier": Name("Brier score", "mean squared error of the probabilities", False),
    "log_loss": Name("Log-loss", "surprise at the truth, in nats", False),
}

PER_CLASS = {
    "recall": "Recall",
    "precision": "Precision",
    "specificity": "Specificity",
    "f1": "F1",
    "auc": "AUC",
    "average_precision": "Average precision",
}

HEADLINE = ("accuracy", "balanced_accuracy", "macro_f1", "auc", "ece")
