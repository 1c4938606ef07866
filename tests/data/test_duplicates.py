"""Duplicates: found where planted, not where there are none, and as brute force finds them."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cytolens.data.duplicates import (
    CORRELATION,
    HAMMING,
    close_hashes,
    clusters,
    exact_pairs,
    members,
    near_pairs,
)
from cytolens.data.facts import Facts, scan
from cytolens.data.manifest import Manifest, Row

Picture = NDArray[np.uint8]


def _picture(seed: int, side: int = 64) -> Picture:
    """A soft random picture, as micrographs are."""
    noise = np.random.default_rng(seed).standard_normal((side, side, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 4)
    return np.clip(128 + soft / soft.std() * 45, 0, 255).astype(np.uint8)


def _png(picture: Picture) -> bytes:
    target = io.BytesIO()
    Image.fromarray(picture).save(target, "PNG")
    return target.getvalue()


def _jpeg(picture: Picture, quality: int) -> bytes:
    target = io.BytesIO()
    Image.fromarray(picture).save(target, "JPEG", quality=quality)
    return target.getvalue()


def _facts(folder: Path, files: list[bytes]) -> Facts:
    rows = []
    for i, content in enumerate(files):
        path = folder / f"{i:04}"
        path.write_bytes(content)
        rows.append(Row(path.name, path, "a"))
    facts, problems = scan(Manifest(tuple(rows), "s"))
    assert not problems
    return facts


def _brighter(picture: Picture) -> Picture:
    return np.clip(picture.astype(float) * 1.05 + 6, 0, 255).astype(np.uint8)


def test_copies_are_found_and_strangers_are_not(tmp_path: Path) -> None:
    base = _picture(0)
    smaller = cv2.resize(base, (48, 48), interpolation=cv2.INTER_AREA)
    files = [
        _png(base),
        _jpeg(base, 60),
        _png(_brighter(base)),
        _png(np.asarray(smaller, np.uint8)),
        _png(_picture(1)),
        _png(_picture(2)),
        _png(base),
        _png(np.ascontiguousarray(base[:, ::-1])),  # a mirror image is another picture here
    ]
    facts = _facts(tmp_path, files)
    assert exact_pairs(facts) == [(0, 6)]
    found = near_pairs(facts)
    copies = (0, 1, 2, 3, 6)
    assert [(i, j) for i, j, _ in found] == [(i, j) for i in copies for j in copies if i < j]
    assert all(CORRELATION <= score <= 1 + 1e-5 for *_, score in found)
    assert members(clusters(8, [(i, j) for i, j, _ in found])) == [list(copies)]


def test_equal_files_chain_to_the_first() -> None:
    blank = np.zeros((6, 32, 32), np.uint8)
    zero = np.zeros(6)
    hashes = ("x", "y", "x", "", "", "x")
    facts = Facts(hashes, np.zeros((6, 2), int), zero.astype(np.uint64), blank, zero, blank)
    assert exact_pairs(facts) == [(0, 2), (0, 5)]  # unreadable files ("") are not equal
    assert near_pairs(facts) == []  # nor are empty fields near duplicates of one another


def _brute_force(facts: Facts) -> dict[tuple[int, int], float]:
    thumbs = facts.thumbs.reshape(len(facts.thumbs), -1).astype(np.float64)
    found = {}
    for i in range(len(thumbs)):
        for j in range(i + 1, len(thumbs)):
            bits = bin(int(facts.phash[i]) ^ int(facts.phash[j])).count("1")
            if bits <= HAMMING:
                score = float(np.corrcoef(thumbs[i], thumbs[j])[0, 1])
                if score >= CORRELATION:
                    found[i, j] = score
    return found


def test_all_pairs_of_brute_force_are_found(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    files = [_png(_picture(i)) for i in range(150)]
    for _ in range(60):  # damaged copies around the threshold
        of = int(random.integers(150))
        level = float(random.uniform(5, 70))
        noise = cv2.GaussianBlur(random.standard_normal((64, 64, 3)).astype(np.float32), (0, 0), 2)
        copy = np.clip(_picture(of) + noise * level * 4, 0, 255).astype(np.uint8)
        files.append(_jpeg(copy, int(random.integers(30, 95))))
    facts = _facts(tmp_path, files)
    expected = _brute_force(facts)
    assert 15 < len(expected) < 120  # some copies stay, some are too far
    found = near_pairs(facts)
    assert [(i, j) for i, j, _ in found] == sorted(expected)
    for i, j, score in found:
        assert score == pytest.approx(expected[i, j], abs=1e-4)


def test_close_hashes_are_complete_over_random_bits() -> None:
    """Pairs at every distance from 0 to 12 bits, also in one crowded bucket."""
    random = np.random.default_rng(2)
    hashes = random.integers(0, 2**63, 60, dtype=np.uint64)
    planted = [hashes]
    for distance in range(13):
        flipped = hashes[:20].copy()
        for i in range(20):
            for bit in random.choice(64, distance, replace=False):
                flipped[i] ^= np.uint64(1) << np.uint64(bit)
        planted.append(flipped)
    every = np.concatenate(planted)
    rows = np.flatnonzero(random.random(len(every)) < 0.9)  # not all rows are compared
    expected = {
        (i, j)
        for a, i in enumerate(rows.tolist())
        for j in rows[a + 1 :].tolist()
        if bin(int(every[i]) ^ int(every[j])).count("1") <= HAMMING
    }
    found = {
        (int(i), int(j))
        for left, right in close_hashes(every, rows)
        for i, j in zip(left, right, strict=True)
    }
    assert found == expected
    assert len(expected) > 400


def test_crowded_buckets_are_cut_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that share most of their bits, as pictures of one kind do; few compared at once."""
    random = np.random.default_rng(3)
    few = random.integers(0, 2**12, 120, dtype=np.uint64)  # 52 of 64 bits are equal
    hashes = np.concatenate([few, few[:30], np.zeros(20, np.uint64)])
    expected = {
        (i, j)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if bin(int(hashes[i]) ^ int(hashes[j])).count("1") <= HAMMING
    }
    for at_once in (7, 1 << 20):
        monkeypatch.setattr("cytolens.data.duplicates._AT_ONCE", at_once)
        found = {
            (int(i), int(j))
            for left, right in close_hashes(hashes, np.arange(len(hashes)))
            for i, j in zip(left, right, strict=True)
        }
        assert found == expected


