"""The report of a pair: one recipe under the honest and the published protocol, and the gap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cytolens.core.files import write_text
from cytolens.report.explanation_figures import explanation_figures
from cytolens.report.page import render
from cytolens.report.run_figures import Drawn, Plan, drawn, plans, run_figures
from cytolens.report.run_folder import RunFolder, read_run
from cytolens.report.run_view import run_view
from cytolens.report.text import Score
from cytolens.report.thumbnails import making_thumbnails
from cytolens.report.views import gap as gaps


def write_pair_report(honest: Path, published: Path, out: Path, gap: Mapping[str, Score]) -> Path:
    """Write the report of two runs: the gap between them, then the honest run in full.

    Args:
        honest, published: run folders. Figures that a run's own report drew are used again.
        out: the HTML file, or the folder for `report.html`; `figures/gap.*` lies beside it.
        gap: published - honest as {value, low, high} of accuracy, auc, macro_f1 (or more).

    Returns:
        the path of the HTML file.

    Raises:
        InputError: no metrics, a damaged file, or a place that cannot be written.
    """
    target = out if out.suffix == ".html" else out / "report.html"
    run, other = read_run(honest), read_run(published)
    view, found = run_view(run), gaps.gap(run, other, gap)
    with making_thumbnails(picture.file for picture in view.pictures()) as thumbs:
        figures = run_figures(run, reuse=True) | explanation_figures(run, reuse=True)
        view = replace(view, figures=figures)
        page = render(
            "pair.html.j2",
            thumbs(),
            title=view.title,
            kicker="Honest and published protocol side by side",
            nav=[("gap", "The gap"), ("why", "Why"), ("summary", "Honest run"), *view.nav()],
            version=run.environment.get("cytolens", ""),
            view=view,
            gap=found,
            notes=list(dict.fromkeys([*_notes(other), *_notes(run)])),
            pair=_pair_figures(found, run, other, target.parent),
        )
    write_text(target, page)
    return target


def _notes(run: RunFolder) -> list[str]:
    return [str(note) for note in run.environment.get("notes") or []]


def _pair_figures(
    found: gaps.Gap, honest: RunFolder, published: RunFolder, folder: Path
) -> dict[str, Drawn]:
    """Draw the gap, and set the confusion matrices of both runs side by side."""
    figures = {}
    if found.rows:
        figures["gap"] = drawn(_gap_plan(found), folder, leaks=False)
    for name, run in (("published", published), ("honest", honest)):
        for plan in plans(run):
            if plan.name == "confusion_matrix":
                caption = f"{name.capitalize()} protocol. {plan.caption}"
                figures[name] = drawn(
                    replace(plan, caption=caption), run.path, run.stamped, reuse=True, within=name
                )
    return figures


def _gap_plan(found: gaps.Gap) -> Plan:
    from cytolens.report.figures import gap

    said = "; ".join(
        f"{row.title} published {row.published[0]}, honest {row.honest[0]}, gap {row.gap[0]}"
        for row in found.table
    )
    caption = "Both protocols with their intervals; between them the gap with its own."
    return Plan("gap", caption, f"Dots with whiskers: {said}.", lambda: gap.draw(found.rows))
