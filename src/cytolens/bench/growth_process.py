"""A program: one run, or training on a made-up store, and the memory it took."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WIDTH = 1280  # values a row


class _Drawn:
    """In place of an engine: rows that are drawn."""

    def run(self, batches: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        generator = np.random.default_rng(0)
        for batch in batches:
            yield generator.standard_normal((len(batch), _WIDTH), np.float32)


def run(data: str, settings: list[str], out: str) -> dict[str, float]:
    import cytolens

    started = time.perf_counter()
    cytolens.run("frozen", data, out=out, settings=settings)
    return {"seconds": time.perf_counter() - started}


def stored(rows: int, folder: str) -> dict[str, float]:
    """Fill a store by way of the feature table, as a run does, and train a head on it."""
    from cytolens.bench.pictures import write_pictures
    from cytolens.experiments.network import Network
    from cytolens.experiments.recipe import load_recipe
    from cytolens.features.store import Store
    from cytolens.features.table import Source
    from cytolens.training.loop import FoldData, Trainer
    from cytolens.training.losses import Loss

    [file] = write_pictures(Path(folder) / "picture", 1, 48)
    settings = ["model.weights=random", "training.epochs=2", "pixels.size=32"]
    recipe = load_recipe("frozen", settings)
    network = Network(recipe, 2)
    # One file, seen as so many: what is measured is the store and training.
    sources = [Source(str(i), file, f"{i:064x}") for i in range(rows)]
    table = network.table_of(sources, Store(Path(folder) / "store"))
    started = time.perf_counter()
    table.fill(table.todo({0: range(rows)}), _Drawn())
    table.prepare(range(rows), [0])
    filled = time.perf_counter() - started
    model, _ = network.trainable(table.shape, 0, 0)
    every = np.arange(rows)
    data = FoldData(table, every % 2, every, every[:0], (0, 0))
    started = time.perf_counter()
    Trainer(model, data, recipe.training, Loss(recipe.training, "softmax"), 0).fit()
    return {"filled": filled, "seconds": time.perf_counter() - started}


def peak() -> float:
    """Return the most memory that this program held, in MiB.

    The kernel's `ru_maxrss` is not asked: it begins with that of the process that started this one.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def main() -> None:
    told = json.loads(sys.argv[1])
    works: dict[str, Callable[..., dict[str, float]]] = {"run": run, "stored": stored}
    found = works[told.pop("do")](**told)
    found["memory"] = peak()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
