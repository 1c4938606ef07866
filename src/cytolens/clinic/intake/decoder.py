"""Decoding in a guarded process: whatever a file does there, the next one is decoded."""

from __future__ import annotations

import contextlib
import os
import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cytolens.clinic.intake.guard import ANSWERED, ASKED, PICTURE
from cytolens.data.reading import ImageProblem

SECONDS = 60.0  # a file may take
_MOST = 1 << 30  # bytes of an answer: the largest image that is decoded, uncompressed, and more
_PNG = b"\x89PNG\r\n\x1a\n"
_SIZE = struct.Struct(">II")  # width and height, in the PNG's first chunk
_KEPT = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_MODULE = "cytolens.clinic.intake.guard"


@dataclass(frozen=True)
class Picture:
    """An image as it is stored: PNG bytes of its pixels alone, and a small JPEG."""

    png: bytes
    thumbnail: bytes
    width: int
    height: int


class _Gone(Exception):
    """The process ended, or answered nonsense."""


class Guard:
    """One guarded process, started at its first use and again whenever it is gone.

    Args:
        seconds: a file may take, by the clock.
        module: that is run; tests give one that misbehaves.
    """

    def __init__(self, seconds: float = SECONDS, module: str = _MODULE) -> None:
        self._seconds, self._module = seconds, module
        self._process: subprocess.Popen[bytes] | None = None

    def decode(self, name: str, content: bytes) -> Picture:
        """Decode the bytes of one file; one caller at a time.

        Raises:
            ImageProblem: it is no image that can be used, takes too long, or ends the process.
        """
        for _ in range(2):  # a process that ended for a reason of its own gets another chance
            process, late = self._running(), threading.Event()
            watch = threading.Timer(self._seconds, self._give_up, (process, late))
            watch.start()
            try:
                return self._asked(process, name, content)
            except ImageProblem:
                raise
            except (_Gone, OSError):
                self.close()
                if late.is_set():
                    reason = f"takes longer than {self._seconds:g} seconds to decode"
                    raise ImageProblem(Path(name), reason) from None
            except BaseException:
                self.close()  # a half-read answer would be taken for the next file's
                raise
            finally:
                watch.cancel()
        raise ImageProblem(Path(name), "ended the process that decodes it: it is damaged")

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was not sent any more
                    stream.close()

    def warm(self) -> None:
        """Start the process, if it does not run, without waiting for it."""
        self._running()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None:
            kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", self._module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # may quote the file
                env=kept | _ONE_THREAD,
                start_new_session=True,  # Ctrl-C is the server's to handle
            )
        return self._process

    @staticmethod
    def _give_up(process: subprocess.Popen[bytes], late: threading.Event) -> None:
        late.set()
        process.kill()

    @staticmethod
    def _asked(process: subprocess.Popen[bytes], name: str, content: bytes) -> Picture:
        assert process.stdin is not None and process.stdout is not None
        suffix = Path(name).suffix.lower().encode("utf-8", "replace")[:32]
        process.stdin.write(ASKED.pack(len(suffix), len(content)) + suffix)
        process.stdin.write(content)
        process.stdin.flush()
        header = _exactly(process.stdout, ANSWERED.size)
        kind, width, height, first, second = ANSWERED.unpack(header)
        if first + second > _MOST:
            raise _Gone
        one, other = _exactly(process.stdout, first), _exactly(process.stdout, second)
        if kind != PICTURE:
            raise ImageProblem(Path(name), one.decode("utf-8", "replace"))
        if one[:8] != _PNG or one[16:24] != _SIZE.pack(width, height) or other[:2] != b"\xff\xd8":
            raise _Gone
        return Picture(one, other, width, height)


class Guards:
    """Some guarded processes; a caller waits for one that is free."""

    def __init__(self, count: int = 2, seconds: float = SECONDS) -> None:
        self._all = [Guard(seconds) for _ in range(count)]
        self._free: queue.LifoQueue[Guard] = queue.LifoQueue()  # the last one used is warm
        for guard in reversed(self._all):
            self._free.put(guard)

    def decode(self, name: str, content: bytes) -> Picture:
        """Decode the bytes of one file; see `Guard.decode`."""
        with self._one() as guard:
            return guard.decode(name, content)

    def warm(self) -> None:
        """Start one process, so that the first file need not wait for it."""
        with self._one() as guard:
            guard.warm()

    def close(self) -> None:
        """End the processes."""
        for guard in self._all:
            guard.close()

    @contextlib.contextmanager
    def _one(self) -> Iterator[Guard]:
        guard = self._free.get()
        try:
            yield guard
        finally:
            self._free.put(guard)


def _exactly(source: IO[bytes], count: int) -> bytes:
    content = source.read(count)
    if len(content) != count:
        raise _Gone
    return content
