"""A deployable model: save, load, predict. No pickle anywhere, and no torch to predict."""

from cytolens.bundle.card import BundleCard, bundle_id
from cytolens.bundle.ensemble import Ensemble, load_ensemble
from cytolens.bundle.predict import Bundle, load_bundle
from cytolens.bundle.prediction import Prediction
from cytolens.bundle.save import save_bundle

__all__ = [
    "Bundle",
    "BundleCard",
    "Ensemble",
    "Prediction",
    "bundle_id",
    "load_bundle",
    "load_ensemble",
    "save_bundle",
]
