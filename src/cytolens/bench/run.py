"""Run suites one after the other; write `bench.json` and `bench.svg`."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cytolens.bench import suites as _registered
from cytolens.bench.figure import draw
from cytolens.bench.keras_ways import stop_keras
from cytolens.bench.machine import machine
from cytolens.bench.measure import Line
from cytolens.bench.suite import SUITES, Device, Options
from cytolens.core.errors import InputError
from cytolens.core.files import write_json, writing

__all__ = ["run_bench"]

del _registered


def run_bench(
    names: Sequence[str] = (),
    *,
    out: Path | None = None,
    quick: bool = False,
    device: Device = "cpu",
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run suites (all by default) and return the content of `bench.json`.

    `{machine, quick, device, suites: [{name, title, seconds, lines: [Line.to_json()]}]}`

    Args:
        out: folder for `bench.json` and `bench.svg`; None: nothing is written.

    Raises:
        InputError: an unknown suite, or CUDA where there is none.
    """
    chosen = list(names) or SUITES.names()
    for name in chosen:
        SUITES.get(name)
    if device == "cuda":
        _check_cuda()
    found: list[dict[str, Any]] = []
    with contextlib.ExitStack() as ends:
        ends.callback(stop_keras)
        folder = ends.enter_context(tempfile.TemporaryDirectory())
        options = Options(Path(folder), quick, device, say)
        for name in chosen:
            suite = SUITES.get(name)
            say(name)
            place = options.folder / name
            place.mkdir()
            started = time.perf_counter()
            lines = suite(replace(options, folder=place))
            found.append(_described(name, suite, lines, time.perf_counter() - started))
    content = {"machine": machine(), "quick": quick, "device": device, "suites": found}
    if out is not None:
        with writing(out, "the benchmark"):
            write_json(out / "bench.json", content)
            draw(content, out / "bench.svg")
    return content


def _described(name: str, suite: Any, lines: list[Line], seconds: float) -> dict[str, Any]:
    title = (suite.__doc__ or name).strip().partition("\n")[0].rstrip(".")
    return {
        "name": name,
        "title": title,
        "seconds": round(seconds, 1),
        "lines": [line.to_json() for line in lines],
    }


def _check_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        raise InputError("There is no CUDA device here.", fix="leave out --device cuda.")
