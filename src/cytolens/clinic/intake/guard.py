"""The guarded process that decodes files nobody vouches for.

Started as `python -m cytolens.clinic.intake.guard`, it has limits on memory, processor time, open
files and new processes, may write no file, knows no secret, and is killed when a file takes too
long (`intake.decoder`). It is asked and answers on its standard input and output, a frame at a
time:

    asked     length of the suffix (u8), of the content (u64), the suffix in UTF-8, the content
    answers   kind (u8: 1 a picture, 0 a reason), width (u32), height (u32),
              length of the first part (u64), of the second (u64), the first, the second

Of a picture the parts are a PNG of its pixels alone and a small JPEG; of a reason the first is a
sentence without its subject. Pixels are kept as they are stored: a camera's note on how to turn
the picture (EXIF) is left out like all other notes, as it is in training.
"""

from __future__ import annotations

import os
import resource
import struct
import sys
from pathlib import Path
from typing import BinaryIO

from cytolens.clinic.intake.landlock import give_up

ASKED = struct.Struct(">BQ")
ANSWERED = struct.Struct(">BIIQQ")
PICTURE, REASON = 1, 0
SMALL = 256  # longest side of the small picture, in pixels
MEMORY = 3 << 30  # bytes of address space: the largest image accepted needs 1.9 GiB
SECONDS = 60  # of processor time a file
_FILES = 32
_QUALITY = 85  # of the JPEG
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
NO_MEMORY = "takes more memory than an image may"


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answer until nothing is asked any more."""
    while header := source.read(ASKED.size):
        suffix_length, length = ASKED.unpack(header)
        suffix = source.read(suffix_length).decode("utf-8", "replace")
        content = source.read(length)
        _allow_time()
        try:
            width, height, first, second = decoded(suffix, content)
            kind = PICTURE
        except MemoryError:
            kind, width, height, first, second = REASON, 0, 0, NO_MEMORY.encode(), b""
        except Refusal as refusal:
            kind, width, height, first, second = REASON, 0, 0, str(refusal).encode(), b""
        del content
        target.write(ANSWERED.pack(kind, width, height, len(first), len(second)))
        target.write(first)
        target.write(second)
        target.flush()


class Refusal(Exception):
    """Why a file is no image that can be used: a sentence without its subject."""


def decoded(suffix: str, content: bytes) -> tuple[int, int, bytes, bytes]:
    """Return width, height, PNG and small JPEG of a file.

    Raises:
        Refusal: it is no image that can be used.
        MemoryError: it takes more memory than there is.
    """
    import cv2

    from cytolens.bundle.inputs import decode
    from cytolens.data.reading import ImageProblem

    try:
        rgb = decode(Path(f"file{suffix}"), content)  # [H, W, 3]
    except ImageProblem as problem:
        if "MemoryError" in problem.reason:
            raise MemoryError from None
        raise Refusal(problem.reason) from None
    height, width = rgb.shape[:2]
    try:
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        del rgb
        settings = [
            cv2.IMWRITE_PNG_COMPRESSION, 1,
            cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
        ]  # fmt: skip
        png = cv2.imencode(".png", bgr, settings)[1].tobytes()
        scale = SMALL / max(height, width)
        if scale < 1:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
        small = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from None
        raise Refusal("cannot be written as a picture") from None
    return width, height, png, small


def confine() -> None:
    """Give up what decoding does not need; none of it can be had back.

    Where the kernel offers it (`intake.landlock`), nothing can be read any more but programs: no
    database, no secret, no blob.
    """
    give_up(_programs())
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),  # a core would hold patients' images
        (resource.RLIMIT_NOFILE, _FILES),
        (resource.RLIMIT_NPROC, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (wanted, wanted))


def _programs() -> list[Path]:
    """Return the folders of Python, of its packages and of the system's libraries."""
    found = [sys.prefix, sys.base_prefix, *sys.path, *_LIBRARIES]
    folders = [Path(name).resolve() for name in found if name]
    return [folder for folder in folders if folder.is_dir() and folder != Path("/")]


def _allow_time() -> None:
    """End this process by a signal when the next file takes more than its processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + SECONDS
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(
        resource.RLIMIT_CPU, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard)
    )


def main() -> None:
    """Serve the process that started this one."""
    import cv2

    import cytolens.bundle.inputs  # noqa: F401  before the limits, and before anybody waits

    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints goes nowhere, not into a frame
    cv2.setNumThreads(1)
    confine()
    serve(sys.stdin.buffer, target)


if __name__ == "__main__":
    main()
