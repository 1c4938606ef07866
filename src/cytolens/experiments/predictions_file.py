"""`predictions.parquet`: one row an image and fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from cytolens.core.errors import InputError
from cytolens.core.files import atomic_path
from cytolens.evaluation import Predictions


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write `predictions.parquet`: id, label, p_<class>, fold, repeat, unit."""
    columns: dict[str, Any] = {
        "id": predictions.ids,
        "label": [predictions.classes[i] for i in predictions.labels.tolist()],
    }
    for number, name in enumerate(predictions.classes):
        columns[f"p_{name}"] = predictions.probabilities[:, number]
    columns |= {
        "fold": predictions.folds,
        "repeat": predictions.repeats,
        "unit": predictions.units,
    }
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(columns), temporary)


def read_predictions(path: Path, classes: tuple[str, ...]) -> Predictions:
    """Read `predictions.parquet` back.

    Raises:
        InputError: no such file, or not predictions of these classes.
    """
    try:
        columns = pyarrow.parquet.read_table(path).to_pydict()
        numbers = {name: i for i, name in enumerate(classes)}
        return Predictions(
            ids=columns["id"],
            labels=np.array([numbers[label] for label in columns["label"]], dtype=np.int64),
            probabilities=np.column_stack([columns[f"p_{name}"] for name in classes]),
            classes=classes,
            folds=np.array(columns["fold"], dtype=np.int64),
            repeats=np.array(columns["repeat"], dtype=np.int64),
            units=columns["unit"],
        )
    except (OSError, pyarrow.ArrowException, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} does not hold predictions of {', '.join(classes)}: {error}."
        ) from error
