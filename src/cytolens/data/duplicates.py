"""Exact and near duplicates, without comparing every image with every other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cytolens.data.facts import THUMB, Facts

HAMMING = 7  # bits of 64 that a near duplicate's hash may differ in
CORRELATION = 0.97  # of the grey thumbnails; below it, equal hashes are taken for chance
_BANDS = HAMMING + 1  # by the pigeonhole principle one of 8 bytes is then equal


def exact_pairs(facts: Facts) -> list[tuple[int, int]]:
    """Return pairs (first, other) of rows whose files are the same byte by byte."""
    first: dict[str, int] = {}
    pairs = []
    for row, digest in enumerate(facts.sha256):
        if digest and first.setdefault(digest, row) != row:
            pairs.append((first[digest], row))
    return pairs


def near_pairs(facts: Facts, *, correlation: float = CORRELATION) -> list[tuple[int, int, float]]:
    """Return (i, j, correlation) of rows whose pictures are nearly the same, i < j.

    Candidates share one byte of the 64-bit hash (multi-index hashing, Norouzi et al. 2012) and
    differ in at most `HAMMING` bits; they count when the centred grey thumbnails correlate by at
    least `correlation`. Exact duplicates are among them. Blank pictures (no contrast) are left out.
    """
    flat = facts.thumbs.reshape(len(facts.thumbs), -1).astype(np.float32)  # [n, 1024]
    flat -= flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1)
    usable = norm > THUMB * 2.0  # a standard deviation of two grey levels
    flat /= np.maximum(norm, 1.0)[:, None]
    found: dict[tuple[int, int], float] = {}
    for left, right in close_hashes(facts.phash, np.flatnonzero(usable)):
        scores = np.einsum("nd,nd->n", flat[left], flat[right])
        for k in np.flatnonzero(scores >= correlation):
            found[int(left[k]), int(right[k])] = float(scores[k])
    return [(i, j, score) for (i, j), score in sorted(found.items())]


def close_hashes(
    hashes: NDArray[np.uint64], rows: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield arrays of pairs (i < j) whose hashes differ in at most `HAMMING` bits.

    A band is sorted by one byte of the hash; rows of equal byte then stand side by side and are
    compared at distance 1, 2, … until no bucket is that long. A pair may come more than once.

    Args:
        hashes: uint64 [n].
        rows: the rows to compare, ascending.
    """
    for band in range(_BANDS):
        keys = (hashes[rows] >> np.uint64(8 * band)) & np.uint64(0xFF)
        order = np.argsort(keys, kind="stable")
        keys, members = keys[order], rows[order]
        start, distance = np.arange(len(order)), 0
        while len(start):
            distance += 1
            start = start[: np.searchsorted(start, len(order) - distance)]
            start = start[keys[start] == keys[start + distance]]
            left, right = members[start], members[start + distance]
            near = np.bitwise_count(hashes[left] ^ hashes[right]) <= HAMMING
            yield left[near], right[near]


def clusters(n: int, pairs: list[tuple[int, int]]) -> NDArray[np.int64]:
    """Return the connected component of each of n rows as the smallest row in it, int64 [n]."""
    parent = list(range(n))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for i, j in pairs:
        a, b = sorted((root(i), root(j)))
        parent[b] = a
    return np.array([root(row) for row in range(n)], dtype=np.int64)


def members(cluster: NDArray[np.int64]) -> list[list[int]]:
    """Return the clusters of two and more rows, as lists of rows."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for row, name in enumerate(cluster):
        found[int(name)].append(row)
    return [rows for rows in found.values() if len(rows) > 1]
