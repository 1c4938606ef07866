"""Make a saved SVG fit to stand inside a page: its own ids, the page's colours and font."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from cytolens.report.palette import INK, MUTED, PAPER, RED, RULE

LARGEST = 150_000  # characters; a larger one goes into the page as PNG
_COLUMN = 300.0  # points
_VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper", RED: "danger"}


def is_wide(svg: str) -> bool:
    """Return whether a file is wider than one column of the page."""
    found = re.search(r'<svg[^>]* width="([\d.]+)pt"', svg)
    return found is not None and float(found[1]) > _COLUMN


def inline(svg: str, name: str, description: str) -> Markup:
    """Return the `<svg>` element of a file, for an HTML page.

    Args:
        svg: what `canvas.save` returned.
        name: unique in the page; ids get it as a prefix.
        description: what a reader who cannot see the figure is told.
    """
    body = svg[svg.index("<svg") :]
    # its one rule speaks of `*`, which in a page means the whole page; the page's CSS repeats it
    body = re.sub(r"<(metadata|style)\b.*?</\1>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*">', "<g>", body)  # nothing refers to groups
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = body.replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'href="#{name}-')
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var(--figure-{variable}, {colour})")
    body = re.sub(r"'DejaVu Sans'", "var(--figure-font, 'DejaVu Sans')", body)
    head = f'<svg role="img" aria-label="{escape(description)}" '
    body = re.sub(r'\s(?:xmlns(?::xlink)?|version)="[^"]*"', "", body)
    return Markup(head + body.removeprefix("<svg "))
