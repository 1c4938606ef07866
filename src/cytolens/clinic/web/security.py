"""What surrounds every request: headers of the answer, its host, its origin, rate and size."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cytolens.clinic.errors import NotAllowed, Refused
from cytolens.clinic.settings import Settings
from cytolens.clinic.web.answers import Answer
from cytolens.clinic.web.limits import Limits, RateLimit
from cytolens.clinic.web.sizes import SizeLimit
from cytolens.core.errors import CytolensError

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
_CSP_PDF = (  # the browser's own viewer is a page with styles and an object
    "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'"
)
IMMUTABLE = "private, max-age=31536000, immutable"  # of a blob that is addressed by its hash
_STATIC = "public, max-age=31536000, immutable"  # of a file addressed with its version
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": (
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HSTS = "max-age=31536000"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ANYWHERE = frozenset({"0.0.0.0", "::"})


def secure(app: FastAPI, settings: Settings, answer: Answer) -> None:
    """Surround an application; each middleware answers errors by `answer`.

    From the outside: headers, host, origin, rate, size.
    """
    app.state.limits = Limits()
    app.add_middleware(SizeLimit, answer=answer)
    app.add_middleware(RateLimit, answer=answer)
    app.add_middleware(OwnOrigin, settings=settings, answer=answer)
    app.add_middleware(TrustedHost, settings=settings, answer=answer)
    app.add_middleware(Headers, settings=settings, answer=answer)


class Headers:
    """Middleware: what browsers are told with every answer, that of a broken request included."""

    def __init__(self, app: ASGIApp, settings: Settings, answer: Answer) -> None:
        self.app = app
        self.answer = answer
        self.https = settings.https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request, started = Request(scope), False

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._add(request, MutableHeaders(scope=message))
            await send(message)

        try:
            await self.app(scope, receive, with_headers)
        except Exception:
            if not started:
                await self._broken(request)(scope, receive, with_headers)
            raise  # into the server's log

    def _broken(self, request: Request) -> ASGIApp:
        said = CytolensError("Something broke in the server; its log says what.")
        try:
            return self.answer(request, said, 500)
        except Exception:  # not even the page of errors can be made
            return PlainTextResponse(str(said), status_code=500)

    def _add(self, request: Request, headers: MutableHeaders) -> None:
        for name, value in _ALWAYS.items():
            headers[name] = value
        pdf = headers.get("Content-Type", "").startswith("application/pdf")
        headers["Content-Security-Policy"] = _CSP_PDF if pdf else CSP
        if self.https:
            headers["Strict-Transport-Security"] = _HSTS
        path = request.url.path
        if path.startswith("/static/"):
            headers["Cache-Control"] = _STATIC if "v" in request.query_params else "no-cache"
        elif "max-age" in headers.get("Cache-Control", ""):
            headers.add_vary_header("Cookie")  # kept for this session, not for the next person
        else:
            headers["Cache-Control"] = "no-store"


class TrustedHost:
    """Middleware: the Host must be ours, against rebound names and forged links.

    Where the clinic listens on all addresses without a public URL, any address in figures is ours
    (a rebound name is never one).
    """

    def __init__(self, app: ASGIApp, settings: Settings, answer: Answer) -> None:
        self.app = app
        self.answer = answer
        own = urlsplit(settings.url).hostname or ""
        self.names = _LOOPBACK | {own}
        self.anywhere = own in _ANYWHERE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope) if scope["type"] == "http" else None
        if request is None or request.url.path == "/health" or self._is_own(request):
            await self.app(scope, receive, send)
            return
        error = Refused(
            "This name is not the clinic's.",
            fix="use the address that `cytolens serve` was started with (--public-url).",
        )
        await self.answer(request, error, 400)(scope, receive, send)

    def _is_own(self, request: Request) -> bool:
        name = host_name(request.headers.get("Host", ""))
        if name in self.names:
            return True
        try:
            return self.anywhere and bool(ipaddress.ip_address(name))
        except ValueError:
            return False


def host_name(host: str) -> str:
    """Return the name of a Host header, without its port; "" where it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


class OwnOrigin:
    """Middleware: what changes something comes from our own pages, or from no browser.

    Browsers say where a form comes from (Sec-Fetch-Site; older ones Origin). It guards also the
    pages before the sign-in, which have no session to bind a CSRF token to.
    """

    def __init__(self, app: ASGIApp, settings: Settings, answer: Answer) -> None:
        self.app = app
        self.answer = answer
        self.own = urlsplit(settings.url).netloc.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope) if scope["type"] == "http" else None
        if request is None or request.method in _SAFE or self._is_own(request):
            await self.app(scope, receive, send)
            return
        error = NotAllowed("This request comes from another site.", fix="use the clinic's pages.")
        await self.answer(request, error, error.status)(scope, receive, send)

    def _is_own(self, request: Request) -> bool:
        if site := request.headers.get("Sec-Fetch-Site"):
            return site in ("same-origin", "none")
        origin = request.headers.get("Origin")
        if origin is None:
            return True
        host = origin.partition("://")[2].lower()
        return bool(host) and host in (self.own, request.headers.get("Host", "").lower())
