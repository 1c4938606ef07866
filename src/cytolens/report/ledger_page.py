"""The page of a leak ledger: one table, one figure, the findings in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cytolens.core.files import write_text
from cytolens.report.page import render
from cytolens.report.run_figures import Drawn, Plan, drawn
from cytolens.report.views.ledger import Ledger, ledger_view


def write_ledger_page(content: Mapping[str, Any], folder: Path) -> Path:
    """Write `ledger.html`, and `figures/ledger.svg` and `.png`, into `folder`.

    Args:
        content: of ledger.json.
    """
    view = ledger_view(content)
    page = render(
        "ledger.html.j2",
        {},
        title=f"Leak ledger of {content['data']}",
        kicker="What common mistakes of measurement add",
        nav=[("ledger", "Ledger"), ("rows", "What each row does")],
        version=content["cytolens"],
        ledger=view,
        figures=ledger_figure(view, folder),
    )
    target = folder / "ledger.html"
    write_text(target, page)
    return target


def ledger_figure(view: Ledger, folder: Path) -> dict[str, Drawn]:
    """Draw the ledger into `folder`/figures and return it by name, for any page that shows it."""
    from cytolens.report.figures import ledger

    caption = (
        "Accuracy with its interval; the dashed line is the honest reference. At the right, the "
        "points that a protocol adds, with an interval of their own (paired by image)."
    )
    plan = Plan("ledger", caption, view.alt, lambda: ledger.draw(view.scores))
    return {"ledger": drawn(plan, folder, leaks=any(row.stamped for row in view.rows))}
