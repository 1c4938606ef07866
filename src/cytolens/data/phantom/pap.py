"""Papanicolaou smears: a squamous cell in the middle, neighbours and debris around it.

What a feature means follows the Bethesda criteria (nuclear size, nucleus/cytoplasm ratio,
hyperchromasia, chromatin grain, nuclear membrane, koilocytic halo, keratinisation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cytolens.data.phantom.canvas import CYTOPLASM, Canvas, Patch
from cytolens.data.phantom.kind import BASE_SIZE, Feature, Kind, Scene
from cytolens.data.phantom.nucleus import Chromatin, paint_lobed, paint_nucleus, soften
from cytolens.data.phantom.shapes import Field, Points, blob, smooth_noise, squame

_HAEMATOXYLIN, _GREEN, _EOSIN, _ORANGE = range(4)
_STAINS = (
    (1.05, 1.10, 0.70),  # haematoxylin, regressive: blue-black
    (0.52, 0.25, 0.25),  # light green: cyanophilic cytoplasm
    (0.12, 0.52, 0.34),  # eosin Y: pink cytoplasm
    (0.05, 0.42, 0.78),  # orange G: keratin
)


@dataclass(frozen=True)
class _Cell:
    """One squamous cell, in px and optical density."""

    nucleus: float  # radius
    body: float  # radius
    flatness: float  # 0 small and round, 1 large, thin and many-cornered
    elongation: float
    irregularity: float  # of the nuclear membrane
    chromatin: Chromatin
    halo: float  # 0…1
    colour: Field  # [3] of the cytoplasm
    thickness: float
    rough: float  # granularity of the cytoplasm


def _cell(scene: Scene, traits: dict[str, float]) -> _Cell:
    """Turn features (in deviations) into lengths and densities."""
    grain, zoom = scene.look.one("grain"), float(np.exp(0.07 * scene.look.one("zoom")))
    nucleus = 11.2 * scene.scale * zoom * float(np.exp(0.175 * traits["size"]))
    ratio = float(np.clip(0.145 * np.exp(0.62 * traits["nc_ratio"]), 0.022, 0.66))
    body = float(np.clip(nucleus / np.sqrt(ratio), nucleus * 1.2, 64 * scene.scale))
    flat = float(np.clip((body / scene.scale - 24) / 22, 0, 1))
    chromatin = Chromatin(
        colour=scene.stains[_HAEMATOXYLIN],
        density=float(0.70 * np.exp(0.20 * traits["hyperchromasia"])),
        contrast=float(np.clip(0.21 * np.exp(0.42 * traits["texture"] + 0.1 * grain), 0.03, 0.7)),
        clump=scene.scale * float(np.clip(2.3 + 0.42 * traits["texture"], 1.3, 3.8)),
        membrane=0.30 + 0.08 * max(traits["membrane"], 0.0),
        nucleoli=float(np.clip(0.25 * traits["texture"], 0.0, 0.8)),
    )
    return _Cell(
        nucleus=nucleus,
        body=body,
        flatness=flat,
        elongation=float(np.clip(1.18 * np.exp(0.17 * traits["shape"]), 1.0, 2.3)),
        irregularity=float(np.clip(0.045 * np.exp(0.55 * traits["membrane"]), 0.01, 0.22)),
        chromatin=chromatin,
        halo=float(np.clip(0.30 * traits["halo"] - 0.05, 0.0, 0.9)),
        colour=_cytoplasm_colour(scene, traits["colour"]),
        thickness=float((1.0 - 0.42 * flat) * np.exp(0.16 * scene.rng.standard_normal())),
        rough=float(np.clip(0.10 * np.exp(0.25 * grain), 0.03, 0.25)),
    )


def _cytoplasm_colour(scene: Scene, z: float) -> Field:
    """Return the density [3] of cytoplasm: green below 0, eosin above, orange G far above."""
    pink = 1 / (1 + np.exp(-2.4 * (z - 0.55)))
    orange = float(np.clip(0.45 * (z - 1.3), 0.0, 0.75))
    green, eosin, keratin = (scene.stains[i] for i in (_GREEN, _EOSIN, _ORANGE))
    mixed = (1 - pink) * green + pink * ((1 - orange) * 1.05 * eosin + orange * keratin)
    return np.asarray(mixed + 0.05 * scene.stains[_HAEMATOXYLIN], dtype=np.float32)


def _paint_cell(scene: Scene, cell: _Cell, place: Points, *, labelled: bool = False) -> None:
    canvas, rng = scene.canvas, scene.rng
    if cell.flatness > rng.uniform(0.15, 0.5):
        outline = squame(rng, cell.body, corners=int(rng.integers(5, 8)), elongation=1.12)
    else:
        outline = blob(rng, cell.body, irregularity=0.085, elongation=cell.elongation)
    patch = canvas.patch(outline + place)
    if patch is None:
        return
    drift = rng.uniform(-0.5, 0.5, 2) * max(cell.body - 1.15 * cell.nucleus, 0) * 0.45
    middle = place + drift
    canvas.add(patch, _cytoplasm(scene, cell, patch), cell.colour)
    if cell.flatness > 0.4:
        _paint_folds(scene, cell, place)
    if labelled:
        canvas.label(patch, CYTOPLASM)
    if cell.halo > 0.02:
        _paint_halo(canvas, cell, middle, rng)
    stretch = 1 + 0.5 * (cell.elongation - 1) + abs(rng.normal(0, 0.07))
    nucleus = blob(
        rng, cell.nucleus, irregularity=cell.irregularity, elongation=stretch, roughness=1.4
    )
    paint_nucleus(canvas, nucleus + middle, cell.chromatin, rng, labelled=labelled)


def _cytoplasm(scene: Scene, cell: _Cell, patch: Patch) -> Field:
    """Return the thickness [h, w] of cytoplasm: uneven, grainy, thickest in small round cells."""
    height, width = patch.shape
    wide = smooth_noise(scene.rng, height, width, max(cell.body * 0.45, 3.0))
    fine = smooth_noise(scene.rng, height, width, 1.6 * scene.scale)
    dome = patch.soft(max(cell.body * 0.28, 1.0))
    rim = patch.edge(1.5 * scene.scale)
    round_part = (1 - cell.flatness) * (0.55 * dome + 0.35)
    amount = round_part + cell.flatness * 0.85 + 0.16 * wide + cell.rough * fine + 0.24 * rim
    return np.asarray(np.maximum(amount, 0.12) * np.float32(cell.thickness), dtype=np.float32)


def _paint_folds(scene: Scene, cell: _Cell, place: Points) -> None:
    """Crease thin cells with a few dark straight folds."""
    rng = scene.rng
    for _ in range(int(rng.poisson(1.8))):
        angle, length = rng.uniform(0, np.pi), cell.body * rng.uniform(0.4, 1.2)
        way = np.array([np.cos(angle), np.sin(angle)])
        side = np.array([-way[1], way[0]])
        start = place + side * cell.body * rng.uniform(-0.6, 0.6) - way * length / 2
        along = np.linspace(0, 1, 9)[:, None]
        curve = start + way * length * along + side * 3 * scene.scale * np.sin(3 * along)
        breadth = scene.scale * rng.uniform(0.7, 1.8) * np.sin(np.pi * along)
        crease = scene.canvas.patch(np.concatenate([curve, (curve + side * breadth)[::-1]]))
        if crease is not None:
            scene.canvas.add(crease, rng.uniform(0.25, 0.6) * cell.thickness, cell.colour)


def _paint_halo(canvas: Canvas, cell: _Cell, middle: Points, rng: np.random.Generator) -> None:
    """Clear the cytoplasm around the nucleus and condense its border, as in koilocytes."""
    reach = min(cell.nucleus * (1.25 + 0.55 * cell.halo), 0.88 * cell.body)
    cavity = canvas.patch(blob(rng, reach, irregularity=0.08, elongation=1.15) + middle, margin=6)
    if cavity is None:
        return
    border = np.maximum(cavity.soft(2.2) - cavity.soft(0.9) * cavity.alpha, 0)
    canvas.od[cavity.rows, cavity.columns] += (
        border[..., None] * cell.colour * np.float32(1.1 * cell.halo)
    )
    canvas.thin(cavity, soften(cavity.alpha, 0.8) * np.float32(0.85 * cell.halo))


def _paint_neighbours(scene: Scene) -> None:
    """Lay one to four cells of about the same sort around the middle, partly out of view."""
    rng, size = scene.rng, scene.canvas.size
    small = max(scene.traits["nc_ratio"], -0.5)
    for _ in range(int(np.clip(rng.poisson(1.4 + 0.8 * small), 0, 4))):
        traits = {k: float(0.7 * v + 0.8 * rng.standard_normal()) for k, v in scene.traits.items()}
        cell = _cell(scene, traits)
        reach = max(cell.body, 20 * scene.scale) * rng.uniform(1.25, 1.9) + 12 * scene.scale
        angle = rng.uniform(0, 2 * np.pi)
        place = size / 2 + reach * np.array([np.cos(angle), np.sin(angle)])
        _paint_cell(scene, cell, place)


def _paint_background(scene: Scene) -> None:
    """Scatter mucus, neutrophils and specks; more of them with inflammation."""
    rng, size, canvas = scene.rng, scene.canvas.size, scene.canvas
    clutter = float(np.exp(0.5 * scene.traits["background"] + 0.3 * scene.look.one("clutter")))
    haze = np.maximum(smooth_noise(rng, size, size, 18 * scene.scale), 0) * np.float32(0.035)
    canvas.od += haze[..., None] * scene.stains[_GREEN] * np.float32(clutter)
    ink = Chromatin(scene.stains[_HAEMATOXYLIN], 0.95, 0.15, 1.6 * scene.scale, nucleoli=0.0)
    for _ in range(min(int(rng.poisson(1.1 * clutter)), 9)):
        paint_lobed(canvas, rng.uniform(0, size, 2), 5.2 * scene.scale, ink, rng)
    for _ in range(min(int(rng.poisson(5.0 * clutter)), 30)):
        speck = blob(rng, scene.scale * 0.7 * rng.lognormal(0, 0.45), irregularity=0.4, points=10)
        patch = canvas.patch(speck + rng.uniform(0, size, 2))
        if patch is not None:
            canvas.add(patch, rng.uniform(0.1, 0.6), scene.stains[_HAEMATOXYLIN])


def paint(scene: Scene) -> None:
    """Paint one field: background, neighbours, and the labelled cell near the middle."""
    _paint_background(scene)
    _paint_neighbours(scene)
    place = scene.canvas.size / 2 + scene.rng.uniform(-5, 5, 2) * scene.scale
    _paint_cell(scene, _cell(scene, dict(scene.traits)), place, labelled=True)


BETHESDA = Kind(
    title="Pap smear, Bethesda classes",
    classes=("NILM", "LSIL", "HSIL", "SCC"),
    features={
        "size": Feature("nucleus", (-1.7, 1.0, 0.4, 1.0)),
        "nc_ratio": Feature("cytoplasm", (-2.0, -0.7, 1.7, 1.0)),
        "hyperchromasia": Feature("nucleus", (-0.9, 0.1, 0.7, 1.2)),
        "texture": Feature("nucleus", (-0.9, 0.0, 0.7, 1.2)),
        "membrane": Feature("nucleus", (-0.9, -0.1, 0.8, 1.0)),
        "halo": Feature("cytoplasm", (-0.4, 1.4, -0.5, -0.5)),
        "colour": Feature("cytoplasm", (0.4, 0.0, -0.7, 1.0)),
        "shape": Feature("cytoplasm", (-0.4, -0.3, -0.1, 1.4)),
        "background": Feature("background", (-0.4, -0.1, 0.1, 1.0)),
    },
    stains=_STAINS,
    white=(0.86, 0.85, 0.86),
    blur=0.8,
    um_per_px=64 / BASE_SIZE,
    paint=paint,
)

SIPAKMED = Kind(
    title="Pap smear, SIPaKMeD classes",
    classes=(
        "superficial_intermediate",
        "parabasal",
        "koilocytotic",
        "metaplastic",
        "dyskeratotic",
    ),
    features={
        "size": Feature("nucleus", (-2.0, 0.3, 0.9, 0.1, -0.4)),
        "nc_ratio": Feature("cytoplasm", (-2.2, 1.3, -0.5, 0.5, 0.5)),
        "hyperchromasia": Feature("nucleus", (0.1, -0.7, 0.5, -0.4, 1.2)),
        "texture": Feature("nucleus", (-1.0, -0.3, 0.7, 0.0, 0.8)),
        "membrane": Feature("nucleus", (-0.8, -0.7, 0.9, -0.3, 0.8)),
        "halo": Feature("cytoplasm", (-0.7, -0.8, 2.2, -0.7, -0.5)),
        "colour": Feature("cytoplasm", (0.7, -1.0, -0.3, -0.3, 2.1)),
        "shape": Feature("cytoplasm", (-0.3, -0.9, 0.0, 0.9, 0.4)),
        "background": Feature("background", (-0.1, 0.0, 0.0, 0.3, 0.3)),
    },
    stains=_STAINS,
    white=(0.84, 0.83, 0.82),
    blur=0.8,
    um_per_px=64 / BASE_SIZE,
    paint=paint,
)
