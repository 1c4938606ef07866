"""Who is in a phantom set: the class and patient of every image, and what each patient is like."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cytolens.core.seeding import rng
from cytolens.data.phantom import optics
from cytolens.data.phantom.config import PhantomConfig
from cytolens.data.phantom.kind import Kind
from cytolens.data.phantom.kinds import KINDS

_LEVEL = 2.0  # deviations between the middle and the outermost class along a lone cause
_CLIP = 2.8  # deviations; the painters' formulas hold up to here
_FORM = 0.55  # deviations of a feature between patients at patient_effect = 1
_IMAGE = 0.30  # deviations of the look between images of one patient


@dataclass(frozen=True)
class Cohort:
    """Class, patient (both int64 [images]) and site (int64 [patients]) as positions from 0."""

    label: NDArray[np.int64]
    patient: NDArray[np.int64]
    site: NDArray[np.int64]


@lru_cache(maxsize=8)
def cohort(config: PhantomConfig) -> Cohort:
    """Deal the images to classes and patients.

    Class sizes follow `class_shares` by largest remainders. Patient p's main class is
    p mod classes; a share `label_patient_correlation` of the mix is that class, the rest is
    spread over all, so that who knows the patient guesses the label better than chance.
    """
    draw = rng(config.seed, "phantom", "cohort")
    classes = len(KINDS.get(config.tissue).classes)
    sizes = apportion(np.asarray(config.class_shares or (1.0,) * classes), config.images)
    patients = np.arange(config.patients)
    main = np.eye(classes)[patients % classes]  # [patients, classes]
    busy = np.exp(0.25 * draw.standard_normal(config.patients))[:, None]
    mix = config.label_patient_correlation
    weight = busy * (mix * main + (1 - mix) / classes)
    table = np.stack([apportion(weight[:, c], int(sizes[c])) for c in range(classes)], 1)
    _leave_none_out(table)
    label = np.tile(np.arange(classes), config.patients).repeat(table.ravel())
    patient = patients.repeat(table.sum(1))
    order = draw.permutation(config.images)
    site = (patients // classes) % config.sites
    missing = np.setdiff1d(np.arange(config.sites), site)
    site[len(site) - len(missing) :] = missing
    return Cohort(label[order], patient[order], site)


def apportion(weights: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Share `total` out by `weights` (largest remainders), at least 1 each where possible."""
    ideal = weights / weights.sum() * total
    shares: NDArray[np.int64] = np.floor(ideal).astype(np.int64)
    rest = total - int(shares.sum())
    shares[np.argsort(shares - ideal, kind="stable")[:rest]] += 1
    for i in np.flatnonzero((shares == 0) & (weights > 0)):
        if shares.max() > 1 and total >= len(weights):
            shares[np.argmax(shares)] -= 1
            shares[i] += 1
    return shares


def _leave_none_out(table: NDArray[np.int64]) -> None:
    """Give a patient without images one of the busiest patient's, of the same class, in place."""
    for empty in np.flatnonzero(table.sum(1) == 0):
        donor, label = np.unravel_index(np.argmax(table), table.shape)
        table[donor, label] -= 1
        table[empty, label] += 1


def draw_traits(
    config: PhantomConfig, kind: Kind, label: int, patient: int, index: int
) -> dict[str, float]:
    """Draw every feature of image `index`, in deviations within a class.

    With a `cause`, the classes stand evenly along each causal feature in their order, and all
    other features say nothing about the class.
    """
    names = list(kind.features)
    own = rng(config.seed, "phantom", "traits", index).standard_normal(len(names))
    form = rng(config.seed, "phantom", "patient form", patient).standard_normal(len(names))
    levels = np.linspace(-_LEVEL, _LEVEL, len(kind.classes))
    values = {}
    for i, name in enumerate(names):
        if not config.cause:
            mean = kind.features[name].means[label]
        else:
            mean = float(levels[label]) if name in config.cause else 0.0
        z = config.class_separation * mean + config.patient_effect * _FORM * form[i] + own[i]
        values[name] = float(np.clip(z, -_CLIP, _CLIP))
    return values


def draw_look(config: PhantomConfig, patient: int, site: int, index: int) -> optics.Look:
    """Draw how image `index` looks: the sum of its site's, its patient's and its own deviations."""

    def part(*names: str | int) -> NDArray[np.float64]:
        return rng(config.seed, "phantom", *names).standard_normal(optics.LENGTH)

    z = config.site_effect * part("site look", site)
    z += config.patient_effect * part("patient look", patient)
    z += _IMAGE * part("image look", index)
    return optics.Look(np.clip(z, -_CLIP, _CLIP))
