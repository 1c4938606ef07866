"""`cytolens serve`: what it refuses, a real start, and its end with its workers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from cytolens.clinic import serving
from cytolens.clinic.demo import refuse_mixing
from cytolens.clinic.installation import Installation
from cytolens.clinic.serving import Exposure, check, is_loopback
from cytolens.clinic.settings import Settings, default_data
from cytolens.clinic.tables import Choice
from cytolens.core.errors import CytolensError, InputError

HERE = Path("somewhere")


@pytest.mark.parametrize(
    ("settings", "exposure", "said"),
    [
        ({"host": "0.0.0.0", "demo": True}, Exposure(), "its passwords are public"),
        (
            {"host": "10.0.0.5", "demo": True, "public_url": "https://clinic.example"},
            Exposure("10.0.0.1", insecure_http=True),
            "its passwords are public",
        ),
        ({"public_url": "https://clinic.example", "demo": True}, Exposure(), "are public"),
        ({"demo": True}, Exposure("127.0.0.1"), "for this machine alone"),
        ({"public_url": "http://clinic.example"}, Exposure(), "in the clear"),
        ({"host": "0.0.0.0"}, Exposure(), "does not know its name"),
        ({"host": "::"}, Exposure(insecure_http=True), "does not know its name"),
        ({"host": "10.0.0.5", "public_url": "http://clinic"}, Exposure(), "in the clear"),
        ({"public_url": "clinic.example"}, Exposure(), "is no public URL"),
        ({"public_url": "ftp://clinic.example"}, Exposure(), "is no public URL"),
        ({}, Exposure("*"), "is no address of a proxy"),
        ({}, Exposure("10.0.0.1,proxy.example"), "'proxy.example' is no address of a proxy"),
        ({}, Exposure("10.0.0.1,0.0.0.0/0"), "'0.0.0.0/0' is no address of a proxy"),
        ({}, Exposure("::/0"), "never everybody's"),
        ({"port": 65536}, Exposure(), "There is no port 65536"),
        ({"workers": -1}, Exposure(), "There cannot be -1 workers"),
    ],
)
def test_unsafe_settings_are_refused(
    settings: dict[str, object], exposure: Exposure, said: str
) -> None:
    with pytest.raises(InputError) as refused:
        check(Settings(HERE, **settings), exposure)  # type: ignore[arg-type]
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "exposure"),
    [
        ({}, Exposure()),
        ({"demo": True}, Exposure()),
        ({"host": "::1", "demo": True}, Exposure()),
        ({"host": "localhost"}, Exposure("10.0.0.1, 10.1.0.0/16")),
        ({"host": "0.0.0.0", "public_url": "https://clinic.example"}, Exposure()),
        ({"public_url": "https://clinic.example"}, Exposure("127.0.0.1")),
        ({"host": "0.0.0.0", "public_url": "http://clinic"}, Exposure(insecure_http=True)),
    ],
)
def test_safe_settings_pass(settings: dict[str, object], exposure: Exposure) -> None:
    check(Settings(HERE, **settings), exposure)  # type: ignore[arg-type]


def test_what_is_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.0.1", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.4", "clinic.example")))


def test_the_url_of_an_ipv6_address_has_brackets() -> None:
    assert Settings(HERE, host="::1").url == "http://[::1]:8000"


def test_the_data_folder_where_none_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_data() == tmp_path / "cytolens" / "clinic"
    assert default_data(demo=True) == tmp_path / "cytolens" / "clinic-demo"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_data() == tmp_path / ".local" / "share" / "cytolens" / "clinic"


def test_a_demonstration_and_a_clinic_are_kept_apart(clinic: Installation) -> None:
    settings = clinic.settings
    demo = Settings(settings.data, settings.database_url, demo=True)
    with clinic.writing() as db:
        refuse_mixing(db, settings)
        refuse_mixing(db, demo)  # nothing is there yet
        db.add(Choice(name="demonstration", value={"began": "2026-01-01", "whole": True}))
        db.flush()
        refuse_mixing(db, demo)
        with pytest.raises(InputError, match="holds a demonstration, whose passwords are public"):
            refuse_mixing(db, settings)


def test_no_demonstration_in_a_clinic_with_accounts(clinic: Installation, people: object) -> None:
    del people
    demo = Settings(clinic.settings.data, clinic.settings.database_url, demo=True)
    with clinic.reading() as db, pytest.raises(InputError, match="with accounts of its own"):
        refuse_mixing(db, demo)


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"Port {port} of 127.0.0.1 cannot be listened on"):
            serving.serve(Settings(tmp_path / "data", port=port), say=lambda _: None)
    assert not (tmp_path / "data" / "clinic.sqlite").exists()


def test_a_data_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="Cannot write the clinic's data at .*file"):
        serving.serve(Settings(tmp_path / "file" / "data", port=0), say=lambda _: None)


def test_the_command_refuses_before_anything_is_made(tmp_path: Path) -> None:
    from cytolens.cli.main import app

    given = ["serve", "--data", str(tmp_path / "data"), "--host", "0.0.0.0", "--demo"]
    result = CliRunner().invoke(app, given)
    assert isinstance(result.exception, CytolensError)
    assert "its passwords are public" in str(result.exception)
    assert not (tmp_path / "data").exists()


def test_errors_of_the_database_do_not_tell_patients_data(clinic: Installation) -> None:
    with clinic.database.engine.connect() as connection, pytest.raises(DBAPIError) as raised:
        connection.execute(
            text("INSERT INTO patient (family_name) VALUES (:name)"), {"name": "Whosename"}
        )
    assert "patient" in str(raised.value)
    assert "Whosename" not in str(raised.value.with_traceback(None)).split("DETAIL")[0]
    assert "SQL parameters hidden" in str(raised.value)


# -- a real start ---------------------------------------------------------------------------------


def _start(data: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cytolens.cli.main", "serve", "--data", str(data), "--port", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "NO_PROXY": "127.0.0.1"},
    )


def _address(server: subprocess.Popen[str]) -> tuple[str, list[str]]:
    """Return where a server is, and what it said until then."""
    assert server.stderr is not None
    said = []
    for line in server.stderr:
        said.append(line.rstrip())
        if found := re.match(r"cytolens clinic: (http://\S+)", line):
            return found[1], said
    raise AssertionError("\n".join(said))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    started = _start(tmp_path / "data")
    yield started
    if started.poll() is None:
        started.kill()
    started.communicate()


def _workers_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    names = {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in children}
    return [child for child, line in names.items() if "inference.worker" in line]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads processes from /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_from_start_to_end(
    server: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    address, said = _address(server)
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    assert (tmp_path / "data" / "clinic.sqlite").stat().st_mode & 0o077 == 0
    assert any(re.fullmatch(rf"  {address}/welcome/\S+", line) for line in said), said
    with urllib.request.urlopen(f"{address}/health") as answer:
        assert json.load(answer) == {"status": "up"}
        assert "server" not in {name.lower() for name in answer.headers}
    workers = _workers_of(server.pid)
    assert len(workers) == 2  # findings; explanations

    second = _start(tmp_path / "data")
    _, complaint = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "A server already runs on" in complaint

    server.send_signal(number)
    _, complaint = server.communicate(timeout=30)
    assert server.returncode == 0, complaint
    assert "Traceback" not in complaint
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
