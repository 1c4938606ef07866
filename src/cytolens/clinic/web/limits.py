"""How often somebody may ask: token buckets in memory, of this process."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from cytolens.clinic.accounts.sessions import token_hash
from cytolens.clinic.errors import TooMany
from cytolens.clinic.web.answers import Answer

_MOST = 50_000  # buckets; beyond it the one used longest ago is forgotten


@dataclass(frozen=True)
class Rate:
    """So many at once, and so many a second from then on."""

    burst: float
    second: float


RATES: Mapping[str, Rate] = {
    "address": Rate(3000, 300),  # a page with its hundred thumbnails, for a whole laboratory
    "machine": Rate(600, 60),  # a token
    "sign-in address": Rate(30, 0.2),  # a laboratory that begins its day behind one address
    "sign-in name": Rate(10, 1 / 30),
}


class Limits:
    """Buckets that refill; `spend` takes one token out.

    Args:
        rates: by kind.
        seconds: a clock that only goes on.
    """

    def __init__(
        self, rates: Mapping[str, Rate] = RATES, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._rates = rates
        self._seconds = seconds
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def spend(self, kind: str, key: str) -> None:
        """Take one, or raise.

        Raises:
            TooMany: the bucket is empty; says after how many seconds it no longer is.
        """
        rate, now = self._rates[kind], self._seconds()
        with self._lock:
            left, since = self._buckets.pop((kind, key), (rate.burst, now))
            left = min(rate.burst, left + (now - since) * rate.second)
            enough = left >= 1
            self._buckets[kind, key] = (left - 1 if enough else left, now)
            if len(self._buckets) > _MOST:
                self._buckets.popitem(last=False)
        if not enough:
            wait = math.ceil((1 - left) / rate.second)
            raise TooMany("There were too many requests in a short time.", max(1, wait))


def network(address: str) -> str:
    """Return what counts as one place: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network(f"{address.split('%')[0]}/64", strict=False))


class RateLimit:
    """Middleware: counts every request by address, those of machines by token too."""

    def __init__(self, app: ASGIApp, answer: Answer) -> None:
        self.app = app
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        limits: Limits = request.app.state.limits
        try:
            limits.spend("address", network(request.client.host if request.client else "local"))
            bearer = request.headers.get("Authorization", "")
            if bearer and request.url.path.startswith("/api/"):
                limits.spend("machine", token_hash(bearer))
        except TooMany as error:
            await self.answer(request, error, error.status)(scope, receive, send)
            return
        await self.app(scope, receive, send)
