"""`profile.json`: where the time of a run went."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cytolens.core import profile
from cytolens.core.files import write_json

FILE = "profile.json"
# What threads do while the run is in one of its stages; all else follows one after the other.
INSIDE = ("read", "hash", "decode", "resize", "augment")


def write_profile(run: Path) -> bool:
    """Write what was measured so far into a run's folder; False where nothing is measured."""
    if (measured := profile.active()) is None:
        return False
    write_json(run / FILE, arranged(measured.content()))
    return True


def arranged(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of `profile.json` from that of a profile.

    Returns:
        {seconds of the whole, stages [{name, seconds, share}], of which the last is "other" and
        all add up to the whole, inside [{name, seconds, busy, calls}], elsewhere {tasks, stages
        [as inside]} | null}.
    """
    whole = content["seconds"]
    stages = [
        {"name": one["name"], "seconds": one["seconds"]}
        for one in content["stages"]
        if one["name"] not in INSIDE
    ]
    rest = max(0.0, whole - sum(one["seconds"] for one in stages))
    stages.append({"name": "other", "seconds": round(rest, 4)})
    return {
        "seconds": whole,
        "stages": [one | {"share": round(one["seconds"] / whole, 4)} for one in stages],
        "inside": [one for one in content["stages"] if one["name"] in INSIDE],
        "elsewhere": content["elsewhere"],
    }


def drop_profile(run: Path) -> None:
    """Remove the profile of an earlier try, and its figure."""
    (run / FILE).unlink(missing_ok=True)
    for figure in (run / "figures").glob("profile.*"):
        figure.unlink()
