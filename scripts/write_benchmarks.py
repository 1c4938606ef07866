"""Write the tables of docs/benchmarks.md from bench.json, and a figure of all that they hold.

    cytolens bench --out bench
    python scripts/write_benchmarks.py bench [bench-quick …]

Of a suite that several folders hold, the first one counts. What stands between
`<!-- bench: machine -->` or `<!-- bench: SUITE -->` and `<!-- /bench -->` is replaced; suites that
no folder holds are left as they are.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from table_writer import ROOT, table

from cytolens.bench import suites as _registered
from cytolens.bench.figure import draw
from cytolens.bench.suite import SUITES

del _registered

PAGE = ROOT / "docs" / "benchmarks.md"
FIGURE = ROOT / "docs" / "images" / "bench.svg"
BLOCK = re.compile(r"(<!-- bench: (\S+) -->\n).*?(<!-- /bench -->)", re.S)
HEADER = ("what", "ours", "other way", "", "times better", "mark")


def main() -> None:
    parser = argparse.ArgumentParser(description="tables of docs/benchmarks.md")
    parser.add_argument("folders", nargs="+", type=Path)
    given = parser.parse_args()
    blocks: dict[str, str] = {}
    shown: dict[str, Any] = {}
    for folder in given.folders:
        content = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
        blocks.setdefault("machine", machine(content))
        for suite in content["suites"]:
            blocks.setdefault(suite["name"], block(suite, content))
            shown.setdefault(suite["name"], suite)
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda found: filled(found, blocks), text), encoding="utf-8")
    draw({"suites": [shown[name] for name in SUITES if name in shown]}, FIGURE)


def filled(found: re.Match[str], blocks: dict[str, str]) -> str:
    name = found[2]
    return f"{found[1]}\n{blocks[name]}\n\n{found[3]}" if name in blocks else found[0]


def machine(content: dict[str, Any]) -> str:
    facts = content["machine"]
    rows = [
        ("processor", f"{facts['processor']}, {facts['cores']} cores"),
        ("instruction sets", ", ".join(facts["flags"])),
        ("memory", f"{facts['memory_gib']} GiB"),
        ("system", f"{facts['system']}, Python {facts['python']}"),
        ("packages", ", ".join(f"{k} {v}" for k, v in facts["packages"].items())),
    ]
    return table(("fact", "value"), rows)


def block(suite: dict[str, Any], content: dict[str, Any]) -> str:
    """Return the table of a suite, how it was measured, and its notes."""
    how = "`--quick`: small sizes, few repeats" if content["quick"] else "full sizes"
    load = content["machine"]["load_average"]
    parts = [
        f"{suite['title']}. Measured in {suite['seconds']:.0f} s ({how}; load {load} at the end).",
        table(HEADER, (cells(line) for line in suite["lines"])),
        *dict.fromkeys(
            f"- {' · '.join(filter(None, (line['what'], line['other'])))}: {line['note']}."
            for line in suite["lines"]
            if line["note"]
        ),
    ]
    notes = "\n".join(parts[2:])
    return "\n\n".join([*parts[:2], notes] if notes else parts[:2])


def cells(line: dict[str, Any]) -> tuple[str, ...]:
    met = {True: "met", False: "MISSED", None: ""}[line["met"]]
    mark = "" if line["mark"] is None else f"{line['mark']:g} {met}".strip()
    other = line["why_not"] or spread(line["others"], line["unit"])
    return (
        line["what"],
        spread(line["ours"], line["unit"]),
        line["other"],
        other,
        spread(line["ratio"], ""),
        mark,
    )


def spread(found: dict[str, float] | None, unit: str) -> str:
    if found is None:
        return ""
    middle, low, high = (short(found[key]) for key in ("median", "low", "high"))
    text = middle if low == high else f"{middle} ({low}–{high})"
    return f"{text} {unit}".strip()


def short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
