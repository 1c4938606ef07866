"""Maps as colours over the picture they explain: transparent where the map is zero.

A map is coloured by its share of its own largest magnitude, which is printed beside it, and is as
opaque as it is large. Maps that only speak for the target are coloured by viridis; signed ones by
a pair of ramps that are linear in CIELAB and equally light at equal magnitude, orange for, blue
against. Grey prints lose the sign, so that lines tell it (`strongest`).
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cytolens.report.explanations import Map
from cytolens.report.palette import COLOURS, INK, PAPER, RED

OPAQUE = 0.85  # at the largest magnitude
_RISE = 0.6  # exponent of the opacity over the magnitude: below 1, faint parts are still seen
TOP = 0.2  # share of the picture within the line
FOR, AGAINST = COLOURS[2], RED  # superpixels; the green is a bluish one, the red is striped
POSITIVE_SHOWN, SIGNED_SHOWN = 5, 10  # superpixels; the numbers of LIME's own examples
_GRID = 28  # cells a side over which a map is averaged before its line is drawn
_DIM = 0.8  # how much of the rest is covered where only positive superpixels are shown
_STRIPES = 16  # across the picture, over superpixels that speak against
_NEUTRAL, _ORANGE, _BLUE = (96.0, 0.0, 0.0), (66.0, 32.0, 70.0), (66.0, -6.0, -46.0)  # CIELAB

Layer = NDArray[np.uint8]  # [H, W, 4], to be laid over the picture


@cache
def ramp(signed: bool) -> NDArray[np.float64]:
    """Return the colours from the smallest to the largest value, float64 [256, 3] in 0…1.

    Of a signed ramp the first half speaks against, the second for.
    """
    if not signed:
        import matplotlib

        return np.asarray(matplotlib.colormaps["viridis"](np.linspace(0, 1, 256)))[:, :3]
    steps = np.linspace(0, 1, 128)[:, None]  # [128, 1]
    against, speaks_for = (
        _srgb(np.array(_NEUTRAL) * (1 - steps) + np.array(end) * steps) for end in (_BLUE, _ORANGE)
    )
    return np.concatenate([against[::-1], speaks_for])


def _srgb(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIELAB (D65) → sRGB in 0…1, clipped (CIE 15:2004; IEC 61966-2-1)."""
    y = (lab[:, 0] + 16) / 116
    f = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], axis=1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    xyz *= np.array([0.95047, 1.0, 1.08883])
    matrix = np.array(
        [
            [3.2406, -1.5372, -0.4986],
            [-0.9689, 1.8758, 0.0415],
            [0.0557, -0.2040, 1.0570],
        ]
    )
    linear = np.clip(xyz @ matrix.T, 0, 1)
    curved = 1.055 * linear ** (1 / 2.4) - 0.055
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, curved), np.float64)


def heat(map: Map, *, signed: bool, largest: float | None = None, levels: int = 255) -> Layer:
    """Return a map as colours: opacity grows with the magnitude, and is 0 where that is 0.

    Args:
        map: the map; values below 0 are drawn only of signed ones.
        signed: whether the method speaks against the target too.
        largest: magnitude at the end of the scale; the map's own unless it was resized.
        levels: of opacity; few of them make a small file.
    """
    values = map.values if signed else np.maximum(map.values, 0)
    share = values / (largest or map.largest or 1.0)
    seen = np.rint(np.minimum(np.abs(share), 1) ** _RISE * levels) / levels
    steps = np.sign(share) * seen ** (1 / _RISE)  # [-1, 1]
    at = (steps + 1) / 2 if signed else steps
    colours = ramp(signed)[np.rint(at * 255).astype(np.int64)]  # [H, W, 3]
    layer: Layer = np.rint(255 * np.dstack([colours, OPAQUE * seen])).astype(np.uint8)
    return layer


def full(map: Map, *, signed: bool, largest: float | None = None) -> NDArray[np.uint8]:
    """Return the map alone, without the picture: uint8 [H, W, 3]; arguments as for `heat`."""
    share = (map.values if signed else np.maximum(map.values, 0)) / (largest or map.largest or 1.0)
    at = (share + 1) / 2 if signed else share
    return np.rint(255 * ramp(signed)[np.rint(at * 255).astype(np.int64)]).astype(np.uint8)


def strongest(map: Map) -> NDArray[np.float32]:
    """Return the map as its line is drawn: values above 1 lie within, below -1 within, but against.

    The map is averaged over 28 cells a side, so that the line of a noisy map can be followed; the
    line then holds the fifth of the picture with the largest magnitude, or all of the map where it
    covers less.

    Returns:
        float32 [H, W].
    """
    height, width = map.values.shape
    small = Image.fromarray(map.values).resize((_GRID, _GRID), Image.Resampling.BOX)
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))
    level = max(float(np.quantile(np.abs(smooth), 1 - TOP)), 0.02 * map.largest)
    return np.asarray(smooth / (level or 1.0), np.float32)


