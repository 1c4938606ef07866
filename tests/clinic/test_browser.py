"""From the first start to a counted, signed case, in a real browser against a real server.

Every page that is visited is held against WCAG 2.2 A and AA by axe, in light and in dark; nothing
may be said in the browser's console, nothing may break the content security policy.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CHROMIUM = shutil.which("chromium")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
WAIT = 60_000  # ms, on a machine with much else to do
PASSWORDS = {
    "ada": "dintel abedul 7 cosecha",
    "berta": "manantial tejado 4 lumbre",
    "carla": "sendero molino 9 arcilla",
}
WATCH = """document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));"""

# A theme is there when the page is painted in it.
PAINTED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@dataclass
class Visit:
    """A person's browser: what is wrong is collected, and shown at the end."""

    page: Any
    address: str
    problems: list[str] = field(default_factory=list)
    looked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(WAIT)
        self.page.add_init_script(WATCH)
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on(
            "console",
            lambda said: (
                self.problems.append(f"console: {said.text}")
                if said.type in ("error", "warning")
                else None
            ),
        )

    def open(self, path: str) -> None:
        answer = self.page.goto(self.address + path)
        assert answer.status == 200, (path, answer.status)
        self.look()

    def send(self, selector: str) -> None:
        """Press a button that leads to another page, and look at that page."""
        with self.page.expect_navigation():
            self.page.click(selector)
        self.look()

    def look(self) -> None:
        """Hold the page against axe's rules, once an address and state."""
        where = re.sub(r"/welcome/.*", "/welcome/…", self.page.url.removeprefix(self.address))
        if where in self.looked:
            return
        self.looked.add(where)
        for theme in ("light", "dark"):
            self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            self.page.evaluate(PAINTED)
            found = axe.Axe().run(self.page, options=RULES).response["violations"]
            for one in found:
                if one["impact"] in ("serious", "critical"):
                    nodes = [(n["html"][:160], n["failureSummary"]) for n in one["nodes"][:3]]
                    self.problems.append(f"{where} ({theme}): {one['id']}: {nodes}")
        self.page.emulate_media(color_scheme="light")

    def words(self, selector: str) -> str:
        return str(self.page.inner_text(selector))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server as a user starts it, with its workers: its address, and the first link."""
    data = tmp_path_factory.mktemp("served") / "data"
    command = [sys.executable, "-m", "cytolens.cli.main", "serve", "--data", str(data)]
    server = subprocess.Popen(
        [*command, "--port", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "NO_PROXY": "127.0.0.1"},
    )
    assert server.stderr is not None
    said, address = "", ""
    for line in server.stderr:
        said += line
        if found := re.match(r"cytolens clinic: (http://\S+)", line):
            address = found[1]
            break
    first = re.search(r"http://\S+/welcome/\S+", said)
    assert address and first, said
    yield address, first[0]
    server.terminate()
    server.communicate(timeout=60)
    assert server.returncode == 0


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as run:
        started = run.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield started
        started.close()


@pytest.fixture
def files(tmp_path: Path, tiny_bundle: Path) -> dict[str, Path]:
    """The bundle as a zip, a zip of four images, and two single images."""
    import cv2
    from random_bundle import noise_images

    made = {"bundle": Path(shutil.make_archive(str(tmp_path / "bundle"), "zip", tiny_bundle))}
    contents = [cv2.imencode(".png", np.asarray(one))[1].tobytes() for one in noise_images(6)]
    made["smears"] = tmp_path / "smears.zip"
    with zipfile.ZipFile(made["smears"], "w") as archive:
        for n, content in enumerate(contents[:4]):
            archive.writestr(f"field {n}.png", content)
    for n, content in enumerate(contents[4:]):
        made[f"single {n}"] = tmp_path / f"single{n}.png"
        made[f"single {n}"].write_bytes(content)
    return made


def test_from_the_first_start_to_a_counted_case(
    chromium: Any, served: tuple[str, str], files: dict[str, Path]
) -> None:
    address, first = served
    administrator, doctor, director = (
        Visit(chromium.new_context(viewport={"width": 1280, "height": 800}).new_page(), address)
        for _ in range(3)
    )
    links = _set_up(administrator, first, files)
    _accept(doctor, links["berta"], "berta")
    assert doctor.page.get_attribute("html", "lang") == "es"
    case = _read(doctor, files)
    _sign(doctor, case)
    _accept(director, links["carla"], "carla")
    _count(director)
    administrator.open("/audit")
    administrator.send("form[action='/audit/verify'] button")
    assert "The audit log is whole" in administrator.words("main")
    assert "report.signed" in administrator.words("main table")
    for path in ("/system", "/retention", "/users", "/bundles/1", "/account"):
        administrator.open(path)
    for visit in (administrator, doctor, director):
        assert visit.problems == [], "\n".join(visit.problems)
    assert len(administrator.looked | doctor.looked | director.looked) > 20


def _set_up(visit: Visit, first: str, files: dict[str, Path]) -> dict[str, str]:
    """Become the administrator, open a site, invite, install a bundle; return the links."""
    page = visit.page
    page.goto(first)
    visit.look()
    page.fill("[name=username]", "ada")
    page.fill("[name=name]", "Ada Roca")
    page.fill("[name=password]", PASSWORDS["ada"])
    page.fill("[name=again]", PASSWORDS["ada"])
    visit.send("main button.primary")
    _sign_in_where_asked(visit, "ada")
    visit.open("/sites")
    page.fill("[name=name]", "Hospital del Sur")
    page.fill("[name=code]", "SUR")
    visit.send("main form button.primary")
    links = {}
    invited = {"berta": ("Berta Quispe", "doctor"), "carla": ("Carla Rojas", "director")}
    for username, (name, role) in invited.items():
        visit.open("/users/new")
        page.fill("[name=name]", name)
        page.fill("[name=username]", username)
        page.check(f"[name=role][value={role}]")
        page.check("[name=sites]")
        page.select_option("[name=language]", "es" if role == "doctor" else "en")
        visit.send("main form button.primary")
        links[username] = visit.words("main pre code")
        assert links[username].startswith(f"{visit.address}/welcome/")
    visit.open("/bundles")
    page.set_input_files("[name=file]", files["bundle"])
    page.select_option("[name=specimen]", "cervix-liquid")
    visit.send("#upload button.primary")
    if "/bundles/" not in page.url:
        visit.send("main table th a")
    visit.send("form[action$='/activate'] button")
    assert page.is_visible("form[action$='/retire'] button")
    return links


def _accept(visit: Visit, link: str, username: str) -> None:
    """Choose a password with an invitation's link, and be signed in."""
    visit.page.goto(link)
    visit.look()
    visit.page.fill("[name=password]", PASSWORDS[username])
    visit.page.fill("[name=again]", PASSWORDS[username])
    visit.send("main button.primary")
    _sign_in_where_asked(visit, username)


