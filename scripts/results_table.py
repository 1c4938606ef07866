"""Print the table of docs/results.md from finished runs, a row a run, with the command of each.

python scripts/results_table.py runs/herlev-finetune runs/taleghani-finetune …
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from cytolens.core.files import read_json
from cytolens.report.text import score_text

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "auc")


def row(run: Path) -> str:
    """Return the Markdown row of one run."""
    metrics: dict[str, Any] = read_json(run / "metrics.json", "metrics file")
    environment: dict[str, Any] = read_json(run / "environment.json", "environment file")
    words = environment["command"].split(" ")
    kept = [w for i, w in enumerate(words) if "--out" not in (w, words[i - 1])]
    command = " ".join(word for word in kept if word != "--overwrite")
    stamp = " **leaks**" if metrics["leaks"] else ""
    scores = " | ".join(score_text(metrics[name]) for name in SCORES)
    seconds = sum(environment["seconds"].values())
    return f"| `{command}`{stamp} | {metrics['n']} | {scores} | {seconds:.0f} |"


def main() -> None:
    titles = " | ".join(name.replace("_", " ").replace("auc", "AUC") for name in SCORES)
    lines = [f"| command | images | {titles} | seconds |", "|---|---|---|---|---|---|---|"]
    lines += [row(Path(folder)) for folder in sys.argv[1:]]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
