"""The gallery of explanations: pictures with their maps, and what must be said of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cytolens.report import overlay
from cytolens.report.explanation_figures import by_superpixels, grids
from cytolens.report.explanations import Case, Explainer, Explanations, Map
from cytolens.report.run_folder import RunFolder
from cytolens.report.text import counted, number, significant
from cytolens.report.thumbnails import data_uri
from cytolens.report.views import judgement as tests
from cytolens.report.views.picture import Picture

_SIDE, _LEVELS = 112, 40  # of a map in the page: px, and steps of opacity
_MOST = 24  # pictures of a part in the page
EMPTY = "zero everywhere"
_PARTS = {
    "correct": "Named right",
    "wrong": "Named wrong",
    "class": "One of each class",
    "asked": "Images that were asked for",
}


@dataclass(frozen=True)
class Mark:
    """A map over a picture.

    Attributes:
        uri: the layer, None where there is nothing to lay over.
        alt: what the layer shows, in words.
        over: written on the picture where it is left as it is.
        scale: "one", "two" (signed) or "" without a scale bar, which goes from `low` to `high`.
        words: facts beside.
    """

    uri: str | None
    alt: str
    over: str
    scale: str
    low: str
    high: str
    words: list[str]


@dataclass(frozen=True)
class Card:
    """A picture, what the model said of it, and a mark a choice of the gallery."""

    picture: Picture
    id: str
    lines: list[str]
    marks: list[Mark]


@dataclass(frozen=True)
class Group:
    """The pictures of one part."""

    title: str
    cards: list[Card]
    more: str


@dataclass(frozen=True)
class Gallery:
    """Pictures of which one method at a time is shown; `name` is unique in the page."""

    name: str
    choices: list[str]
    groups: list[Group]


@dataclass(frozen=True)
class View:
    """Everything that the section says. `doubts` are (method, why it is not shown as insight)."""

    lead: list[str]
    notes: list[str]
    gallery: Gallery | None
    doubted: Gallery | None
    doubts: list[tuple[str, str]]
    judgement: tests.Judgement | None
    figures: list[str]
    scales: dict[str, str]

    def pictures(self) -> Iterator[Picture]:
        for gallery in (self.gallery, self.doubted):
            for group in gallery.groups if gallery else []:
                for card in group.cards:
                    yield card.picture


@dataclass(frozen=True)
class _Choice:
    """One way of looking at the maps of a method: `kind` as in `figures.explanation_grid`."""

    title: str
    method: Explainer
    kind: str


def explanations(run: RunFolder) -> View | None:
    """Return the section; None for a run without explanations.

    Raises:
        InputError: a map is damaged.
    """
    found = run.explanations
    if found is None:
        return None
    shown = [method for method in found.methods if found.trusted(method.name)]
    rest = [method for method in found.methods if not found.trusted(method.name)]
    return View(
        lead=list(_lead(found)),
        notes=list(found.notes),
        gallery=_gallery(found, "maps", shown),
        doubted=_gallery(found, "doubted", rest),
        doubts=[(method.title, tests.doubt(found, method.name)) for method in rest],
        judgement=tests.judgement(found),
        figures=[f"{grid.name}.svg" for grid in grids(found)],
        scales={"one": _gradient(False), "two": _gradient(True)},
    )


def _lead(found: Explanations) -> Iterator[str]:
    yield (
        "A map is opaque where, as its method tells it, the picture moved the model’s answer. "
        "Each map is coloured by its own largest magnitude, which is printed under it: two maps of "
        "one colour may differ a thousandfold. The line holds the strongest fifth of the picture; "
        "dashed, what speaks against the answer."
    )
    if found.judgement is None:
        yield (
            "The methods were not put to the test on these data: whether a map says more than "
            "chance is not known. cytolens explain with --judge finds out."
        )
    elif unknown := [
        method.title
        for method in found.methods
        if found.judged(method.name) is None and found.trusted(method.name)
    ]:
        yield f"Not put to the test: {', '.join(unknown)}."


def _gallery(found: Explanations, name: str, methods: Sequence[Explainer]) -> Gallery | None:
    if not methods or not found.cases:
        return None
    choices = [choice for method in methods for choice in _choices(found, method)]
    groups = []
    for part, title in _PARTS.items():
        cases = [case for case in found.cases if case.part == part]
        if cases:
            cards = [_card(found, case, choices) for case in cases[:_MOST]]
            more = len(cases) - len(cards)
            said = f"{counted(more, 'more picture')} in the figures." if more else ""
            groups.append(Group(title, cards, said))
    return Gallery(name, [choice.title for choice in choices], groups)


def _choices(found: Explanations, method: Explainer) -> list[_Choice]:
    if not by_superpixels(found, method):
        return [_Choice(method.title, method, "heat")]
    return [
        _Choice(f"{method.title}: what speaks for it", method, "positive"),
        _Choice(f"{method.title}: green for, red against", method, "superpixels"),
    ]


def _card(found: Explanations, case: Case, choices: Sequence[_Choice]) -> Card:
    true = f"{case.label}, " if case.label is not None else ""
    said = f"{case.predicted}, probability {number(case.probability, 2)}"
    lines = [f"Predicted: {said}"]
    if case.label is not None:
        lines.insert(0, f"True: {case.label}")
    if case.target != case.predicted:
        lines.append(f"Explained: {case.target}")
    marks = [_mark(found, case, choice) for choice in choices]
    return Card(Picture(case.file, f"{true}predicted as {said}"), case.id, lines, marks)


def _mark(found: Explanations, case: Case, choice: _Choice) -> Mark:
    said = case.found.get(choice.method.name)
    if said is None:
        return Mark(None, "", "no map", "", "", "", [])
    whole = found.maps[said.key]
    notes = list(said.notes)
    if whole.empty:
        others = [note for note in notes if EMPTY not in note]
        return Mark(None, "", EMPTY, "", "", "", others)
    small, signed = overlay.resized(whole, _SIDE), choice.method.signed
    facts = found.words(said)
    words = [*([facts] if facts else []), *notes]
    alt = f"{choice.title}, largest magnitude {significant(whole.largest)}"
    if choice.kind == "heat":
        layer = overlay.heat(small, signed=signed, largest=whole.largest, levels=_LEVELS)
        uri = data_uri(overlay.png(overlay.lined(layer, small)), "image/png")
        low = significant(-whole.largest) if signed else "0"
        scale = "two" if signed else "one"
        return Mark(
            uri, f"{alt}: {_where(whole)}", "", scale, low, significant(whole.largest), words
        )
    positive = choice.kind == "positive"
    shown = overlay.chosen(whole, positive=positive)
    if not shown:
        return Mark(None, "", "nothing speaks for it", "", "", "", words)
    weights = overlay.weights(whole)
    low, high = significant(weights[shown].min()), significant(weights[shown].max())
    words.insert(0, f"{len(shown)} of {len(weights)} superpixels, weights {low} to {high}")
    uri = data_uri(overlay.png(overlay.superpixels(small, positive=positive)), "image/png")
    return Mark(uri, alt, "", "", "", "", words)


def _where(map: Map) -> str:
    """Say where the middle of what speaks for the answer lies, for who cannot see it."""
    values = np.maximum(map.values, 0).astype(np.float64)
    if not values.any():
        return "nothing speaks for the answer"
    height, width = values.shape
    y = float(values.sum(axis=1) @ np.arange(height)) / values.sum() / max(height - 1, 1)
    x = float(values.sum(axis=0) @ np.arange(width)) / values.sum() / max(width - 1, 1)
    rows, columns = ("upper", "middle", "lower"), ("left", "centre", "right")
    return f"its middle is {rows[min(int(3 * y), 2)]} {columns[min(int(3 * x), 2)]}"


def _gradient(signed: bool) -> str:
    """Return the colours of the scale as a CSS gradient."""
    colours = np.rint(255 * overlay.ramp(signed)[np.linspace(0, 255, 9).astype(int)]).astype(int)
    stops = ", ".join(f"rgb({r} {g} {b})" for r, g, b in colours.tolist())
    return f"linear-gradient(to right, {stops})"
