"""Bad images, bad tables and bad recipes: one message that names the rows, and nothing left."""

from __future__ import annotations

import io
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)


def _bytes(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def _bomb() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


RGB = Image.fromarray(PIXELS)
FRAMES = [Image.fromarray(np.full((20, 24, 3), v, np.uint8)) for v in (0, 100, 200)]
BAD: dict[str, tuple[bytes, str]] = {
    "empty.png": (b"", "is empty (0 bytes)"),
    "text.png": (b"not an image", "is not an image of a known format"),
    "cut.png": (_bytes(RGB)[:600], "is truncated or damaged"),
    "print.jpg": (_bytes(RGB.convert("CMYK"), "JPEG"), "is CMYK"),
    "deep.png": (_bytes(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 9)), "8 bits a channel"),
    "glass.png": (_bytes(Image.fromarray(np.dstack([PIXELS, PIXELS[..., 0]]))), "transparent"),
    "film.gif": (
        _bytes(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]),
        "has several frames",
    ),
    "dot.png": (_bytes(Image.fromarray(PIXELS[:1, :1])), "is only 1 x 1 pixels"),
    "bomb.png": (_bomb(), "is too large to decode at once"),
}


@pytest.fixture
def table(phantoms: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Write a manifest in a copy of the phantoms' folder; return its path."""
    folder = tmp_path / "set"
    shutil.copytree(phantoms / "images", folder / "images")

    def write(text: str) -> Path:
        (folder / "manifest.csv").write_text(text, encoding="utf-8")
        return folder / "manifest.csv"

    return write


@pytest.fixture
def rows(phantoms: Path) -> list[str]:
    """The phantoms' manifest, its first three columns: a header and 36 rows."""
    lines = (phantoms / "manifest.csv").read_text().splitlines()
    return [",".join(line.split(",")[:3]) for line in lines]


def _refused(cli: Any, recipe: Path | str, table: Path, *more: str) -> str:
    """Run; check that it was refused with one message and left nothing; return the message."""
    place = table.parent.parent / "runs"
    ended = cli("run", recipe, "--data", table, "--out", place / "run", *more)
    assert ended.code == 1 and ended.out == ""
    assert "Traceback" not in ended.err and ended.err.count("cytolens: ") == 1
    left = list(place.iterdir()) if place.exists() else []
    assert left == [], "no run, no .partial, no .lock"
    return str(ended.err[ended.err.index("cytolens: ") :])


def test_every_kind_of_bad_image_is_named_in_one_message(
    cli: Any, tiny_toml: Path, table: Callable[[str], Path], rows: list[str]
) -> None:
    path = table("")
    for name, (content, _) in BAD.items():
        (path.parent / name).write_bytes(content)
    path = table("\n".join([*rows, *(f"{name},NILM,patient_000" for name in BAD)]))
    message = _refused(cli, tiny_toml, path)
    assert message.startswith("cytolens: 9 of 45 images of set cannot be used.\n")
    for name, (_, reason) in BAD.items():
        [line] = [text for text in message.splitlines() if text.startswith(f"  - {name}: ")]
        assert reason in line
    assert "Expected: whole 8-bit RGB, grey or palette images without transparency" in message
    audited = cli("data", "audit", path, "--json")
    assert audited.code == 1 and set(audited.json()["problems"]) == set(BAD)
    split = cli("split", path, "--out", path.parent / "split.json")
    assert split.code == 1 and not (path.parent / "split.json").exists()


def _misspelt(rows: list[str]) -> list[str]:
    return [rows[0], rows[1].replace(",SCC,", ",SC,"), *rows[2:]]


def _rare(rows: list[str]) -> list[str]:
    """All of SCC go but one, which is then something else."""
    one = next(row for row in rows if ",SCC," in row)
    return [*(row for row in rows if ",SCC," not in row), one.replace(",SCC,", ",atrophy,")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: [*rows, "images/gone.png,NILM,patient_000"],
            "1 of 37 images of manifest.csv do not exist.\n  - images/gone.png\n",
        ),
        (
            _misspelt,
            "1 label looks like a typing error.\n  - 'SC' (1: images/SCC/pap_000000.png) looks",
        ),
        (
            lambda rows: [*rows[:-1], rows[-1].rsplit(",", 2)[0] + ",NaN,patient_001"],
            "1 rows of manifest.csv have no image or no label (empty or NaN).\n  - row 37: ",
        ),
        (
            lambda rows: [*rows[:-1], rows[-1].rsplit(",", 1)[0] + ","],
            "1 of 36 rows of manifest.csv have no group (empty or NaN).\n",
        ),
        (
            lambda rows: [*rows, rows[-1]],
            "1 images of manifest.csv stand in more than one row.\n",
        ),
        (
            _rare,
            "1 classes are too small to be split.\n  - atrophy: 1 image in 1 group\n",
        ),
        (lambda rows: ["image;class", *rows[1:]], "lacks the column label."),
        (lambda rows: rows[:1], "holds no rows."),
    ],
    ids=["missing", "typo", "nan", "no group", "twice", "one image", "no label", "no rows"],
)
def test_bad_tables(
    cli: Any,
    tiny_toml: Path,
    table: Callable[[str], Path],
    rows: list[str],
    change: Callable[[list[str]], list[str]],
    message: str,
) -> None:
    assert message in _refused(cli, tiny_toml, table("\n".join(change(rows))))


def test_a_table_as_spreadsheets_write_it_is_accepted(
    cli: Any, tiny_toml: Path, table: Callable[[str], Path], rows: list[str], tmp_path: Path
) -> None:
    folder = table("").parent
    for old, new in (("NILM", "Zelle größer"), ("SCC", "扁平 上皮")):
        (folder / "images" / old).rename(folder / "images" / new)
        rows = [row.replace(old, new) for row in rows]
    path = table("\ufeff" + "\r\n".join(rows).replace(",", ";"))
    ended = cli("run", tiny_toml, "--data", path, "--out", tmp_path / "run", "--json")
    assert ended.code == 0
    assert ended.json()["classes"] == ["HSIL", "LSIL", "Zelle größer", "扁平 上皮"]


def test_bad_recipes(cli: Any, tiny_toml: Path, phantoms: Path, tmp_path: Path) -> None:
    table = shutil.copytree(phantoms, tmp_path / "set") / "manifest.csv"
    message = _refused(cli, tiny_toml, table, "--set", "training.epoch=1", "--set", "splt.folds=3")
    assert "has 2 wrong settings.\n" in message
    assert "  - training.epoch: unknown key (did you mean 'epochs'?)\n" in message
    assert "  - splt: unknown key (did you mean 'split'?)\n" in message
    assert "There is no recipe 'frozn' (did you mean 'frozen'?)." in _refused(cli, "frozn", table)


def test_weights_that_are_nowhere(cli: Any, phantoms: Path, tmp_path: Path) -> None:
    table = shutil.copytree(phantoms, tmp_path / "set") / "manifest.csv"
    message = _refused(cli, "frozen", table)
    assert message.startswith("cytolens: No ImageNet weights of mobilenetv2_100 are reachable.\n")
    places = ["explicit path: none given", "CYTOLENS_WEIGHTS: not set", "hub cache: ", "hub: "]
    lines = [line for line in message.splitlines() if line.startswith("  - ")]
    assert len(lines) == 4
    for line, place in zip(lines, places, strict=True):
        assert line.startswith(f"  - {place}")
