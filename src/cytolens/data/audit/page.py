"""The audit as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from cytolens.core.files import write_text, writing
from cytolens.data.audit.advice import place
from cytolens.data.audit.pictures import (
    Cell,
    Thumbnail,
    evenly,
    histogram_cells,
    mean_picture,
    thumbnail,
)
from cytolens.data.manifest import Manifest

_SAMPLES = 6  # thumbnails a class
_PAIRS = 12
_SETS = 6
_SIBLINGS = 5  # thumbnails a set of siblings
_PROBLEMS = 50
_SPREAD = 8  # pixels


def write_page(audit: Mapping[str, Any], manifest: Manifest, path: Path) -> None:
    """Write the page; thumbnails are embedded, nothing is loaded from elsewhere.

    Args:
        audit: what `audit` returned for this manifest.
        manifest: the images, for their thumbnails.
        path: the HTML file.

    Raises:
        InputError: the file cannot be written.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["place"] = place
    template = environment.from_string(
        files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    )
    text = template.render(
        audit=audit,
        largest=max([*audit["classes"].values(), 1]),
        cells=_cells(audit["sizes"]),
        pairs=_pairs(audit, manifest),
        siblings=_siblings(audit, manifest),
        artefacts=_artefacts(audit, manifest),
        samples=_samples(audit, manifest),
        problems=list(audit["problems"].items())[:_PROBLEMS],
    )
    with writing(path, "the audit page"):
        write_text(path, text)


def _cells(sizes: Mapping[str, Any]) -> list[Cell]:
    """Return the histogram to draw; none where the sizes are practically one."""
    spread = max(high - low for low, high in zip(sizes["min"], sizes["max"], strict=True))
    return histogram_cells(sizes["histogram"]) if spread >= _SPREAD else []


def _pairs(audit: Mapping[str, Any], manifest: Manifest) -> list[dict[str, Any]]:
    """Return the pairs to show: contradictions first, then exact, then near ones by likeness."""
    duplicates = audit["duplicates"]
    scores = {(one, other): score for one, other, score in duplicates["near"]}
    exact = [tuple(pair) for pair in duplicates["exact"]]
    contradictions = [tuple(pair) for pair in duplicates["across_labels"]]
    near = sorted(scores, key=lambda pair: -scores[pair])
    shown = list(dict.fromkeys([*contradictions, *exact, *near]))[:_PAIRS]
    return [
        {
            "pictures": [thumbnail(manifest, manifest.index[name]) for name in pair],
            "what": f"correlation {scores[pair]:.3f}" if pair in scores else "same file",
            "contradiction": pair in contradictions,
        }
        for pair in shown
    ]


def _siblings(audit: Mapping[str, Any], manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {
            "how": entry["how"],
            "pictures": [
                thumbnail(manifest, manifest.index[name]) for name in entry["rows"][:_SIBLINGS]
            ],
            "more": max(0, len(entry["rows"]) - _SIBLINGS),
        }
        for entry in audit["siblings"][:_SETS]
    ]


def _artefacts(audit: Mapping[str, Any], manifest: Manifest) -> list[dict[str, Any]]:
    """Return one mean picture a class that has marks, with the marks to draw over it."""
    drawn = []
    for name in dict.fromkeys(entry["class"] for entry in audit["artefacts"]):
        images = [row.image for row in manifest.rows if name in (None, row.label)]
        drawn.append(
            {
                "name": name or "all classes",
                "mean": mean_picture(images),
                "marks": [entry for entry in audit["artefacts"] if entry["class"] == name],
            }
        )
    return drawn


def _samples(audit: Mapping[str, Any], manifest: Manifest) -> dict[str, list[Thumbnail]]:
    labels = manifest.labels.tolist()
    rows: dict[str, list[int]] = {name: [] for name in manifest.classes}
    for i, name in enumerate(manifest.ids):
        if name not in audit["problems"]:
            rows[manifest.classes[labels[i]]].append(i)
    return {
        name: [thumbnail(manifest, i) for i in evenly(found, _SAMPLES)]
        for name, found in rows.items()
    }
