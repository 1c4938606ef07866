"""Slides and large fields of `cytolens predict`: one folder each."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cytolens.cli.console import Bars, err, out

if TYPE_CHECKING:
    from cytolens.bundle import Bundle, Ensemble
    from cytolens.bundle.inputs import Item


def part(
    items: Iterable[Item], *, every: bool, folder: Path | None
) -> tuple[list[Item], list[Item]]:
    """Return images, and what is scored by tiles; without a folder the latter cannot be used.

    The files of a DICOM slide in one folder are one slide: the first of them stands for all.

    Args:
        every: score every file by tiles.
    """
    from cytolens.bundle.dicom import slide_series
    from cytolens.bundle.fields import is_slide
    from cytolens.bundle.inputs import broken

    plain, slides = [], []
    first: dict[tuple[Path, str], str] = {}
    for item in items:
        if item.path is not None and (series := slide_series(item.path)) is not None:
            name = first.setdefault((item.path.parent, series), item.name)
            if name != item.name:
                err.print(f"{item.name}: part of the slide {name}", markup=False)
                continue
        if not (every or (item.path is not None and is_slide(item.path))):
            plain.append(item)
        elif folder is None:
            reason = "is scored by tiles, which need a folder to write to: --out FOLDER"
            plain.append(broken(Path(item.name), reason))
        else:
            slides.append(item)
    return plain, slides


def refuse_slides(items: list[Item], why: str, fix: str) -> None:
    """Refuse slides where what was asked for is not done by tiles.

    Args:
        why: clause behind "would be scored by tiles".

    Raises:
        InputError: there is one.
    """
    from cytolens.core.errors import InputError

    if items:
        raise InputError(
            f"{len(items)} slides would be scored by tiles, {why}.",
            rows=[item.name for item in items],
            fix=fix,
        )


def score_slides(
    loaded: Bundle | Ensemble,
    items: list[Item],
    folder: Path,
    settings: dict[str, Any],
    made_by: dict[str, Any],
    jobs: int,
) -> int:
    """Score each into a folder of its own, and tell a line of it; return how many failed.

    One that was scored before by the same bundle, with the same settings, is kept; one that was cut
    off goes on.
    """
    from cytolens.core.errors import CytolensError

    bad, taken = 0, set[str]()
    for item in items:
        own = name = Path(item.name).name
        number = 1
        while name in taken:
            number += 1
            name = f"{own}-{number}"
        taken.add(name)
        about = {"image": item.name, "stamp": item.stamp, "settings": settings, **made_by}
        try:
            content = _score(loaded, item, folder / name, about, jobs)
        except CytolensError as error:
            said = str(error) if item.name in str(error) else f"{item.name}: {error}"
            err.print(said, style="yellow", markup=False)
            bad += 1
            continue
        score = content["score"]
        out.print(
            f"{item.name}: {content['n']:,} tiles, {score['what']}: mean {score['mean']:.3f}, "
            f"highest {score['top_n']} tiles {score['top_mean']:.3f}; {folder / name}",
            markup=False,
        )
        for note in content["notes"]:
            err.print(f"{item.name}: {note}", markup=False)
    return bad


def _score(
    loaded: Bundle | Ensemble, item: Item, place: Path, about: dict[str, Any], jobs: int
) -> dict[str, Any]:
    from cytolens.bundle.field import ArrayField
    from cytolens.bundle.fields import open_field
    from cytolens.bundle.slide import score_field
    from cytolens.bundle.slide_folder import finished_slide, write_slide
    from cytolens.bundle.tile_journal import open_tiles

    if (before := finished_slide(place, about)) is not None:
        return before
    settings = about["settings"]
    opened = ArrayField(item.read(), item.name) if item.path is None else open_field(item.path)
    with closing(opened) as large, open_tiles(place, about) as journal:
        if len(journal):
            err.print(f"{item.name}: going on after {len(journal)} tiles.", markup=False)
        scored = score_field(
            loaded,
            large,
            tile=settings["tile"],
            um_per_px=settings["um_per_px"],
            whole=settings["whole"],
            abnormal=loaded.abnormal,
            jobs=jobs,
            progress=Bars(),
            name=place.name,
            journal=journal,
        )
        return write_slide(scored, large, place, top=settings["top"], about=about)
