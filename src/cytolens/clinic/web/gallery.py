"""The reader of a case: a page of its gallery, the image at large, those before and after."""

from __future__ import annotations

from typing import Any

from cytolens.clinic.desk.view import CaseView
from cytolens.clinic.inference.explanations import OFFERED

PAGE = 200  # thumbnails


def reader(case: CaseView, address: str, image: int | None, number: int | None) -> dict[str, Any]:
    """Return what `desk/reader.html.j2` shows.

    Args:
        address: of the page; images are chosen by `?image=ID` there.
        image: id of the one that is chosen; None: the first of the gallery's page.
        number: the gallery's page, from 1; None: the one that holds the chosen image.
    """
    pages = max(1, -(-len(case.images) // PAGE))
    if number is not None:
        number = min(max(number, 1), pages)
        start = (number - 1) * PAGE
    places = {one.id: place for place, one in enumerate(case.images)}
    place = places.get(image or 0, 0 if number is None else start)
    number = place // PAGE + 1 if number is None else number
    shown = case.images[(number - 1) * PAGE : number * PAGE]
    chosen = case.images[place] if case.images else None
    return {
        "address": address,
        "methods": OFFERED,
        "gallery": shown,
        "gallery_page": number,
        "gallery_pages": pages,
        "chosen": chosen,
        "place": place,
        "before": case.images[place - 1] if place > 0 else None,
        "after": case.images[place + 1] if place + 1 < len(case.images) else None,
    }
