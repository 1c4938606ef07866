"""How long it takes until something happens."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from cytolens.bench.measure import Line, in_turns, value_line
from cytolens.bench.suite import SUITES, Options

_HELP_MARK = 0.5  # seconds
_WORKS = {
    "cytolens --help": ("-m", "cytolens.cli.main", "--help"),
    "import cytolens": ("-c", "import cytolens"),
    "import cytolens.evaluation": ("-c", "import cytolens.evaluation"),
    "import cytolens.bundle": ("-c", "import cytolens.bundle"),
    "import torch": ("-c", "import torch"),
}
_NOTES = {"import torch": "for comparison: what `run` cannot do without"}


@dataclass(frozen=True)
class Sizes:
    """Fresh processes of each."""

    repeats: int


FULL, QUICK = Sizes(7), Sizes(2)


def start(options: Options) -> list[Line]:
    """Start-up times, in fresh processes."""
    sizes = QUICK if options.quick else FULL

    def fresh(arguments: tuple[str, ...]) -> Callable[[], object]:
        command = [sys.executable, *arguments]
        return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    times = in_turns({name: fresh(words) for name, words in _WORKS.items()}, sizes.repeats)
    marks = {"cytolens --help": _HELP_MARK}
    return [
        value_line(name, times[name], "s", mark=marks.get(name), note=_NOTES.get(name, ""))
        for name in _WORKS
    ]


SUITES.register("start", start)
