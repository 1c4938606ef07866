"""Packages that ours is held against: nobody needs them but a benchmark."""

from __future__ import annotations

from importlib.util import find_spec

_DISTRIBUTIONS = {"tensorflow": "tensorflow-cpu", "pytorch_grad_cam": "grad-cam"}


def missing(*modules: str) -> str:
    """Return "" if all modules can be imported, else which packages are not installed."""
    absent = [_DISTRIBUTIONS.get(name, name) for name in modules if find_spec(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""
