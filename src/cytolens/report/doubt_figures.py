"""The figures of a run's doubt: calibration, risk over coverage, decision curve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cytolens.report.run_figures import Drawn, Plan, drawn
from cytolens.report.run_folder import RunFolder, level_text
from cytolens.report.text import bounds, percent, percent_text
from cytolens.report.views.decisions import helpful
from cytolens.report.views.doubt import chosen, wanted_text


def doubt_figures(run: RunFolder, *, reuse: bool = False) -> dict[str, Drawn]:
    """Draw the figures of `doubt.json` into `figures/` and return them by name; {} without it.

    Args:
        run: the run.
        reuse: take an SVG that lies there already, as an earlier report of this run wrote it.
    """
    found = run.doubt
    if found is None:
        return {}
    plans = _plans(run, found)
    return {plan.name: drawn(plan, run.path, run.stamped, reuse=reuse) for plan in plans}


def _plans(run: RunFolder, found: Mapping[str, Any]) -> Iterator[Plan]:
    if found["calibration"]["method"] != "none":
        yield _reliability(found)
    yield _risk_coverage(run, found["risk"])
    if found["decision_curve"]:
        yield _decision_curve(run, found["decision_curve"])


def _reliability(found: Mapping[str, Any]) -> Plan:
    from cytolens.report.figures import reliability

    bins, scores = found["reliability"], found["calibration"]
    before, after = (percent(bounds(scores[name]["ece"])[0]) for name in ("before", "after"))
    content = [("Before", bins["before"]), ("After", bins["after"])]
    return Plan(
        "reliability_corrected",
        "How often the model was right where it claimed this much confidence, before and after "
        "the correction; on the dotted line claim and truth agree. Below, the number of images.",
        f"Accuracy over confidence. Mean gap between claim and truth {before} before, {after} "
        "after the correction.",
        lambda: reliability.compare(content),
    )


def _risk_coverage(run: RunFolder, risk: Mapping[str, Any]) -> Plan:
    from cytolens.report.figures import risk_coverage
    from cytolens.report.figures.risk_coverage import Point

    def point(share: Any, score: Any) -> Point | None:
        value, low, high = bounds(score)
        return None if share is None or value is None else Point(share, value, low, high)

    curve = [point(row["coverage"], row["risk"]) for row in risk["curve"]]
    marked = [point(bounds(row["share"])[0], row["risk"]) for row in chosen(risk)]
    wanted = [float(row["wanted"]) for row in risk["left"]]
    said = "; ".join(
        f"{wanted_text(row)} wrong: {percent_text(row['share'], 0)} of the images"
        for row in risk["left"]
    )
    return Plan(
        "risk_coverage",
        "The surest answers come first, on the left: how many are wrong, the more of them are "
        f"taken, with {level_text(run)}s. Dotted: the shares of wrong answers that were asked "
        "for; squares: what came of it.",
        f"Share of wrong answers over the share of images that are answered. {said}.",
        lambda: risk_coverage.draw(
            [p for p in curve if p is not None], [p for p in marked if p is not None], wanted
        ),
    )


def _decision_curve(run: RunFolder, rows: list[dict[str, Any]]) -> Plan:
    from cytolens.report.figures import decision_curve
    from cytolens.report.figures.decision_curve import Benefit

    curve = []
    for row in rows:
        (value, low, high), everyone = bounds(row["model"]), bounds(row["all"])[0]
        if value is not None and everyone is not None:
            curve.append(Benefit(float(row["threshold"]), value, low, high, everyone))
    useful = [row["threshold"] for row in rows if helpful(row)]
    said = (
        f"The model is better than both between {percent(min(useful), 0)} and "
        f"{percent(max(useful), 0)}"
        if useful
        else "Nowhere is the model clearly better than both"
    )
    return Plan(
        "decision_curve",
        "Decision curve: abnormal images found, less the false alarms as far as they weigh, per "
        f"image, with {level_text(run)}s. Who would act from a probability of "
        f"{percent(0.2, 0)} on lets four false alarms weigh as much as one find.",
        f"Net benefit over the probability from which on one would act. {said}.",
        lambda: decision_curve.draw(curve),
    )
