"""The viewer in Chromium: keys, zoom, overlay; skipped where there is no Chromium."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import uvicorn
from tests.clinic.conftest import Maker, People

from cytolens.clinic import clock
from cytolens.clinic.accounts import sessions
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Image, Overlay, User
from cytolens.clinic.web.app import create_app

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here"),
]


@dataclass
class Served:
    address: str
    token: str


@pytest.fixture
def served(clinic: Installation, people: People) -> Iterator[Served]:
    """The clinic at a port of this machine, with the doctor signed in."""
    if not clinic.database.is_sqlite:
        pytest.skip("what a browser does is the same on both databases")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    config = uvicorn.Config(
        create_app(clinic),
        host="127.0.0.1",
        port=port,
        log_level="error",
        ws="none",
        lifespan="off",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.02)
    with clinic.writing() as db:
        session = sessions.open_session(
            db,
            db.get_one(User, people.users["doctor"]),
            clinic.settings,
            address="127.0.0.1",
            agent="tests",
            second_factor=True,
        )
    yield Served(f"http://127.0.0.1:{port}", session.token)
    server.should_exit = True
    thread.join(10)


def test_reading_with_keys(clinic: Installation, served: Served, make: Maker) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    case_id, model = make.case(), make.model()
    images = [make.image(case_id, model, 0.9 - n / 10) for n in range(3)]
    with clinic.writing() as db:
        picture = db.get_one(Image, images[0]).sha256
        db.add(
            Overlay(
                image_id=images[0],
                model_id=model,
                method="grad_cam",
                target="abnormal",
                overlay=picture,
                raw=picture,
                notes=["The map is zero everywhere."],
                created_at=clock.now(),
            )
        )
    problems: list[str] = []
    with playwright.sync_playwright() as run:
        chromium = run.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        context.add_cookies(
            [{"name": sessions.COOKIE, "value": served.token, "url": served.address}]
        )
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: said.type == "error" and problems.append(said.text))
        page.goto(f"{served.address}/cases/{case_id}")
        page.wait_for_load_state("networkidle")

        def transform() -> str:
            return str(page.eval_on_selector(".sheet", "sheet => sheet.style.transform"))

        fitted, keyboard = transform(), page.keyboard
        assert "scale(" in fitted
        keyboard.press("+")
        assert transform() != fitted
        zoomed = transform()
        keyboard.press("Shift+ArrowRight")
        assert transform() != zoomed
        keyboard.press("f")
        assert transform() == fitted

        keyboard.press("o")
        page.wait_for_selector(".overlay:not([hidden])")
        assert page.inner_text(".said") == (
            "Grad-CAM: where the network looked for abnormal. The map is zero everywhere."
        )
        keyboard.press("o")
        assert page.is_hidden(".overlay")

        keyboard.press("j")
        page.locator("#finding", has_text="80.0").wait_for()
        assert page.inner_text("output.place") == "2 / 3"
        assert page.url.endswith(f"?image={images[1]}")
        keyboard.press("ArrowRight")
        page.locator("#finding", has_text="70.0").wait_for()
        keyboard.press("j")  # the last one stays
        assert page.inner_text("output.place") == "3 / 3"
        keyboard.press("k")
        assert page.inner_text("output.place") == "2 / 3"

        keyboard.press("a")
        assert page.is_checked("input[value=agree]")
        page.fill("#f-comment", "")
        page.type("#f-comment", "jk?")
        assert page.input_value("#f-comment") == "jk?"
        assert page.inner_text("output.place") == "2 / 3"

        page.evaluate("document.activeElement.blur()")
        keyboard.press("?")
        assert page.is_visible("dialog.keys")
        page.check("[data-keys-off]")
        page.click("dialog.keys button")
        keyboard.press("k")  # the keys are off now
        assert page.inner_text("output.place") == "2 / 3"
        chromium.close()
    assert problems == []
