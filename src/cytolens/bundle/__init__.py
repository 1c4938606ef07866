"""A deployable model: save, load, predict. No pickle anywhere."""

from cytolens.bundle.load import Bundle, Prediction, load_bundle
from cytolens.bundle.save import BundleCard, save_bundle

__all__ = ["Bundle", "BundleCard", "Prediction", "load_bundle", "save_bundle"]
