"""Making findings: images are read ahead while the network runs and results are written."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytolens.bundle import Bundle, Prediction, load_bundle
from cytolens.clinic.inference import findings, queue
from cytolens.clinic.inference.examples import NEAREST
from cytolens.clinic.inference.loop import Loop, log
from cytolens.clinic.inference.pictures import read_picture
from cytolens.clinic.inference.queue import Ready, Taken
from cytolens.core.errors import InputError

BATCH = 32  # jobs taken at once, and findings of one transaction
_MOST = 512  # jobs of one run of the network, after which bundles are looked at again
_SWEEP = 5.0  # seconds between two looks for leases that ran out
_AGAIN = 60.0  # seconds until a bundle that could not be loaded is tried again

Load = Callable[[Path], Bundle]
_LOAD: Load = partial(load_bundle, examples=NEAREST)


@dataclass(frozen=True)
class _Loaded:
    """An active bundle, ready to be used."""

    bundle: Bundle
    abnormal: tuple[str, ...] | None


class Analyst:
    """Makes findings with the active bundles, each loaded once.

    Args:
        loop: whose worker it is.
        load: loads the bundle of a folder.
    """

    def __init__(self, loop: Loop, load: Load = _LOAD) -> None:
        self._loop, self._clinic, self._load_bundle = loop, loop.clinic, load
        self._loaded: dict[str, _Loaded] = {}
        self._refused: dict[str, float] = {}  # bundle id → when it may be tried again
        self._swept = 0.0

    def step(self) -> bool:
        """Make the findings that wait for one bundle; tell whether there were any."""
        with self._clinic.reading() as db:
            active = queue.active(db)
        self._loaded = {
            one.bundle: self._loaded[one.bundle] for one in active if one.bundle in self._loaded
        }
        self._sweep()
        for ready in active:  # those with work come first
            loaded = self._load(ready)
            if loaded is not None and ready.first is not None:
                return self._drain(ready, loaded) > 0
        return False

    def _sweep(self) -> None:
        if time.monotonic() - self._swept < _SWEEP:
            return
        self._swept = time.monotonic()
        with self._clinic.reading() as db:
            late = queue.any_expired(db)
        if late:
            with self._clinic.writing() as db:
                findings.give_up(db)

    def _load(self, ready: Ready) -> _Loaded | None:
        if ready.bundle in self._loaded:
            return self._loaded[ready.bundle]
        if time.monotonic() < self._refused.get(ready.bundle, 0.0):
            return None
        try:
            bundle = self._load_bundle(self._clinic.settings.bundles / ready.bundle)
            _warm(bundle)
        except InputError as error:
            log.error("%s: bundle %s: %s", self._loop.worker, ready.bundle, error)
            self._refused[ready.bundle] = time.monotonic() + _AGAIN
            return None
        loaded = _Loaded(bundle, findings.abnormal_classes(bundle.card))
        self._loaded[ready.bundle] = loaded
        return loaded

    def _drain(self, ready: Ready, loaded: _Loaded) -> int:
        """Make the findings of one specimen type as long as there are jobs; return how many."""
        taken: deque[Taken] = deque()
        said: list[tuple[Taken, Prediction]] = []
        count = 0

        def finish() -> None:
            nonlocal said
            with self._clinic.writing() as db:
                findings.finish_findings(
                    db, self._loop.worker, ready.model, ready.bundle, loaded.abnormal, said
                )
            said = []
            self._loop.progress()

        for prediction in loaded.bundle.predict_sources(self._sources(ready, taken)):
            said.append((taken.popleft(), prediction))
            count += 1
            if len(said) == BATCH:
                finish()
        if said:
            finish()
        return count

    def _sources(
        self, ready: Ready, taken: deque[Taken]
    ) -> Iterator[tuple[str, Callable[[], NDArray[np.uint8]]]]:
        """Yield images to be read, taking jobs as they are needed; `taken` says which, in order."""
        count = 0
        while count < _MOST and not self._loop.stop.is_set():
            with self._clinic.writing() as db:
                jobs = queue.claim(
                    db,
                    self._loop.worker,
                    queue.FINDING,
                    BATCH,
                    ready.specimen,
                    fresh=count > 0,
                )
            again = bool(jobs) and jobs[0].tries > 1
            self._loop.progress()
            count += len(jobs)
            for job in jobs:
                taken.append(job)
                yield "", partial(read_picture, self._clinic.blobs, job.sha256)
            if not jobs or again:
                return


def _warm(bundle: Bundle) -> None:
    """Compile the network, so that the first image need not wait for it."""
    blank = np.full((*bundle.size, 3), 128, np.uint8)
    list(bundle.predict_sources([("", lambda: blank)]))
