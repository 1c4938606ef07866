"""Exact and near duplicates, without comparing every image with every other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cytolens.data.facts import THUMB, Facts

HAMMING = 7  # bits of 64 that a near duplicate's hash may differ in
CORRELATION = 0.97  # of the grey thumbnails; below it, equal hashes are taken for chance
# By the pigeonhole principle one of 4 bands of 16 bits then differs in at most one bit.
_BAND_BITS = 16
_BANDS = 64 // _BAND_BITS
_FLIPS = (0, *(1 << bit for bit in range(_BAND_BITS)))
_AT_ONCE = 1 << 20  # candidates compared at once
_GATHERED = 4096  # pairs whose thumbnails are compared at once


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

    Candidates are found by `close_hashes`; they count when the centred grey thumbnails correlate by
    at least `correlation`. Exact duplicates are among them. Blank pictures (no contrast) are left
    out.
    """
    flat = facts.thumbs.reshape(len(facts.thumbs), -1).astype(np.float32)  # [n, 1024]
    flat -= flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1)
    usable = norm > THUMB * 2.0  # a standard deviation of two grey levels
    flat /= np.maximum(norm, 1.0)[:, None]
    found: dict[tuple[int, int], float] = {}
    for left, right in close_hashes(facts.phash, np.flatnonzero(usable)):
        for start in range(0, len(left), _GATHERED):
            i, j = left[start : start + _GATHERED], right[start : start + _GATHERED]
            scores = np.einsum("nd,nd->n", flat[i], flat[j])
            for k in np.flatnonzero(scores >= correlation):
                found[int(i[k]), int(j[k])] = float(scores[k])
    return [(i, j, score) for (i, j), score in sorted(found.items())]


def close_hashes(
    hashes: NDArray[np.uint64], rows: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield arrays of pairs (i < j) whose hashes differ in at most `HAMMING` bits.

    Multi-index hashing (Norouzi et al. 2012): rows are sorted by 16 bits of the hash at a time, and
    each is compared with those of equal bits and of bits of which one is flipped. Of hashes that
    are spread evenly one pair in a thousand is compared. A pair may come more than once.

    Args:
        hashes: uint64 [n].
        rows: the rows to compare, ascending.
    """
    for band in range(_BANDS):
        shift = np.uint64(_BAND_BITS * band)
        keys = ((hashes[rows] >> shift) & np.uint64((1 << _BAND_BITS) - 1)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        keys, members = keys[order], rows[order]
        counts = np.bincount(keys, minlength=1 << _BAND_BITS)
        first = np.concatenate([[0], np.cumsum(counts)])  # of each key, its first member
        for flip in _FLIPS:
            start, stop = first[keys ^ flip], first[(keys ^ flip) + 1]
            # Each pair from one side: behind oneself, or from the smaller of the two keys.
            start = np.arange(1, len(keys) + 1) if flip == 0 else start
            length = np.where((keys ^ flip) >= keys, np.maximum(stop - start, 0), 0)
            for left, right in _ranges(start, length):
                i, j = members[left], members[right]
                near = np.bitwise_count(hashes[i] ^ hashes[j]) <= HAMMING
                yield np.minimum(i, j)[near], np.maximum(i, j)[near]


def _ranges(
    start: NDArray[np.int64], length: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (k, each of start[k] … start[k] + length[k] - 1) for all k, about a million at once."""
    asking = np.flatnonzero(length)
    ends = np.cumsum(length[asking])
    done = 0
    while done < len(asking):
        before = int(ends[done - 1]) if done else 0
        upto = max(done + 1, int(np.searchsorted(ends, before + _AT_ONCE, side="right")))
        part = asking[done:upto]
        sizes = length[part]
        left = np.repeat(part, sizes)
        inside = np.arange(len(left)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        yield left, start[left] + inside
        done = upto


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
