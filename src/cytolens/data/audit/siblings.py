"""Augmented siblings: copies of one picture, told by a column, by file names, or by the pixels."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from cytolens.data.duplicates import close_hashes, clusters, members
from cytolens.data.facts import Facts
from cytolens.data.manifest import Manifest

_WORDS = (
    "aug|augmented|augmentation|rot|rotated|rotate|rotation|flip|flipped|hflip|vflip|fliplr|flipud|"
    "mirror|mirrored|copy|blur|blurred|noise|noisy|bright|brightness|contrast|shear|zoom|zoomed|"
    "shift|shifted|crop|cropped|elastic|jitter"
)
_AUGMENTED = re.compile(rf"(.+?)(?:[ _.-]+(?:{_WORDS})[ _.-]*\d*)+", re.I)  # x_aug_3, x-rot90
_KERAS = re.compile(r"(.+)_0_\d{3,7}")  # x_0_1734: what Keras' save_to_dir writes for one image
_GRID = re.compile(r"(.+)_[1-9]\d*_\d{3,7}")  # x_512_1024: a tile's place, no augmented copy
_NUMBERED = re.compile(r"(.+?) ?\((\d+)\)")  # "x (2)" beside "x": a copy made by a file manager

_TWIN = 0.98  # correlation of a rotated or flipped thumbnail; chance pairs of cells stay below
_TWIN_MARGIN = 0.03  # by which the turned picture must fit better than the picture as it stands
_LOW = 8  # low frequencies of the invariant hash
_FLAT = 64.0  # norm of a centred thumbnail without contrast (two grey levels)


def find_siblings(manifest: Manifest, facts: Facts) -> list[dict[str, Any]]:
    """Return [{rows: [id, …], how}, …], the strongest evidence first."""
    ids = manifest.ids
    found = [
        ("parent column", _by_parent(manifest)),
        ("file name", _by_name(manifest)),
        ("rotated or flipped", _by_turning(facts)),
    ]
    return [{"rows": [ids[r] for r in rows], "how": how} for how, sets in found for rows in sets]


def _by_parent(manifest: Manifest) -> list[list[int]]:
    families: defaultdict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(manifest.rows):
        if row.parent is not None:
            families[row.parent].append(i)
    for parent, rows in families.items():
        original = manifest.index.get(parent)
        if original is not None and original not in rows:
            rows.insert(0, original)
    return [rows for rows in families.values() if len(rows) > 1]


def augmented_name(stem: str) -> str | None:
    """Return the name without its augmentation suffix, or None when it has none."""
    for pattern in (_AUGMENTED, _KERAS):
        if match := pattern.fullmatch(stem):
            return match[1]
    return None


def augmented_names(manifest: Manifest) -> list[int]:
    """Return the rows whose file name looks like that of an augmented copy."""
    stems = [PurePosixPath(row.id).stem for row in manifest.rows]
    tiled = {match[1] for stem in stems if (match := _GRID.fullmatch(stem))}
    bases = [augmented_name(stem) for stem in stems]
    return [i for i, base in enumerate(bases) if base is not None and base not in tiled]


def _by_name(manifest: Manifest) -> list[list[int]]:
    """Group by (dataset, label, group, bare name); a copy may stand in another folder."""
    augmented = set(augmented_names(manifest))
    families: defaultdict[tuple[str | None, ...], list[int]] = defaultdict(list)
    stems = [PurePosixPath(row.id).stem for row in manifest.rows]
    present = set(stems)
    for i, (row, stem) in enumerate(zip(manifest.rows, stems, strict=True)):
        base = stem
        if i in augmented:
            base = augmented_name(stem) or stem
        elif (match := _NUMBERED.fullmatch(stem)) and match[1] in present:
            base = match[1]
        families[(row.dataset, row.label, row.group, base)].append(i)
    return [
        rows
        for key, rows in families.items()
        if len(rows) > 1 and any(stems[i] != key[-1] for i in rows)
    ]


def _by_turning(facts: Facts) -> list[list[int]]:
    """Find pictures that are rotations by 90 degrees or mirror images of others.

    Turning a picture only changes the signs and swaps the axes of its DCT, so a hash of the
    sorted pairs |C(u,v)|, |C(v,u)| is the same for all eight variants: one search finds the
    candidates, and the turned thumbnails decide.
    """
    flat = facts.thumbs.astype(np.float32)  # [n, 32, 32]
    flat -= flat.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt(np.einsum("nij,nij->n", flat, flat))
    rows = np.flatnonzero(norm > _FLAT)
    if len(rows) < 2:
        return []
    flat /= np.maximum(norm, 1.0)[:, None, None]
    pairs: set[tuple[int, int]] = set()
    for left, right in close_hashes(_invariant_hashes(flat, rows), rows):
        pairs.update(_twins(flat, left, right))
    return members(clusters(len(flat), sorted(pairs)))


def _invariant_hashes(flat: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each thumbnail that turning it does not change, uint64 [n]."""
    low = np.abs(dctn(flat, axes=(1, 2)))[:, :_LOW, :_LOW]  # [n, 8, 8]
    upper = np.triu_indices(_LOW)
    one, other = low[:, upper[0], upper[1]], low[:, upper[1], upper[0]]  # [n, 36] each
    values = np.concatenate([np.minimum(one, other), np.maximum(one, other)], axis=1)  # [n, 72]
    values = values[:, 1:65]  # 64 of them, without the mean
    bits = values > np.median(values[rows], axis=0)
    packed = np.ascontiguousarray(np.packbits(bits, axis=1))  # [n, 8]
    return packed.view(">u8")[:, 0].astype(np.uint64)


def _twins(
    flat: NDArray[np.float32], left: NDArray[np.intp], right: NDArray[np.intp], chunk: int = 4096
) -> Iterable[tuple[int, int]]:
    for start in range(0, len(left), chunk):
        i, j = left[start : start + chunk], right[start : start + chunk]
        one, other = flat[i], flat[j]
        as_is = np.einsum("nij,nij->n", one, other)
        mirrored = other[:, :, ::-1]
        turned = [np.rot90(other, k, axes=(1, 2)) for k in (1, 2, 3)]
        turned += [np.rot90(mirrored, k, axes=(1, 2)) for k in (0, 1, 2, 3)]
        best = np.max([np.einsum("nij,nij->n", one, picture) for picture in turned], axis=0)
        hit = (best >= _TWIN) & (best - as_is >= _TWIN_MARGIN)
        yield from zip(i[hit].tolist(), j[hit].tolist(), strict=True)
