"""`cytolens run` with a pause after each epoch and before the report, to be killed there."""

from __future__ import annotations

import time
from pathlib import Path

import cytolens.experiments.run as running
from cytolens.cli.main import main
from cytolens.training import loop

PAUSE = 0.4  # seconds; enough to be seen and hit
loop._SAVE_SECONDS = 0.0
_epoch = loop.Trainer.epoch
_report = running.write_run_report


def _slow_epoch(self: loop.Trainer, number: int) -> None:
    _epoch(self, number)
    time.sleep(PAUSE)


def _slow_report(run: Path) -> None:
    time.sleep(5)
    _report(run)


loop.Trainer.epoch = _slow_epoch  # type: ignore[method-assign]
running.write_run_report = _slow_report

if __name__ == "__main__":
    main()
