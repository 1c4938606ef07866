"""Uploads as they stream in: each file goes to the disk, none through memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj, rmtree
from typing import IO, Any

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from cytolens.clinic.errors import Refused, TooLarge
from cytolens.clinic.settings import MIB

File = tuple[str, Path]  # what it was called, and where it lies
_MOST = 10_000  # files of one upload
_TEXT = 10_000  # bytes of a field of text


@dataclass(frozen=True)
class Received:
    """What a form held: the files of one field, and the texts of others by their names."""

    files: list[File]
    texts: dict[str, str]


@contextmanager
def removed_after(folder: Path) -> Iterator[Path]:
    """Yield a folder and remove it at the end, whatever happened."""
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)


async def receive(request: Request, folder: Path, field: str, limit: int) -> list[File]:
    """Write the files of one field of a form to a folder; see `receive_form`."""
    return (await receive_form(request, folder, field, limit)).files


async def receive_form(
    request: Request, folder: Path, field: str, limit: int, texts: tuple[str, ...] = ()
) -> Received:
    """Write the files of one field of a form to a folder, and read fields of text.

    Args:
        folder: made for this upload; whoever calls removes it.
        field: the form's field; files of others are dropped.
        limit: bytes of the whole upload.
        texts: names of fields of text; those that the form lacks are missing.

    Raises:
        TooLarge: more bytes, too many files, or a text that is too long.
        Refused: no form with files.
    """
    if parsed := getattr(request, "_form", None):  # the guard had to look for the form's token
        files = await run_in_threadpool(_copied, parsed.getlist(field), folder)
        said = {name: parsed[name] for name in texts if isinstance(parsed.get(name), str)}
        return Received(files, said)
    kind, options = parse_options_header(request.headers.get("Content-Type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Refused("This is no upload.", expected="a form with files (multipart/form-data)")
    parts, taken = _Parts(folder, field, texts), 0
    try:
        parser = MultipartParser(options[b"boundary"], parts.callbacks())
        async for chunk in request.stream():
            taken += len(chunk)
            if taken > limit:
                raise TooLarge(
                    "This is more than is taken at once.",
                    expected=f"at most {limit // MIB} MiB",
                    fix="send the images in smaller parts.",
                )
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise Refused("The upload was cut off or is no form.", fix="send it again.") from error
    finally:
        parts.close()
    if not parts.ended:
        raise Refused("The upload was cut off.", fix="send it again.")
    return Received(parts.files, parts.texts)


def _copied(uploads: list[Any], folder: Path) -> list[File]:
    files = []
    for number, upload in enumerate(uploads):
        if isinstance(upload, UploadFile) and upload.filename:
            path = folder / str(number)
            with path.open("wb") as target:
                copyfileobj(upload.file, target, MIB)
            files.append((upload.filename, path))
    return files


class _Parts:
    """Writes the parts of a form as the parser finds them."""

    def __init__(self, folder: Path, field: str, texts: tuple[str, ...]) -> None:
        self.files: list[File] = []
        self.ended = False
        self._folder, self._field = folder, field
        self._texts = {name.encode(): b"" for name in texts}
        self._said: set[bytes] = set()
        self._text = b""  # name of the field of text that is being read
        self._target: IO[bytes] | None = None
        self._name = self._value = b""
        self._disposition = b""

    @property
    def texts(self) -> dict[str, str]:
        """The fields of text that the form had."""
        return {key.decode(): self._texts[key].decode("utf-8", "replace") for key in self._said}

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers,
            "on_part_data": self._data,
            "on_part_end": self.close,
            "on_end": self._end,
        }

    def close(self) -> None:
        if self._target is not None:
            self._target.close()
            self._target = None

    def _begin(self) -> None:
        self._name = self._value = self._disposition = self._text = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        name, field = options.get(b"filename", b""), options.get(b"name", b"")
        if field in self._texts and field not in self._said and not name:
            self._said.add(field)
            self._text = field
            return
        if field != self._field.encode() or not name:
            return
        if len(self.files) == _MOST:
            raise TooLarge(f"These are more than {_MOST:,} files.", fix="send them in parts.")
        path = self._folder / str(len(self.files))
        self.files.append((name.decode("utf-8", "replace"), path))
        self._target = path.open("wb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._target is not None:
            self._target.write(data[start:end])
        elif self._text:
            self._texts[self._text] += data[start:end]
            if len(self._texts[self._text]) > _TEXT:
                raise TooLarge("A text of this form is too long.")

    def _end(self) -> None:
        self.ended = True
