"""A form that was refused is shown again with what was typed, and with what was wrong."""

from __future__ import annotations

from typing import Any

from cytolens.clinic.errors import NotAllowed, NotFound, NotSignedIn, Refused, TooMany
from cytolens.core.errors import InputError


def shown_in_form(error: InputError, *, password: bool = False) -> tuple[int, dict[str, Any]]:
    """Return the status and the words of an error for the form (`ui.problem`).

    Args:
        password: the form asks for one, so that what is not allowed is a wrong one.

    Raises:
        the error itself, where no form could mend it: not signed in, not allowed, not found.
    """
    if isinstance(error, NotAllowed) and not password:
        raise error
    if isinstance(error, NotFound | NotSignedIn | TooMany):
        raise error
    said = {
        "what": error.what,
        "rows": list(error.rows),
        "expected": error.expected,
        "fix": error.fix,
    }
    return (error.status if isinstance(error, Refused) else 422), said
