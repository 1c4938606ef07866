"""The figure of a run's profile."""

from __future__ import annotations

from cytolens.report.run_figures import Drawn, Plan, drawn
from cytolens.report.run_folder import RunFolder
from cytolens.report.text import seconds
from cytolens.report.views.profile import word


def profile_figures(run: RunFolder, *, reuse: bool = False) -> dict[str, Drawn]:
    """Draw where the time went into `figures/` and return it by name; {} without a profile.

    Args:
        run: the run.
        reuse: take an SVG that lies there already, as an earlier report of this run wrote it.
    """
    if run.profile is None:
        return {}
    from cytolens.report.figures import stages

    content = [(word(one["name"]), float(one["seconds"])) for one in run.profile["stages"]]
    said = ", ".join(f"{name} {seconds(value)}" for name, value in content)
    plan = Plan(
        "profile",
        "Where the time went, from beginning to end.",
        f"Bars: {said}.",
        lambda: stages.draw(content),
        scores=False,
    )
    return {plan.name: drawn(plan, run.path, run.stamped, reuse=reuse)}
