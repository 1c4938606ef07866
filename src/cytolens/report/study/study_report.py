"""The report of a study: `figures/` and a self-contained `report.html` in its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cytolens.core.files import write_text
from cytolens.report.page import render
from cytolens.report.study.study import read_study
from cytolens.report.study.study_figures import study_figures
from cytolens.report.study.study_view import study_view


def write_study_report(folder: Path) -> Path:
    """Draw the figures of a study and write its report.

    The page loads nothing else; it links to the reports of the single runs that lie beside it.

    Args:
        folder: a study folder with `study.json`; sections without data are left out.

    Returns:
        the path of `report.html`.

    Raises:
        InputError: no `study.json`, a damaged file, or a place that cannot be written.
    """
    study = read_study(folder)
    view = study_view(study)
    view = replace(view, figures=study_figures(study, view.lines, view.weighing, view.ledger))
    page = render(
        "study.html.j2",
        {},
        title=view.title,
        kicker=f"Study of a paper: {study.paper.get('name') or 'unnamed'}",
        nav=view.nav(),
        version=study.version,
        view=view,
    )
    target = folder / "report.html"
    write_text(target, page)
    return target
