"""Explanations of a network's decisions, and the tests they are put to."""

from cytolens.explain.explanation import Explanation
from cytolens.explain.methods import METHODS, Method
from cytolens.explain.subject import Subject
from cytolens.explain.targets import Target, class_target, decision, difference, predicted

__all__ = [
    "METHODS",
    "Explanation",
    "Method",
    "Subject",
    "Target",
    "class_target",
    "decision",
    "difference",
    "predicted",
]
