"""What a run ran on, and where its time went."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import cytolens
from cytolens.core import profile

_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "openvino",
    "pillow",
    "scikit-image",
    "scikit-learn",
    "timm",
    "torch",
    "torchvision",
)
# What a profile calls the stages of a run.
_SHORT = {
    "read and check": "check",
    "extract features": "extract",
    "embedding plot": "embed",
    "learn on the cluster": "cluster",
}


class Clock:
    """Seconds of each stage of a run."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            with profile.stage(_SHORT.get(name, name)):
                yield
        finally:
            spent = time.perf_counter() - started
            self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 3)


def describe(clock: Clock, engine: str, device: str, notes: list[str]) -> dict[str, Any]:
    """Return the content of `environment.json`."""
    return {
        "cytolens": cytolens.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "torch": _version("torch"),
        "device": device,
        "engine": engine,
        "packages": packages(),
        "command": command_line(),
        "seconds": clock.seconds,
        "notes": notes,
    }


def packages() -> dict[str, str | None]:
    """Return the versions of the libraries whose numbers a run depends on."""
    return {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def command_line() -> str:
    """Return the command line, with the program by its bare name."""
    program, *rest = sys.argv or [""]
    return shlex.join([os.path.basename(program) or "python", *rest])
