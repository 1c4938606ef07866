"""Explanations side by side with the public libraries, in one run, at equal settings.

    uv pip install --no-deps grad-cam ttach lime tqdm    # once: only this benchmark needs them
    make bench-explanations            # or: python benchmarks/explanations.py --json

MobileNetV2 at 224 px with seven classes: weights of ImageNet where they are at hand, else random
ones, under a random linear head. The images are phantoms. The methods of a pair take turns, and
the ratio of each turn is taken, so that a noisy machine disturbs both. `correlation` is that of
the two maps of an image, the smallest over the images; LIME draws other samples in the library,
so that its maps agree only as far as two seeds do.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cytolens.core.errors import InputError
from cytolens.data.loading import read_manifest
from cytolens.data.phantom import PhantomConfig, write_phantoms
from cytolens.data.reading import read_image
from cytolens.explain import METHODS, Subject, Target, class_target
from cytolens.models.backbones import Body, create_backbone
from cytolens.models.config import ModelConfig
from cytolens.models.heads import create_head
from cytolens.models.weights import resolve_weights
from cytolens.pixels.config import PixelsConfig

SIZE = (224, 224)
BACKBONE = "mobilenetv2_100"
CLASSES = tuple("abcdefg")
CAMS = {
    "grad_cam": "GradCAM",
    "grad_cam_plus_plus": "GradCAMPlusPlus",
    "hires_cam": "HiResCAM",
    "layer_cam": "LayerCAM",
    "eigen_cam": "EigenCAM",
    "ablation_cam": "AblationCAM",
    "score_cam": "ScoreCAM",
}
# Where paper and library differ, as the library does it.
AS_THE_LIBRARY = {"eigen_cam": {"centred": True}, "grad_cam_plus_plus": {"epsilon": 1e-6}}
ONE_IMAGE = ("ablation_cam", "score_cam", "lime")  # slow in the library: an image, not a batch
MARKS = {"score_cam": 5.0, "lime": 5.0, **dict.fromkeys(list(CAMS)[:4], 1.5)}

Maps = NDArray[np.float32]  # [N, H, W]


@dataclass(frozen=True)
class Setting:
    """The same network, as ours and as the libraries take it, and the images.

    Attributes:
        images: uint8 [N, H, W, 3].
        plain: float32 [N, 3, H, W], normalised -> scores [N, k].
        last: the layer that `auto` opens, within `plain`.
    """

    subject: Subject
    images: NDArray[np.uint8]
    targets: list[Target]
    plain: nn.Module
    last: nn.Module

    def normalised(self, images: NDArray[np.uint8]) -> torch.Tensor:
        planes: torch.Tensor = self.subject.body.normalise(torch.from_numpy(images))
        return planes


class _Plain(nn.Module):
    """The network as a user of the libraries has it: normalised planes in, gradients everywhere."""

    def __init__(self, body: Body, head: nn.Module) -> None:
        super().__init__()
        self.net = body.net
        self.head = head

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.net.forward_features(planes).mean((2, 3)))  # type: ignore[operator]
        return scores


def prepare(count: int) -> Setting:
    """Build the network twice and read the images."""
    try:
        weights = resolve_weights(BACKBONE, "imagenet", 0)
    except InputError:
        weights = resolve_weights(BACKBONE, "random", 0)
    config = ModelConfig(backbone=BACKBONE, freeze="all", head="linear")
    bodies = [Body(create_backbone(weights), weights, "avg").eval() for _ in range(2)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        heads = [create_head((1280,), len(CLASSES), config).eval() for _ in range(2)]
    heads[1].load_state_dict(heads[0].state_dict())
    subject = Subject(bodies[0], heads[0], "softmax", CLASSES, SIZE, PixelsConfig())
    with tempfile.TemporaryDirectory() as folder:
        phantoms = PhantomConfig(images=max(count, 8), size=SIZE[0], patients=8)
        manifest = read_manifest(write_phantoms(phantoms, Path(folder) / "phantoms"))
        images = np.stack([read_image(row.image) for row in manifest.rows[:count]])
    plain = _Plain(bodies[1], heads[1]).eval()
    targets = [class_target(CLASSES, CLASSES[i % len(CLASSES)]) for i in range(count)]
    return Setting(subject, images, targets, plain, bodies[1].net.bn2)  # type: ignore[arg-type]


def ours(name: str, setting: Setting, count: int, **settings: Any) -> Maps:
    """Explain the first images by our method."""
    method = METHODS.get(name)(**settings)
    found = method.explain(setting.subject, setting.images[:count], setting.targets[:count])
    return np.stack([one.map for one in found])


def library_cam(name: str, setting: Setting, count: int) -> Maps:
    """The same by pytorch-grad-cam, its object made once a call as its documentation does."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    targets = [ClassifierOutputTarget(i % len(CLASSES)) for i in range(count)]
    planes = setting.normalised(setting.images[:count])
    quiet = contextlib.redirect_stderr(io.StringIO())
    with quiet, getattr(pytorch_grad_cam, name)(setting.plain, [setting.last]) as cam:
        maps: Maps = cam(planes, targets)
    return maps


