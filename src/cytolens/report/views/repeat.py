"""How to repeat the run: the command, what it ran on, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass

from cytolens.report.run_folder import RunFolder
from cytolens.report.text import defined, seconds
from cytolens.report.views.method import members, needs_weights

_MACHINE = {
    "cytolens": "cytolens",
    "python": "Python",
    "torch": "torch",
    "engine": "Engine",
    "device": "Device",
    "platform": "Platform",
    "cores": "Cores",
}


@dataclass(frozen=True)
class Repeat:
    """Everything needed to run it again."""

    command: str
    same: str
    machine: list[tuple[str, str]]
    packages: list[tuple[str, str]]
    stages: list[tuple[str, str]]
    total: str


def repeat(run: RunFolder) -> Repeat:
    """Return what `environment.json` says."""
    environment = run.environment
    stages = {str(k): v for k, v in (environment.get("seconds") or {}).items()}
    total = stages.pop("total", None)
    if defined(total) is None:
        total = sum(value for v in stages.values() if (value := defined(v)) is not None)
    command = environment.get("command") or ""
    return Repeat(
        same=_same(run),
        command=" ".join(map(str, command)) if isinstance(command, list) else str(command),
        machine=[
            (title, str(environment[key]))
            for key, title in _MACHINE.items()
            if environment.get(key)
        ],
        packages=[(str(k), str(v)) for k, v in (environment.get("packages") or {}).items() if v],
        stages=[(stage.replace("_", " "), seconds(value)) for stage, value in stages.items()],
        total=seconds(total) if environment.get("seconds") else "",
    )


def _same(run: RunFolder) -> str:
    if members(run):
        return "The same runs give the same ensemble."
    needed = ", its seed and the same weights" if needs_weights(run) else " and its seed"
    return f"With the recipe above{needed}, the split file gives the same parts again."
