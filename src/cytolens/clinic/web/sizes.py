"""How much may be sent: uploads by those who are signed in, next to nothing by all else."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cytolens.clinic.errors import NotSignedIn, Refused, TooLarge
from cytolens.clinic.settings import MIB
from cytolens.clinic.web.answers import Answer
from cytolens.clinic.web.guard import is_somebody

SMALL = MIB  # bytes of a form
_DIGITS = 18  # more are too many bytes in any case
UPLOADS = re.compile(r"(/api/v1)?(/cases/\d+/(upload|images)|/bundles)/?")


class SizeLimit:
    """Middleware: refuses what is too large by its announcement, else while it streams in.

    An upload beyond a form's size is taken from somebody who is signed in alone, so that nobody
    else can fill the disk; what it may do there is the route's guard's to say.
    """

    def __init__(self, app: ASGIApp, answer: Answer) -> None:
        self.app = app
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        announced = _announced(request)
        refused = await self.judge(request, announced)
        if refused is None:
            body = _Body(self, request, receive, send, large=announced > SMALL)
            try:
                await self.app(scope, body.receive, body.send)
            except Exception:
                if body.refused is None:
                    raise
            if body.refused is None or body.started:
                return
            refused = body.refused
        response = self.answer(request, refused, refused.status)
        response.headers["Connection"] = "close"  # the rest of the body is not read
        await response(scope, receive, send)

    async def judge(self, request: Request, size: int) -> Refused | None:
        """Return why so many bytes are not taken, or None."""
        if size <= SMALL:
            return None
        limit = SMALL
        if UPLOADS.fullmatch(request.url.path):
            limit = request.app.state.clinic.settings.request_bytes
            if size <= limit and not await is_somebody(request):
                return NotSignedIn("Nobody is signed in.", fix="sign in.")
        if size <= limit:
            return None
        return TooLarge(
            "This is more than is taken at once.",
            expected=f"at most {limit / MIB:.0f} MiB",
            fix="send it in smaller parts.",
        )


class _Body:
    """The body of one request, counted; once refused, the route's own answer is dropped."""

    def __init__(
        self, limit: SizeLimit, request: Request, receive: Receive, send: Send, large: bool
    ) -> None:
        self._limit, self._request, self._receive, self._send = limit, request, receive, send
        self._taken = 0
        self._large = large  # than a form, and judged that it may be
        self.started = False
        self.refused: Refused | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._taken += len(message.get("body", b""))
            await self._check()
        return message

    async def _check(self) -> None:
        most = self._request.app.state.clinic.settings.request_bytes
        if self._taken <= (most if self._large else SMALL):
            return
        self.refused = await self._limit.judge(self._request, self._taken)
        self._large = True
        if self.refused is not None:
            raise self.refused

    async def send(self, message: Message) -> None:
        if self.refused is None or self.started:
            self.started = True
            await self._send(message)


def _announced(request: Request) -> int:
    """Return the bytes that a request says it has; 0 where it does not say."""
    text = request.headers.get("Content-Length", "")
    return int(text[:_DIGITS]) if text.isdecimal() else 0
