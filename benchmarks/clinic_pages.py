"""How fast the clinic's pages are for twenty people at once, over 5,000 cases and 100,000 images.

    python benchmarks/clinic_pages.py --cache FOLDER [--json FILE]

Makes an installation of half a year on SQLite (`clinic_filled.py`, kept in the cache for the next
time), serves a copy of it without workers, and lets doctors, directors and administrators use it
at once: each asks for a page, with its pictures as a browser would, and thinks for a second.
Prints median, 95th percentile and maximum of each page in milliseconds, from the request to its
last byte, on this machine's loopback; the mark is 150 ms for the 95th percentile of every page.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from random import Random
from threading import Barrier, Thread

import httpx
import numpy as np
from clinic_filled import ADMINISTRATORS, DIRECTORS, DOCTORS, Size, filled
from sqlalchemy import select

from cytolens.clinic.accounts import sessions
from cytolens.clinic.installation import open_installation
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import User

MARK = 150.0  # ms
_SHARES = {"doctor": 14, "director": 3, "administrator": 3}  # of twenty
_WORDS = ("garc", "mull", "ana", "26-0049", "smith mar", "P00012", "nguyen", "inés")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder of the installation")
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--images", type=int, default=20, help="of each case")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=1.0, help="seconds between two pages")
    parser.add_argument("--json", type=Path, help="where the figures go, too")
    given = parser.parse_args()
    place = filled(given.cache, Size(given.cases, given.images))
    with tempfile.TemporaryDirectory() as name:
        data = copied(place, Path(name) / "data")
        cookies = signed_in(data, given.users)
        with served(data, place / "blobs") as (url, server):
            warm = [user(role, url, cookie, 0) for role, cookie in dict(cookies).items()]
            for one in warm:  # templates are compiled, caches filled, as after the first morning
                one.until(0.0, rounds=1, think=0.0)
            everybody = [user(role, url, cookie, n) for n, (role, cookie) in enumerate(cookies)]
            load, used = os.getloadavg()[0], cpu_seconds(server)
            started = time.monotonic()
            at_once([lambda one=one: one.until(started + given.seconds, think=given.think)
                     for one in everybody])  # fmt: skip
            took, used = time.monotonic() - started, cpu_seconds(server) - used
            load = max(load, os.getloadavg()[0])
    times: dict[str, list[float]] = defaultdict(list)
    for one in everybody:
        for page, taken in one.times:
            times[page].append(taken)
    told = {page: figures(taken) for page, taken in sorted(times.items())}
    told["all"] = figures([taken for page in times.values() for taken in page])
    about = {
        "cases": given.cases, "images": given.cases * given.images, "users": given.users,
        "seconds": round(took, 1), "think": given.think, "cores": os.cpu_count(),
        "load": round(load, 1), "server_cpu_seconds": round(used, 1), "mark": MARK,
    }  # fmt: skip
    show(about, told)
    if given.json:
        given.json.write_text(json.dumps({"about": about, "pages": told}, indent=2) + "\n")


class Person:
    """Somebody at a browser: a session, what is done one after another, how long it took.

    Attributes:
        times: page and milliseconds, in order.
    """

    def __init__(self, url: str, cookie: str, seed: int, steps: Sequence[Step]) -> None:
        self.client = httpx.Client(base_url=url, cookies={sessions.COOKIE: cookie}, timeout=60)
        self.random = Random(seed)
        self.steps = steps
        self.cases: list[str] = []  # those of the worklist
        self.patients: list[str] = []
        self.times: list[tuple[str, float]] = []

    def get(self, page: str, address: str) -> str:
        """Ask for a page; return its text."""
        started = time.perf_counter()
        answer = self.client.get(address)
        self.times.append((page, 1000 * (time.perf_counter() - started)))
        if answer.status_code != 200:
            raise SystemExit(f"{address}: {answer.status_code}")
        return answer.text if answer.headers["content-type"].startswith("text/html") else ""

    def until(self, moment: float, *, think: float, rounds: int = 0) -> None:
        """Do everything again and again until a moment, and `rounds` times at least."""
        time.sleep(think * self.random.random())
        done = 0
        for step in cycle(self.steps):
            if time.monotonic() >= moment and done >= rounds * len(self.steps):
                break
            step(self)
            done += 1
            time.sleep(think * self.random.uniform(0.5, 1.5))
        self.client.close()


Step = Callable[[Person], None]


def page(name: str, address: str) -> Step:
    """Return the step of looking at one address."""
    return lambda one: one.get(name, address) and None


def worklist(one: Person) -> None:
    one.cases = re.findall(r'href="/cases/(\d+)"', one.get("worklist", "/worklist"))


def search(one: Person) -> None:
    text = one.random.choice(_WORDS)
    one.get("worklist, search", f"/worklist?status={one.random.choice(('', 'signed'))}&text={text}")


def patients(one: Person) -> None:
    found = one.get("patients, search", f"/patients?q={one.random.choice(_WORDS)}")
    one.patients = re.findall(r'href="/patients/(\d+)"', found) or one.patients


def patient(one: Person) -> None:
    if one.patients:
        one.get("patient", f"/patients/{one.random.choice(one.patients)}")


def case(one: Person) -> None:
    """Open a case with its pictures, then look at one more of its images."""
    number = one.random.choice(one.cases)
    text = one.get("case of 20 images", f"/cases/{number}")
    images = sorted(set(re.findall(r"/images/(\d+)/thumbnail", text)))
    one.get("image", f"/images/{images[0]}")
    for image in images:
        one.get("thumbnail", f"/images/{image}/thumbnail")
    one.get("finding panel", f"/cases/{number}/images/{one.random.choice(images)}")


STEPS: dict[str, tuple[Step, ...]] = {
    "doctor": (
        worklist, case, worklist, case, search, page("worklist, page 2", "/worklist?page=2"),
        patients, patient, worklist, case, page("worklist, signed", "/worklist?status=signed"),
        page("quality readings", "/quality"),
    ),
    "director": (
        page("figures", "/figures"), page("drift", "/drift"),
        page("figures, by day", "/figures?by=day"), page("quality control", "/quality-control"),
    ),
    "administrator": (
        page("users", "/users"), page("audit", "/audit"), page("system", "/system"),
        page("audit, filtered", "/audit?action=case.&user=doctor1"), page("bundles", "/bundles"),
    ),
}  # fmt: skip


def user(role: str, url: str, cookie: str, seed: int) -> Person:
    return Person(url, cookie, seed, STEPS[role])


def at_once(things: Sequence[Callable[[], None]]) -> None:
    """Do all of them in threads that begin together; raise what one of them raises."""
    together, raised = Barrier(len(things)), []

    def do(thing: Callable[[], None]) -> None:
        together.wait()
        try:
            thing()
        except BaseException as error:
            raised.append(error)

    threads = [Thread(target=do, args=(thing,)) for thing in things]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


def copied(place: Path, data: Path) -> Path:
    """Return a copy of the installation without its blobs: the measurement writes into it."""
    return shutil.copytree(place, data, ignore=shutil.ignore_patterns("blobs", "*.lock"))


def signed_in(data: Path, users: int) -> list[tuple[str, str]]:
    """Return role and cookie of so many accounts, with sessions made in the database."""
    wanted = [role for role, share in _SHARES.items() for _ in range(-(-users * share // 20))]
    wanted = sorted(wanted[:users], key=lambda role: list(_SHARES).index(role))
    clinic, made = open_installation(Settings(data)), []
    assert users <= min(DOCTORS, 20 * DIRECTORS // 3, 20 * ADMINISTRATORS // 3), "too many users"
    with clinic.writing() as db:
        accounts = {role: iter(db.scalars(select(User).where(User.role == role)).all())
                    for role in _SHARES}  # fmt: skip
        for role in wanted:
            opened = sessions.open_session(
                db, next(accounts[role]), clinic.settings,
                address="127.0.0.1", agent="benchmark", second_factor=True,
            )  # fmt: skip
            made.append((role, opened.token))
    clinic.close()
    return made


@contextmanager
def served(data: Path, blobs: Path) -> Iterator[tuple[str, int]]:
    """Yield address and process of a server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("cytolens")),
        "serve",
        "--data",
        str(data),
        "--blobs",
    ]
    command += [str(blobs), "--port", str(port), "--workers", "0"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                httpx.get(f"{url}/health")
                break
            except httpx.TransportError:
                if server.poll() is not None:
                    raise SystemExit("the server did not start") from None
                time.sleep(0.1)
        yield url, server.pid
    finally:
        server.terminate()
        server.wait(30)


def cpu_seconds(process: int) -> float:
    """Return the seconds of processor time that a process had so far."""
    stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def figures(milliseconds: Sequence[float]) -> dict[str, float]:
    """Return number, median, 95th percentile and maximum."""
    middle, slow = np.quantile(milliseconds, [0.5, 0.95])
    return {
        "n": len(milliseconds),
        "p50": round(float(middle), 1),
        "p95": round(float(slow), 1),
        "max": round(max(milliseconds), 1),
    }


def show(about: dict[str, float], told: dict[str, dict[str, float]]) -> None:
    sys.stdout.write(", ".join(f"{name} {value}" for name, value in about.items()) + "\n")
    sys.stdout.write(f"{'page':<22}{'n':>7}{'p50':>8}{'p95':>8}{'max':>8}\n")
    for name, row in told.items():
        mark = "" if row["p95"] <= MARK else "  above the mark"
        sys.stdout.write(
            f"{name:<22}{row['n']:>7}{row['p50']:>8.1f}{row['p95']:>8.1f}{row['max']:>8.1f}{mark}\n"
        )


if __name__ == "__main__":
    main()
