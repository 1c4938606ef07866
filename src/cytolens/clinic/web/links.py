"""Addresses that lead on: within the clinic alone."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from fastapi import Request

_LONGEST = 500
_BEFORE = ("/sign-in", "/sign-out", "/second-factor", "/welcome")


def local(address: str) -> str:
    """Return an address if it is a path of the clinic, else `/`.

    What browsers read as another site is none: `//host`, `/\\host`, blanks and signs that are
    not shown, which they drop.
    """
    if (
        not address.startswith("/")
        or address.startswith("//")
        or "\\" in address
        or len(address) > _LONGEST
        or any(ord(sign) <= 32 or ord(sign) == 127 for sign in address)
        or address.startswith(_BEFORE)
    ):
        return "/"
    try:
        parts = urlsplit(address)
    except ValueError:
        return "/"
    return "/" if parts.scheme or parts.netloc else address


def asked(request: Request) -> str:
    """Return the address that was asked for, with its query."""
    return local(request.url.path + (f"?{request.url.query}" if request.url.query else ""))


def comes_from_elsewhere(request: Request) -> bool:
    """Tell whether a browser follows a link on another site, and so kept the cookie back.

    It asks once more from a page of ours, and then sends the cookie.
    """
    return request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")


def sign_in_address(request: Request) -> str:
    """Return the address of the sign-in page, which leads back to what was asked for."""
    back = asked(request)
    return "/sign-in" if back == "/" else f"/sign-in?next={quote(back, safe='/')}"
