"""A suite of measurements, and what it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from cytolens.bench.measure import Line
from cytolens.core.registry import Registry

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Options:
    """What a suite is told.

    Attributes:
        folder: a place for files of its own, empty.
        quick: small sizes and few repeats: shows that it works, measures little.
        device: where networks run.
        say: told what is going on, a sentence.
    """

    folder: Path
    quick: bool
    device: Device
    say: Callable[[str], None]

    @property
    def repeats(self) -> int:
        return 2 if self.quick else 5


class Suite(Protocol):
    """Measures one thing; its docstring's first line is its title."""

    def __call__(self, options: Options) -> list[Line]: ...


SUITES: Registry[Suite] = Registry("suite")
