"""A form that was refused is shown again with what was typed, and with what was wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session
from starlette.responses import Response

from cytolens.clinic.errors import NotAllowed, NotFound, NotSignedIn, Refused, TooMany
from cytolens.clinic.installation import Installation
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


def done_or_shown(
    clinic: Installation,
    change: Callable[[Session], None],
    address: str,
    show: Callable[[Refused], Response],
) -> Response:
    """Do it in one transaction and lead to an address, or show what was wrong.

    Raises:
        NotFound: what is concerned is not there, so that no page of it can be shown.
    """
    try:
        with clinic.writing() as db:
            change(db)
    except NotFound:
        raise
    except Refused as error:
        return show(error)
    return RedirectResponse(address, status_code=303)
