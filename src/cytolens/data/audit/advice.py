"""What a reader of the audit must know, as sentences, the most important first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_IMBALANCE = 3.0
_TINY = 20
_LOOKALIKE = 0.1  # share of images in near-duplicate pairs above which chance is likely


def advise(audit: Mapping[str, Any], augmented: int) -> list[str]:
    """Return the warnings of an audit whose other entries are complete.

    Args:
        augmented: images whose file name looks like that of an augmented copy.
    """
    return [
        *(f"Leak: {reason}" for reason in audit["leaks"]),
        *_problems(audit),
        *_contradictions(audit),
        *_groups(audit),
        *_copies(audit, augmented),
        *_artefacts(audit),
        *_balance(audit),
    ]


def _problems(audit: Mapping[str, Any]) -> Iterator[str]:
    if n := len(audit["problems"]):
        yield (
            f"{_images(n)} cannot be used; a run refuses the set until they are mended or removed."
        )


def _contradictions(audit: Mapping[str, Any]) -> Iterator[str]:
    duplicates = audit["duplicates"]
    if n := len(duplicates["across_labels"]):
        yield (
            f"{_pairs(n)} of images with the same or nearly the same picture, but other labels: "
            "one of each is wrong, or the classes cannot be told apart by the picture."
        )


def _groups(audit: Mapping[str, Any]) -> Iterator[str]:
    groups = audit["groups"]
    if not groups["present"]:
        yield (
            "There is no group key (patient, slide): patient leakage cannot be excluded, and every "
            "number measured on this set may be too good."
        )
    elif groups["largest"] == 1 and audit["images"] > 1:
        yield (
            "Every group holds one image only, so the group key protects nothing: patient leakage "
            "cannot be excluded."
        )
    if n := len(audit["duplicates"]["across_groups"]):
        yield (
            f"{_pairs(n)} of images with the same or nearly the same picture, but in different "
            "groups: the group key may be incomplete. Splits should keep them together."
        )
    if groups["present"] and 1 < groups["count"] < 5 * len(audit["classes"]):
        yield (
            f"There are only {groups['count']} groups for {len(audit['classes'])} classes: folds "
            "will be uneven, and intervals wide."
        )


def _copies(audit: Mapping[str, Any], augmented: int) -> Iterator[str]:
    exact, near = audit["duplicates"]["exact"], audit["duplicates"]["near"]
    if exact:
        are = "is" if len(exact) == 1 else "are"
        yield f"{_pairs(len(exact))} of files {are} the same byte by byte; keep one of each."
    if near:
        involved = len({name for one, other, _ in near for name in (one, other)})
        chance = (
            " That many lookalikes may be chance (cells on a plain background): look at them."
            if involved > _LOOKALIKE * audit["images"]
            else ""
        )
        show = "shows" if len(near) == 1 else "show"
        yield f"{_pairs(len(near))} of images {show} nearly the same picture.{chance}"
    hows = [entry["how"] for entry in audit["siblings"]]
    for how in dict.fromkeys(hows):
        yield (
            f"{hows.count(how)} set{'s' * (hows.count(how) > 1)} of augmented siblings "
            f"(told by {_TOLD[how]}): they must stay on one side of a split."
        )
    if augmented:
        yield (
            f"{_images(augmented)} {'have names' if augmented > 1 else 'has a name'} like "
            "augmented copies: test on originals only, and look for border artefacts."
        )


_TOLD = {
    "parent column": "the parent column",
    "file name": "their file names",
    "rotated or flipped": "being rotations or mirror images of each other",
}


def _artefacts(audit: Mapping[str, Any]) -> Iterator[str]:
    marks = [entry for entry in audit["artefacts"] if entry["kind"] != "flat border"]
    if marks:
        named = ", ".join(
            dict.fromkeys(
                f"{entry['class'] or 'whole set'} {entry['share']:.0%} {place(entry['region'])}"
                for entry in sorted(marks, key=lambda entry: -entry["share"])
            )
        )
        yield (
            f"Something is burned into the images ({named}), such as a scale bar: a network can "
            "read the class from it. Mask or crop these regions."
        )
    borders: dict[str | None, float] = {}
    for entry in audit["artefacts"]:
        if entry["kind"] == "flat border":  # two entries, one a side, for each way of padding
            borders[entry["class"]] = borders.get(entry["class"], 0.0) + entry["share"] / 2
    if borders:
        named = ", ".join(f"{share:.0%} of {name or 'all'}" for name, share in borders.items())
        yield (
            f"Images are padded to shape ({named}): the width of the flat borders tells the shape "
            "of the original cut-out, which may tell the class."
        )


def place(region: list[float]) -> str:
    """Return where a region lies, in words: "bottom right"."""
    x, y = (region[0] + region[2]) / 2, (region[1] + region[3]) / 2
    vertical = "top" if y < 1 / 3 else "bottom" if y > 2 / 3 else "middle"
    horizontal = "left" if x < 1 / 3 else "right" if x > 2 / 3 else "centre"
    return f"{vertical} {horizontal}"


def _balance(audit: Mapping[str, Any]) -> Iterator[str]:
    classes: Mapping[str, int] = audit["classes"]
    if empty := [name for name, n in classes.items() if n == 0]:
        yield f"No image at all of {', '.join(empty)}."
    if tiny := [f"{name} ({n})" for name, n in classes.items() if 0 < n < _TINY]:
        yield f"Classes of fewer than {_TINY} images: {', '.join(tiny)}; their scores are rough."
    if audit["imbalance"] is not None and audit["imbalance"] >= _IMBALANCE:
        yield (
            f"The largest class is {audit['imbalance']:.1f} times the smallest: read balanced "
            "accuracy and macro F1, not accuracy."
        )
    if mixed := audit["groups"]["mixed_labels"]:
        yield (
            f"{len(mixed)} group{'s hold' if len(mixed) > 1 else ' holds'} images of more than one "
            "class; that is right where one patient has several kinds of cells."
        )


def _images(n: int) -> str:
    return f"{n:,} image{'s' if n > 1 else ''}"


def _pairs(n: int) -> str:
    return f"{n:,} pair{'s' if n > 1 else ''}"
