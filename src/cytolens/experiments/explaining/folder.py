"""The folder `explanations/`: written beside its place, renamed when whole."""

from __future__ import annotations

import contextlib
import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.core.files import lock, write_bytes, writing

CONTENT = "explanations.json"
MAPS = "maps.npz"
IMAGES = "images"
JUDGEMENT = "judgement.json"
_OURS = {CONTENT, MAPS, IMAGES, JUDGEMENT, "figures"}


@contextlib.contextmanager
def explanations_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder beside `out`, whose place it takes once everything went well.

    Explanations that are overwritten stay until the new ones are whole.

    Raises:
        InputError: explanations or something else are there, another process is at work, or the
            place cannot be written.
    """
    if out.name in ("", ".."):
        out = out.resolve()
    partial = out.with_name(out.name + ".partial")
    guard = out.with_name(f".{out.name}.lock")
    with contextlib.ExitStack() as stack:
        stack.enter_context(writing(out, "the explanations"))
        stack.enter_context(lock(guard, f"Another process is explaining into {out}."))
        try:
            check_free(out, overwrite=overwrite)
            _clear(partial)
            (partial / IMAGES).mkdir(parents=True)
            try:
                yield partial
                _replace(out, partial)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
        finally:
            guard.unlink(missing_ok=True)


def check_free(out: Path, *, overwrite: bool) -> None:
    """Refuse explanations (unless told), and anything else in any case."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / CONTENT).is_file():
        raise InputError(
            f"{out} holds something else than explanations; it is not overwritten.",
            fix="choose another --out, or move it away.",
        )
    if not overwrite:
        raise InputError(
            f"{out} already holds explanations.",
            fix="pass --overwrite, or move them away.",
        )


def _clear(partial: Path) -> None:
    """Remove what a killed process left."""
    if not partial.exists():
        return
    if not partial.is_dir() or any(
        path.name not in _OURS and not path.name.endswith(".tmp") for path in partial.iterdir()
    ):
        raise InputError(
            f"{partial} is in the way, and it holds no unfinished explanations.",
            fix="remove or rename it.",
        )
    shutil.rmtree(partial)


def _replace(out: Path, partial: Path) -> None:
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    partial.rename(out)
    shutil.rmtree(old, ignore_errors=True)


class MapsFile:
    """Writes `maps.npz` array by array, so that memory stays small.

    The same arrays give the same bytes. It is what `numpy.savez_compressed` writes: read it with
    `numpy.load(…, allow_pickle=False)`.
    """

    def __init__(self, path: Path) -> None:
        self._file = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)

    def __enter__(self) -> MapsFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, key: str, values: NDArray[Any]) -> None:
        content = io.BytesIO()
        np.lib.format.write_array(content, np.ascontiguousarray(values), allow_pickle=False)
        entry = zipfile.ZipInfo(f"{key}.npy")  # of 1980, whatever the clock says
        self._file.writestr(entry, content.getvalue(), zipfile.ZIP_DEFLATED)


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a uint8 RGB image [H, W, 3]."""
    done, content = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done, "OpenCV writes PNG"
    write_bytes(path, content.tobytes())
