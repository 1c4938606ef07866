"""Figures and drift, remembered for some minutes: they go through everything, and move slowly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from cytolens.clinic import clock
from cytolens.clinic.actor import Actor
from cytolens.clinic.installation import Installation
from cytolens.clinic.oversight.agreement import Agreement, agreement_of
from cytolens.clinic.oversight.drift import BundleDrift, drift
from cytolens.clinic.oversight.figures import Figures, figures
from cytolens.clinic.oversight.period import Period
from cytolens.clinic.rights import Action

KEPT = timedelta(minutes=5)
_MOST = 50


@dataclass(frozen=True)
class Seen:
    """The drift of a period as it was at a moment."""

    at: datetime
    drifts: list[BundleDrift]


@dataclass(frozen=True)
class SeenFigures:
    """The figures of a period, and the agreement in its cases, as they were at a moment.

    The cases themselves (`Figures.signed`) are not kept.
    """

    at: datetime
    figures: Figures
    agreement: Agreement


S = TypeVar("S", Seen, SeenFigures)


class _Memory(Generic[S]):
    """What was worked out lately, one at a time: who asks for the same meanwhile waits for it."""

    def __init__(self) -> None:
        self._seen: dict[tuple[object, ...], S] = {}
        self._lock = Lock()

    def recall(
        self,
        installation: Installation,
        actor: Actor,
        about: tuple[object, ...],
        work_out: Callable[[Session], S],
    ) -> S:
        actor.must(Action.READ_FIGURES)
        key = (None if actor.role is None else actor.sites, *about)
        with self._lock:
            found = self._seen.get(key)
            if found is not None and timedelta(0) <= clock.now() - found.at < KEPT:
                return found
            with installation.reading() as db:
                found = work_out(db)
            while len(self._seen) >= _MOST:
                del self._seen[next(iter(self._seen))]
            self._seen.pop(key, None)
            self._seen[key] = found
            return found

    def close(self) -> None:
        self._seen.clear()


class RememberedDrift(_Memory[Seen]):
    """The drift; one an installation (`Installation.part`)."""

    def of(self, installation: Installation, actor: Actor, period: Period) -> Seen:
        """Return the drift at the account's sites, at most five minutes old."""
        return self.recall(
            installation, actor, (period,), lambda db: Seen(clock.now(), drift(db, actor, period))
        )


class RememberedFigures(_Memory[SeenFigures]):
    """The figures; one an installation."""

    def of(
        self, installation: Installation, actor: Actor, period: Period, by: str, specimen: str
    ) -> SeenFigures:
        """Return the figures of the account's sites, at most five minutes old; see `figures`."""

        def work_out(db: Session) -> SeenFigures:
            found = figures(db, actor, period, by, specimen)
            agreed = agreement_of(found.signed)
            return SeenFigures(clock.now(), replace(found, signed=[]), agreed)

        return self.recall(installation, actor, (period, by, specimen), work_out)
