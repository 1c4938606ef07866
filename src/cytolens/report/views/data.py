"""The data and what the audit found in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cytolens.report.run_folder import RunFolder
from cytolens.report.text import TIMES, UNDEFINED, counted, number, percent, thousands
from cytolens.report.views.picture import Picture

EXAMPLES = 4  # images shown of a class
_CLASSES_SHOWN = 12
_PAIRS_SHOWN = 3
_NAMED = 5


@dataclass(frozen=True)
class Pair:
    """Two images that are nearly or exactly the same."""

    first: Picture
    second: Picture
    names: tuple[str, str]
    how: str


@dataclass(frozen=True)
class Data:
    """`facts` are (what, value); `findings` sentences with the ids they speak of."""

    name: str
    facts: list[tuple[str, str]]
    warnings: list[str]
    findings: list[tuple[str, list[str]]]
    pairs: list[Pair]
    examples: list[tuple[str, list[Picture]]]

    def pictures(self) -> Iterator[Picture]:
        for pair in self.pairs:
            yield from (pair.first, pair.second)
        for _, pictures in self.examples:
            yield from pictures


def data(run: RunFolder) -> Data | None:
    """Return what `audit.json` says, and some images of each class; None without an audit."""
    audit = run.audit
    if audit is None:
        return None
    return Data(
        name=str(audit.get("name", "")),
        facts=list(_facts(audit)),
        warnings=[str(warning) for warning in audit.get("warnings") or []],
        findings=list(_findings(audit)),
        pairs=_pairs(run, audit.get("duplicates") or {}),
        examples=_examples(run),
    )


def _facts(audit: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Images", thousands(audit.get("images"))
    yield "Classes", thousands(len(audit.get("classes") or {}))
    if audit.get("imbalance") is not None:
        yield "Largest to smallest class", f"{number(audit['imbalance'], 1)} to 1"
    groups = audit.get("groups") or {}
    if groups.get("present"):
        largest = counted(groups.get("largest") or 0, "image")
        yield "Groups (patients, slides)", f"{thousands(groups.get('count'))}, at most {largest}"
    else:
        yield "Groups (patients, slides)", "not known"
    sizes = audit.get("sizes") or {}
    if sizes.get("median"):
        low, middle, high = (_size(sizes.get(key)) for key in ("min", "median", "max"))
        span = middle if low == high else f"{low} to {high}, median {middle}"
        yield f"Width {TIMES} height (px)", span
    recommended = sizes.get("recommended")
    if recommended:
        size = f"{recommended['width']} {TIMES} {recommended['height']}"
        yield "Recommended input (px)", f"{size}: {recommended.get('why', '')}".rstrip(": ")


def _size(size: Any) -> str:
    return f"{thousands(size[0])} {TIMES} {thousands(size[1])}" if size else UNDEFINED


def _findings(audit: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    problems = audit.get("problems") or {}
    if problems:
        said = [f"{name}: {reason}" for name, reason in problems.items()]
        yield f"{counted(len(problems), 'image')} cannot be used", _some(said)
    duplicates = audit.get("duplicates") or {}
    kinds = (
        ("exact", "exact duplicate", "exact duplicates"),
        ("near", "near duplicate", "near duplicates"),
        ("across_labels", "duplicate under two labels", "duplicates under two labels"),
        ("across_groups", "duplicate in two groups", "duplicates in two groups"),
    )
    for key, one, many in kinds:
        if found := duplicates.get(key):
            yield counted(len(found), one, many), _some([_joined(pair) for pair in found])
    if mixed := (audit.get("groups") or {}).get("mixed_labels"):
        yield counted(len(mixed), "group") + " with several labels", _some(list(map(str, mixed)))
    if siblings := audit.get("siblings"):
        sets = [f"{' · '.join(map(str, s['rows'][:4]))} ({s['how']})" for s in siblings]
        yield counted(len(siblings), "set") + " of augmented siblings", _some(sets)
    for mark in audit.get("artefacts") or []:
        yield _artefact(mark), []
    for reason in audit.get("leaks") or []:
        yield str(reason), []


def _joined(pair: Any) -> str:
    if not isinstance(pair, (list, tuple)):
        return str(pair)
    return " = ".join(str(name) for name in pair[:2])


def _artefact(mark: Mapping[str, Any]) -> str:
    x0, y0, x1, y1 = (percent(edge, 0) for edge in mark["region"])
    warning = ": a model can read the class off it" if mark["class"] else ""
    return (
        f"{percent(mark['share'], 0)} of the images of {mark['class'] or 'all classes'} carry the "
        f"same {mark.get('kind', 'mark')}, {x0} to {x1} across and {y0} to {y1} down{warning}"
    )


def _some(names: list[str]) -> list[str]:
    """Return the first few, and how many more there are."""
    more = len(names) - _NAMED
    return [*names[:_NAMED], f"… {thousands(more)} more"] if more > 0 else names


def _pairs(run: RunFolder, duplicates: Mapping[str, Any]) -> list[Pair]:
    """Show pairs that matter most: across labels and groups, then near, then exact."""
    found: dict[tuple[str, str], Pair] = {}
    for key in ("across_labels", "across_groups", "near", "exact"):
        for pair in duplicates.get(key) or []:
            if not isinstance(pair, (list, tuple)) or len(pair) < 2 or len(found) == _PAIRS_SHOWN:
                continue
            first, second = str(pair[0]), str(pair[1])
            close = f"correlation {number(pair[2])}" if len(pair) > 2 else "the same file"
            where = {"across_labels": "two labels, ", "across_groups": "two groups, "}.get(key, "")
            one, other = (Picture(run.index.file(name), name) for name in (first, second))
            found.setdefault((first, second), Pair(one, other, (first, second), where + close))
    return list(found.values())


def _examples(run: RunFolder) -> list[tuple[str, list[Picture]]]:
    """Return images evenly spaced over the rows of each class, so that several groups show."""
    rows: dict[str, list[str]] = {name: [] for name in run.classes}
    for row in run.rows:
        if row.get("label") in rows and not row.get("parent"):
            rows[row["label"]].append(row["image"])
    shown = []
    for name in run.classes[:_CLASSES_SHOWN]:
        step = max(1, len(rows[name]) // EXAMPLES)
        chosen = rows[name][::step][:EXAMPLES]
        shown.append((name, [Picture(run.path / image, f"{name}: {image}") for image in chosen]))
    return [(name, pictures) for name, pictures in shown if pictures]
