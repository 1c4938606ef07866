"""Romanowsky-stained blood smears: lymphoid cells among red cells with central pallor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cytolens.data.phantom.canvas import CYTOPLASM, Canvas
from cytolens.data.phantom.kind import BASE_SIZE, Feature, Kind, Scene
from cytolens.data.phantom.nucleus import Chromatin, paint_lobed, paint_nucleus
from cytolens.data.phantom.shapes import Field, Points, blob, smooth_noise

_AZURE, _MAGENTA, _HAEMOGLOBIN, _BASOPHIL = range(4)
_STAINS = (
    (0.80, 1.20, 0.20),  # azure B on chromatin: violet
    (0.32, 1.02, 0.18),  # azure B-eosin: magenta
    (0.44, 0.36, 0.25),  # haemoglobin with eosin, as cameras show it: grey-rose
    (0.50, 0.58, 0.12),  # basophilic cytoplasm: light blue-violet
)


def _paint_red_cell(scene: Scene, place: Points, radius: float, pallor: float) -> None:
    """Paint a biconcave disc at `place` [2], paler in the middle by `pallor` 0…1."""
    rng = scene.rng
    outline = blob(rng, radius, irregularity=0.055, elongation=rng.uniform(1.0, 1.25), points=32)
    patch = scene.canvas.patch(outline + place)
    if patch is None:
        return
    rows = np.arange(patch.rows.start, patch.rows.stop, dtype=np.float32)[:, None] - place[1]
    columns = np.arange(patch.columns.start, patch.columns.stop, dtype=np.float32) - place[0]
    distance = (rows**2 + columns[None, :] ** 2) / np.float32(radius**2)
    disc = 1.05 - np.float32(pallor) * np.exp(-((distance / 0.27) ** 2.2)) + 0.15 * distance
    disc += 0.3 * patch.edge(1.1 * scene.scale)
    amount = np.float32(0.80 * np.exp(0.12 * rng.standard_normal()))
    scene.canvas.add(patch, disc.astype(np.float32) * amount, scene.stains[_HAEMOGLOBIN])


def _paint_red_cells(scene: Scene, taken: list[tuple[Points, float]]) -> None:
    """Strew red cells over a jittered grid, keeping off the places `taken` (centre, radius)."""
    rng, size = scene.rng, scene.canvas.size
    radius = 9.3 * scene.scale * float(np.exp(0.07 * scene.look.one("zoom")))
    step = radius * 2.15
    full = 1 / (1 + np.exp(-(0.2 - 0.35 * scene.traits["background"])))
    full = float(np.clip(full + 0.08 * scene.look.one("clutter"), 0.15, 0.97))
    pallor = float(np.clip(0.78 + 0.18 * scene.look.one("grain"), 0.1, 1.0))
    lines = np.arange(-0.5 * step, size + step, step)
    for y in lines:
        for x in lines:
            place = np.array([x, y]) + rng.uniform(-0.42, 0.42, 2) * step
            here = rng.random() < full
            clear = all(np.hypot(*(place - p)) > r + 0.8 * radius for p, r in taken)
            if here and clear:
                _paint_red_cell(scene, place, radius, pallor * rng.uniform(0.6, 1.25))


def _chromatin(scene: Scene, traits: Mapping[str, float]) -> Chromatin:
    pink = 1 / (1 + np.exp(-1.5 * (traits["colour"] - 0.3)))
    violet, magenta = scene.stains[_AZURE], scene.stains[_MAGENTA]
    contrast = 0.15 * np.exp(0.4 * traits["texture"] + 0.1 * scene.look.one("grain"))
    return Chromatin(
        colour=np.asarray((1 - pink) * violet + pink * magenta, dtype=np.float32),
        density=float(0.66 * np.exp(0.20 * traits["hyperchromasia"])),
        contrast=float(np.clip(contrast, 0.03, 0.5)),
        clump=scene.scale * float(np.clip(2.4 + 0.4 * traits["texture"], 1.4, 4.0)),
        membrane=0.15,
        nucleoli=float(np.clip(0.4 - 0.4 * traits["texture"], 0.0, 1.2)),
    )


def _radii(scene: Scene, traits: Mapping[str, float]) -> tuple[float, float]:
    """Return the radii of nucleus and cell in px."""
    zoom = scene.scale * float(np.exp(0.07 * scene.look.one("zoom")))
    nucleus = 15.0 * zoom * float(np.exp(0.13 * traits["size"]))
    ratio = float(np.clip(0.80 + 0.055 * traits["nc_ratio"], 0.5, 0.95))
    return nucleus, nucleus / float(np.sqrt(ratio))


def _paint_lymphoid(
    scene: Scene, traits: Mapping[str, float], place: Points, *, labelled: bool = False
) -> None:
    rng, canvas = scene.rng, scene.canvas
    radius, body = _radii(scene, traits)
    bumps = float(np.clip(0.035 * np.exp(0.5 * traits["membrane"]), 0.01, 0.16))
    patch = canvas.patch(blob(rng, body, irregularity=0.05, elongation=1.12) + place)
    if patch is None:
        return
    uneven = 0.85 + 0.2 * smooth_noise(rng, *patch.shape, 4 * scene.scale)
    amount = np.maximum(uneven + 0.25 * patch.edge(1.3 * scene.scale), 0.2)
    canvas.add(patch, amount.astype(np.float32) * np.float32(0.75), scene.stains[_BASOPHIL])
    if labelled:
        canvas.label(patch, CYTOPLASM)
    outline = blob(rng, radius, irregularity=bumps, elongation=rng.uniform(1.0, 1.2))
    drift = rng.uniform(-1, 1, 2) * max(body - radius, 0.0) * 0.5
    paint_nucleus(
        canvas, outline + place + drift, _chromatin(scene, traits), rng, labelled=labelled
    )


def _others(scene: Scene, middle: Points) -> list[tuple[dict[str, float], Points]]:
    """Return features and places of further lymphoid cells, none on top of another."""
    rng, size = scene.rng, scene.canvas.size
    expected = 1.3 * np.exp(0.45 * scene.traits["background"])
    found: list[tuple[dict[str, float], Points]] = []
    places = [middle]
    for _ in range(min(int(rng.poisson(expected)), 7)):
        place = rng.uniform(-5, size + 5, 2)
        if all(np.hypot(*(place - p)) > 33 * scene.scale for p in places):
            places.append(place)
            jitter = {
                k: float(0.8 * v + 0.6 * rng.standard_normal()) for k, v in scene.traits.items()
            }
            found.append((jitter, place))
    return found


def _paint_rest(scene: Scene, canvas: Canvas) -> None:
    """Add platelets and, rarely, a neutrophil's lobes or a smudge."""
    rng, size = scene.rng, canvas.size
    ink: Field = scene.stains[_MAGENTA]
    for _ in range(int(rng.poisson(1.6))):
        platelet = blob(rng, scene.scale * rng.uniform(1.2, 2.6), irregularity=0.2, points=16)
        patch = canvas.patch(platelet + rng.uniform(0, size, 2))
        if patch is not None:
            canvas.add(patch, rng.uniform(0.35, 0.8), ink)
    if rng.random() < 0.15:
        smudge = blob(rng, scene.scale * rng.uniform(11, 19), irregularity=0.22, roughness=0.9)
        patch = canvas.patch(smudge + _corner(scene))
        if patch is not None:
            cloud = 0.32 + 0.12 * smooth_noise(rng, *patch.shape, 2.5 * scene.scale)
            canvas.add(patch, np.maximum(cloud, 0.05).astype(np.float32), ink)
    if rng.random() < 0.12:
        lobes = Chromatin(scene.stains[_AZURE], 0.9, 0.2, 2.0 * scene.scale)
        paint_lobed(canvas, _corner(scene), 11 * scene.scale, lobes, rng)


