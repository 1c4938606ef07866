"""Write a bundle's network with 8-bit weights and activations: faster, and a little different."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.bundle.card import (
    OPENVINO,
    OPENVINO_INT8,
    BundleCard,
    check_files,
    read_bundle_card,
)
from cytolens.bundle.save import amend_bundle
from cytolens.core.errors import InputError
from cytolens.core.files import writing
from cytolens.pixels.preprocess import preprocess


def quantise_bundle(folder: Path, images: Sequence[NDArray[np.uint8]]) -> BundleCard:
    """Add an INT8 form of the network to a bundle that holds OpenVINO's float32 one.

    Post-training quantisation of NNCF: weights are rounded to 8 bits, and so are activations, whose
    ranges are looked at on some images (Jacob et al. 2018, "Quantization and training of neural
    networks for efficient integer-arithmetic-only inference"). Calibration, sets and limits of the
    bundle stay those that were fitted with float32.

    Args:
        folder: of the bundle.
        images: uint8 RGB [h, w, 3] of any size, best of training; 100 to 300 are enough.

    Raises:
        InputError: no images, no float32 export, a file that was changed, or NNCF is not installed.
    """
    if not len(images):
        raise InputError("There are no images to look at the ranges of activations.")
    card = read_bundle_card(folder)
    check_files(folder, card)
    if missing := [name for name in OPENVINO if name not in card.files]:
        raise InputError(
            f"The bundle at {folder} holds no {missing[0]}, of which INT8 is made.",
            fix="`cytolens export` it to openvino first.",
        )
    batches = [preprocess(image, card.pixels, card.size)[None] for image in images]
    import openvino

    with writing(folder, "the export"), _quiet():
        nncf = _nncf()
        model = openvino.Core().read_model(folder / OPENVINO[0])
        quantised = nncf.quantize(model, nncf.Dataset(batches), subset_size=len(batches))
        openvino.save_model(quantised, folder / OPENVINO_INT8[0], compress_to_fp16=False)
    return amend_bundle(folder, *OPENVINO_INT8)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep NNCF's bars from standard output, and its search for CUDA from the log."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _nncf() -> Any:
    """Import NNCF; it neither says anything here nor sends or keeps anything anywhere.

    NNCF asks for telemetry while it is imported, and throws the asking away where NNCF_CI is set;
    the asking alone leaves an identity in the home folder, unless CI says "true".
    """
    os.environ["NNCF_CI"] = "1"
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        import nncf
    except ImportError as error:
        raise InputError(
            "NNCF, which makes INT8 of float32, is not installed.",
            fix="install it: pip install 'cytolens[int8]'.",
        ) from error
    finally:
        del os.environ["CI"]
        if before is not None:
            os.environ["CI"] = before
    nncf.set_log_level(logging.ERROR)
    return nncf
