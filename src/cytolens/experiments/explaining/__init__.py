"""Explain a model: choose images, run the methods, write the folder `explanations/`."""

from cytolens.experiments.explaining.methods import DEFAULT_METHODS, create_methods
from cytolens.experiments.explaining.question import Question
from cytolens.experiments.explaining.run import explain_images, explain_run

__all__ = ["DEFAULT_METHODS", "Question", "create_methods", "explain_images", "explain_run"]
