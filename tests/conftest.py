"""Shared fixtures: a cache of its own for each test, phantoms, and one small finished run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# The networks of the tests are so small that a second thread only waits for the first.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from cytolens.bundle.export import export_bundle as EXPORT

if TYPE_CHECKING:
    from cytolens.experiments.recipe import Recipe


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point every cache at the test's own folder and forget the user's weights."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("CYTOLENS_CACHE", str(cache))
    monkeypatch.delenv("CYTOLENS_WEIGHTS", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return cache


@pytest.fixture(scope="session", autouse=True)
def no_exports() -> Iterator[None]:
    """Leave the exports out of bundles: they take seconds a run; see `exports`."""
    from cytolens.bundle import export

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "export_bundle", lambda *_: None)
        yield


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this test's runs export their bundles, as runs do."""
    from cytolens.bundle import export

    monkeypatch.setattr(export, "export_bundle", EXPORT)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 36 phantoms of 48 px: 4 classes, 12 patients, 2 sites."""
    from cytolens.data.phantom import PhantomConfig, write_phantoms

    folder = tmp_path_factory.mktemp("data") / "phantoms"
    config = PhantomConfig(images=36, size=48, patients=12, sites=2, class_separation=2.0)
    return write_phantoms(config, folder, workers=1).parent


@pytest.fixture(scope="session")
def tiny_toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recipe that takes a second: two folds of a small random frozen backbone."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(
        """\
[split]
folds = 2
validation = 0.25
[model]
backbone = "cytolens_tiny"
weights = "random"
[pixels]
size = 48
[training]
epochs = 2
batch = 8
[evaluation]
resamples = 20
"""
    )
    return path


@pytest.fixture
def tiny(tiny_toml: Path) -> Recipe:
    """Return that recipe."""
    from cytolens.experiments.recipe import load_recipe

    return load_recipe(tiny_toml)


@pytest.fixture(scope="session")
def tiny_run(phantoms: Path, tiny_toml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the finished run of that recipe on the phantoms; not to be changed."""
    from cytolens import run

    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CYTOLENS_CACHE", str(folder / "cache"))
        return run(tiny_toml, phantoms, folder / "tiny")
