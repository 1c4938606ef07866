"""What a middleware needs to answer with an error, as `web.app` words it."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from cytolens.core.errors import CytolensError

Answer = Callable[[Request, CytolensError, int], Response]
