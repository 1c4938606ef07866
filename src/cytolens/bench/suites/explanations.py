"""Explanations side by side with `grad-cam` and `lime`, at equal settings."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cytolens.bench.measure import Line, in_turns, not_measured, time_line
from cytolens.bench.packages import missing
from cytolens.bench.pictures import soft_picture
from cytolens.bench.suite import SUITES, Options
from cytolens.explain import METHODS, Subject, Target, class_target
from cytolens.models.backbones import Body, create_backbone
from cytolens.models.config import ModelConfig
from cytolens.models.heads import create_head
from cytolens.models.weights import resolve_weights
from cytolens.pixels.config import PixelsConfig

_SIDE = 224
_BACKBONE = "mobilenetv2_100"
_CLASSES = tuple("abcdefg")
_CAMS = {
    "grad_cam": "GradCAM",
    "grad_cam_plus_plus": "GradCAMPlusPlus",
    "hires_cam": "HiResCAM",
    "layer_cam": "LayerCAM",
    "eigen_cam": "EigenCAM",
    "ablation_cam": "AblationCAM",
    "score_cam": "ScoreCAM",
}
# Where paper and library differ, as the library does it.
_AS_THE_LIBRARY: dict[str, dict[str, Any]] = {
    "eigen_cam": {"centred": True},
    "grad_cam_plus_plus": {"epsilon": 1e-6},
}
_ONE_IMAGE = ("ablation_cam", "score_cam", "lime")  # slow in the library: an image, not a batch
_MARKS = {"score_cam": 5.0, "lime": 5.0, **dict.fromkeys(list(_CAMS)[:4], 1.5)}

Maps = NDArray[np.float32]  # [N, H, W]


@dataclass(frozen=True)
class Sizes:
    """Images of a batch, samples of LIME, methods, repeats."""

    batch: int
    samples: int
    methods: tuple[str, ...]
    repeats: int
    slow_repeats: int


FULL = Sizes(16, 1000, (*_CAMS, "lime"), 3, 1)
QUICK = Sizes(4, 1000, ("grad_cam", "layer_cam"), 2, 1)


@dataclass(frozen=True)
class _Setting:
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


def explanations(options: Options) -> list[Line]:
    """Explanations of MobileNetV2's classes, an image: ours against grad-cam and lime."""
    sizes = QUICK if options.quick else FULL
    setting = _prepare(sizes.batch)
    few: dict[str, Any] = {"samples": 2}
    _ours("lime", setting, 1, **few)  # the engine for perturbed images is made once
    lines = []
    for name in sizes.methods:
        options.say(f"  {name}")
        lines.append(_method(name, setting, sizes))
    return lines


SUITES.register("explanations", explanations)


def _method(name: str, setting: _Setting, sizes: Sizes) -> Line:
    other = "lime" if name == "lime" else "grad-cam"
    why = missing("lime") if name == "lime" else missing("pytorch_grad_cam", "ttach")
    count = 1 if name in _ONE_IMAGE else sizes.batch
    slow = name in ("score_cam", "lime")
    settings: dict[str, Any] = dict(_AS_THE_LIBRARY.get(name, {}))
    if name == "lime":
        settings = {"samples": sizes.samples}
    maps: dict[str, Maps] = {}

    def mine() -> None:
        maps["ours"] = _ours(name, setting, count, **settings)

    def theirs() -> None:
        if name == "lime":
            maps[other] = _lime(setting, count, sizes.samples)
        else:
            maps[other] = _cam(_CAMS[name], setting, count)

    ways: dict[str, Callable[[], object]] = {"ours": mine}
    if not why:
        ways[other] = theirs
    times = in_turns(ways, sizes.slow_repeats if slow else sizes.repeats, warm=0 if slow else 1)
    each = {way: [spent / count for spent in values] for way, values in times.items()}
    title = METHODS.get(name)().title if hasattr(METHODS.get(name), "title") else name
    mark = _MARKS.get(name)
    if why:
        return not_measured(title, other, each["ours"], "s", why, mark)
    pairs = [
        float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
        for a, b in zip(maps["ours"], maps[other], strict=True)
        if a.std() > 0 and b.std() > 0
    ]
    note = f"smallest correlation of two maps {min(pairs):.4f}" if pairs else "empty maps"
    if name == "lime":
        note += f"; {sizes.samples} samples on the same superpixels, others in the library"
    return time_line(title, each, other, mark=mark, note=note)


def _prepare(count: int) -> _Setting:
    weights = resolve_weights(_BACKBONE, "random", 0)
    config = ModelConfig(backbone=_BACKBONE, freeze="all", head="linear")
    bodies = [Body(create_backbone(weights), weights, "avg").eval() for _ in range(2)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        heads = [create_head((1280,), len(_CLASSES), config).eval() for _ in range(2)]
    heads[1].load_state_dict(heads[0].state_dict())
    size = (_SIDE, _SIDE)
    subject = Subject(bodies[0], heads[0], "softmax", _CLASSES, size, PixelsConfig())
    images = np.stack([soft_picture(_SIDE, "explained", i) for i in range(count)])
    plain = _Plain(bodies[1], heads[1]).eval()
    targets = [class_target(_CLASSES, _CLASSES[i % len(_CLASSES)]) for i in range(count)]
    return _Setting(subject, images, targets, plain, bodies[1].net.bn2)  # type: ignore[arg-type]


def _ours(name: str, setting: _Setting, count: int, **settings: Any) -> Maps:
    method = METHODS.get(name)(**settings)
    found = method.explain(setting.subject, setting.images[:count], setting.targets[:count])
    return np.stack([one.map for one in found])


def _cam(name: str, setting: _Setting, count: int) -> Maps:
    """The same by pytorch-grad-cam, its object made once a call as its documentation does."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    targets = [ClassifierOutputTarget(i % len(_CLASSES)) for i in range(count)]
    planes = setting.normalised(setting.images[:count])
    quiet = contextlib.redirect_stderr(io.StringIO())
    with quiet, getattr(pytorch_grad_cam, name)(setting.plain, [setting.last]) as cam:
        maps: Maps = cam(planes, targets)
    return maps


def _lime(setting: _Setting, count: int, samples: int) -> Maps:
    """The same by lime, on our superpixels."""
    from lime.lime_image import LimeImageExplainer

    def classify(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            scores = setting.plain(setting.normalised(np.asarray(images, np.uint8)))
        found: NDArray[np.float32] = scores.softmax(1).numpy()
        return found

    maps = []
    for i in range(count):
        few: dict[str, Any] = {"samples": 2}
        [own] = METHODS.get("lime")(**few).explain(
            setting.subject, setting.images[i : i + 1], setting.targets[i : i + 1]
        )
        segments, wanted = own.segments, i % len(_CLASSES)
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