def weights(map: Map) -> NDArray[np.float64]:
    """Return the weight of each superpixel: the mean of the map over it, float64 [segments]."""
    assert map.segments is not None
    numbers = map.segments.ravel()
    sums = np.bincount(numbers, map.values.ravel())
    return np.asarray(sums / np.maximum(np.bincount(numbers), 1))


def chosen(map: Map, *, positive: bool) -> list[int]:
    """Return the superpixels that are shown, the strongest first: for the target alone, or both."""
    found = weights(map)
    if positive:
        order = np.argsort(-found, kind="stable")[:POSITIVE_SHOWN]
        return [int(i) for i in order if found[i] > 0]
    order = np.argsort(-np.abs(found), kind="stable")[:SIGNED_SHOWN]
    return [int(i) for i in order if found[i] != 0]


def superpixels(map: Map, *, positive: bool) -> Layer:
    """Return superpixels as the papers show LIME: the best alone, or green for and red against.

    Ribeiro et al. (2016), https://doi.org/10.1145/2939672.2939778. Those against are striped, and
    all are bordered, for prints in grey.

    Args:
        map: with segments.
        positive: show those that speak for the target, and dim the rest.
    """
    assert map.segments is not None
    shown, height, width = chosen(map, positive=positive), *map.values.shape
    layer = np.zeros((height, width, 4), np.uint8)
    if positive:
        layer[~np.isin(map.segments, shown)] = _rgba(PAPER, _DIM)
    else:
        found = weights(map)
        y, x = np.indices((height, width))
        stripes = (x + y) * _STRIPES % (2 * width) < 0.5 * width
        for number in shown:
            inside = map.segments == number
            opacity = 0.2 + 0.45 * abs(found[number]) / np.abs(found).max()
            layer[inside] = _rgba(FOR if found[number] > 0 else AGAINST, opacity)
            if found[number] < 0:
                layer[inside & stripes] = _rgba(INK, 0.55)
    kept = np.where(np.isin(map.segments, shown), map.segments, -1)
    _draw_line(layer, kept)
    return layer


def _rgba(colour: str, opacity: float) -> NDArray[np.uint8]:
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.array([*rgb, round(255 * opacity)], np.uint8)


def _draw_line(layer: Layer, areas: NDArray[np.int32], dashes: bool = False) -> None:
    """Draw the borders of numbered areas: light outside of a dark line, so that both papers do."""
    edge = np.zeros(areas.shape, bool)
    edge[:, 1:] |= areas[:, 1:] != areas[:, :-1]
    edge[1:] |= areas[1:] != areas[:-1]
    wide = edge.copy()
    wide[:, :-1] |= edge[:, 1:]
    wide[:-1] |= edge[1:]
    y, x = np.indices(areas.shape)
    drawn = (x // 4 + y // 4) % 2 == 0 if dashes else np.ones(areas.shape, bool)
    layer[wide & drawn] = _rgba(PAPER, 0.9)
    layer[edge & drawn] = _rgba(INK, 0.9)


def lined(layer: Layer, map: Map) -> Layer:
    """Return the layer with the line of `strongest`, dashed where the map speaks against."""
    found, drawn = strongest(map), layer.copy()
    _draw_line(drawn, (found > 1).astype(np.int32))
    _draw_line(drawn, (found < -1).astype(np.int32), dashes=True)
    return drawn


def blend(picture: NDArray[np.uint8], layer: Layer) -> NDArray[np.uint8]:
    """Lay a layer over a picture, both [H, W, …]; where it is transparent the picture stays."""
    opacity = layer[..., 3:] / 255.0
    mixed = (1 - opacity) * picture + opacity * layer[..., :3]
    return np.rint(mixed).astype(np.uint8)


def resized(map: Map, side: int) -> Map:
    """Return the map at most `side` px a side; its values are averaged, its superpixels picked."""
    height, width = map.values.shape
    scale = min(1.0, side / max(height, width))
    size = max(1, round(scale * width)), max(1, round(scale * height))
    values = np.asarray(Image.fromarray(map.values).resize(size, Image.Resampling.BOX))
    if map.segments is None:
        return Map(values, None)
    picked = Image.fromarray(map.segments).resize(size, Image.Resampling.NEAREST)
    return Map(values, np.asarray(picked))


def png(layer: Layer) -> bytes:
    """Return a layer of at most 256 colours as a PNG with a palette and its opacities."""
    flat = np.ascontiguousarray(layer).view(np.uint32)[..., 0]  # [H, W], a colour a number
    colours, at = np.unique(flat, return_inverse=True)
    assert len(colours) <= 256
    table = colours.view(np.uint8).reshape(-1, 4)
    image = Image.fromarray(at.reshape(flat.shape).astype(np.uint8))
    image.putpalette(table[:, :3].tobytes())
    content = io.BytesIO()
    image.save(content, "PNG", transparency=table[:, 3].tobytes(), optimize=True)
    return content.getvalue()
