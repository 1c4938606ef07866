"""Fifty epochs on a frozen MobileNetV2: the plain torch loop against the feature store, in one run.

    make bench                                   # or: python benchmarks/frozen_training.py --json

Both ways train the same head on the same phantom images in the same order. The plain loop sends
every image through the frozen backbone in every epoch, as the papers do; ours sends it once. The
backbone has random weights: they change neither way's speed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from cytolens.core.seeding import rng
from cytolens.data.facts import Facts, scan_or_fail
from cytolens.data.loading import read_manifest
from cytolens.data.manifest import Manifest
from cytolens.data.phantom import PhantomConfig, write_phantoms
from cytolens.experiments.network import Network
from cytolens.experiments.recipe import Recipe, load_recipe
from cytolens.features.store import Store
from cytolens.features.table import FeatureTable
from cytolens.models.network import Trainable
from cytolens.training.loop import FoldData, Trainer
from cytolens.training.losses import Loss
from cytolens.training.optimisers import create_optimizer, set_rate


@dataclass(frozen=True)
class Setting:
    """The experiment both ways run."""

    recipe: Recipe
    manifest: Manifest
    facts: Facts
    store: Store
    network: Network
    table: FeatureTable


def plain(setting: Setting) -> tuple[float, Trainable]:
    """The loop of the papers: forward through everything, backward through the head."""
    recipe, labels = setting.recipe, setting.manifest.labels
    unfrozen = replace(recipe, model=replace(recipe.model, freeze="none"))
    pixels = Network(unfrozen, len(setting.manifest.classes))
    raw = pixels.table(setting.manifest, setting.facts, setting.store)
    rows = np.arange(len(setting.manifest))
    raw.prepare(rows.tolist(), [0])
    body = setting.network.backbone.body
    model, _ = setting.network.trainable(setting.table.shape, 0, 0)
    optimizer = create_optimizer(model, recipe.training)
    loss_of = Loss(recipe.training, recipe.model.output)
    started = time.perf_counter()
    for epoch in range(recipe.training.epochs):
        order = rng(recipe.seed, "order", 0, 0, epoch).permutation(rows)
        size = recipe.training.batch
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        model.train()
        for step, batch in enumerate(batches):
            set_rate(optimizer, recipe.training, epoch + step / len(batches), [])
            with torch.no_grad():
                features = body(torch.from_numpy(raw.gather(batch, 0)))
            scores = model(features)
            target = torch.from_numpy(labels[batch])
            loss = loss_of(scores, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return time.perf_counter() - started, model


def ours(setting: Setting) -> tuple[float, Trainable]:
    """The same training on stored features."""
    model, _ = setting.network.trainable(setting.table.shape, 0, 0)
    rows = np.arange(len(setting.manifest))
    data = FoldData(setting.table, setting.manifest.labels, rows, rows[:0], (0, 0))
    training = setting.recipe.training
    trainer = Trainer(model, data, training, Loss(training, setting.recipe.model.output), 0)
    started = time.perf_counter()
    trainer.fit()
    return time.perf_counter() - started, model


def measure(images: int, epochs: int, repeats: int) -> dict[str, object]:
    """Run both ways and return the table."""
    with tempfile.TemporaryDirectory() as folder:
        config = PhantomConfig(images=images, size=224, patients=8)
        manifest = read_manifest(write_phantoms(config, Path(folder) / "phantoms"))
        settings = [f"training.epochs={epochs}", "model.weights=random"]
        recipe = load_recipe("frozen", settings)
        network = Network(recipe, len(manifest.classes))
        store = Store(Path(folder) / "store")
        facts = scan_or_fail(manifest)
        table = network.table(manifest, facts, store)
        started = time.perf_counter()
        table.prepare(list(range(images)), [0])
        extraction = time.perf_counter() - started
        setting = Setting(recipe, manifest, facts, store, network, table)
        ours(setting)  # warm-up: torch's optimisers import much on first use
        fast = [ours(setting) for _ in range(repeats)]
        slow_seconds, slow_model = plain(setting)
        seconds = [spent for spent, _ in fast]
        difference = max(
            float((a - b).detach().abs().max())
            for a, b in zip(slow_model.parameters(), fast[0][1].parameters(), strict=True)
        )
        middle = statistics.median(seconds)
        return {
            "images": images,
            "epochs": epochs,
            "plain_seconds": round(slow_seconds, 3),
            "ours_seconds": round(middle, 4),
            "ours_spread": [round(min(seconds), 4), round(max(seconds), 4)],
            "extraction_seconds": round(extraction, 3),
            "ratio_training": round(slow_seconds / middle, 1),
            "ratio_with_extraction": round(slow_seconds / (middle + extraction), 1),
            "largest_weight_difference": difference,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description="frozen training: plain torch loop against ours")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.images, given.epochs, given.repeats)
    if given.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    for name, value in found.items():
        sys.stdout.write(f"{name:<28} {value}\n")


if __name__ == "__main__":
    main()
