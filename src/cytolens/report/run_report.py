"""The report of one run: `figures/` and a self-contained `report.html`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cytolens.core.files import write_text
from cytolens.report.doubt_figures import doubt_figures
from cytolens.report.explanation_figures import explanation_figures
from cytolens.report.page import render
from cytolens.report.profile_figures import profile_figures
from cytolens.report.run_figures import run_figures
from cytolens.report.run_folder import read_run
from cytolens.report.run_view import run_view
from cytolens.report.thumbnails import making_thumbnails


def write_run_report(run: Path, *, reuse: bool = False) -> Path:
    """Draw the figures of a run folder and write its report.

    Args:
        run: a run folder with at least `metrics.json`; sections without data are left out.
        reuse: keep the figures of the run that lie there; those of its explanations are drawn.

    Returns:
        the path of `report.html`.

    Raises:
        InputError: no metrics, a damaged file, or a place that cannot be written.
    """
    folder = read_run(run)
    view = run_view(folder)
    with making_thumbnails(picture.file for picture in view.pictures()) as thumbs:
        figures = run_figures(folder, reuse=reuse) | doubt_figures(folder, reuse=reuse)
        figures |= profile_figures(folder, reuse=reuse)
        view = replace(view, figures=figures | explanation_figures(folder))
        page = render(
            "run.html.j2",
            thumbs(),
            title=view.title,
            kicker="Report of a run",
            nav=[("summary", "Summary"), *view.nav()],
            version=folder.environment.get("cytolens", ""),
            view=view,
        )
    target = run / "report.html"
    write_text(target, page)
    return target
