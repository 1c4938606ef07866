"""Where the model comes from, what its files are, and how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cytolens.bundle.card import EXAMPLES, MODEL, ONNX, OPENVINO, OPENVINO_INT8, REFERENCE
from cytolens.bundle.model_card.about import of_this_model
from cytolens.bundle.model_card.document import Block, Code, Points, Section, Table, Text, facts
from cytolens.bundle.model_card.training import libraries
from cytolens.bundle.model_card.words import at, count, or_missing, texts

Content = Mapping[str, Any]
_FILES = {
    MODEL: "the network's weights",
    ONNX: "the network, for ONNX Runtime",
    OPENVINO[0]: "the network, for OpenVINO: its graph",
    OPENVINO[1]: "the network, for OpenVINO: its numbers",
    OPENVINO_INT8[0]: "the network in INT8, for OpenVINO: its graph",
    OPENVINO_INT8[1]: "the network in INT8, for OpenVINO: its numbers",
    REFERENCE: "statistics of the training images",
    EXAMPLES: "training images: small pictures, labels, features",
}
_SHELL = """\
cytolens predict BUNDLE IMAGES --out predictions.csv
cytolens predict BUNDLE IMAGES --format json"""
_PYTHON = """\
from cytolens.bundle import load_bundle

bundle = load_bundle("BUNDLE")
found = bundle.predict("image.png")
print(found.label, found.probabilities, found.classes_in_set)
print(found.decision, *found.reasons, sep="; ")"""


def provenance(content: Content) -> Section:
    weights, card = "provenance.weights", content["card"]
    notes = texts(content, "provenance.notes")
    alone = of_this_model(content)
    blocks: list[Block] = [
        facts(
            ("Recipe", or_missing(at(content, "provenance.recipe"))),
            ("Protocol", or_missing(at(content, "provenance.protocol"))),
            ("Data set", or_missing(at(content, "provenance.data"))),
            ("Model of fold", f"{count(at(content, 'provenance.fold'))} (counted from 0)"),
            ("Scores of", "this model" if alone else "all folds together, not of this one model"),
            ("Weights it started from", or_missing(at(content, f"{weights}.identity"))),
            ("File of these weights", or_missing(at(content, f"{weights}.file"))),
            ("Note on these weights", or_missing(at(content, f"{weights}.note"))),
            ("Weight card: source", or_missing(card["source"])),
            ("Weight card: licence", or_missing(card["licence"])),
            ("cytolens", or_missing(at(content, "provenance.cytolens"))),
            ("Format of the bundle", str(content["format"])),
        ),
        libraries(content),
        Text("The machine stands in the folder of the run (environment.json), not in the bundle."),
    ]
    if notes:
        blocks += [Text("Notes of the run on this bundle:"), Points(notes)]
    return Section("provenance", "Provenance", tuple(blocks))


def files(content: Content, own: tuple[str, ...]) -> Section:
    """Return the files with their hashes, but for the card's `own`, which hold this table."""
    rows = tuple(
        (name, _FILES.get(name, "another file"), sha256)
        for name, sha256 in content["files"].items()
        if name not in own
    )
    return Section(
        "files",
        "Files",
        (
            Table(("File", "What it is", "SHA-256"), rows, words=3),
            Text(
                "bundle.json describes the model and holds these hashes, and those of this card. "
                "A file that was changed is refused at loading; one that was added after this card "
                "was written is named there alone. Nothing is unpickled."
            ),
        ),
    )


def usage() -> Section:
    return Section(
        "usage",
        "How to use it",
        (
            Text("On the command line, BUNDLE being this folder:"),
            Code("console", _SHELL),
            Text("In Python:"),
            Code("python", _PYTHON),
            Text(
                'A finding whose decision is "refer" is left to an expert; the reasons say why. '
                "An image that cannot be read has a problem and no label."
            ),
        ),
    )
