"""Print the tables of docs/results.md from study folders: a line a model and regime, the ledger.

python scripts/study_table.py runs/reproduce-contrastive2023-herlev …
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from cytolens.core.files import read_json
from cytolens.report.text import score_text, signed_text

PROTOCOLS = ("published", "honest")


def study_lines(study: dict[str, Any]) -> list[str]:
    """Return the Markdown lines of one study."""
    gaps = {(gap["model"], gap["regime"]): gap["gap"] for gap in study["gaps"]}
    pairs: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for cell in study["cells"]:
        if cell["run"]:
            pairs.setdefault((cell["model"], cell["regime"]), {})[cell["protocol"]] = cell
    lines = [
        f"`{study['command']}`",
        "",
        "| model | regime | the paper | its protocol, **leaks** | honest | gap |",
        "|---|---|---|---|---|---|",
    ]
    for (model, regime), cells in pairs.items():
        one = next(iter(cells.values()))
        name = f"{model} for {one['stands_in_for']}" if one["stands_in_for"] else model
        paper = "" if one["paper_accuracy"] is None else f"{one['paper_accuracy']:.3f}"
        scores = [
            score_text(cells[p]["metrics"]["accuracy"]) if p in cells else "" for p in PROTOCOLS
        ]
        gap = signed_text(gaps[model, regime]) if (model, regime) in gaps else ""
        lines.append(" | ".join(["| " + name, one["regime"], paper, *scores, gap + " |"]))
    return lines


def verdict_lines(study: dict[str, Any]) -> list[str]:
    """Return a line for each pair of honest cells."""
    compared = study["comparisons"].get("honest")
    return [
        f"- {pair['second']} against {pair['first']}: {signed_text(pair['difference'])}, "
        f"p {pair['p_holm']:.3f} after Holm: {pair['verdict']}"
        for pair in (compared["pairs"] if compared else [])
        if pair["p_holm"] is not None
    ]


def ledger_lines(ledger: dict[str, Any]) -> list[str]:
    """Return the Markdown lines of a ledger."""
    lines = ["| row | accuracy | AUC | accuracy added |", "|---|---|---|---|"]
    for row in ledger["rows"]:
        if row["skipped"]:
            lines.append(f"| {row['title']} | skipped: {row['skipped']} | | |")
            continue
        added = signed_text(row["inflation"]["accuracy"]) if row["inflation"] else ""
        scores = f"{score_text(row['accuracy'])} | {score_text(row['auc'])}"
        lines.append(f"| {row['title']} | {scores} | {added} |")
    return lines


def main() -> None:
    for folder in map(Path, sys.argv[1:]):
        study = read_json(folder / "study.json", "study")
        lines = [*study_lines(study), "", *verdict_lines(study), ""]
        if study["ledger"]:
            lines += [*ledger_lines(study["ledger"]), ""]
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
