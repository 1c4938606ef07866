"""Write a bundle's network as ONNX and as OpenVINO's own form, so that it runs without torch."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path

import torch

from cytolens.bundle.card import (
    MODEL,
    ONNX,
    OPENVINO,
    BundleCard,
    check_files,
    read_bundle_card,
)
from cytolens.bundle.network import load_network
from cytolens.bundle.save import amend_bundle
from cytolens.core.errors import InputError
from cytolens.core.files import atomic_path, writing

FORMATS = ("onnx", "openvino")
_OPSET = 17
PIXELS, SCORES, FEATURES = "pixels", "scores", "features"


class NotExportable(InputError):
    """The network has an operation that the export does not know; torch can still run it."""


def export_bundle(folder: Path, *formats: str) -> BundleCard:
    """Add exports to a bundle (OpenVINO's is made of the ONNX one, which is then written too).

    Both hold float32 weights and take uint8 pixels [n, H, W, 3]; they give "scores" [n, k] and
    "features" [n, d].

    Raises:
        InputError: an unknown format, no bundle, or a model that was changed.
        NotExportable: a network that cannot be written so.
    """
    if unknown := sorted(set(formats) - set(FORMATS)):
        raise InputError(f"Unknown format {unknown[0]!r}.", expected=f"one of {', '.join(FORMATS)}")
    card = read_bundle_card(folder)
    if not formats:
        return card
    model = {name: sha256 for name, sha256 in card.files.items() if name == MODEL}
    check_files(folder, replace(card, files=model))  # what is exported is vouched for
    with writing(folder, "the export"):
        with atomic_path(folder / ONNX) as path:
            write_onnx(folder, card, path)
        card = amend_bundle(folder, ONNX)
        if "openvino" in formats:
            _write_openvino(folder, card)
            card = amend_bundle(folder, *OPENVINO)
    return card


def write_onnx(folder: Path, card: BundleCard, path: Path) -> None:
    """Write the network of a bundle as an ONNX file.

    Raises:
        NotExportable: an operation that ONNX does not have.
    """
    network = load_network(folder, card)
    example = torch.zeros(1, *card.size, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        # torch prefers its newer exporter, which needs three more packages for the same file.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                network,
                (example,),
                path,
                dynamo=False,
                opset_version=_OPSET,
                input_names=[PIXELS],
                output_names=[SCORES, FEATURES],
                dynamic_axes={name: {0: "n"} for name in (PIXELS, SCORES, FEATURES)},
            )
        except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
            raise _refusal(card, "ONNX", error) from error


def _write_openvino(folder: Path, card: BundleCard) -> None:
    os.environ.setdefault("OPENVINO_TELEMETRY", "0")
    import openvino

    try:
        model = openvino.Core().read_model(folder / ONNX)
    except RuntimeError as error:
        raise _refusal(card, "OpenVINO", error) from error
    openvino.save_model(model, folder / OPENVINO[0], compress_to_fp16=False)


def _refusal(card: BundleCard, form: str, error: Exception) -> NotExportable:
    first = str(error).strip().partition("\n")[0]
    return NotExportable(f"{card.backbone} cannot be written as {form}: {first}")
