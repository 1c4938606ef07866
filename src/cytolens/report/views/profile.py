"""Where the time of the run went, as `profile.json` has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cytolens.report.run_folder import RunFolder
from cytolens.report.text import counted, percent, seconds, thousands

WORDS = {
    "check": "Look at the images, split, audit",
    "extract": "Extract features",
    "train": "Train",
    "predict": "Predict the test parts",
    "embed": "Draw embeddings",
    "cluster": "Wait for the cluster",
    "evaluate": "Evaluate",
    "doubt": "Calibrate, fit sets and thresholds",
    "bundle": "Make the bundle",
    "report": "Draw the report",
    "other": "All else",
    "read": "Read files",
    "hash": "Hash files",
    "decode": "Decode images",
    "resize": "Preprocess and resize",
    "augment": "Draw augmented views",
}


@dataclass(frozen=True)
class Inside:
    """What threads or workers did: the time in it, summed over them, and how often."""

    name: str
    seconds: str
    busy: str
    calls: str


@dataclass(frozen=True)
class Profile:
    """`stages` is (name, seconds, share); they add up to `total`."""

    total: str
    stages: list[tuple[str, str, str]]
    inside: list[Inside]
    elsewhere: list[Inside]
    tasks: str


def profile(run: RunFolder) -> Profile | None:
    """Return what the profile says; None where none was asked for."""
    found = run.profile
    if found is None:
        return None
    elsewhere = found["elsewhere"] or {"tasks": 0, "stages": []}
    return Profile(
        total=seconds(found["seconds"]),
        stages=[
            (word(one["name"]), seconds(one["seconds"]), percent(one["share"], 0))
            for one in found["stages"]
        ],
        inside=[_inside(one) for one in found["inside"]],
        elsewhere=[_inside(one) for one in elsewhere["stages"]],
        tasks=counted(elsewhere["tasks"], "task"),
    )


def word(name: str) -> str:
    """Return what a stage is, in words."""
    return WORDS.get(name, name)


def _inside(one: Mapping[str, Any]) -> Inside:
    return Inside(
        word(one["name"]),
        seconds(one["seconds"]),
        seconds(one["busy"]),
        thousands(one["calls"]),
    )
