"""Examine the machine: libraries, device, engine, weights, caches."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cytolens.core.errors import InputError
from cytolens.core.files import cache_dir, writing

State = Literal["ok", "note", "missing"]
_LOW_SPACE = 5 * 2**30  # bytes


@dataclass(frozen=True)
class Check:
    """One finding: what was looked at, what was found, and what to do about it."""

    what: str
    state: State
    found: str
    advice: str = ""


def examine() -> list[Check]:
    """Run every check; a check that fails is a finding, never an exception."""
    checks: list[Callable[[], Check]] = [
        _python,
        _torch,
        _torchvision,
        _openvino,
        _device,
        _weights,
        _cache,
    ]
    return [check() for check in checks]


def _python() -> Check:
    cores = os.cpu_count()
    return Check("Python", "ok", f"{platform.python_version()} on {sys.platform}, {cores} cores")


def _torch() -> Check:
    try:
        import torch
    except ImportError as error:
        return Check("torch", "missing", str(error), "run `make setup`.")
    return Check("torch", "ok", torch.__version__)


def _torchvision() -> Check:
    try:
        import timm
        import torchvision
    except (ImportError, RuntimeError) as error:
        advice = "torch and torchvision must be a matching pair; run `make setup`."
        return Check("torchvision and timm", "missing", str(error), advice)
    return Check("torchvision and timm", "ok", f"{torchvision.__version__}, {timm.__version__}")


def _openvino() -> Check:
    """Run a small network in OpenVINO and in torch and compare."""
    try:
        import torch

        from cytolens.features.engines import OpenVINOEngine
        from cytolens.models.backbones import Normalise

        plain = Normalise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        net = torch.nn.Sequential(plain, torch.nn.Conv2d(3, 4, 3)).eval()
        pixels = np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)
        [ours] = OpenVINOEngine(net, (8, 8), "f32").run([pixels])
        with torch.inference_mode():
            theirs = net(torch.from_numpy(pixels)).numpy()
        error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    except (ImportError, RuntimeError) as problem:
        return Check("OpenVINO", "missing", str(problem), 'set features.engine = "torch".')
    if error > 1e-4:
        advice = 'set features.engine = "torch".'
        return Check("OpenVINO", "missing", f"differs from torch by {error:.1e}", advice)
    return Check("OpenVINO", "ok", f"agrees with torch to {error:.0e}")


def _device() -> Check:
    try:
        import torch
    except ImportError as error:
        return Check("device", "missing", str(error), "run `make setup`.")
    if torch.cuda.is_available():
        return Check("device", "ok", torch.cuda.get_device_name(0))
    return Check("device", "note", "no GPU: frozen parts run in OpenVINO on the CPU")


def _weights() -> Check:
    from cytolens.models.weights import resolve_weights

    try:
        found = resolve_weights("mobilenetv2_100", "imagenet")
    except ImportError as error:
        return Check("ImageNet weights", "missing", str(error), "run `make setup`.")
    except InputError as error:
        advice = "set CYTOLENS_WEIGHTS to a folder with mobilenetv2_100.safetensors; until then "
        return Check(
            "ImageNet weights",
            "note",
            "; ".join(error.rows or (error.what,)),
            advice + 'weights = "auto" uses the small backbone that ships with the package.',
        )
    assert found.path is not None
    return Check("ImageNet weights", "ok", f"{found.backbone} at {found.path}")


def _cache() -> Check:
    folder = cache_dir()
    try:
        with writing(folder, "the cache"):
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".doctor"
            probe.write_text("")
            probe.unlink()
    except InputError as error:
        return Check("cache", "missing", error.what, "set CYTOLENS_CACHE to a writable folder.")
    free = shutil.disk_usage(folder).free
    state: State = "ok" if free > _LOW_SPACE else "note"
    return Check("cache", state, f"{folder}, {free / 2**30:.0f} GiB free")
