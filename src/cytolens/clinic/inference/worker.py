"""A worker process: `python -m cytolens.clinic.inference.worker`.

The first line of its standard input says what it is (`Start`), so that no command line shows a
database's password. When that input ends, whoever started it is gone: it finishes and ends too.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cytolens.clinic.inference.analysis import Analyst
from cytolens.clinic.inference.explainer import Explainer
from cytolens.clinic.inference.loop import Loop
from cytolens.clinic.inference.queue import EXPLANATION, FINDING
from cytolens.clinic.installation import open_installation
from cytolens.clinic.settings import Settings

_NICE = 10  # explanations: findings go first where both want the processor


@dataclass(frozen=True)
class Start:
    """What a worker is told.

    Attributes:
        name: of the worker, of which there is one.
        kind: of the jobs it does: "finding" or "explanation".
    """

    name: str
    kind: str
    settings: Settings

    def to_line(self) -> bytes:
        """Return it as one line of JSON."""
        settings = asdict(self.settings) | {"data": str(self.settings.data)}
        content = {"name": self.name, "kind": self.kind, "settings": settings}
        return json.dumps(content).encode("utf-8") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Start:
        """Return what `to_line` gave."""
        content: dict[str, Any] = json.loads(line)
        given = content["settings"] | {"data": Path(content["settings"]["data"])}
        return cls(content["name"], content["kind"], Settings(**given))


def work(start: Start, stop: threading.Event) -> None:
    """Do jobs until told to stop."""
    assert start.kind in (FINDING, EXPLANATION)
    clinic = open_installation(start.settings)
    try:
        loop = Loop(clinic, start.name, stop)
        worker = Analyst(loop) if start.kind == FINDING else Explainer(loop)
        loop.run(worker.step)
    finally:
        clinic.close()


def main() -> None:
    """Work for whoever started this process."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", stream=sys.stderr)
    start = Start.from_line(sys.stdin.buffer.readline())
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    threading.Thread(target=_until_alone, args=(stop,), name="parent", daemon=True).start()
    if start.kind == EXPLANATION:
        os.nice(_NICE)
    work(start, stop)


def _until_alone(stop: threading.Event) -> None:
    while os.read(0, 1):
        pass
    stop.set()


if __name__ == "__main__":
    main()
