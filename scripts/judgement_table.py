"""Print the table of docs/explanation/explanations.md from runs that were judged.

cytolens explain RUN --method all --judge
python scripts/judgement_table.py RUN …
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cytolens.core.errors import InputError
from cytolens.core.files import read_json

COLUMNS = {
    "deletion": "deletion (low)",
    "insertion": "insertion (high)",
    "energy_nucleus": "energy in nucleus",
    "energy_cell": "energy in cell",
    "pointing_nucleus": "pointing at nucleus",
}


def table(run: Path) -> str:
    """Return one run's judgement as a Markdown table, the best of the ranking first."""
    found = read_json(run / "explanations" / "judgement.json", "judgement")
    methods = {method["name"]: method for method in found["methods"]}
    head = ["method", "rank", *COLUMNS.values(), "seconds an image", "trusted"]
    lines = [head, ["---"] * len(head)]
    for place in found["ranking"]:
        method = methods[place["name"]]
        scores = [_score(method["scores"][name]) for name in COLUMNS]
        rank = f"{place['rank']} ({place['low']}–{place['high']})"
        trusted = "yes" if method["trusted"] else "no"
        lines.append([method["title"], rank, *scores, f"{method['seconds']:.3f}", trusted])
    rows = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    return f"{run.name}: {found['n']} images of {found['units']} {found['unit']}s\n\n{rows}\n"


def _score(score: Mapping[str, Any] | None) -> str:
    if score is None or score["value"] is None:
        return "–"
    if score["low"] is None:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f} ({score['low']:.3f}–{score['high']:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="print judgements of explanations")
    parser.add_argument("runs", nargs="+", type=Path)
    try:
        for run in parser.parse_args().runs:
            sys.stdout.write(table(run) + "\n")
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
