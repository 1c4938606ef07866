"""Explicit registries: names, things, and a suggestion for a name nobody registered."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from cytolens.core.errors import InputError

T = TypeVar("T")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the nearest known name, or "" when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


class Registry(Generic[T]):
    """Named things of one kind, kept in the order of their registration."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._things: dict[str, T] = {}

    def register(self, name: str, thing: T) -> T:
        """Add `thing` under `name`; registering a name twice is a programming error."""
        assert name not in self._things, f"{self.kind} {name!r} is registered twice"
        self._things[name] = thing
        return thing

    def get(self, name: str) -> T:
        """Return the thing called `name`.

        Raises:
            InputError: nothing of that name is registered; the message names the nearest one.
        """
        if name not in self._things:
            raise InputError(
                f"Unknown {self.kind} {name!r}{did_you_mean(name, self._things)}.",
                expected=f"one of {', '.join(self._things)}",
            )
        return self._things[name]

    def names(self) -> tuple[str, ...]:
        return tuple(self._things)

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)