def _corner(scene: Scene) -> Points:
    """Draw a place near one of the corners."""
    return np.where(scene.rng.random(2) < 0.5, 0.1, 0.9) * scene.canvas.size


def paint(scene: Scene) -> None:
    """Paint one field: red cells, further lymphoid cells, and the labelled one near the middle."""
    rng, size = scene.rng, scene.canvas.size
    middle = size / 2 + rng.uniform(-6, 6, 2) * scene.scale
    others = _others(scene, middle)
    taken = [(middle, _radii(scene, scene.traits)[1])]
    taken += [(place, _radii(scene, traits)[1]) for traits, place in others]
    _paint_red_cells(scene, taken)
    _paint_rest(scene, scene.canvas)
    for traits, place in others:
        _paint_lymphoid(scene, traits, place)
    _paint_lymphoid(scene, scene.traits, middle, labelled=True)


ALL = Kind(
    title="Blood smear, acute lymphoblastic leukaemia",
    classes=("benign", "early_pre_b", "pre_b", "pro_b"),
    features={
        "size": Feature("nucleus", (-0.7, -0.4, 1.2, 0.3)),
        "nc_ratio": Feature("cytoplasm", (-1.4, 0.9, 0.4, 0.7)),
        "hyperchromasia": Feature("nucleus", (-0.5, 1.3, 0.4, -1.0)),
        "texture": Feature("nucleus", (1.0, 0.4, -0.4, -1.2)),
        "membrane": Feature("nucleus", (-0.7, 0.9, 0.3, -0.4)),
        "colour": Feature("nucleus", (-0.7, -0.8, -0.3, 1.7)),
        "background": Feature("background", (-0.9, 0.3, 1.0, -0.1)),
    },
    stains=_STAINS,
    white=(1.0, 1.0, 0.985),
    blur=0.75,
    um_per_px=50 / BASE_SIZE,
    paint=paint,
)
