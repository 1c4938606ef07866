"""Drift, remembered for some minutes: it moves by the week and goes through every finding."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from cytolens.clinic import clock
from cytolens.clinic.actor import Actor
from cytolens.clinic.installation import Installation
from cytolens.clinic.oversight.drift import BundleDrift, drift
from cytolens.clinic.oversight.period import Period
from cytolens.clinic.rights import Action

KEPT = timedelta(minutes=5)
_MOST = 50


@dataclass(frozen=True)
class Seen:
    """The drift of a period as it was at a moment."""

    at: datetime
    drifts: list[BundleDrift]


class RememberedDrift:
    """What was worked out lately; one an installation (`Installation.part`)."""

    def __init__(self) -> None:
        self._seen: dict[tuple[frozenset[int] | None, Period], Seen] = {}
        self._lock = Lock()

    def of(self, installation: Installation, actor: Actor, period: Period) -> Seen:
        """Return the drift at the account's sites, at most five minutes old."""
        actor.must(Action.READ_FIGURES)
        key = (None if actor.role is None else actor.sites, period)
        with self._lock:
            found = self._seen.get(key)
            if found is not None and timedelta(0) <= clock.now() - found.at < KEPT:
                return found
            with installation.reading() as db:
                found = Seen(clock.now(), drift(db, actor, period))
            while len(self._seen) >= _MOST:
                del self._seen[next(iter(self._seen))]
            self._seen.pop(key, None)
            self._seen[key] = found
            return found

    def close(self) -> None:
        self._seen.clear()
