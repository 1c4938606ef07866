"""Where the encoder places the test images, in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.files import write_json, writing
from cytolens.core.seeding import rng
from cytolens.experiments.learning.learner import Setting, Task

_FEWEST = 10  # images below which neighbourhoods mean nothing
_MOST = 2000  # images drawn; t-SNE takes a minute for ten thousand
_COMPONENTS = 50  # to which t-SNE's authors reduce long vectors first
_PERPLEXITY = 30.0

Floats = NDArray[np.float64]


def write_embedding(vectors: NDArray[np.float32], task: Task, setting: Setting) -> None:
    """Write `embedding.json` of a fold's test images.

    Args:
        vectors: [test images, …], in the order of the fold.
    """
    rows = [setting.data.manifest.rows[row] for row in task.rows["test"].tolist()]
    content = embedding_map(
        vectors, [row.id for row in rows], [row.label for row in rows], setting.recipe.seed
    )
    with writing(setting.place.path, "the run"):
        write_json(setting.place.path / "embedding.json", content)


def embedding_map(
    vectors: NDArray[np.float32], ids: Sequence[str], labels: Sequence[str], seed: int
) -> dict[str, Any]:
    """Return the content of `embedding.json`: {part, ids, labels, method, xy, images}.

    t-SNE (van der Maaten and Hinton 2008) of the encoder's output, flattened; fewer than ten
    images, or images whose vectors are all alike, are projected on their two principal
    components. Of more than 2000 images that many are drawn; `images` says how many there were.

    Args:
        vectors: [n, …], of the test images of the first fold.
        ids, labels: of the n images.
        seed: of the recipe.
    """
    flat = vectors.reshape(len(vectors), -1).astype(np.float64)  # [n, d]
    random = rng(seed, "embedding")
    chosen = np.arange(len(flat))
    if len(flat) > _MOST:
        chosen = np.sort(random.choice(len(flat), _MOST, replace=False))
    method, xy = _plane(flat[chosen], int(random.integers(2**31)))
    return {
        "part": "test",
        "ids": [ids[i] for i in chosen.tolist()],
        "labels": [labels[i] for i in chosen.tolist()],
        "method": method,
        "xy": np.round(xy, 4).tolist(),
        "images": len(flat),
    }


def _plane(flat: Floats, seed: int) -> tuple[str, Floats]:
    """Return the method's name and float64 [n, 2]."""
    if len(flat) < _FEWEST or not np.ptp(flat, axis=0).any():
        return "PCA", _components(flat, 2)
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(flat) - 1) / 3)
    method = TSNE(perplexity=perplexity, init="pca", random_state=seed)
    return "t-SNE", np.asarray(method.fit_transform(_components(flat, _COMPONENTS)), np.float64)


def _components(flat: Floats, count: int) -> Floats:
    """Return the first principal components, float64 [n, count]; 0 where there are fewer."""
    centred = flat - flat.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    found = (left * singular)[:, :count]
    return np.pad(found, ((0, 0), (0, max(0, 2 - found.shape[1]))))
