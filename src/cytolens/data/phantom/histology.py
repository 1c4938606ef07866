"""Breast tissue, haematoxylin and eosin: fibrous stroma, glands or nests, many nuclei."""

from __future__ import annotations

import cv2
import numpy as np

from cytolens.data.phantom.canvas import CYTOPLASM, Patch
from cytolens.data.phantom.kind import BASE_SIZE, Feature, Kind, Scene
from cytolens.data.phantom.nucleus import Chromatin, paint_nucleus
from cytolens.data.phantom.shapes import Field, Points, blob, rotate, smooth_noise

_HAEMATOXYLIN, _EOSIN, _EPITHELIUM = range(3)
_STAINS = (
    (0.88, 0.98, 0.42),  # haematoxylin
    (0.20, 0.62, 0.26),  # eosin: collagen
    (0.36, 0.62, 0.26),  # epithelial cytoplasm: eosin with a little haematoxylin
)


def _paint_stroma(scene: Scene) -> float:
    """Fill the field with wavy fibres and clefts; return their direction in radians."""
    rng, size = scene.rng, scene.canvas.size
    angle = rng.uniform(0, np.pi)
    long, short = 24 * scene.scale, 2.6 * scene.scale
    side = int(size * 1.5)
    fibres = cv2.resize(
        rng.standard_normal((int(side / short) + 2, int(side / long) + 2), dtype=np.float32),
        (side, side),
        interpolation=cv2.INTER_CUBIC,
    )
    wave = smooth_noise(rng, size, size, 30 * scene.scale) * np.float32(4 * scene.scale)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) - np.float32(size / 2)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    map_x, map_y = c * x + s * y + side / 2, -s * x + c * y + wave + side / 2
    fibre = cv2.remap(fibres, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    patches = smooth_noise(rng, size, size, 22 * scene.scale)
    fine = smooth_noise(rng, size, size, 1.7 * scene.scale)
    amount = 0.74 + 0.17 * fibre + 0.13 * patches + 0.10 * fine
    cleft = np.clip((fibre + 0.9 * patches - 1.7) * 1.6, 0, 1)
    amount = np.clip(amount, 0.12, 2.0) * (1 - 0.85 * cleft)
    scene.canvas.od += amount.astype(np.float32)[..., None] * scene.stains[_EOSIN]
    return float(angle)


def _chromatin(scene: Scene, dark: float = 0.0) -> Chromatin:
    t, grain = scene.traits, scene.look.one("grain")
    spread = 0.16 + 0.035 * (t["pleomorphism"] + 2)
    density = 0.68 * np.exp(
        0.15 * t["hyperchromasia"] + spread * scene.rng.standard_normal() + dark
    )
    return Chromatin(
        colour=scene.stains[_HAEMATOXYLIN],
        density=float(np.clip(density, 0.3, 2.2)),
        contrast=float(np.clip(0.28 * np.exp(0.35 * t["texture"] + 0.1 * grain), 0.05, 0.65)),
        clump=scene.scale * float(np.clip(1.9 + 0.2 * t["texture"], 1.3, 3.0)),
        membrane=0.7,
        nucleoli=float(np.clip(0.35 + 0.35 * t["texture"], 0.0, 1.5)),
    )


def _radius(scene: Scene) -> float:
    """Draw the radius of an epithelial nucleus in px."""
    t = scene.traits
    spread = float(np.clip(0.12 + 0.045 * t["pleomorphism"], 0.04, 0.30))
    zoom = scene.scale * float(np.exp(0.07 * scene.look.one("zoom")))
    drawn = 5.6 * np.exp(0.13 * t["size"] + spread * scene.rng.standard_normal())
    return zoom * float(np.clip(drawn, 2.5, 12.0))


def _place_nuclei(
    scene: Scene, inside: Patch, rim: Points, order: float
) -> list[tuple[Points, float]]:
    """Return centres and radii of nuclei, along `rim` or anywhere `inside`, without heaps."""
    rng = scene.rng
    crowd = float(np.clip(0.95 + 0.13 * scene.traits["crowding"], 0.6, 1.5))
    area = float(inside.alpha.sum())
    usual = 5.3 * scene.scale
    wanted = int(np.clip(crowd * area / (7.0 * usual**2), 1, 110))
    found: list[tuple[Points, float]] = []
    centres = np.empty((0, 2))
    radii = np.empty(0)
    for step in range(wanted * 4):
        radius = _radius(scene)
        if rng.random() < order:
            along = rim[int((step * 0.618 % 1) * len(rim))]
            place = along + rng.normal(0, 0.8 * scene.scale, 2)
        else:
            place = rng.uniform(
                (inside.columns.start, inside.rows.start), (inside.columns.stop, inside.rows.stop)
            )
            row, column = int(place[1]) - inside.rows.start, int(place[0]) - inside.columns.start
            if inside.alpha[min(row, inside.shape[0] - 1), min(column, inside.shape[1] - 1)] < 0.9:
                continue
        room = (radii + radius) * (1.04 - 0.14 * crowd)
        if (np.hypot(*(centres - place).T) < room).any():
            continue
        found.append((place, radius))
        centres, radii = np.vstack([centres, place]), np.append(radii, radius)
        if len(found) >= wanted:
            break
    return found


def _paint_epithelium(scene: Scene, place: Points, radius: float) -> None:
    """Paint a gland (nuclei in a ring about a lumen) or, with less order, a solid nest."""
    rng, canvas = scene.rng, scene.canvas
    order = float(1 / (1 + np.exp(-1.5 * scene.traits["gland"])))
    shape = blob(rng, 1.0, irregularity=0.08 + 0.07 * (1 - order), elongation=rng.uniform(1, 1.7))
    patch = canvas.patch(shape * radius + place)
    if patch is None or patch.alpha.sum() < 30:
        return
    fuzzy = Patch(patch.rows, patch.columns, patch.soft(1.6 * scene.scale))
    canvas.thin(fuzzy, 0.92)
    uneven = 0.86 + 0.22 * smooth_noise(rng, *patch.shape, 5 * scene.scale)
    uneven += 0.18 * smooth_noise(rng, *patch.shape, 1.8 * scene.scale)
    canvas.add(fuzzy, np.clip(uneven, 0.2, 2).astype(np.float32), scene.stains[_EPITHELIUM])
    canvas.label(patch, CYTOPLASM)
    hollow = float(np.clip(0.62 * order - 0.08, 0.0, 0.6)) * rng.uniform(0.75, 1.1)
    if hollow * radius > 3 * scene.scale:
        lumen = canvas.patch(shape * radius * hollow + place)
        if lumen is not None:
            canvas.thin(lumen, lumen.soft(0.7) * np.float32(0.93))
            canvas.label(lumen, 0)
            inside = _without(patch, lumen)
        else:
            inside = patch
    else:
        inside = patch
    rim = shape * max(radius * 0.5 * (1 + hollow), radius - 9 * scene.scale) + place
    for at, r in _place_nuclei(scene, inside, rim, 0.95 * order**1.5):
        _paint_epithelial(
            scene, at, r, order, float(np.arctan2(at[1] - place[1], at[0] - place[0]))
        )


def _without(patch: Patch, hole: Patch) -> Patch:
    """Return `patch` minus the part that `hole` covers."""
    alpha: Field = patch.alpha.copy()
    top, left = patch.rows.start, patch.columns.start
    rows = slice(max(hole.rows.start - top, 0), max(hole.rows.stop - top, 0))
    columns = slice(max(hole.columns.start - left, 0), max(hole.columns.stop - left, 0))
    part = alpha[rows, columns]
    part *= 1 - hole.alpha[: part.shape[0], : part.shape[1]]
    return Patch(patch.rows, patch.columns, alpha)


def _paint_epithelial(
    scene: Scene, place: Points, radius: float, order: float, outward: float
) -> None:
    """Paint one epithelial nucleus; in an ordered gland its long axis points to the lumen."""
    rng, t = scene.rng, scene.traits
    bumps = float(np.clip(0.05 * np.exp(0.4 * t["membrane"]), 0.015, 0.18))
    stretch = 1.15 + abs(rng.normal(0, 0.12 + 0.04 * (t["pleomorphism"] + 2)))
    if rng.random() < order:
        round_one = blob(rng, radius, irregularity=bumps, points=28)
        long = np.sqrt(stretch * 1.1)
        outline = rotate(rotate(round_one, -outward) * (long, 1 / long), outward)
    else:
        outline = blob(rng, radius, irregularity=bumps, elongation=min(stretch, 2.2), points=28)
    dark = 0.4 if rng.random() < 0.04 + 0.03 * max(t["pleomorphism"], 0) else 0.0
    paint_nucleus(scene.canvas, outline + place, _chromatin(scene, dark), rng, labelled=True)


def _paint_stromal_nuclei(scene: Scene, angle: float) -> None:
    """Add spindle-shaped fibroblasts along the fibres and a few round dark lymphocytes."""
    rng, size = scene.rng, scene.canvas.size
    for _ in range(int(rng.poisson(11))):
        spindle = blob(rng, 3.4 * scene.scale, points=20)
        outline = rotate(spindle * (1.9, 0.5), angle + rng.normal(0, 0.2))
        place = rng.uniform(0, size, 2)
        paint_nucleus(scene.canvas, outline + place, _chromatin(scene, 0.1), rng, labelled=True)
    clutter = float(np.exp(0.4 * scene.look.one("clutter")))
    for _ in range(min(int(rng.poisson(3 * clutter)), 15)):
        outline = blob(rng, 3.4 * scene.scale, irregularity=0.03, points=18)
        place = rng.uniform(0, size, 2)
        paint_nucleus(scene.canvas, outline + place, _chromatin(scene, 0.45), rng, labelled=True)


def paint(scene: Scene) -> None:
    """Paint one field: stroma with its nuclei, then one to four glands or nests over it."""
    rng, size = scene.rng, scene.canvas.size
    angle = _paint_stroma(scene)
    _paint_stromal_nuclei(scene, angle)
    order = 1 / (1 + np.exp(-1.5 * scene.traits["gland"]))
    count = 1 + int(rng.poisson(0.8 + 0.9 * (1 - order)))
    corner = rng.uniform(0, 2 * np.pi)
    for i in range(min(count, 4)):
        off = np.array([np.cos(corner + 2.2 * i), np.sin(corner + 2.2 * i)])
        place = size / 2 + off * size * (
            rng.uniform(0.02, 0.2) if i == 0 else rng.uniform(0.4, 0.6)
        )
        _paint_epithelium(scene, place, scene.scale * rng.uniform(34, 54))


BREAST = Kind(
    title="Breast tissue, haematoxylin and eosin",
    classes=("benign", "malignant"),
    features={
        "size": Feature("nucleus", (-0.6, 0.6)),
        "pleomorphism": Feature("nucleus", (-0.7, 0.7)),
        "crowding": Feature("nucleus", (-0.5, 0.5)),
        "hyperchromasia": Feature("nucleus", (-0.4, 0.4)),
        "texture": Feature("nucleus", (-0.5, 0.5)),
        "membrane": Feature("nucleus", (-0.4, 0.4)),
        "gland": Feature("cytoplasm", (0.8, -0.8)),
    },
    stains=_STAINS,
    white=(0.94, 0.92, 0.94),
    blur=0.7,
    um_per_px=75 / BASE_SIZE,
    paint=paint,
)
