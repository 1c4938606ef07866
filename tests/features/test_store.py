"""The store: rows come back as they went in, or not at all, whoever was killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.features import store as store_module
from cytolens.features.store import DEFAULT_LIMIT, Store, store_limit

BIG = 10**9


def _rows(count: int, start: int = 0, width: int = 5) -> np.ndarray:
    return (np.arange(count * width, dtype=np.float32) + start).reshape(count, width)


def _keys(count: int, name: str = "k") -> list[str]:
    return [f"{name}{i}" for i in range(count)]


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.float16])
@pytest.mark.parametrize("shape", [(), (3,), (2, 4, 3)])
def test_rows_come_back(tmp_path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    rows = np.random.default_rng(0).integers(0, 200, (7, *shape)).astype(dtype)
    Store(tmp_path, BIG).write("s", "about", _keys(7), rows)
    store = Store(tmp_path, BIG)  # as another process would open it
    found = store.read("s", ["k5", "k0", "k5", "k2"])
    assert (len(found), found.shape, found.dtype) == (4, shape, np.dtype(dtype))
    assert np.array_equal(found.gather(np.array([0, 1, 2, 3])), rows[[5, 0, 5, 2]])
    assert np.array_equal(found.gather(np.array([3, 3])), rows[[2, 2]])


def test_rows_over_several_segments_keep_the_asked_order(tmp_path: Path) -> None:
    store = Store(tmp_path, BIG)
    for part in range(4):
        store.write("s", "a", _keys(300, f"p{part}-"), _rows(300, 10000 * part))
    order = np.random.default_rng(0).permutation(1200)
    asked = [f"p{i // 300}-{i % 300}" for i in order]  # more than one SQL statement takes
    found = store.read("s", asked).gather(np.arange(1200))
    expected = np.concatenate([_rows(300, 10000 * part) for part in range(4)])[order]
    assert np.array_equal(found, expected)


def test_missing_in_order_each_once(tmp_path: Path) -> None:
    store = Store(tmp_path, BIG)
    store.write("s", "a", ["b"], _rows(1))
    assert store.missing("s", ["z", "b", "a", "z"]) == ["z", "a"]
    assert store.missing("other", ["b"]) == ["b"]  # a space of its own
    with pytest.raises(KeyError):
        store.read("s", ["b", "z"])


def test_a_key_written_twice_has_the_later_row(tmp_path: Path) -> None:
    store = Store(tmp_path, BIG)
    store.write("s", "a", _keys(3), _rows(3))
    store.write("s", "a", ["k1"], _rows(1, 777))
    found = store.read("s", _keys(3)).gather(np.arange(3))
    assert np.array_equal(found[1], _rows(1, 777)[0])
    assert np.array_equal(found[[0, 2]], _rows(3)[[0, 2]])


def test_a_segment_that_is_gone_is_missing(tmp_path: Path) -> None:
    store = Store(tmp_path, BIG)
    store.write("s", "a", ["a"], _rows(1))
    store.write("s", "a", ["b"], _rows(1))
    found = store.read("s", ["a", "b"])
    for path in (tmp_path / "segments").iterdir():
        path.unlink()
    assert store.missing("s", ["a", "b"]) == ["a", "b"]
    assert found.gather(np.array([0, 1])).shape == (2, 5)  # open files live on


def test_a_segment_evicted_between_index_and_file_is_a_missing_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, BIG)
    store.write("s", "a", ["a"], _rows(1))
    found = store._locate("s", ["a"])
    (next((tmp_path / "segments").iterdir())).unlink()
    monkeypatch.setattr(store, "_locate", lambda *_: found)
    with pytest.raises(KeyError):
        store.read("s", ["a"])


_WRITER = """
import sys
from pathlib import Path
import numpy as np
from cytolens.features.store import Store
store = Store(Path(sys.argv[1]), 10**9)
number = int(sys.argv[2])
print("ready", flush=True)
while True:
    number += 1
    keys = [f"{number}-{i}" for i in range(50)]
    values = np.arange(50)[:, None] + np.full((50, 400), number * 64)
    store.write("s", "a", keys, values)
"""


def test_kills_at_random_moments_never_leave_a_half_row(tmp_path: Path) -> None:
    moment = random.Random(0)
    seen = 0
    for round_number in range(8):
        start = round_number * 10**5
        command = [sys.executable, "-c", _WRITER, str(tmp_path), str(start)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(moment.uniform(0.01, 0.25))
        writer.kill()
        writer.wait()
        writer.stdout.close()
        store = Store(tmp_path, BIG)
        with store._index() as index:
            keys = [key for (key,) in index.execute("SELECT key FROM rows WHERE space = 's'")]
        seen = len(keys)
        assert seen % 50 == 0  # all rows of a segment, or none
        if keys:
            assert store.missing("s", keys) == []
            found = store.read("s", keys).gather(np.arange(len(keys)))
            expected = [int(a) * 64 + int(b) for a, b in (key.split("-") for key in keys)]
            assert np.array_equal(found, np.repeat(np.array(expected)[:, None], 400, axis=1))
        store.write("after", "a", [f"{round_number}"], _rows(1))  # and it goes on
    assert seen > 50


_SAME = """
import sys
from pathlib import Path
import numpy as np
from cytolens.features.store import Store
print("ready", flush=True)
sys.stdin.readline()
for number in range(25):
    store = Store(Path(sys.argv[1]), 10**9)
    keys = [f"{number}-{i}" for i in range(10)]
    if store.missing("s", keys):
        store.write("s", "a", keys, np.full((10, 3), number, np.float32))
    assert (store.read("s", keys).gather(np.arange(10)) == number).all()
