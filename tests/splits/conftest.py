"""Manifests with facts that no pixels stand behind."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from cytolens.data.facts import Facts
from cytolens.data.manifest import Manifest, Row

Made = tuple[Manifest, Facts]


def make(
    labels: Sequence[str],
    groups: Sequence[str] | None = None,
    *,
    same: Sequence[tuple[int, int]] = (),
    near: Sequence[tuple[int, int]] = (),
    parents: dict[int, int] | None = None,
    datasets: Sequence[str] | None = None,
    magnifications: Sequence[str] | None = None,
) -> Made:
    """`same` and `near`: (row, copy) pairs; `parents`: {row: its parent's row}."""
    n = len(labels)
    names = [f"i{i:03}.png" for i in range(n)]
    rows = tuple(
        Row(
            names[i],
            Path(names[i]),
            labels[i],
            group=groups[i] if groups else None,
            dataset=datasets[i] if datasets else None,
            magnification=magnifications[i] if magnifications else None,
            parent=names[parents[i]] if parents and i in parents else None,
        )
        for i in range(n)
    )
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**63, n, dtype=np.uint64) << np.uint64(1)
    thumbs = random.integers(0, 256, (n, 32, 32), dtype=np.uint8)
    digests = [hashlib.sha256(name.encode()).hexdigest() for name in names]
    for of, copy in (*same, *near):
        hashes[copy], thumbs[copy] = hashes[of], thumbs[of]
    for of, copy in same:
        digests[copy] = digests[of]
    blank = np.zeros((n, 32, 32), np.uint8)
    sizes = np.full((n, 2), 64)
    return Manifest(rows, "set"), Facts(
        tuple(digests), sizes, hashes, thumbs, np.zeros((n, 3)), blank
    )


@pytest.fixture
def made() -> Callable[..., Made]:
    return make
