"""Shared fixtures: a cache of its own for each test session, so that no test sees the user's."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point every cache at the test's own folder and forget the user's weights."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("CYTOLENS_CACHE", str(cache))
    monkeypatch.delenv("CYTOLENS_WEIGHTS", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return cache
