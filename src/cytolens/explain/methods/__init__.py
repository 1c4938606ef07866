"""The methods, one a file; importing this package registers them all."""

from cytolens.explain.methods import grad_cam
from cytolens.explain.methods.method import METHODS, Method

__all__ = ["METHODS", "Method", "grad_cam"]
