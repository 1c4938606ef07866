"""Look at every page of a running demonstration: screenshots, and what axe finds.

    cytolens serve --demo &
    python scripts/clinic_screens.py http://127.0.0.1:8000 screens/

One PNG a page, size and theme; `axe.txt` lists violations of WCAG 2.2 A and AA, and scrolling to
the side. Exit status 1 where there are any. Needs playwright, axe-playwright-python, Chromium.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

SIZES = {"desk": (1280, 800), "tablet": (820, 1180)}
THEMES = ("light", "dark")
PASSWORD = "clinic-demo"
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
ROLES = ("admin", "doctor", "doctor2", "director")
# Leaves of a role's pages: the first link on a page that fits, or all where a name says so.
FOLLOWED = {
    "/worklist": (r"/cases/\d+",),
    "/patients": (r"/patients/\d+", r"/patients/new", r"/cases/new\?patient=\d+"),
    "/quality": (r"/quality/\d+",),
    "/bundles": (r"/bundles/\d+",),
    "/users": (r"/users/\d+", r"/users/new"),
    "/sites": (r"/sites/\d+", r"/sites/new"),
}
EVERY_CASE = 12  # cases of a worklist that are looked at: one a state


@dataclass
class Looked:
    """What was found so far."""

    out: Path
    found: list[str]
    shots: int = 0


def main() -> int:
    """Take the screenshots; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    parser.add_argument("--quick", action="store_true", help="one size, light alone")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    looked = Looked(given.out, [])
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=given.chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for size in list(SIZES)[: 1 if given.quick else None]:
            for theme in THEMES[: 1 if given.quick else None]:
                look(browser, given.url.rstrip("/"), size, theme, looked)
        browser.close()
    (given.out / "axe.txt").write_text("\n".join(looked.found) + "\n", encoding="utf-8")
    sys.stdout.write("\n".join([*looked.found, f"{looked.shots} screenshots", ""]))
    return 1 if looked.found else 0


def look(browser: Browser, url: str, size: str, theme: str, looked: Looked) -> None:
    """Look at every page in one size and theme."""
    width, height = SIZES[size]
    for account in (None, *ROLES):
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if theme == "dark" else "light",
            locale="en-GB",
        )
        page = context.new_page()
        page.on(
            "console",
            lambda message, who=account: (
                looked.found.append(f"{who}: console: {message.text} ({message.location})")
                if message.type == "error" and "404" not in message.text
                else None
            ),
        )
        page.on("pageerror", lambda error: looked.found.append(f"script: {error}"))
        for address in pages(page, url, account):
            name = f"{account or 'nobody'}{address.replace('/', '-').replace('?', '_')}"
            page.goto(url + address)
            page.wait_for_timeout(250)
            page.screenshot(path=looked.out / f"{name}.{size}.{theme}.png", full_page=True)
            looked.shots += 1
            check(page, f"{name} {size} {theme}", looked)
        context.close()


def pages(page: Page, url: str, account: str | None) -> Iterator[str]:
    """Yield the pages an account can reach."""
    if account is None:
        yield "/sign-in"
        yield "/no-such-page"
        return
    page.goto(f"{url}/sign-in")
    page.fill("[name=username]", account)
    page.fill("[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url(lambda address: "/sign-in" not in address)
    places = links(page, "nav.places a")
    for place in [*places, "/account", "/no-such-page"]:
        yield place
        page.goto(url + place)
        linked = links(page, "main a")
        for pattern in FOLLOWED.get(place, ()):
            fitting = [one for one in linked if re.fullmatch(pattern, one)]
            yield from fitting[: EVERY_CASE if place == "/worklist" else 1]


def links(page: Page, selector: str) -> list[str]:
    """Return the paths of links with their queries, each once."""
    found = [urlsplit(link.get_attribute("href") or "") for link in page.locator(selector).all()]
    paths = [f"{one.path}?{one.query}" if one.query else one.path for one in found if one.path]
    return list(dict.fromkeys(paths))


def check(page: Page, name: str, looked: Looked) -> None:
    """Note violations, and a page that scrolls to the side."""
    for violation in Axe().run(page, options=RULES).response["violations"]:
        nodes = [f"{node['target']} {node['html'][:120]}" for node in violation["nodes"][:3]]
        looked.found.append(f"{name}: {violation['id']}: {violation['help']}: {'; '.join(nodes)}")
    wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    if wider > 0:
        looked.found.append(f"{name}: {wider} px too wide")


if __name__ == "__main__":
    sys.exit(main())
