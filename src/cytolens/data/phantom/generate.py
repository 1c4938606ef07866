"""One phantom image with everything that is true about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.core.seeding import rng
from cytolens.data.phantom import optics
from cytolens.data.phantom.canvas import CYTOPLASM, NUCLEUS, Canvas
from cytolens.data.phantom.cohort import cohort, draw_look, draw_traits
from cytolens.data.phantom.config import PhantomConfig
from cytolens.data.phantom.kind import BASE_SIZE, Scene
from cytolens.data.phantom.kinds import KINDS


@dataclass(frozen=True)
class PhantomImage:
    """A phantom: `image` uint8 RGB [H, W, 3] and `mask` uint8 [H, W].

    In the mask 0 is background, 1 cytoplasm (of a gland in histology), 2 nucleus.

    `truth` holds `nucleus_area` and `cytoplasm_area` (px, counted in the mask), `nc_ratio`
    (nucleus of the whole cell, 0…1) and one `z_<feature>` each, in deviations within a class.
    """

    id: str
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    label: str
    patient: str
    site: str
    truth: dict[str, float]


def generate_one(config: PhantomConfig, index: int) -> PhantomImage:
    """Return image `index` (0 … images − 1) of the set; it depends on `config` and `index` alone.

    Raises:
        InputError: the set has no such image.
    """
    if not 0 <= index < config.images:
        raise InputError(
            f"There is no phantom {index} in a set of {config.images}.",
            expected=f"0 to {config.images - 1}",
        )
    kind, members = KINDS.get(config.tissue), cohort(config)
    label, patient = int(members.label[index]), int(members.patient[index])
    site = int(members.site[patient])
    traits = draw_traits(config, kind, label, patient, index)
    look = draw_look(config, patient, site, index)
    canvas, scale = Canvas(config.size), config.size / BASE_SIZE
    stains = look.stains(np.asarray(kind.stains, dtype=np.float32))
    brush = rng(config.seed, "phantom", "scene", index)
    kind.paint(Scene(canvas, traits, look, stains, scale, brush))
    sensor = rng(config.seed, "phantom", "sensor", index)
    return PhantomImage(
        id=f"{config.tissue}_{index:06d}",
        image=optics.expose(canvas.od, look, kind.white, kind.blur * scale, sensor),
        mask=canvas.mask,
        label=kind.classes[label],
        patient=f"patient_{patient:03d}",
        site=f"site_{site}",
        truth={**_measured(canvas.mask), **{f"z_{k}": v for k, v in traits.items()}},
    )


def _measured(mask: NDArray[np.uint8]) -> dict[str, float]:
    nucleus = float(np.count_nonzero(mask == NUCLEUS))
    cytoplasm = float(np.count_nonzero(mask == CYTOPLASM))
    return {
        "nucleus_area": nucleus,
        "cytoplasm_area": cytoplasm,
        "nc_ratio": nucleus / max(nucleus + cytoplasm, 1.0),
    }
