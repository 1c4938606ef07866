"""What surrounds every request: headers, host, origin, rate, size; the installation's secret."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send
from tests.clinic.conftest import People

from cytolens.clinic.accounts import tokens
from cytolens.clinic.errors import TooMany
from cytolens.clinic.installation import Installation
from cytolens.clinic.secret import VARIABLE, open_secret
from cytolens.clinic.settings import MIB, Settings
from cytolens.clinic.web import limits, security, sizes
from cytolens.clinic.web.app import answer, create_app
from cytolens.clinic.web.limits import RATES, Limits, Rate, network
from cytolens.core.errors import InputError

Browser = Callable[[str | None], TestClient]
IMAGES = "/api/v1/cases/1/images"


# --- headers

_HEADERS = {
    "content-security-policy": security.CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def _headers_are_right(response: object) -> None:
    found = response.headers  # type: ignore[attr-defined]
    assert {name: found.get(name) for name in _HEADERS} == _HEADERS
    assert "camera=()" in found["permissions-policy"]
    assert "cache-control" in found


def test_the_policy_allows_no_inline_script_nor_frame() -> None:
    assert "unsafe" not in security.CSP and "default-src 'none'" in security.CSP
    assert "frame-ancestors 'none'" in security.CSP and "base-uri 'none'" in security.CSP


@pytest.mark.parametrize(
    "who, method, path, status",
    [
        (None, "GET", "/sign-in", 200),
        (None, "GET", "/account", 303),
        (None, "GET", "/nowhere", 404),
        (None, "POST", "/account/language", 401),
        (None, "PUT", "/sign-in", 405),
        (None, "GET", "/health", 200),
        (None, "GET", "/static/clinic.css", 200),
        (None, "GET", "/static/nothing.css", 404),
        (None, "GET", "/api/v1/nothing", 404),
        ("doctor", "GET", "/account", 200),
        ("doctor", "GET", "/users", 403),
        ("administrator", "GET", "/users/99", 404),
        ("administrator", "GET", "/users/x", 422),
        ("administrator", "POST", "/sites", 422),
    ],
)
def test_every_answer_has_the_headers(
    browser: Browser, who: str | None, method: str, path: str, status: int
) -> None:
    response = browser(who).request(method, path)
    assert response.status_code == status
    _headers_are_right(response)
    assert "strict-transport-security" not in response.headers


def test_pages_are_not_kept_and_versioned_files_are(browser: Browser) -> None:
    client = browser("doctor")
    assert client.get("/account").headers["cache-control"] == "no-store"
    assert client.get("/static/clinic.css").headers["cache-control"] == "no-cache"
    assert "immutable" in client.get("/static/clinic.css?v=1").headers["cache-control"]


@pytest.fixture
def strange(clinic: Installation) -> Iterator[TestClient]:
    """Routes that do what ours do not."""
    app = create_app(clinic)

    def broken() -> None:
        raise ZeroDivisionError("a secret of the stack")

    def blob() -> Response:
        return Response(b"x", headers={"Cache-Control": security.IMMUTABLE})

    def pdf() -> Response:
        return Response(b"%PDF", media_type="application/pdf")

    async def echo(request: Request) -> Response:
        return JSONResponse(len(await request.body()))

    async def unread(request: Request) -> Response:
        del request
        return PlainTextResponse("unread")

    async def form(request: Request) -> Response:
        return JSONResponse(list(await request.form()))

    app.add_api_route("/broken", broken)
    app.add_api_route("/blob", blob)
    app.add_api_route("/pdf", pdf)
    for path in ("/echo", "/cases/1/upload", "/cases/1/upload/x", "/cases/1/uploads", IMAGES):
        app.router.routes.insert(0, _route(path, echo))
    app.router.routes.insert(0, _route("/unread", unread))
    app.router.routes.insert(0, _route("/form", form))
    with TestClient(app, base_url=clinic.settings.url, raise_server_exceptions=False) as client:
        yield client


def _route(path: str, endpoint: Callable[[Request], object]) -> object:
    from starlette.routing import Route

    return Route(path, endpoint, methods=["POST"])  # type: ignore[arg-type]


def test_what_breaks_tells_nothing_and_has_the_headers(strange: TestClient) -> None:
    response = strange.get("/broken")
    assert response.status_code == 500
    assert "Something broke" in response.text and "secret of the stack" not in response.text
    _headers_are_right(response)
    told = strange.get("/broken", headers={"Accept": "application/json"}).json()
    assert told["what"].startswith("Something broke")


def test_what_breaks_reaches_the_servers_log(clinic: Installation) -> None:
    app = create_app(clinic)

    def broken() -> None:
        raise ZeroDivisionError

    app.add_api_route("/broken", broken)
    client = TestClient(app, base_url=clinic.settings.url)
    with pytest.raises(ZeroDivisionError):
        client.get("/broken")


def test_a_broken_page_of_errors_is_plain_text(clinic: Installation) -> None:
    def fails(*ignored: object) -> Response:
        raise RuntimeError(ignored)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError(scope["type"], receive, send)

    client = TestClient(
        security.Headers(app, clinic.settings, fails), raise_server_exceptions=False
    )
    response = client.get("/")
    assert (response.status_code, response.text[:15]) == (500, "Something broke")
    _headers_are_right(response)


def test_a_blob_is_kept_for_its_session_alone(strange: TestClient) -> None:
    response = strange.get("/blob")
    assert response.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert response.headers["vary"] == "Cookie"
    _headers_are_right(response)


def test_a_pdf_is_shown_by_the_browsers_viewer(strange: TestClient) -> None:
    policy = strange.get("/pdf").headers["content-security-policy"]
    assert "object-src 'self'" in policy and "script-src" not in policy
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy


def test_https_is_demanded_where_it_is_served(clinic: Installation) -> None:
    clinic.settings = replace(clinic.settings, public_url="https://clinic.example.org")
    client = TestClient(create_app(clinic), base_url="https://clinic.example.org")
    response = client.get("/health")
    assert response.headers["strict-transport-security"] == "max-age=31536000"


# --- host and origin


@pytest.mark.parametrize(
    "host, status",
    [
        ("127.0.0.1:8000", 303), ("localhost", 303), ("LOCALHOST:1", 303), ("[::1]:8000", 303),
        ("evil.example", 400), ("127.0.0.1.evil.example", 400), ("evil.example:8000", 400),
        ("192.168.0.9", 400), ("", 400), ("[", 400), ("user@evil.example", 400),
        ("localhost@evil.example", 400),
    ],
)  # fmt: skip
def test_only_our_own_names_are_answered(browser: Browser, host: str, status: int) -> None:
    response = browser(None).get("/account", headers={"Host": host})
    assert response.status_code == status
    _headers_are_right(response)


def test_whether_the_server_is_up_may_be_asked_by_any_name(browser: Browser) -> None:
    assert browser(None).get("/health", headers={"Host": "10.1.2.3"}).status_code == 200


@pytest.mark.parametrize(
    "settings, host, status",
    [
        ({"public_url": "https://clinic.example.org/"}, "clinic.example.org", 303),
        ({"public_url": "https://clinic.example.org"}, "other.example.org", 400),
        ({"host": "0.0.0.0"}, "192.168.0.9:8000", 303),
        ({"host": "::"}, "[fe80::1]:8000", 303),
        ({"host": "0.0.0.0"}, "evil.example", 400),
        ({"host": "10.0.0.7"}, "10.0.0.8", 400),
    ],
)
def test_names_are_those_of_the_settings(
    clinic: Installation, settings: dict[str, str], host: str, status: int
) -> None:
    clinic.settings = replace(clinic.settings, **settings)  # type: ignore[arg-type]
    client = TestClient(create_app(clinic), follow_redirects=False)
    assert client.get("/account", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    "headers, status",
    [
        ({}, 401),
        ({"Sec-Fetch-Site": "same-origin"}, 401),
        ({"Sec-Fetch-Site": "none"}, 401),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 401),
        ({"Origin": "http://127.0.0.1:8000"}, 401),
        ({"Origin": "http://127.0.0.1:8001"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
    ],
)
def test_a_form_on_another_site_does_not_even_sign_in(
    browser: Browser, headers: dict[str, str], status: int
) -> None:
    sent = {"username": "x", "password": "y"}
    response = browser(None).post("/sign-in", data=sent, headers=headers)
    assert response.status_code == status
    _headers_are_right(response)


# --- sizes


def _chunks(size: int, chunk: int = 1 << 16) -> Iterator[bytes]:
    for start in range(0, size, chunk):
        yield b"x" * min(chunk, size - start)


@pytest.fixture
def small_uploads(clinic: Installation) -> None:
    clinic.settings = replace(clinic.settings, request_bytes=3 * MIB)


@pytest.fixture
def machine(clinic: Installation, people: People) -> dict[str, str]:
    """Headers of a machine."""
    with clinic.writing() as db:
        token = tokens.issue(db, people.actors["doctor"], "scanner")
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.usefixtures("small_uploads")
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "path, size, status",
    [
        ("/echo", MIB, 200),
        ("/echo", MIB + 1, 413),
        (IMAGES, 3 * MIB, 200),
        (IMAGES, 3 * MIB + 1, 413),
        ("/cases/1/uploads", 2 * MIB, 413),
        ("/cases/1/upload/x", 2 * MIB, 413),
    ],
)
def test_what_is_too_large_is_refused(
    strange: TestClient,
    machine: dict[str, str],
    path: str,
    size: int,
    status: int,
    streamed: bool,
) -> None:
    content = _chunks(size) if streamed else b"x" * size
    response = strange.post(path, content=content, headers=machine)
    assert response.status_code == status
    if status == 200:
        assert response.json() == size
    else:
        assert "more than is taken at once" in response.text
        _headers_are_right(response)


@pytest.mark.usefixtures("small_uploads")
@pytest.mark.parametrize("streamed", [False, True])
def test_large_uploads_are_taken_from_those_signed_in_alone(
    strange: TestClient, browser: Browser, streamed: bool
) -> None:
    def send() -> Response:
        content = _chunks(2 * MIB) if streamed else b"x" * 2 * MIB
        return strange.post("/cases/1/upload", content=content)  # type: ignore[return-value]

    assert send().status_code == 401
    strange.cookies.update(browser("doctor").cookies)
    assert send().status_code == 200


def test_a_form_is_cut_while_it_is_read(strange: TestClient) -> None:
    response = strange.post(
        "/form",
        content=_chunks(2 * MIB),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert response.status_code == 413


def test_reading_stops_where_the_limit_is(clinic: Installation) -> None:
    """Not more than the limit and one chunk is taken, whatever is sent; then comes one answer."""
    taken, sent = [0], list[Message]()

    async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            while (await receive()).get("more_body"):
                pass
        finally:  # as a framework answers what went wrong with the body
            await PlainTextResponse("wrong body", status_code=400)(scope, receive, send)

    async def receive() -> Message:
        taken[0] += 1 << 16
        return {"type": "http.request", "body": b"x" * (1 << 16), "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    app = create_app(clinic)
    scope = {
        "type": "http", "method": "POST", "path": "/x", "query_string": b"", "app": app,
        "headers": [(b"accept", b"application/json")], "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    asyncio.run(sizes.SizeLimit(reads_all, answer)(scope, receive, send))
    assert taken[0] == MIB + (1 << 16)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 413 and (b"connection", b"close") in sent[0]["headers"]


@pytest.mark.parametrize("announced", ["9" * 5000, str(2**63), "1048577"])
def test_an_announced_size_is_believed_at_once(strange: TestClient, announced: str) -> None:
    response = strange.post("/unread", headers={"Content-Length": announced})
    assert response.status_code == 413


@pytest.mark.parametrize("announced", ["-5", "x", "", "١"])
def test_an_announcement_that_is_none_is_not_believed(strange: TestClient, announced: str) -> None:
    response = strange.post("/echo", content=b"abc", headers={"Content-Length": announced.encode()})
    assert response.status_code == 200


# --- rates


def test_a_bucket_empties_and_refills() -> None:
    now = [0.0]
    held = Limits({"k": Rate(3, 0.5)}, lambda: now[0])
    for _ in range(3):
        held.spend("k", "a")
    with pytest.raises(TooMany) as refused:
        held.spend("k", "a")
    assert refused.value.seconds == 2
    held.spend("k", "b")  # another one's is full
    now[0] = 1.9
    with pytest.raises(TooMany) as refused:
        held.spend("k", "a")
    assert refused.value.seconds == 1
    now[0] = 2.0
    held.spend("k", "a")
    now[0] = 1000.0
    for _ in range(3):  # never more than the burst
        held.spend("k", "a")
    with pytest.raises(TooMany):
        held.spend("k", "a")


def test_buckets_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST", 10)
    held = Limits({"k": Rate(1, 0.001)}, lambda: 0.0)
    for number in range(100):
        held.spend("k", str(number))
    assert len(held._buckets) == 10
    with pytest.raises(TooMany):
        held.spend("k", "99")


@pytest.mark.parametrize(
    "address, place",
    [
        ("10.1.2.3", "10.1.2.3"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"), ("testclient", "testclient"), ("", ""),
    ],
)  # fmt: skip
def test_a_network_of_ipv6_is_one_place(address: str, place: str) -> None:
    assert network(address) == place


def _with_rates(clinic: Installation, rates: dict[str, Rate]) -> TestClient:
    app = create_app(clinic)
    app.state.limits = Limits({**RATES, **rates})
    return TestClient(app, base_url=clinic.settings.url, follow_redirects=False)


def test_too_many_requests_of_an_address_are_refused(clinic: Installation) -> None:
    client = _with_rates(clinic, {"address": Rate(3, 0.01)})
    assert [client.get("/health").status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = client.get("/sign-in")
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 100
    assert "too many requests" in refused.text
    _headers_are_right(refused)
    told = client.get("/api/v1/x")
    assert told.json()["fix"].startswith("try again in") and told.headers["retry-after"]


def test_machines_are_counted_by_token(clinic: Installation) -> None:
    client = _with_rates(clinic, {"machine": Rate(2, 0.01)})

    def ask(token: str) -> int:
        return client.get("/api/v1/x", headers={"Authorization": f"Bearer {token}"}).status_code

    assert [ask("a") for _ in range(3)] == [404, 404, 429]
    assert ask("b") == 404


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    "kind, names, statuses",
    [
        ("sign-in address", ["a", "b", "c"], [401, 401, 429]),
        ("sign-in name", ["doctor", " DOCTOR ", "doctor", "other"], [401, 401, 429, 401]),
        ("sign-in name", ["nobody", "nobody", "nobody", "other"], [401, 401, 429, 401]),
    ],
)
def test_tries_to_sign_in_are_counted_by_address_and_by_name(
    clinic: Installation, kind: str, names: list[str], statuses: list[int]
) -> None:
    client = _with_rates(clinic, {kind: Rate(2, 0.01)})
    found = [
        client.post("/sign-in", data={"username": name, "password": "x"}).status_code
        for name in names
    ]
    assert found == statuses


# --- the secret


@pytest.mark.parametrize(
    "value, said",
    [
        ("changeme" * 8, "placeholder"),
        ("my-Secret-" + "0123456789abcdefghijklmnop", "placeholder"),
        ("PASSWORD-0123456789-abcdefghijklmnop", "placeholder"),
        ("a" * 64, "placeholder"),
        ("abcabc" * 10, "placeholder"),
        ("k3J9vQ2xW8", "has 10 characters"),
    ],
)
@pytest.mark.parametrize("where", ["variable", "file"])
def test_a_secret_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, said: str, where: str
) -> None:
    if where == "variable":
        monkeypatch.setenv(VARIABLE, value)
    else:
        monkeypatch.delenv(VARIABLE, raising=False)
        path = tmp_path / "secret.key"
        path.write_text(value)
        path.chmod(0o600)
    with pytest.raises(InputError, match=said) as refused:
        open_secret(tmp_path)
    assert value not in str(refused.value)


def test_the_secrets_file_is_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    earlier = os.umask(0)
    try:
        made = open_secret(tmp_path / "new")
    finally:
        os.umask(earlier)
    path = tmp_path / "new" / "secret.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert open_secret(tmp_path / "new").key("x") == made.key("x") != made.key("y")
    assert path.read_text().strip() not in repr(made)
    path.chmod(0o640)
    with pytest.raises(InputError, match="can be read by other users"):
        open_secret(tmp_path / "new")


def test_settings_are_secure_over_https_alone() -> None:
    assert Settings(Path("x"), public_url="https://a.b").https
    assert not Settings(Path("x")).https
