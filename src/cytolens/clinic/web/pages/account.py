"""One's own account: password, second factor, language, sessions, tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from cytolens.clinic.accounts import devices, passwords, profile, second_factor, sessions, tokens
from cytolens.clinic.accounts.names import LANGUAGES
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import NotSignedIn, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.rights import RIGHTS, Action
from cytolens.clinic.web.guard import Clinic, Id, May
from cytolens.clinic.web.pages.sign_in import with_device
from cytolens.clinic.web.render import page

router = APIRouter()
Own = Annotated[Actor, Depends(May(Action.OWN_ACCOUNT))]
Text = Annotated[str, Form()]


@router.get("/account")
def show(request: Request, actor: Own, clinic: Clinic) -> Response:
    """Show one's own account."""
    return _account(request, actor, clinic)


@router.post("/account/password")
def change_password(
    request: Request,
    actor: Own,
    clinic: Clinic,
    old: Text,
    new: Text,
    again: Text,
    tokens: Annotated[bool, Form()] = False,
) -> Response:
    """Change the password; all other sessions end, and where it is ticked the machines' tokens."""
    device = request.cookies.get(devices.cookie_name(clinic.settings), "")
    try:
        if new != again:
            raise Refused("The two new passwords differ.", fix="type both anew.")
        device = profile.change_password(
            clinic, actor, request.state.session, old, new, revoke_tokens=tokens, device=device
        )
    except NotSignedIn:
        raise
    except Refused as error:
        return _account(request, actor, clinic, error)
    response = RedirectResponse("/account?done=password", status_code=303)
    with_device(response, clinic.settings, device)
    return response


@router.post("/account/language")
def change_language(request: Request, actor: Own, clinic: Clinic, language: Text) -> Response:
    """Change the language of the pages."""

    def change() -> None:
        with clinic.writing() as db:
            profile.set_language(db, actor, language)

    return _done(request, actor, clinic, change, "language")


@router.get("/account/second-factor")
def offer(request: Request, actor: Own, clinic: Clinic) -> Response:
    """Show a secret for an authenticator, as QR code and in letters."""
    made = second_factor.offer(clinic, actor)
    return _offer(request, actor, clinic, made)


@router.post("/account/second-factor")
def set_up(
    request: Request,
    actor: Own,
    clinic: Clinic,
    sealed: Text,
    code: Text,
    password: Text,
    present: Text = "",
) -> Response:
    """Take the second factor into use, and show the recovery codes this once."""
    try:
        codes = second_factor.set_up(clinic, actor, sealed, code, password, present)
    except NotSignedIn:
        raise
    except Refused as error:
        made = second_factor.offered_again(clinic, actor, sealed)
        return _offer(request, actor, clinic, made, error)
    return page(request, "accounts/recovery_codes.html.j2", codes=codes)


@router.post("/account/second-factor/off")
def turn_off(
    request: Request, actor: Own, clinic: Clinic, password: Text, code: Text = ""
) -> Response:
    """Turn the second factor off."""

    def change() -> None:
        second_factor.turn_off(clinic, actor, password, code)

    return _done(request, actor, clinic, change, "no-second-factor")


@router.post("/account/sessions/end")
def end_others(request: Request, actor: Own, clinic: Clinic) -> Response:
    """End all sessions but this one."""

    def change() -> None:
        with clinic.writing() as db:
            profile.end_other_sessions(db, actor, request.state.session)

    return _done(request, actor, clinic, change, "closed")


@router.post("/account/sessions/{session_id}/end")
def end_session(request: Request, actor: Own, clinic: Clinic, session_id: Id) -> Response:
    """End one session."""

    def change() -> None:
        with clinic.writing() as db:
            sessions.end(db, actor, session_id)

    return _done(request, actor, clinic, change, "closed")


@router.post("/account/tokens")
def issue_token(
    request: Request,
    actor: Own,
    clinic: Clinic,
    name: Text,
    password: Text,
    days: Annotated[int, Form()] = tokens.DAYS,
    actions: Annotated[list[str] | None, Form()] = None,
) -> Response:
    """Make a token for a machine, and show it this once; it outlives the session, so ask again."""
    try:
        second_factor.confirm(clinic, actor, password)
        with clinic.writing() as db:
            token = tokens.issue(db, actor, name, actions or (), days)
    except NotSignedIn:
        raise
    except Refused as error:
        return _account(request, actor, clinic, error)
    return page(request, "accounts/token.html.j2", token=token, name=name)


@router.post("/account/tokens/{token_id}/revoke")
def revoke_token(request: Request, actor: Own, clinic: Clinic, token_id: Id) -> Response:
    """End a token."""

    def change() -> None:
        with clinic.writing() as db:
            tokens.revoke(db, actor, token_id)

    return _done(request, actor, clinic, change, "revoked")


def _done(
    request: Request, actor: Actor, clinic: Installation, change: Callable[[], None], word: str
) -> Response:
    """Do it, then show the account with what was done, or with what was wrong."""
    try:
        change()
    except NotSignedIn:
        raise
    except Refused as error:
        return _account(request, actor, clinic, error)
    return RedirectResponse(f"/account?done={word}", status_code=303)


def _offer(
    request: Request,
    actor: Actor,
    clinic: Installation,
    made: second_factor.Offer,
    error: Refused | None = None,
) -> Response:
    with clinic.reading() as db:
        replaces = second_factor.is_on(db, actor)
    return page(
        request,
        "accounts/second_factor_offer.html.j2",
        status=error.status if error else 200,
        offer=made,
        replaces=replaces,
        error=error,
    )


def _account(
    request: Request, actor: Actor, clinic: Installation, error: Refused | None = None
) -> Response:
    with clinic.reading() as db:
        shown: dict[str, Any] = {
            "has_second_factor": second_factor.is_on(db, actor),
            "recovery_left": second_factor.recovery_left(db, actor),
            "sessions": sessions.list_sessions(db, actor, clinic.settings),
            "tokens": tokens.list_tokens(db, actor),
        }
    return page(
        request,
        "accounts/account.html.j2",
        status=error.status if error else 200,
        error=error,
        this_session=request.state.session,
        languages=LANGUAGES,
        least=passwords.LEAST,
        days=tokens.DAYS,
        most_days=tokens.MOST_DAYS,
        offered=[right for right in RIGHTS.values() if actor.may(right.action)],
        **shown,
    )