"""


def test_two_processes_write_the_same_keys(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", _SAME, str(tmp_path)]
    both = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in "ab"
    ]
    for process in both:
        assert process.stdout is not None
        process.stdout.readline()
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    store = Store(tmp_path, BIG)
    keys = [f"{n}-{i}" for n in range(25) for i in range(10)]
    found = store.read("s", keys).gather(np.arange(250))
    assert np.array_equal(found[:, 0], np.repeat(np.arange(25), 10))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "segments").iterdir())


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    one = 128 + 1000 * 4  # bytes of a segment: header and values
    store = Store(tmp_path, 3 * one)
    for name in "abc":
        store.write("s", "a", [name], np.zeros((1, 1000), np.float32))
    store.read("s", ["a"])  # now b is the oldest
    store.write("s", "a", ["d"], np.zeros((1, 1000), np.float32))
    assert store.missing("s", list("abcd")) == ["b"]
    assert _size(tmp_path) <= store.limit
    store.write("s", "a", ["e"], np.zeros((1, 1000), np.float32))
    assert store.missing("s", list("abcde")) == ["b", "c"]


def test_what_was_just_written_stays_even_over_the_limit(tmp_path: Path) -> None:
    store = Store(tmp_path, 100)
    store.write("s", "a", ["a"], np.zeros((1, 1000), np.float32))
    assert store.missing("s", ["a"]) == []
    store.write("s", "a", ["b"], np.zeros((1, 1000), np.float32))
    assert store.missing("s", ["a", "b"]) == ["a"]
    assert store.evict() == 1
    assert list((tmp_path / "segments").iterdir()) == []


@pytest.mark.parametrize("text", ["0", "-1", "many", "nan", "inf", ""])
def test_a_limit_that_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CYTOLENS_STORE_LIMIT", text)
    with pytest.raises(InputError) as caught:
        Store()
    assert str(caught.value) == (
        f"CYTOLENS_STORE_LIMIT = {text!r} is not a size.\nExpected: GiB, a number above 0"
    )


def test_the_limit(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    monkeypatch.delenv("CYTOLENS_STORE_LIMIT", raising=False)
    assert store_limit() == DEFAULT_LIMIT == 20 * 2**30
    monkeypatch.setenv("CYTOLENS_STORE_LIMIT", "0.5")
    store = Store()
    assert store.limit == 2**29
    assert store.folder == own_cache / "store"


def test_orphans_of_dead_processes_go_and_young_ones_stay(tmp_path: Path) -> None:
    store = Store(tmp_path, BIG)
    store.write("s", "a", ["a"], _rows(1))
    segments = tmp_path / "segments"
    (kept,) = segments.iterdir()
    old = time.time() - store_module._ORPHAN_SECONDS - 60
    for name in ("dead.npy", "dead2.tmp", "young.npy", "young2.tmp"):
        (segments / name).write_bytes(b"x")
        if name.startswith("dead"):
            os.utime(segments / name, (old, old))
    os.utime(kept, (old, old))
    Store(tmp_path, BIG)
    assert {p.name for p in segments.iterdir()} == {kept.name, "young.npy", "young2.tmp"}


def test_a_file_renamed_while_orphans_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(tmp_path, BIG)
    gone = tmp_path / "segments" / "gone.tmp"
    monkeypatch.setattr(Path, "iterdir", lambda _: iter([gone]))
    Store(tmp_path, BIG)  # another process's temporary file got its name in between


def test_spaces_and_clear(tmp_path: Path) -> None:
    store = Store(tmp_path, BIG)
    assert store.spaces() == []
    store.write("one", "first", _keys(3), _rows(3))
    store.write("two", "second", _keys(4), _rows(4))
    store.write("two", "second", _keys(2, "m"), _rows(2))
    found = store.spaces()
    assert [(s.space, s.about, s.rows) for s in found] == [
        ("two", "second", 6),
        ("one", "first", 3),
    ]
    assert sum(s.bytes for s in found) == _size(tmp_path)
    store.read("one", ["k0"])
    assert [s.space for s in store.spaces()] == ["one", "two"]
    assert store.clear("one") == found[1].bytes
    assert store.missing("one", ["k0"]) == ["k0"]
    assert store.missing("two", ["k0"]) == []
    assert store.clear() == found[0].bytes
    assert store.spaces() == []
    assert _size(tmp_path) == 0


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, BIG)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module.os, "fsync", full)
    with pytest.raises(InputError, match=r"^Cannot write features at .*: the disk is full\.\n"):
        store.write("s", "a", ["a"], _rows(1))
    assert list((tmp_path / "segments").iterdir()) == []
    assert store.missing("s", ["a"]) == ["a"]


@pytest.mark.parametrize("make", ["folder", "rubbish"])
def test_an_index_that_cannot_be_used(tmp_path: Path, make: str) -> None:
    index = tmp_path / "index.sqlite"
    if make == "folder":
        index.mkdir()
        why = "unable to open database file"
    else:
        index.write_bytes(b"x" * 5000)
        why = "file is not a database"
    with pytest.raises(InputError) as caught:
        Store(tmp_path, BIG)
    assert str(caught.value) == (
        f"The feature store at {tmp_path} cannot be used: {why}.\n"
        "Way out: free space there, or set CYTOLENS_CACHE to another folder."
    )
