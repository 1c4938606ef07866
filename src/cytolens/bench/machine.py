"""Facts of the machine that numbers of speed belong to."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = (
    "cytolens",
    "torch",
    "torchvision",
    "openvino",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "tensorflow-cpu",
    "keras",
    "albumentations",
    "grad-cam",
    "lime",
)
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "avx512_vnni")


def machine() -> dict[str, Any]:
    """Return processor, cores, memory, system, versions and the load at this moment."""
    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in _FLAGS if flag in _cpuinfo("flags").split()],
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
        "packages": {},
    }
    for name in _PACKAGES:
        try:
            found["packages"][name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def has_flag(name: str) -> bool:
    """Whether the processor says that it has an instruction set."""
    return name in _cpuinfo("flags").split()


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    except OSError:
        pass
    return ""
