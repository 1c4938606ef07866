"""The web application: pages, `/api/v1`, static files; what is wrong is one clear answer."""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import files

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from cytolens.clinic.errors import NotFound, NotSignedIn, Refused, TooMany
from cytolens.clinic.installation import Installation
from cytolens.clinic.web.guard import Public, current_session
from cytolens.clinic.web.links import asked, comes_from_elsewhere, sign_in_address
from cytolens.clinic.web.render import page, sentences_of
from cytolens.clinic.web.routers import API, PAGES
from cytolens.clinic.web.security import secure
from cytolens.core.errors import CytolensError, InputError

_NAMED = 50  # of the fields that cannot be read


def create_app(installation: Installation) -> FastAPI:
    """Return the application of an installation."""
    app = FastAPI(
        title="cytolens clinic",
        version=version("cytolens"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.clinic = installation
    app.mount(
        "/static", StaticFiles(directory=str(files("cytolens.clinic.web") / "static")), "static"
    )
    for router in PAGES:
        app.include_router(router, include_in_schema=False)
    for router in API:
        app.include_router(router, prefix="/api/v1")
    app.include_router(_health)
    app.add_exception_handler(CytolensError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DataError, _unstorable)
    secure(app, installation.settings, answer)
    return app


_health = APIRouter(include_in_schema=False)


@_health.get("/health", dependencies=[Depends(Public())])
def health() -> dict[str, str]:
    """Say that the server is up."""
    return {"status": "up"}


def wants_json(request: Request) -> bool:
    """Tell whether the caller is a program."""
    accept = request.headers.get("Accept", "")
    return request.url.path.startswith("/api/") or accept.startswith("application/json")


def answer(request: Request, error: CytolensError, status: int) -> Response:
    """Return an error as a page, or as JSON to a program: what, rows, expected, fix."""
    what = error.what if isinstance(error, InputError) else str(error)
    rows = list(error.rows) if isinstance(error, InputError) else []
    expected = error.expected if isinstance(error, InputError) else ""
    fix = error.fix if isinstance(error, InputError) else ""
    headers = {"Retry-After": str(error.seconds)} if isinstance(error, TooMany) else {}
    said = {"what": what, "rows": rows, "expected": expected, "fix": fix}
    if status == 401 and request.url.path.startswith("/api/"):
        headers["WWW-Authenticate"] = "Bearer"
    if wants_json(request):
        if not request.url.path.startswith("/api/"):  # a script of a page shows it
            told = sentences_of(request).told
            said |= {"what": told(what), "expected": told(expected), "fix": told(fix)}
        return JSONResponse(said, status_code=status, headers=headers)
    if status == 401 and request.method == "GET":
        if comes_from_elsewhere(request):
            return page(request, "accounts/hop.html.j2", status=status, address=asked(request))
        return RedirectResponse(sign_in_address(request), status_code=303)
    response = page(request, "error.html.j2", status=status, error=said, code=status)
    response.headers.update(headers)
    return response


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, CytolensError)
    return answer(request, error, error.status if isinstance(error, Refused) else 422)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    rows = [f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors()[:_NAMED]]
    rows = [row.encode("utf-8", "replace").decode("utf-8") for row in rows]  # a lone surrogate
    return answer(request, Refused("The request cannot be read.", rows=rows), 422)


def _unstorable(request: Request, error: Exception) -> Response:
    """Answer to a value that the database does not take, as a NUL within a text."""
    del error
    return answer(request, Refused("A text has signs, or a number a size, that is not kept."), 422)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        _recognise(request)
        return answer(request, NotFound("There is no such page."), 404)
    if error.status_code == 401:
        return answer(request, NotSignedIn("Nobody is signed in."), 401)
    return answer(request, Refused(str(error.detail)), error.status_code)


def _recognise(request: Request) -> None:
    """Find out who asks for a page that is not there, so that the way back is shown."""
    if not hasattr(request.state, "actor") and not wants_json(request):
        current = current_session(request)
        if current is not None and current.second_factor:
            request.state.actor, request.state.csrf = current.actor, current.csrf
