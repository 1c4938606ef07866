"""Train the shipped backbone `cytolens_tiny` on phantoms alone, from one seed.

    python scripts/train_tiny.py --images 2400 --epochs 12 --out src/cytolens/models

writes `weights/cytolens_tiny.safetensors` (half precision) and `cards/cytolens_tiny.json`.
The network learns the classes of all phantom tissues at once, one softmax a tissue, so that its
features serve cells on dark and light grounds as well as tissue.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from cytolens.core.config import to_dict
from cytolens.core.files import atomic_path, sha256_file, write_json
from cytolens.core.seeding import rng, torch_seed
from cytolens.data.loading import read_manifest
from cytolens.data.phantom import KINDS, PhantomConfig, write_phantoms
from cytolens.data.reading import read_image
from cytolens.models.backbones import Normalise
from cytolens.models.cards import Card
from cytolens.models.tiny import TinyNet
from cytolens.models.weights import TINY
from cytolens.pixels import AugmentConfig, PixelsConfig, augment, preprocess

SIZE = 96
HALF = (0.5, 0.5, 0.5)
BATCH = 64
AUGMENT = AugmentConfig(
    rotation=180.0,
    width_shift=0.08,
    height_shift=0.08,
    zoom=0.25,
    horizontal_flip=True,
    brightness=0.2,
    contrast=0.2,
    saturation=0.3,
    hue=0.04,
)


def phantoms(folder: Path, images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images [n, 96, 96, 3] and class numbers counted over all tissues [n]."""
    pixels, labels, first = [], [], 0
    for tissue in KINDS:
        config = PhantomConfig(
            tissue=tissue,
            images=images,
            size=SIZE,
            patients=max(60, images // 20),
            sites=6,
            seed=seed,
            patient_effect=1.0,
            site_effect=0.6,
            class_separation=1.3,
            label_patient_correlation=0.0,
        )
        manifest = read_manifest(write_phantoms(config, folder / tissue))
        numbers = {name: first + i for i, name in enumerate(KINDS.get(tissue).classes)}
        for row in manifest.rows:
            pixels.append(preprocess(read_image(row.image), PixelsConfig(), (SIZE, SIZE)))
            labels.append(numbers[row.label])
        first += len(numbers)
    return np.stack(pixels), np.array(labels)


def tissue_of_class() -> torch.Tensor:
    """Return the tissue number of each class, counted over all tissues."""
    counts = [len(KINDS.get(tissue).classes) for tissue in KINDS]
    return torch.tensor([t for t, count in enumerate(counts) for _ in range(count)])


def train(pixels: np.ndarray, labels: np.ndarray, epochs: int, seed: int) -> TinyNet:
    """Train from random weights; the same seed gives the same network on the same machine."""
    torch.manual_seed(torch_seed(seed, "tiny"))
    tissues = tissue_of_class()
    net, head = TinyNet(), nn.Linear(TinyNet.num_features, len(tissues))
    normalise = Normalise(HALF, HALF)
    parameters = [*net.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.02)
    steps = epochs * (len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for epoch in range(epochs):
        net.train()
        order = rng(seed, "order", epoch).permutation(len(labels))
        right = 0
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            views = [augment(pixels[r], AUGMENT, rng(seed, "view", epoch, int(r))) for r in rows]
            target = torch.from_numpy(labels[rows])
            planes = normalise(torch.from_numpy(np.stack(views)))
            scores = head(functional.dropout(net.forward_features(planes).mean((2, 3)), 0.1))
            # Only the classes of the image's own tissue compete.
            other = tissues[None, :] != tissues[target][:, None]
            loss = functional.cross_entropy(scores.masked_fill(other, -1e4), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            right += int((scores.masked_fill(other, -1e4).argmax(1) == target).sum())
        accuracy = right / (len(order) // BATCH * BATCH)
        sys.stdout.write(f"epoch {epoch + 1} of {epochs}: accuracy {accuracy:.3f}\n")
        sys.stdout.flush()
    return net.eval()


def save(net: TinyNet, out: Path, seed: int, images: int, epochs: int) -> None:
    """Write the weights in half precision, then their card."""
    path = out / "weights" / f"{TINY}.safetensors"
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in net.state_dict().items()
    }
    with atomic_path(path) as temporary:
        save_file(state, temporary)
    card = Card(
        backbone=TINY,
        input_size=(SIZE, SIZE),
        mean=HALF,
        std=HALF,
        batch_norm="frozen",
        sha256=sha256_file(path),
        licence="Apache-2.0",
        source=f"scripts/train_tiny.py --images {images} --epochs {epochs} --seed {seed}: "
        "phantoms alone",
    )
    write_json(out / "cards" / f"{TINY}.json", to_dict(card))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=2400, help="a tissue")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--phantoms", type=Path, default=Path("scratch/tiny-phantoms"))
    parser.add_argument("--out", type=Path, default=Path("src/cytolens/models"))
    given = parser.parse_args()
    pixels, labels = phantoms(given.phantoms, given.images, given.seed)
    net = train(pixels, labels, given.epochs, given.seed)
    save(net, given.out, given.seed, given.images, given.epochs)


if __name__ == "__main__":
    main()
