"""What the clinic answers instead of doing: each has its HTTP status."""

from __future__ import annotations

from cytolens.core.errors import InputError


class Refused(InputError):
    """Input of a user of the clinic that is wrong; nothing was changed."""

    status = 422


class NotSignedIn(Refused):
    """Nobody is signed in, or the session has ended."""

    status = 401


class NotAllowed(Refused):
    """The role does not include the action."""

    status = 403


class NotFound(Refused):
    """There is no such thing, or it lies at a site that is not the account's."""

    status = 404


class Conflict(Refused):
    """Somebody else was faster, or the state does not allow it (any more)."""

    status = 409


class TooLarge(Refused):
    """An upload beyond its limit."""

    status = 413


class TooMany(Refused):
    """Too many tries within a time; `seconds` until the next may be made."""

    status = 429

    def __init__(self, what: str, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(what, fix=f"try again in {seconds} seconds.")
