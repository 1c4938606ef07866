"""Whether sets of predictions speak of the same images, and what they share where they do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cytolens.core.errors import InputError
from cytolens.evaluation.checks import counted
from cytolens.evaluation.predictions import Predictions


def require_same_classes(named: Mapping[str, Predictions]) -> None:
    """Refuse sets whose classes differ, in names or in order."""
    classes = {name: ", ".join(one.classes) for name, one in named.items()}
    if len(set(classes.values())) > 1:
        raise InputError(
            "The runs have different classes.",
            rows=[f"{name}: {text}" for name, text in classes.items()],
            expected="the same classes in the same order",
            fix="run them with the same data.classes and labels (data.label_map).",
        )


def require_same_images(named: Mapping[str, Predictions]) -> None:
    """Refuse sets that differ in classes, images, labels or units.

    Raises:
        InputError: naming what differs from the first set, and how many images all share.
    """
    require_same_classes(named)
    (name, first), *others = named.items()
    known = truths(first)
    shared = set.intersection(*(set(one.ids) for one in named.values()))
    for other, one in others:
        found = truths(one)
        if found == known:
            continue
        rows = [f"{i}: only in {name}" for i in sorted(known.keys() - found.keys())]
        rows += [f"{i}: only in {other}" for i in sorted(found.keys() - known.keys())]
        rows += [
            f"{i}: {_truth(first, known[i])} in {name}, {_truth(one, found[i])} in {other}"
            for i in sorted(known.keys() & found.keys())
            if known[i] != found[i]
        ]
        raise InputError(
            f"{name} and {other} differ in {counted(len(rows), 'image')}; "
            f"all runs share {counted(len(shared), 'image')}.",
            rows=rows,
            expected="predictions of the same images with the same labels and units",
            fix=_way_out(len(shared), known.keys() == found.keys()),
        )


def _way_out(shared: int, same_ids: bool) -> str:
    if same_ids:
        return "run them on one manifest: an image has one label and one unit."
    return "compare on the shared images (--common)." if shared else "run them on the same data."


def truths(predictions: Predictions) -> dict[str, tuple[int, str]]:
    """Return label and unit of each image."""
    labels = predictions.labels.tolist()
    return dict(zip(predictions.ids, zip(labels, predictions.units, strict=True), strict=True))


def _truth(predictions: Predictions, truth: tuple[int, str]) -> str:
    return f"{predictions.classes[truth[0]]} of unit {truth[1]}"


def common_images(named: Mapping[str, Predictions]) -> dict[str, Predictions]:
    """Return the sets on the images that all of them predict.

    Images that share a unit in any set share one in the result: units are joined, which can only
    widen intervals.

    Raises:
        InputError: different classes, no shared image, or another label for the same image.
    """
    require_same_classes(named)
    shared = set.intersection(*(set(one.ids) for one in named.values()))
    if not shared:
        raise InputError(
            "The runs share no image.",
            rows=[f"{name}: {counted(one.images, 'image')}" for name, one in named.items()],
            fix="run them on the same data; images are told by their ids.",
        )
    kept = {
        name: one.select([row for row, i in enumerate(one.ids) if i in shared])
        for name, one in named.items()
    }
    units = _joined_units([truths(one) for one in kept.values()])
    return {
        name: Predictions(**(_columns(one) | {"units": [units[i] for i in one.ids]}))
        for name, one in kept.items()
    }


def _columns(predictions: Predictions) -> dict[str, Any]:
    return dict(vars(predictions))


def _joined_units(tables: list[dict[str, tuple[int, str]]]) -> dict[str, str]:
    """Return a unit for each image: connected where any of the tables connects."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ids = sorted(tables[0])
    nodes: dict[tuple[int, str], int] = {}
    pairs = [
        (row, nodes.setdefault((number, table[name][1]), len(nodes)))
        for number, table in enumerate(tables)
        for row, name in enumerate(ids)
    ]
    images, units = np.array(pairs, np.int64).T  # each [images · tables]
    size = len(ids) + len(nodes)
    edges = coo_array((np.ones(len(images)), (images, units + len(ids))), shape=(size, size))
    _, component = connected_components(edges, directed=False)
    first: dict[int, str] = {}
    for row, name in enumerate(ids):
        first.setdefault(int(component[row]), tables[0][name][1])
    return {name: first[int(component[row])] for row, name in enumerate(ids)}
