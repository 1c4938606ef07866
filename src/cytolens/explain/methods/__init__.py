"""The methods, one a file; importing this package registers them all."""

from cytolens.explain.methods import (
    ablation_cam,
    eigen_cam,
    grad_cam,
    grad_cam_plus_plus,
    hires_cam,
    integrated_gradients,
    layer_cam,
    lime,
    occlusion,
    random_map,
    rise,
    score_cam,
)
from cytolens.explain.methods.method import METHODS, Method

__all__ = [
    "METHODS",
    "Method",
    "ablation_cam",
    "eigen_cam",
    "grad_cam",
    "grad_cam_plus_plus",
    "hires_cam",
    "integrated_gradients",
    "layer_cam",
    "lime",
    "occlusion",
    "random_map",
    "rise",
    "score_cam",
]
