"""Take the documentation's pictures of the clinic from a running demonstration.

    cytolens serve --demo &
    python scripts/clinic_pictures.py http://127.0.0.1:8000

writes docs/images/clinic-*.png, 1280 x 800 with a palette. Needs playwright and Chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parents[1] / "docs" / "images"
PASSWORD = "clinic-demo"
COLOURS = 128
# Name of the picture: who looks, where, what must be there, and a link to follow first.
PICTURES = {
    "worklist": ("doctor", "/worklist", "table.worklist", ""),
    "case": ("doctor", "/worklist", ".picture", "table.worklist tbody th a"),
    "figures": ("director", "/figures", ".figure", ""),
    "audit": ("admin", "/audit?page=2", "table", ""),
}


def main() -> int:
    """Take all pictures; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    given = parser.parse_args()
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--lang=en-GB"],
        )
        for name, (account, path, wanted, link) in PICTURES.items():
            page = browser.new_page(
                viewport={"width": 1280, "height": 800}, color_scheme="light", locale="en-GB"
            )
            sign_in(page, given.url.rstrip("/"), account)
            page.goto(given.url.rstrip("/") + path)
            if link:
                page.click(link)
            page.wait_for_selector(wanted)
            page.wait_for_load_state("networkidle")
            if wanted == ".picture":
                page.keyboard.press("o")  # an explanation is made
                page.wait_for_selector(".overlay:not([hidden])", timeout=120_000)
            keep(page.screenshot(), IMAGES / f"clinic-{name}.png")
            page.close()
        browser.close()
    return 0


def sign_in(page: Page, url: str, account: str) -> None:
    """Sign in to the demonstration."""
    page.goto(f"{url}/sign-in")
    page.fill("[name=username]", account)
    page.fill("[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url(lambda address: "/sign-in" not in address)


def keep(png: bytes, path: Path) -> None:
    """Write a picture with a palette."""
    reduced = Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS)
    reduced.save(path, optimize=True)
    sys.stdout.write(f"{path.name} {path.stat().st_size // 1000} kB\n")


if __name__ == "__main__":
    sys.exit(main())
