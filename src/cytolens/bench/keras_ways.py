"""The ways of Keras on TensorFlow, in a process of their own.

TensorFlow and torch bring each their own copy of LLVM, which one process does not take. The process
waits between calls, so that the ways still take turns. What it is told and what it answers are
lines of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from cytolens.bench.measure import Took
from cytolens.bench.packages import missing

PROGRAM = Path(__file__).with_name("keras_process.py")


class Keras:
    """A process that runs Keras; see `keras_process` for what it can do."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, work: str, **settings: Any) -> Took:
        """Let it do something and return the seconds it took.

        Raises:
            RuntimeError: it ended.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"work": work, **settings}) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:  # libraries print there too
            if line.startswith("took "):
                return Took(line.split()[1])
        raise RuntimeError(f"Keras ended with status {self._process.wait()} at {work!r}")

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def keras_missing() -> str:
    """Return "" where Keras on TensorFlow is installed, else what is not."""
    return missing("tensorflow", "keras")


_running: list[Keras] = []


def keras(wanted: bool = True) -> Keras | None:
    """Return the process, started once; None where Keras is not installed or not wanted."""
    if not wanted or keras_missing():
        return None
    if not _running:
        _running.append(_start())
    return _running[0]


def stop_keras() -> None:
    """End the process if it runs."""
    while _running:
        _running.pop().stop()


def _start() -> Keras:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    environment["CUDA_VISIBLE_DEVICES"] = ""
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        [sys.executable, "-P", str(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    return Keras(process)
