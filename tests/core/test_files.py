"""Files are whole or absent; what the system refuses is said in words."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cytolens.core.errors import InputError
from cytolens.core.files import (
    atomic_path,
    cache_dir,
    lock,
    read_json,
    sha256_file,
    sha256_json,
    write_bytes,
    write_json,
    write_text,
    writing,
)


def test_a_failure_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    write_bytes(target, b"o" * 1000)
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom cytolens.core.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as t:\n"
        "    t.write_bytes(b'n' * 10)\n    print('half', flush=True)\n    time.sleep(60)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, target], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"half\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert target.read_bytes() == b"o" * 1000


def test_folders_are_made_and_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "x" / "y" / "a.txt", "ä")
    finally:
        os.umask(old)
    assert (tmp_path / "x" / "y" / "a.txt").read_bytes() == "ä".encode()
    assert (tmp_path / "x" / "y" / "a.txt").stat().st_mode & 0o777 == 0o640


def test_the_umask_of_all_threads_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads that set it to zero and back could leave it at zero for good."""

    def changed(mask: int) -> int:
        raise AssertionError(f"the umask of the process would be {mask:o}")

    monkeypatch.setattr(os, "umask", changed)
    write_bytes(tmp_path / "a", b"x")
    assert (tmp_path / "a").stat().st_mode & 0o002 == 0


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full.\nWay out: free some space, or choose another place."),
        (errno.EDQUOT, "the quota is used up.\nWay out: free some space, or choose another place."),
        (errno.EROFS, "the place is read-only.\nWay out: choose a folder that can be written."),
        (errno.EACCES, "permission is denied.\nWay out: choose a folder that can be written."),
        (errno.EPERM, "permission is denied.\nWay out: choose a folder that can be written."),
    ],
)
def test_refusals_are_said_and_leave_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(InputError) as caught, writing(target, "the report"):
        write_text(target, "new")
    assert str(caught.value) == f"Cannot write the report at {target}: {said}"
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(InputError, match=": a part of the path is a file"):
        with writing(tmp_path / "f" / "g" / "a", "x"):
            write_text(tmp_path / "f" / "g" / "a", "")


def test_other_errors_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="odd") as caught, writing(tmp_path, "x"):
        raise OSError(errno.EIO, "odd")
    assert not isinstance(caught.value, InputError)


def test_json_is_strict(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"ä": [1, None]})
    assert path.read_text(encoding="utf-8") == '{\n  "ä": [\n    1,\n    null\n  ]\n}\n'
    assert read_json(path, "split file") == {"ä": [1, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert read_json(path, "split file") == {"ä": [1, None]}


def test_json_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(InputError) as caught:
        read_json(path, "split file")
    assert str(caught.value) == f"There is no split file at {path}."
    path.write_text("{")
    with pytest.raises(InputError, match="a.json is not a split file: .*\nExpected: JSON in UTF-8"):
        read_json(path, "split file")
    path.write_bytes(b'"\xe9"')
    with pytest.raises(InputError, match="a.json is not a split file: "):
        read_json(path, "split file")


def test_hashes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "a") == abc
    assert sha256_json({"b": 1, "a": "é"}) == sha256_json({"a": "é", "b": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": "1"})


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CYTOLENS_CACHE", "~/mine")
    assert cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("CYTOLENS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_dir() == tmp_path / "x" / "cytolens"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == tmp_path / ".cache" / "cytolens"


def test_a_lock_is_held_once_and_freed(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "lock"
    with lock(path, "busy"):
        with pytest.raises(InputError) as caught, lock(path, "This run is being written."):
            pass
        assert str(caught.value) == (
            "This run is being written.\nWay out: wait for it to end, or choose another place."
        )
    with lock(path, "busy"):
        pass


def test_a_killed_holder_frees_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom cytolens.core.files import lock\n"
        "with lock(Path(sys.argv[1]), 'b'):\n    print(1, flush=True)\n    time.sleep(60)\n"
    )
    holder: Any = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"1\n"
    with pytest.raises(InputError, match="^busy"), lock(path, "busy"):
        pass
    holder.kill()
    holder.wait()
    holder.stdout.close()
    end = time.monotonic() + 5
    while True:  # the kernel may need a moment
        try:
            with lock(path, "busy"):
                break
        except InputError:
            assert time.monotonic() < end
    assert json.dumps(path.read_text()) == '""'
