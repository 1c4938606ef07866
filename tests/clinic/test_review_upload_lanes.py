"""Many uploads at once: they wait for one another, and nobody else waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import anyio
import anyio.to_thread
import httpx
import pytest
from fastapi.testclient import TestClient
from tests.clinic.conftest import Maker

from cytolens.clinic.inference.uploads import Taken
from cytolens.clinic.installation import Installation
from cytolens.clinic.web.guard import CSRF_HEADER
from cytolens.clinic.web.pages import uploads

LANES, UPLOADS, THREADS = 2, 6, 4


def test_pages_are_served_while_uploads_are_decoded(
    clinic: Installation,
    browser: Callable[[str | None], TestClient],
    make: Maker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not clinic.database.is_sqlite:
        pytest.skip("the threads are the same")
    case, doctor = make.case(), browser("doctor")
    under_way, most, done = [0], [0], threading.Event()

    def decode(*given: object) -> Taken:
        del given
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        assert done.wait(20)
        under_way[0] -= 1
        return Taken()

    monkeypatch.setattr(uploads, "take", decode)
    monkeypatch.setattr(uploads, "AT_ONCE", LANES)

    async def visit() -> tuple[list[int], int]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        statuses: list[int] = []
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(doctor.app),
            base_url=clinic.settings.url,
            headers={CSRF_HEADER: doctor.headers[CSRF_HEADER]},
            cookies=dict(doctor.cookies.items()),
        ) as client:

            async def upload() -> None:
                files = [("files", ("one.png", b"one"))]
                statuses.append(
                    (await client.post(f"/cases/{case}/upload", files=files)).status_code
                )

            async with anyio.create_task_group() as group:
                for _ in range(UPLOADS):
                    group.start_soon(upload)
                with anyio.fail_after(15):
                    while under_way[0] < LANES:
                        await anyio.sleep(0.01)
                try:
                    with anyio.fail_after(5):
                        page = (await client.get(f"/cases/{case}")).status_code
                finally:
                    done.set()
        return statuses, page

    statuses, page = anyio.run(visit)
    assert page == 200 and most[0] == LANES
    assert statuses == [303] * UPLOADS