def test_few_of_all_pairs_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    count = np.bitwise_count

    def counting(bits: NDArray[np.uint64]) -> NDArray[np.uint8]:
        compared.append(len(bits))
        return count(bits)

    monkeypatch.setattr(np, "bitwise_count", counting)
    n = 5000
    hashes = np.random.default_rng(4).integers(0, 2**64, n, dtype=np.uint64)
    list(close_hashes(hashes, np.arange(n)))
    assert sum(compared) < n * n / 2 / 400


def test_clusters_are_transitive_and_named_by_their_smallest_row() -> None:
    pairs = [(5, 4), (4, 3), (1, 7), (7, 5), (2, 2)]
    assert clusters(9, pairs).tolist() == [0, 1, 2, 1, 1, 1, 6, 1, 8]
    assert members(clusters(9, pairs)) == [[1, 3, 4, 5, 7]]
    assert clusters(0, []).tolist() == []


def test_clusters_equal_a_plain_search() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        n = int(random.integers(1, 40))
        pairs = [
            (int(a), int(b)) for a, b in random.integers(0, n, (int(random.integers(0, n)), 2))
        ]
        linked = np.eye(n, dtype=bool)
        for a, b in pairs:
            linked[a, b] = linked[b, a] = True
        for _ in range(n):
            linked = linked @ linked
        assert clusters(n, pairs).tolist() == [int(np.argmax(row)) for row in linked]