def library_lime(setting: Setting, count: int, samples: int) -> Maps:
    """The same by lime, on our superpixels."""
    from lime.lime_image import LimeImageExplainer

    def classify(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            scores = setting.plain(setting.normalised(np.asarray(images, np.uint8)))
        found: NDArray[np.float32] = scores.softmax(1).numpy()
        return found

    maps = []
    for i in range(count):
        [own] = METHODS.get("lime")(samples=2).explain(
            setting.subject, setting.images[i : i + 1], setting.targets[i : i + 1]
        )
        segments, wanted = own.segments, i % len(CLASSES)
        with contextlib.redirect_stderr(io.StringIO()):
            found = LimeImageExplainer(random_state=0).explain_instance(
                setting.images[i],
                classify,
                labels=(wanted,),
                top_labels=None,
                num_samples=samples,
                segmentation_fn=lambda _, segments=segments: segments,
            )
        weights = dict(found.local_exp[wanted])
        assert segments is not None
        maps.append(np.vectorize(weights.get, otypes=[np.float32])(segments))
    return np.stack(maps)


def compare(
    mine: Callable[[], Maps], theirs: Callable[[], Maps], images: int, repeats: int
) -> dict[str, Any]:
    """Run both in turns and return seconds an image, their ratio and the agreement."""
    first, second = mine(), theirs()  # warm-up; what is compiled once is not measured
    spent: list[tuple[float, float]] = []
    for _ in range(repeats):
        turn = []
        for way in (mine, theirs):
            started = time.perf_counter()
            way()
            turn.append((time.perf_counter() - started) / images)
        spent.append((turn[0], turn[1]))
    ratios = [slow / fast for fast, slow in spent]
    pairs = [
        float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
        for a, b in zip(first, second, strict=True)
        if a.std() > 0 and b.std() > 0
    ]
    return {
        "images": images,
        "ours_seconds": round(statistics.median(fast for fast, _ in spent), 4),
        "library_seconds": round(statistics.median(slow for _, slow in spent), 4),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_spread": [round(min(ratios), 2), round(max(ratios), 2)],
        "correlation": round(min(pairs), 5) if pairs else None,
    }


def measure(batch: int, samples: int, repeats: int, only: list[str]) -> dict[str, Any]:
    """Return the table: a row a method."""
    setting = prepare(batch)
    table: dict[str, Any] = {}
    for name in [*CAMS, "lime"]:
        if only and name not in only:
            continue
        count = 1 if name in ONE_IMAGE else batch
        settings = {"samples": samples} if name == "lime" else AS_THE_LIBRARY.get(name, {})
        row = compare(
            lambda name=name, count=count, settings=settings: ours(  # type: ignore[misc]
                name, setting, count, **settings
            ),
            lambda name=name, count=count: (  # type: ignore[misc]
                library_lime(setting, count, samples)
                if name == "lime"
                else library_cam(CAMS[name], setting, count)
            ),
            count,
            repeats,
        )
        table[name] = {**row, "mark": MARKS.get(name)}
        sys.stderr.write(f"{name}: {row}\n")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="explanations: ours against public libraries")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--samples", type=int, default=1000, help="of LIME")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", action="append", default=[], choices=[*CAMS, "lime"])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    try:
        import lime  # noqa: F401
        import pytorch_grad_cam  # noqa: F401
    except ImportError as error:
        sys.exit(
            f"{error}. Install what is compared with: "
            "uv pip install --no-deps grad-cam ttach lime tqdm"
        )
    table = measure(given.batch, given.samples, given.repeats, given.only)
    if given.json:
        sys.stdout.write(json.dumps(table, indent=2) + "\n")
        return
    for name, row in table.items():
        low, high = row["ratio_spread"]
        sys.stdout.write(
            f"{name:<20} ours {row['ours_seconds']:>8.4f} s"
            f"  library {row['library_seconds']:>8.4f} s"
            f"  ratio {row['ratio']:>6.2f} ({low}-{high})  correlation {row['correlation']}\n"
        )


if __name__ == "__main__":
    main()
