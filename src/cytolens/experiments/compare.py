"""Compare finished runs on the images that they tested."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cytolens.evaluation import compare
from cytolens.evaluation.compare import RESAMPLES
from cytolens.experiments.finished import Finished, read_finished


def compare_runs(
    folders: Sequence[Path],
    score: str = "accuracy",
    *,
    common: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare every pair of two or more finished runs; see `evaluation.compare`.

    Runs are named by their folders, with folders above them where those are alike.

    Raises:
        InputError: a folder without a run, or runs that cannot be compared (the message says
            what differs).
    """
    return compare_finished(
        read_finished(folders), score, common=common, resamples=resamples, seed=seed
    )


def compare_finished(
    runs: Sequence[Finished],
    score: str,
    *,
    common: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare runs that have been read."""
    units = dict.fromkeys(run.unit for run in runs)
    return compare(
        {run.name: run.predictions for run in runs},
        score,
        common=common,
        resamples=resamples,
        seed=seed,
        unit_name=" or ".join(units),
    )


def pairs_csv(comparison: Mapping[str, Any]) -> str:
    """Return the pairs of a comparison as CSV, a line a pair."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        [
            *("score", "first", "second", "difference", "low", "high", "p", "p_holm", "verdict"),
            *("only_first", "only_second", "mcnemar_p", "mcnemar_p_holm"),
        ]
    )
    for pair in comparison["pairs"]:
        difference, test = pair["difference"], pair["mcnemar"]
        table.writerow(
            [
                *(comparison["score"], pair["first"], pair["second"]),
                *(difference[key] for key in ("value", "low", "high")),
                *(pair["p"], pair["p_holm"], pair["verdict"]),
                *(test[key] for key in ("only_first", "only_second", "p", "p_holm")),
            ]
        )
    return text.getvalue()
