"""Serve an installation: the web server in this process, findings in processes of its own."""

from __future__ import annotations

import ipaddress
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from cytolens.clinic import demo, locales, migrations
from cytolens.clinic.accounts.first import first_link
from cytolens.clinic.database import Database
from cytolens.clinic.inference.supervisor import Supervisor
from cytolens.clinic.inference.uploads import sweep_incoming
from cytolens.clinic.installation import Installation, open_installation, private_files
from cytolens.clinic.intake.decoder import Guards
from cytolens.clinic.management.daily import Daily
from cytolens.clinic.management.unpacking import sweep_unfinished
from cytolens.clinic.settings import Settings
from cytolens.clinic.web.app import create_app
from cytolens.core.errors import InputError
from cytolens.core.files import lock, writing

Say = Callable[[str], None]
Prepare = Callable[[Installation], None]

_GRACE_SECONDS = 5  # requests that are under way get so long when the server ends
_IDLE_SECONDS = 20  # a browser's connection is kept open so long


@dataclass(frozen=True)
class Exposure:
    """What must be said aloud before others than this machine can reach the server.

    Attributes:
        proxy: addresses or networks (comma between) of proxies whose X-Forwarded headers are
            believed; "": none.
        insecure_http: passwords and patients may cross the network in the clear.
    """

    proxy: str = ""
    insecure_http: bool = False


def serve(
    settings: Settings,
    exposure: Exposure | None = None,
    *,
    say: Say,
    prepare: Prepare | None = None,
) -> None:
    """Serve until SIGTERM or an interrupt; then end the requests and the workers.

    Args:
        settings: port 0: one that is free.
        say: shows a line to whoever started the server.
        prepare: called with the installation before the first request (the demonstration).

    Raises:
        InputError: settings that are not safe, a port or data folder that cannot be used, a
            server that already runs on the folder, a database of a newer version.
    """
    exposure = exposure or Exposure()
    check(settings, exposure)
    with ExitStack() as opened:
        opened.enter_context(private_files())
        opened.enter_context(_ended_by_signal())
        opened.enter_context(_only_server(settings.data))
        listening = opened.enter_context(_listen(settings))
        settings = replace(settings, port=listening.getsockname()[1])
        make_tables(settings, say)
        clinic = open_installation(settings)
        opened.callback(clinic.close)
        with clinic.reading() as db:
            demo.refuse_mixing(db, settings)
        if prepare is not None:
            prepare(clinic)
        if link := first_link(clinic):
            say(f"Nobody has an account yet. This link, once, makes the administrator:\n  {link}")
        sweep_incoming(settings)
        sweep_unfinished(settings)
        clinic.part(Guards).warm()
        opened.enter_context(Supervisor(clinic))
        opened.enter_context(Daily(clinic))
        say(f"cytolens clinic: {settings.url}  (data in {settings.data}; Ctrl+C ends it)")
        try:
            _server(clinic, exposure).run(sockets=[listening])
        except KeyboardInterrupt:
            say("ended")


def check(settings: Settings, exposure: Exposure) -> None:
    """Refuse settings that cannot be, or with which patients' data would not be safe.

    Raises:
        InputError: see the messages.
    """
    if not 0 <= settings.port <= 65535:
        raise InputError(f"There is no port {settings.port}.", expected="0 to 65535")
    if settings.workers < 0:
        raise InputError(f"There cannot be {settings.workers} workers.", expected="0 or more")
    _ = settings.zone  # raises where there is no such zone
    locales.check_region(settings.region)
    address = urlsplit(settings.public_url)
    if settings.public_url and (address.scheme not in ("http", "https") or not address.hostname):
        raise InputError(
            f"{settings.public_url} is no public URL.", expected="https://NAME, as browsers see it"
        )
    for proxy in filter(None, exposure.proxy.split(",")):
        try:
            if ipaddress.ip_network(proxy.strip(), strict=False).prefixlen == 0:
                raise ValueError("everybody's")
        except ValueError as error:
            raise InputError(
                f"{proxy.strip()!r} is no address of a proxy.",
                expected="addresses or networks, such as 10.0.0.2,10.1.0.0/16; never everybody's",
            ) from error
    here = is_loopback(settings.host)
    if settings.demo and not (here and not settings.public_url and not exposure.proxy):
        raise InputError(
            "The demonstration is for this machine alone: its passwords are public.",
            expected="--host 127.0.0.1, and no proxy before it",
            fix="leave --host, --public-url and --behind-proxy out, or leave --demo out.",
        )
    if here and not settings.public_url:
        return
    if not settings.public_url:
        raise InputError(
            f"On {settings.host} other machines reach the server, but it does not know its name.",
            fix="pass --public-url https://NAME (of the proxy that speaks https).",
        )
    if not settings.https and not exposure.insecure_http:
        raise InputError(
            f"At {settings.url} passwords and patients' data would cross the network in the clear.",
            expected="a --public-url that begins with https, of a proxy that speaks it",
            fix="set up the proxy; on a network that nobody else uses: --insecure-http.",
        )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def make_tables(settings: Settings, say: Say) -> None:
    """Make the tables in an empty database; an older one is upgraded by `cytolens clinic upgrade`.

    Raises:
        InputError: the database cannot be reached.
    """
    database = Database(settings.database)
    try:
        if migrations.state(database) is migrations.State.EMPTY:
            _, version = migrations.upgrade(database)
            say(f"made the tables (version {version})")
    finally:
        database.close()


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Let SIGTERM raise `SystemExit`, so that whatever was opened is closed."""

    def end(number: int, frame: Any) -> None:
        del number, frame
        sys.exit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _only_server(data: Path) -> Iterator[None]:
    """Hold the data folder; a second server on it is refused."""
    with writing(data, "the clinic's data"):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    busy = f"A server already runs on {data}."
    with ExitStack() as held:
        with writing(data, "the clinic's data"):
            held.enter_context(lock(data / "serve.lock", busy))
        yield


@contextmanager
def _listen(settings: Settings) -> Iterator[socket.socket]:
    """Yield a socket that listens."""
    host, port = settings.host, settings.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise InputError(
            f"Port {port} of {host} cannot be listened on: {error.strerror}.",
            fix="end what uses it, or pass another --port.",
        ) from error
    with listening:
        # Connections inherit it. Without, the second packet of an answer waits 40 ms for the first
        # one's acknowledgement; asyncio sets it on sockets alone that it made itself.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listening


def _server(clinic: Installation, exposure: Exposure) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            create_app(clinic),
            http="h11",
            ws="none",
            log_level="warning",
            access_log=False,  # addresses of pages say who was looked up; the audit log has it
            server_header=False,
            proxy_headers=bool(exposure.proxy),
            forwarded_allow_ips=exposure.proxy or "127.0.0.1",
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
