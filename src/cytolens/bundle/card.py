"""`bundle.json`: what a bundle says of itself, and the files it vouches for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cytolens.core.config import from_dict
from cytolens.core.errors import InputError
from cytolens.core.files import read_json, sha256_file
from cytolens.models.cards import Card
from cytolens.models.config import ModelConfig
from cytolens.pixels.config import PixelsConfig

FORMAT = 2
CARD = "bundle.json"
MODEL = "model.safetensors"
ONNX = "model.onnx"
OPENVINO = ("openvino.xml", "openvino.bin")
OPENVINO_INT8 = ("openvino_int8.xml", "openvino_int8.bin")
REFERENCE = "reference.safetensors"
EXAMPLES = "examples.safetensors"


@dataclass(frozen=True)
class BundleCard:
    """The content of `bundle.json`.

    Attributes:
        classes: in the order of the scores.
        backbone: as timm names it.
        card: of its weights: normalisation, constructor.
        model: head, pooling, output.
        pixels: how an image becomes the network's input.
        size: height and width in pixels of the network's input.
        feature_shape: of what the head takes, without the batch axis.
        test_views: over which probabilities are averaged.
        files: SHA-256 of each other file of the bundle.
        version: of the model, semantic: the number before the first point changes when the same
            image may get another decision.
        format: of this file.
        calibration: how probabilities are corrected, and what that was worth; None: not at all.
        conformal: how sets of classes are made, and how often they hold the truth.
        ood: how images unlike the training images are known (with `reference.safetensors`).
        checks: usual brightness, sharpness and colour of the training images.
        examples: how many training images the bundle carries, and of which classes (with
            `examples.safetensors`); None: none.
        decision: when a case is clear, abnormal, or referred to an expert.
        provenance: recipe, its settings and seed, data, images and units of each part, which fold's
            model this is, weights, versions of libraries, and `notes` on what is missing.
        metrics: of the run's pooled test predictions (not of this one model).
    """

    classes: tuple[str, ...]
    backbone: str
    card: Card
    model: ModelConfig
    pixels: PixelsConfig
    size: tuple[int, int]
    feature_shape: tuple[int, ...]
    test_views: tuple[str, ...] = ("identity",)
    files: dict[str, str] = field(default_factory=dict)
    version: str = "1.0.0"
    format: int = FORMAT
    calibration: dict[str, Any] | None = None
    conformal: dict[str, Any] | None = None
    ood: dict[str, Any] | None = None
    checks: dict[str, Any] | None = None
    examples: dict[str, Any] | None = None
    decision: dict[str, Any] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)


def find_bundle(folder: Path | str) -> Path:
    """Return the folder of a bundle, given it or the run that holds it."""
    folder = Path(folder)
    return folder / "bundle" if (folder / "bundle" / CARD).is_file() else folder


def read_bundle_card(folder: Path) -> BundleCard:
    """Read `bundle.json`.

    Raises:
        InputError: none there, another format, unknown or missing keys.
    """
    content = read_json(folder / CARD, "bundle")
    if isinstance(content, dict) and content.get("format") != FORMAT:
        raise InputError(
            f"{folder} has the bundle format {content.get('format')!r}.",
            expected=f"format {FORMAT}",
            fix="use the version of cytolens that wrote it, or write it again.",
        )
    return from_dict(BundleCard, content, str(folder / CARD))


def check_files(folder: Path, card: BundleCard) -> None:
    """Refuse a bundle whose files are not those that it was written with.

    Raises:
        InputError: a file is missing or was changed, or the model is not vouched for.
    """
    if MODEL not in card.files:
        raise InputError(f"The bundle at {folder} does not vouch for {MODEL}.", fix=FETCH)
    for name, sha256 in card.files.items():
        if Path(name).name != name:
            raise InputError(f"The bundle at {folder} names a file outside of it: {name}.")
        if not (folder / name).is_file():
            raise InputError(f"The bundle at {folder} lacks {name}.", fix=FETCH)
        if sha256_file(folder / name) != sha256:
            raise InputError(
                f"{folder / name} is not the file that {CARD} describes.",
                expected=f"SHA-256 {sha256}",
                fix=FETCH,
            )


FETCH = "fetch the bundle again; do not use this one."


def bundle_id(folder: Path) -> str:
    """Return the name of a bundle's content: the first 12 hex digits of `bundle.json`'s SHA-256.

    That file names all others by their hashes, so the id stands for the whole bundle.
    """
    return sha256_file(folder / CARD)[:12]
