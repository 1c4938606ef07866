"""Preprocessing, augmentation and offline expansion of uint8 RGB images [H, W, 3]."""

from cytolens.pixels.augment import augment
from cytolens.pixels.config import AugmentConfig, PixelsConfig
from cytolens.pixels.expand import Expanded, Source, expand
from cytolens.pixels.preprocess import preprocess
from cytolens.pixels.steps import STEPS
from cytolens.pixels.views import TEST_VIEWS, view

__all__ = [
    "STEPS",
    "TEST_VIEWS",
    "AugmentConfig",
    "Expanded",
    "PixelsConfig",
    "Source",
    "augment",
    "expand",
    "preprocess",
    "view",
]
