"""What a plan knows of the training part and of the machine before it tries anything."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.core.seeding import rng
from cytolens.data.facts import Facts
from cytolens.data.manifest import Manifest
from cytolens.data.reading import read_image
from cytolens.experiments.plan.backbones import Backbones
from cytolens.pixels.steps.macenko import Macenko
from cytolens.splits.units import find_links, find_units
from cytolens.training.loop import device_for

_STAIN_IMAGES = 60  # drawn at most; estimating the stains of one takes some milliseconds

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fingerprint:
    """Facts about the training part (never about test images), and about the machine.

    Attributes:
        side: {min, median, max} of the longer sides in pixels.
        counts: images of each class.
        imbalance: largest class / smallest class.
        unit, units: what must not be split, and how many there are.
        groups: None without a group key.
        near_duplicates: images that have an equal or nearly equal one.
        colour: {between: share of the variance of the mean colour that lies between `by`, by}; by
            is "dataset" or "group"; None where there is neither.
        stain: {degrees: median angle of the stains of an image from the mean stains, images}; None
            where fewer than ten images show two stains.
    """

    images: int
    side: dict[str, int]
    counts: dict[str, int]
    imbalance: float
    unit: str
    units: int
    groups: int | None
    near_duplicates: int
    colour: dict[str, Any] | None
    stain: dict[str, Any] | None
    device: str
    cores: int
    backbones: tuple[str, ...]


def fingerprint(training: Manifest, facts: Facts, backbones: Backbones, seed: int) -> Fingerprint:
    """Take the fingerprint.

    Args:
        training: the training part alone; `facts` are of its images.
        seed: of the drawn images whose stains are estimated.
    """
    links = find_links(training, facts)
    units = find_units(training, links)
    longer = facts.sizes.max(axis=1)
    counts = {name: count for name, count in training.counts().items() if count}
    return Fingerprint(
        images=len(training),
        side={
            "min": int(longer.min()),
            "median": int(np.median(longer)),
            "max": int(longer.max()),
        },
        counts=counts,
        imbalance=round(max(counts.values()) / min(counts.values()), 2),
        unit=units.kind,
        units=len(np.unique(units.of_row)),
        groups=len({r.group for r in training.rows}) if training.has_groups else None,
        near_duplicates=len({row for pair in (*links.exact, *links.near) for row in pair}),
        colour=_colour(training, facts.means),
        stain=_stain(training, seed),
        device=str(device_for()),
        cores=os.cpu_count() or 1,
        backbones=backbones.names,
    )


def _colour(training: Manifest, means: Floats) -> dict[str, Any] | None:
    """Compare datasets, else groups, by the mean colour of their images (eta squared)."""
    for column in ("dataset", "group"):
        values = [row.attribute(column) for row in training.rows]
        if None not in values and 1 < len(set(values)) < len(values):
            _, names = np.unique(np.array(values, dtype=str), return_inverse=True)
            return {"by": column, "between": round(share_between(means, names), 3)}
    return None


def share_between(values: Floats, names: NDArray[np.int64]) -> float:
    """Return the share of the variance of `values` [n, d] between the groups numbered by `names`.

    Eta squared summed over the columns: 0 where the groups' means are equal, 1 where nothing
    varies inside a group; 0 where nothing varies at all.
    """
    total = float(((values - values.mean(axis=0)) ** 2).sum())
    if total == 0:
        return 0.0
    counts = np.bincount(names)
    sums = np.stack([np.bincount(names, weights=column) for column in values.T], axis=1)  # [g, d]
    centres = sums / counts[:, None]
    between = float((counts[:, None] * (centres - values.mean(axis=0)) ** 2).sum())
    return between / total


def _stain(training: Manifest, seed: int) -> dict[str, Any] | None:
    """Estimate the two stains (Macenko et al. 2009) of some images, and how far they scatter."""
    count = min(_STAIN_IMAGES, len(training))
    chosen = rng(seed, "plan", "stain").choice(len(training), count, replace=False)
    estimate = Macenko().estimate
    stains = (estimate(read_image(training.rows[row].image)) for row in chosen.tolist())
    found = [one.vectors for one in stains if one is not None]
    if len(found) < 10:
        return None
    vectors = np.stack(found)  # [n, 3, 2]
    centre = vectors.mean(axis=0)
    centre /= np.linalg.norm(centre, axis=0)
    cosine = np.clip((vectors * centre).sum(axis=1), -1, 1)  # [n, 2]
    degrees = float(np.median(np.degrees(np.arccos(cosine))))
    return {"degrees": round(degrees, 1), "images": len(found)}


def sentences(found: Fingerprint) -> list[str]:
    """Return the fingerprint in words, a line a fact."""
    side = found.side
    classes = ", ".join(f"{name} {count}" for name, count in found.counts.items())
    lines = [
        f"{found.images} training images, longer side {side['min']} to {side['max']} pixels "
        f"(median {side['median']})",
        f"classes: {classes}; largest / smallest {found.imbalance:g}",
    ]
    if found.groups is None:
        lines.append(
            f"no group key: patient leakage cannot be excluded; {found.units} units "
            f"({found.unit}), {found.near_duplicates} images with a near duplicate"
        )
    else:
        lines.append(
            f"{found.groups} groups; {found.units} units that must not be split, "
            f"{found.near_duplicates} images with a near duplicate"
        )
    if found.colour:
        share = found.colour["between"]
        lines.append(
            f"{share:.0%} of the variance of the mean colour lies between {found.colour['by']}s"
        )
    if found.stain:
        lines.append(
            f"the stains of an image lie {found.stain['degrees']:g} degrees from the mean stains "
            f"(median of {found.stain['images']} images)"
        )
    lines.append(f"device {found.device}, {found.cores} cores")
    lines.append(f"weights at hand: {', '.join(found.backbones)}")
    return lines


def require_two_classes(training: Manifest) -> None:
    """Refuse a training part of one class: there is nothing to learn.

    Raises:
        InputError: naming the class.
    """
    present = sorted({row.label for row in training.rows})
    if len(present) < 2:
        raise InputError(
            f"All training images are {', '.join(present)}; a plan needs two classes.",
            fix="choose another --fold, or add images.",
        )
