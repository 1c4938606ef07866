"""What the server does by itself once a day: it removes blobs that nothing refers to."""

from __future__ import annotations

import logging
import threading
from types import TracebackType

from cytolens.clinic.actor import system
from cytolens.clinic.blobs import StoreAway
from cytolens.clinic.errors import Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import sweep

_FIRST, _LOOK = 900.0, 600.0  # seconds from the start, and between two looks at whether it is due
_DAY = 86_400.0
_GRACE = 10.0  # seconds the server waits for it to end

log = logging.getLogger("cytolens.clinic.daily")


class Daily:
    """Sweeps as often as it is due: `with Daily(clinic): …`.

    When it was done last stands in the audit log, so that a server that starts often does it no
    more often. What fails is tried again at the next look.

    Args:
        first, look: seconds until the first look, and between two.
    """

    def __init__(self, clinic: Installation, first: float = _FIRST, look: float = _LOOK) -> None:
        self._clinic, self._first, self._look = clinic, first, look
        self._ending = threading.Event()
        self._working = threading.Thread(target=self._run, name="daily", daemon=True)

    def __enter__(self) -> Daily:
        self._working.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._working.join(_GRACE)

    def _run(self) -> None:
        wait = self._first
        while not self._ending.wait(wait):
            wait = self._look
            try:
                if sweep.is_due(self._clinic):
                    sweep.sweep(self._clinic, system("server"), remove=True, stop=self._ending)
            except StoreAway as away:
                log.warning("the sweep waits: %s", away)
            except Refused as refused:  # for a person to look at
                log.warning("nothing is swept: %s", refused)
                wait = _DAY
            except Exception:  # a database that is away: no reason to end the server
                log.exception("the sweep failed")
