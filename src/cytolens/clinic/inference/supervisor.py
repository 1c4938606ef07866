"""Starts the workers, starts again those that end, and ends them with the server."""

from __future__ import annotations

import contextlib
import logging
import secrets
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

from cytolens.clinic.inference import queue
from cytolens.clinic.inference.worker import Start
from cytolens.clinic.installation import Installation

_LOOK = 0.2  # seconds between two looks at the workers
_FIRST, _LONGEST = 0.5, 30.0  # seconds until a worker that ended is started again
_LIVED = 60.0  # seconds after which a worker is taken for sound
_GRACE = 15.0  # seconds a worker has to finish what it has begun
_MODULE = "cytolens.clinic.inference.worker"

log = logging.getLogger("cytolens.clinic.supervisor")


@dataclass
class _Place:
    """A worker's place: who stands there, or when the next one comes."""

    kind: str
    process: subprocess.Popen[bytes] | None = None
    name: str = ""
    since: float = 0.0
    after: float = 0.0
    wait: float = field(default=_FIRST)


class Supervisor:
    """Keeps an installation's workers alive: `with Supervisor(clinic): …`.

    Args:
        workers: processes that make findings; None: as the settings say. Explanations have one of
            their own, so that no finding waits for one.
    """

    def __init__(self, clinic: Installation, workers: int | None = None) -> None:
        count = clinic.settings.workers if workers is None else workers
        kinds = [queue.FINDING] * count + ([queue.EXPLANATION] if count else [])
        self._clinic = clinic
        self._places = [_Place(kind) for kind in kinds]
        self._ending = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the workers; returns at once."""
        for place in self._places:
            self._fill(place)
        self._watching.start()

    def stop(self) -> None:
        """Let the workers finish what they have begun, and end them."""
        if self._ending.is_set():
            return
        self._ending.set()
        if self._watching.is_alive():
            self._watching.join()
        standing = [place for place in self._places if place.process is not None]
        for place in standing:
            assert place.process is not None
            place.process.terminate()
        until = time.monotonic() + _GRACE
        for place in standing:
            self._end(place, until)

    def __enter__(self) -> Supervisor:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """The processes of the workers that stand, by their names."""
        return {p.name: p.process.pid for p in self._places if p.process is not None}

    def _fill(self, place: _Place) -> None:
        place.name = f"{socket.gethostname()[:40]}-{place.kind}-{secrets.token_hex(4)}"
        place.process = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the server's to handle
        )
        place.since = time.monotonic()
        assert place.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # ended already: seen at the next look
            place.process.stdin.write(
                Start(place.name, place.kind, self._clinic.settings).to_line()
            )
            place.process.stdin.flush()

    def _watch(self) -> None:
        while not self._ending.wait(_LOOK):
            for place in self._places:
                if place.process is None:
                    if time.monotonic() >= place.after:
                        self._fill(place)
                elif place.process.poll() is not None:
                    self._lost(place)

    def _lost(self, place: _Place) -> None:
        """Note that a worker ended by itself; its jobs need not wait for their lease."""
        process = place.process
        assert process is not None
        lived = time.monotonic() - place.since
        place.wait = _FIRST if lived > _LIVED else place.wait
        log.warning("%s ended (%s); another in %g s", place.name, process.returncode, place.wait)
        place.after = time.monotonic() + place.wait
        place.wait = min(_LONGEST, place.wait * 2)
        self._forget(place)

    def _end(self, place: _Place, until: float) -> None:
        assert place.process is not None
        try:
            place.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            place.process.kill()
            place.process.wait()
        self._forget(place, tried=False)  # it was ended from here, not by an image

    def _forget(self, place: _Place, *, tried: bool = True) -> None:
        process, place.process = place.process, None
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            with self._clinic.writing() as db:
                queue.give_back(db, place.name, tried=tried)
        except Exception:  # the database is away: the leases run out by themselves
            log.exception("the jobs of %s wait for their lease to run out", place.name)
