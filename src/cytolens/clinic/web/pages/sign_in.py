"""Signing in and out, the second factor, and links that work once."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from cytolens.clinic.accounts import devices, invitations, passwords, sessions
from cytolens.clinic.accounts import sign_in as service
from cytolens.clinic.errors import NotFound, NotSignedIn, Refused
from cytolens.clinic.settings import Settings
from cytolens.clinic.web.guard import (
    CSRF_HEADER,
    Clinic,
    Public,
    address_of,
    current_session,
    same_csrf,
)
from cytolens.clinic.web.limits import Limits, network
from cytolens.clinic.web.links import local
from cytolens.clinic.web.render import page

router = APIRouter(dependencies=[Depends(Public())])
Text = Annotated[str, Form()]


@router.get("/sign-in")
def ask(request: Request, next: str = "/") -> Response:
    """Ask for user name and password; who is signed in goes on."""
    current = current_session(request)
    if current is not None:
        return _lead(local(next), current.second_factor)
    return page(request, "accounts/sign_in.html.j2", next=local(next), username="", error=None)


@router.post("/sign-in")
def sign_in(
    request: Request, clinic: Clinic, username: Text = "", password: Text = "", next: Text = "/"
) -> Response:
    """Check user name and password."""
    limits: Limits = request.app.state.limits
    limits.spend("sign-in address", network(address_of(request)))
    caller = _caller(request)
    limits.spend("sign-in name", service.counted_as(clinic, username, caller))
    try:
        opened, waits = service.sign_in(clinic, username, password, caller)
    except NotSignedIn as error:
        shown = {"next": local(next), "username": username[:120], "error": error}
        return page(request, "accounts/sign_in.html.j2", status=error.status, **shown)
    return _with_session(_lead(local(next), not waits), clinic.settings, opened)


@router.post("/sign-out")
def sign_out(request: Request, clinic: Clinic, csrf: Text = "") -> Response:
    """End the session; what the browser kept of the clinic's pages is dropped."""
    current = current_session(request)
    if current is not None:
        same_csrf(request.headers.get(CSRF_HEADER, "") or csrf, current.csrf)
        service.sign_out(clinic, current)
    response = RedirectResponse("/sign-in?done=signed-out", status_code=303)
    response.headers["Clear-Site-Data"] = '"cache"'
    response.delete_cookie(
        sessions.cookie_name(clinic.settings),
        secure=clinic.settings.https,
        httponly=True,
        samesite="strict",
    )
    return response


@router.get("/second-factor")
def ask_code(request: Request, next: str = "/") -> Response:
    """Ask for the authenticator's code."""
    current = _waiting(request)
    if current is None:
        return RedirectResponse("/sign-in", status_code=303)
    return page(request, "accounts/second_factor.html.j2", next=local(next), error=None)


@router.post("/second-factor")
def pass_code(
    request: Request, clinic: Clinic, code: Text = "", csrf: Text = "", next: Text = "/"
) -> Response:
    """Check the authenticator's code."""
    current = _waiting(request)
    if current is None:
        raise NotSignedIn("The time to enter the code is over.", fix="sign in again.")
    same_csrf(request.headers.get(CSRF_HEADER, "") or csrf, current.csrf)
    try:
        opened = service.pass_second_factor(clinic, current.actor, code, _caller(request))
    except NotSignedIn as error:
        if _waiting(request) is None:
            raise
        shown = {"next": local(next), "error": error}
        return page(request, "accounts/second_factor.html.j2", status=error.status, **shown)
    return _with_session(_lead(local(next), True), clinic.settings, opened)


@router.get("/welcome/{token}")
def welcome(request: Request, clinic: Clinic, token: str) -> Response:
    """Ask for the password that a link is for."""
    return _welcome(request, invitations.welcome(clinic, token), token)


@router.post("/welcome/{token}")
def accept(
    request: Request,
    clinic: Clinic,
    token: str,
    password: Text = "",
    again: Text = "",
    username: Text = "",
    name: Text = "",
) -> Response:
    """Choose the password, after which one signs in with it."""
    request.app.state.limits.spend("sign-in address", network(address_of(request)))
    known = invitations.welcome(clinic, token)
    try:
        if password != again:
            raise Refused("The two passwords differ.", fix="type both anew.")
        invitations.accept(
            clinic, token, password, address=address_of(request), username=username, name=name
        )
    except NotFound:
        raise
    except Refused as error:
        if known.chooses_name:
            known = invitations.Welcome(username, name, True)
        return _welcome(request, known, token, error)
    return RedirectResponse("/sign-in?done=password", status_code=303)


def _welcome(
    request: Request, known: invitations.Welcome, token: str, error: Refused | None = None
) -> Response:
    return page(
        request,
        "accounts/welcome.html.j2",
        status=error.status if error else 200,
        welcome=known,
        token=token,
        least=passwords.LEAST,
        error=error,
    )


def _waiting(request: Request) -> sessions.Current | None:
    """Return the session that waits for its second factor; its pages' forms are bound to it."""
    current = current_session(request)
    if current is None or current.second_factor:
        return None
    request.state.csrf = current.csrf
    return current


def _caller(request: Request) -> service.Caller:
    settings = request.app.state.clinic.settings
    return service.Caller(
        address_of(request),
        request.headers.get("User-Agent", ""),
        request.cookies.get(sessions.cookie_name(settings), ""),
        request.cookies.get(devices.cookie_name(settings), ""),
    )


def _lead(next: str, second_factor: bool) -> RedirectResponse:
    if not second_factor:
        next = "/second-factor" if next == "/" else f"/second-factor?next={quote(next, safe='/')}"
    return RedirectResponse(next, status_code=303)


def _with_session(response: Response, settings: Settings, opened: sessions.Opened) -> Response:
    """Give the browser its session.

    The cookie ends with the browser, no script reads it, and no other site's page sends it
    (Strict): a link from elsewhere finds nobody signed in at first, see `web.app`.
    """
    response.set_cookie(
        sessions.cookie_name(settings),
        opened.token,
        httponly=True,
        secure=settings.https,
        samesite="strict",
        path="/",
    )
    if opened.device:
        with_device(response, settings, opened.device)
    return response


def with_device(response: Response, settings: Settings, device: str) -> None:
    """Let the browser be known to the account again; like its session's cookie, but it stays."""
    response.set_cookie(
        devices.cookie_name(settings),
        device,
        max_age=devices.SECONDS,
        httponly=True,
        secure=settings.https,
        samesite="strict",
        path="/",
    )
