"""Facts: looked at once, kept between runs, the same whoever looks."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cytolens.core.errors import InputError
from cytolens.data import facts as facts_module
from cytolens.data.facts import Facts, scan, scan_or_fail
from cytolens.data.manifest import Manifest, Row


def _manifest(folder: Path, count: int = 6) -> Manifest:
    rows = []
    for i in range(count):
        path = folder / f"{i}.png"
        shape = (40 + i, 50, 3)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8)).save(path)
        rows.append(Row(path.name, path, "ab"[i % 2]))
    return Manifest(tuple(rows), "set")


def _same(one: Facts, other: Facts) -> bool:
    return one.sha256 == other.sha256 and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("sizes", "phash", "thumbs", "means", "bright")
    )


def test_what_a_look_says(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path)
    facts, problems = scan(manifest)
    assert problems == {}
    for i, row in enumerate(manifest.rows):
        image = np.asarray(Image.open(row.image))
        assert facts.sha256[i] == hashlib.sha256(row.image.read_bytes()).hexdigest()
        assert facts.sizes[i].tolist() == [50, 40 + i]
        np.testing.assert_allclose(facts.means[i], image.mean((0, 1)), rtol=1e-9)
    assert facts.phash.dtype == np.uint64
    assert facts.thumbs.shape == facts.bright.shape == (6, 32, 32)


def test_bright_marks_are_seen_and_the_thumbnail_is_a_mean(tmp_path: Path) -> None:
    image = np.full((64, 96, 3), 100, np.uint8)
    image[10, 31] = (255, 250, 240)  # one pixel in cell (5, 10)
    image[40, 40] = (255, 255, 0)  # not bright in every channel
    Image.fromarray(image).save(tmp_path / "a.png")
    facts, _ = scan(Manifest((Row("a", tmp_path / "a.png", "x"),), "s"))
    expected = np.full((32, 32), 100)
    expected[5, 10] = 240
    assert np.array_equal(facts.bright[0], expected)
    assert abs(int(facts.thumbs[0, 5, 10]) - (100 + round(152 / 6))) <= 1
    assert facts.thumbs[0, 0, 0] == 100


def test_a_second_look_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = _manifest(tmp_path)
    steps: list[int] = []
    first, _ = scan(manifest, step=lambda: steps.append(1))
    assert len(steps) == 6

    def fail(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(facts_module, "decode_image", fail)
    second, problems = scan(manifest, step=lambda: steps.append(1))
    assert problems == {}
    assert len(steps) == 12
    assert _same(first, second)


def test_the_cache_goes_by_content_not_by_name(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path)
    first, _ = scan(manifest)
    one, other = manifest.rows[0].image, manifest.rows[1].image
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)
    swapped, _ = scan(manifest)
    assert swapped.sha256[:2] == (first.sha256[1], first.sha256[0])
    assert swapped.sizes[:2].tolist() == first.sizes[[1, 0]].tolist()
    assert np.array_equal(swapped.thumbs[:2], first.thumbs[[1, 0]])


def _damage(manifest: Manifest) -> None:
    manifest.rows[1].image.write_bytes(b"")
    manifest.rows[3].image.write_text("hello")
    manifest.rows[4].image.unlink()


PROBLEMS = {
    "1.png": "is empty (0 bytes)",
    "3.png": "is not an image of a known format",
    "4.png": "cannot be read (No such file or directory)",
}


def test_problems_are_reported_and_their_facts_blank(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path)
    whole, _ = scan(manifest)
    _damage(manifest)
    for _ in range(2):  # a problem is not cached away
        facts, problems = scan(manifest)
        assert problems == PROBLEMS
    assert [bool(h) for h in facts.sha256] == [True, False, True, False, False, True]
    assert facts.sizes[1].tolist() == [0, 0]
    assert np.array_equal(facts.thumbs[[0, 2, 5]], whole.thumbs[[0, 2, 5]])  # no shift of rows


def test_scan_or_fail_names_them(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path)
    assert _same(scan_or_fail(manifest), scan(manifest)[0])
    _damage(manifest)
    with pytest.raises(InputError) as caught:
        scan_or_fail(manifest)
    assert str(caught.value) == (
        "3 of 6 images of set cannot be used.\n"
        + "".join(f"  - {name}: {reason}\n" for name, reason in PROBLEMS.items())
        + "Expected: whole 8-bit RGB, grey or palette images without transparency\n"
        "Way out: convert or replace these files, or remove their rows "
        "(`cytolens data audit` lists them all)."
    )


def test_a_cache_of_another_version_is_made_anew(tmp_path: Path, own_cache: Path) -> None:
    manifest = _manifest(tmp_path)
    first, _ = scan(manifest)
    database = sqlite3.connect(own_cache / "facts.sqlite")
    with database:
        database.execute("UPDATE facts SET width = 7")
        database.execute("PRAGMA user_version = 1")
    database.close()
    assert _same(scan(manifest)[0], first)


def test_a_cache_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "facts.sqlite"
    path.write_bytes(b"x" * 5000)
    with pytest.raises(InputError) as caught:
        scan(_manifest(tmp_path), cache=path)
    assert str(caught.value) == (
        f"The cache of image facts at {path} cannot be used: file is not a database.\n"
        "Way out: delete it, free space there, or set CYTOLENS_CACHE to another folder."
    )


_SCAN = """
import sys, time
from cytolens.data.facts import scan
from cytolens.data.loading import read_manifest
manifest = read_manifest(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
facts, problems = scan(manifest)
print(len(problems), "".join(facts.sha256), facts.phash.tolist(), facts.means.sum())
"""


def test_two_processes_scan_at_once(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, 300)
    manifest.write(tmp_path / "manifest.csv")
    command = [sys.executable, "-c", _SCAN, str(tmp_path)]
    pipe = subprocess.PIPE
    both = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in "ab"
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said[0][0] == said[1][0]
    facts, _ = scan(manifest)
    assert said[0][0].startswith("0 " + "".join(facts.sha256))


def test_opening_twice_at_once_never_drops_the_other_s_facts(tmp_path: Path) -> None:
    """The version is checked and set in one transaction: the loser waits and sees the winner's."""
    path = tmp_path / "facts.sqlite"
    first = sqlite3.connect(path)
    first.execute("PRAGMA journal_mode=WAL")
    first.execute("BEGIN IMMEDIATE")
    code = (
        "import sys\nfrom pathlib import Path\nfrom cytolens.data.facts import _open\n"
        "print('ready', flush=True)\n_open(Path(sys.argv[1])).close()\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"ready\n"
    time.sleep(0.3)  # it now waits for the transaction
    first.execute("CREATE TABLE facts (sha256 TEXT)")
    first.execute("INSERT INTO facts VALUES ('kept')")
    first.execute(f"PRAGMA user_version={facts_module._VERSION}")
    first.commit()
    assert other.wait(20) == 0
    other.stdout.close()
    assert first.execute("SELECT * FROM facts").fetchall() == [("kept",)]
    first.close()
    assert os.path.getsize(path) > 0
