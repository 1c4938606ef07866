"""`cytolens run` that stops and waits to be killed.

The environment variable `HOLD` says where: after the first epoch of "fold 0" or "fold 1", whose
checkpoint is then written, or before the "report".
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import cytolens.experiments.run as running
from cytolens.cli.main import main
from cytolens.training import checkpoint, loop

HOLD = os.environ["HOLD"]
LONGEST = 120  # seconds; then nobody is there any more
checkpoint.SAVE_SECONDS = -1.0
# What a shell starts in the background ignores interrupts, and so do the tests and their children.
signal.signal(signal.SIGINT, signal.default_int_handler)
_epoch = loop.Trainer.epoch
_report = running.write_run_report


def _hold(place: str) -> None:
    if place == HOLD:
        time.sleep(LONGEST)
        raise SystemExit(f"nobody ended the run at {place}")


def _held_epoch(self: loop.Trainer, number: int) -> None:
    if number >= 1:
        _hold(f"fold {self.data.key[1]}")
    _epoch(self, number)


def _held_report(run: Path) -> None:
    _hold("report")
    _report(run)


loop.Trainer.epoch = _held_epoch  # type: ignore[method-assign]
running.write_run_report = _held_report

if __name__ == "__main__":
    main()