def _sign_in_where_asked(visit: Visit, username: str) -> None:
    if "/sign-in" in visit.page.url:
        visit.page.fill("[name=username]", username)
        visit.page.fill("[name=password]", PASSWORDS[username])
        visit.send("main button.primary")
    assert visit.page.is_visible("nav.places")


def _read(visit: Visit, files: dict[str, Path]) -> str:
    """Enter a patient and a case, upload, look at images by keys, enter a reading."""
    page = visit.page
    assert page.url.endswith("/worklist")
    visit.open("/patients/new")
    page.fill("[name=number]", "HC-204")
    page.fill("[name=family_name]", "Huamán Flores")
    page.fill("[name=given_name]", "Lucía")
    page.fill("[name=birth_date]", "1984-05-17")
    page.select_option("[name=sex]", "female")
    visit.send("main form button.primary")
    visit.send("a[href^='/cases/new']")
    page.select_option("[name=specimen]", "cervix-liquid")
    page.fill("[name=clinical]", "Control anual.")
    visit.send("main form button.primary")
    case = str(page.url.removeprefix(visit.address)).partition("?")[0]
    assert re.fullmatch(r"/cases/\d+", case)

    page.set_input_files("#upload-files", [files["smears"], files["single 0"], files["single 1"]])
    page.click("#upload form button.primary")
    page.wait_for_selector("[data-reload]:not([hidden])")
    assert visit.words("[data-said]") == "6 agregadas, 0 ya estaban, 0 rechazadas."
    page.wait_for_function(
        """() => ["Los hallazgos están listos.", "Hallazgos: 6 de 6"].includes(
            document.querySelector("[data-found]").textContent)"""
    )
    visit.looked.discard(case)
    visit.send("[data-reload] a")
    assert visit.words("output.place") == "1 / 6"
    assert "No es un diagnóstico".lower() in visit.words("#finding").lower()
    before = page.get_attribute(".picture", "src")
    page.keyboard.press("j")
    page.wait_for_function("() => document.querySelector('output.place').textContent == '2 / 6'")
    assert page.get_attribute(".picture", "src") != before
    page.keyboard.press("k")
    page.wait_for_function("() => document.querySelector('output.place').textContent == '1 / 6'")
    size = visit.words("output.zoom")
    page.keyboard.press("+")
    assert visit.words("output.zoom") != size
    page.keyboard.press("?")
    assert page.is_visible("dialog#keys")
    page.keyboard.press("Escape")

    page.check("[name=category][value=HSIL]")
    page.fill("#read [name=comment]", "Núcleos hipercromáticos.")
    visit.send("#read form button.primary")
    assert "Lesión escamosa intraepitelial de alto grado" in visit.words("#history")
    return case


def _sign(visit: Visit, case: str) -> None:
    """Sign the case and fetch its report."""
    page = visit.page
    page.fill("#f-sign-password", PASSWORDS["berta"])
    visit.send(f"form[action='{case}/sign'] button.primary")
    assert "Firmado" in visit.words("main h1")
    link = page.get_attribute("#report a[href$='.pdf']", "href")
    report = page.context.request.get(visit.address + link)
    assert report.status == 200 and report.body().startswith(b"%PDF")
    visit.open("/worklist?status=signed")
    assert "Huamán Flores" in visit.words("main table")
    for path in ("/worklist", "/patients", "/patients/1", "/quality", "/account"):
        visit.open(path)


def _count(visit: Visit) -> None:
    """See that the figures have the case."""
    visit.open("/figures")
    tiles = dict(
        zip(
            visit.page.locator(".tile .label").all_inner_texts(),
            visit.page.locator(".tile .value").all_inner_texts(),
            strict=True,
        )
    )
    assert tiles["Cases received"] == "1" and tiles["Cases signed"] == "1"
    assert tiles["Cases open now"] == "0"
    visit.open("/drift")
    visit.open("/quality-control")
