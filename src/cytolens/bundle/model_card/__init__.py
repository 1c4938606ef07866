"""The model card of a bundle: what it is, what it is for, how good it is and where it fails.

Every number is one of `bundle.json`, or a count of them; what the bundle does not know is said to
be missing. The idea is that of Mitchell et al. 2019, "Model cards for model reporting".
"""

from __future__ import annotations

from pathlib import Path

from cytolens.bundle.assessment import Assessment
from cytolens.bundle.card import BundleCard, check_files, find_bundle, read_bundle_card
from cytolens.bundle.examples import read_examples
from cytolens.bundle.model_card import about, doubt, origin, scores, training
from cytolens.bundle.model_card.checklists import checklists
from cytolens.bundle.model_card.document import ModelCard, Section, Text
from cytolens.bundle.save import amend_bundle
from cytolens.core.config import to_dict
from cytolens.core.files import write_text, writing

__all__ = ["MODEL_CARD", "ModelCard", "model_card", "write_model_card"]

MODEL_CARD = ("MODEL_CARD.md", "model_card.html")
_STAMPED = ("results", "subgroups", "calibration", "sets", "decisions", "failures")


def model_card(bundle_folder: Path | str) -> ModelCard:
    """Return the model card of a bundle; its network is not loaded.

    Args:
        bundle_folder: a `bundle/`, or a run that holds one.

    Raises:
        InputError: no bundle, another format, a file that is missing or was changed, or a part
            that cannot be read.
    """
    folder = find_bundle(bundle_folder)
    card = read_bundle_card(folder)
    check_files(folder, card)
    Assessment(folder, card)  # refuses parts that cannot be read
    read_examples(folder, card)
    return of_card(card)


def of_card(card: BundleCard) -> ModelCard:
    """Return the model card of a bundle's description; the same description, the same card."""
    content = to_dict(card)
    stamp = about.stamp(content)
    sections: tuple[Section, ...] = (
        about.what_it_is(content),
        about.use(content),
        about.data(content),
        about.protocol(content),
        training.training(content),
        scores.results(content),
        scores.subgroups(content),
        doubt.calibration(content),
        doubt.sets(content),
        doubt.decisions(content),
        doubt.recognition(content),
        scores.failures(content),
        origin.provenance(content),
        origin.files(content, MODEL_CARD),
        origin.usage(),
    )
    if stamp:
        sections = tuple(_stamped(section, stamp) for section in sections)
    named = content["provenance"].get("data")
    title = f"{card.backbone} on {named}" if named else card.backbone
    return ModelCard(
        f"{title}, version {card.version}",
        about.lead(content),
        stamp,
        (*sections, checklists(content, sections)),
    )


def write_model_card(bundle_folder: Path | str, out: Path | None = None) -> list[Path]:
    """Write `MODEL_CARD.md` and `model_card.html`, and return their paths.

    Args:
        out: another folder; None: the bundle itself, which then vouches for both. They say nothing
            of their own hashes, so writing them again changes nothing.

    Raises:
        InputError: as `model_card`, or a place that cannot be written.
    """
    folder = find_bundle(bundle_folder)
    card = model_card(folder)
    place = folder if out is None else out
    paths = [place / name for name in MODEL_CARD]
    with writing(place, "the model card"):
        for path, text in zip(paths, (card.to_markdown(), card.to_html()), strict=True):
            write_text(path, text)
    if place.resolve() == folder.resolve():
        amend_bundle(folder, *MODEL_CARD)
    return paths


def _stamped(section: Section, stamp: str) -> Section:
    """Say above every table of scores that they are not to be believed."""
    if section.name not in _STAMPED:
        return section
    word = stamp.split(".")[0]
    mark = Text(f"{word}: see the protocol.", strong=True)
    return Section(section.name, section.title, (mark, *section.blocks))
