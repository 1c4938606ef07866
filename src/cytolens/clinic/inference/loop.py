"""What workers of every kind share: one thing after another, a heartbeat, rest when idle."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from cytolens.clinic.blobs import StoreAway
from cytolens.clinic.inference import queue
from cytolens.clinic.installation import Installation

BEAT = 20.0  # seconds between two renewals of leases, of which each holds 60
_REST, _LONGEST_REST = 0.1, 0.5  # seconds without work until the next look
_AFTER_ERROR = 1.0
_HANGS = 300.0  # seconds without any progress of a worker that holds jobs

log = logging.getLogger("cytolens.clinic.worker")


class Loop:
    """Runs a worker's steps until it is told to stop.

    Args:
        clinic: where it works.
        worker: its name, of which there is one.
        stop: set by whoever ends it.
    """

    def __init__(self, clinic: Installation, worker: str, stop: threading.Event) -> None:
        self.clinic, self.worker, self.stop = clinic, worker, stop
        self._busy = threading.Event()  # holds jobs
        self._moved = time.monotonic()

    def progress(self) -> None:
        """Say that jobs were taken, or that some of those taken are done."""
        self._moved = time.monotonic()
        self._busy.set()

    def run(self, step: Callable[[], bool]) -> None:
        """Call `step` until told to stop; it tells whether it found something to do.

        A step that fails gives back what it had taken: as a try, so that what fails always is
        given up in the end. While the store is away nothing is tried, and nothing given up.
        """
        beating = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        beating.start()
        rest = _REST
        while not self.stop.is_set():
            try:
                found = step()
            except StoreAway as away:
                log.warning("%s: %s", self.worker, away)
                self._give_back(tried=False)
                found, rest = False, _AFTER_ERROR
            except Exception:  # a database that is away, a picture that breaks the network
                log.exception("%s: a step failed", self.worker)
                self._give_back()
                found, rest = False, _AFTER_ERROR
            self._busy.clear()
            if found:
                rest = _REST
                continue
            self.stop.wait(rest)
            rest = min(_LONGEST_REST, rest * 1.5)
        self._give_back(tried=False)  # who ends the server says nothing against an image

    def _give_back(self, *, tried: bool = True) -> None:
        try:
            with self.clinic.writing() as db:
                queue.give_back(db, self.worker, tried=tried)
        except Exception:
            log.exception("%s: jobs wait for their lease to run out", self.worker)

    def _beat(self) -> None:
        beaten = time.monotonic()
        while not self.stop.wait(1.0):
            if not self._busy.is_set() or time.monotonic() - beaten < BEAT:
                continue
            beaten = time.monotonic()
            if beaten - self._moved > _HANGS:
                log.error("%s hangs; it is ended, and another takes its jobs", self.worker)
                os._exit(70)
            try:
                with self.clinic.writing() as db:
                    queue.renew(db, self.worker)
            except Exception:
                log.exception("%s: leases were not renewed", self.worker)
