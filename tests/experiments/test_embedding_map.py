"""The plane of `embedding.json`: seeded, of few images, of many, and of images all alike."""

from __future__ import annotations

import numpy as np
import pytest

from cytolens.experiments.learning import embedding_map as module
from cytolens.experiments.learning.embedding_map import embedding_map


def _map(count: int, seed: int = 0, shift: float = 20.0) -> dict[str, object]:
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    vectors = random.normal(size=(count, 3, 2, 2)) + shift * labels[:, None, None, None]
    names = [str(i) for i in range(count)]
    return embedding_map(vectors.astype(np.float32), names, [f"c{c}" for c in labels], seed)


def test_neighbours_stay_together_and_a_seed_repeats() -> None:
    found = _map(40)
    assert found == _map(40)
    assert (found["method"], found["images"]) == ("t-SNE", 40)
    xy, labels = np.array(found["xy"]), np.array(found["labels"])
    gaps = np.linalg.norm(xy[:, None] - xy[None], axis=2) + np.eye(40) * 1e9
    assert (labels[gaps.argmin(axis=1)] == labels).all()


@pytest.mark.parametrize("count", [1, 2, 9])
def test_few_images_are_projected(count: int) -> None:
    found = _map(count)
    assert found["method"] == "PCA" and np.array(found["xy"]).shape == (count, 2)


@pytest.mark.parametrize("vector", [np.ones(4), np.linspace(-1, 1, 4)])
def test_images_all_alike(vector: np.ndarray) -> None:
    found = embedding_map(np.tile(vector, (12, 1)).astype(np.float32), ["x"] * 12, ["c"] * 12, 0)
    assert found["method"] == "PCA"
    np.testing.assert_allclose(found["xy"], 0, atol=1e-3)  # type: ignore[arg-type]


def test_of_many_images_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 12)
    found = _map(30)
    assert found["images"] == 30 and len(set(found["ids"])) == 12  # type: ignore[arg-type]
    assert np.array(found["xy"]).shape == (12, 2)
