"""What the model is, what it is for, what it was trained and tried on, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cytolens.bundle.model_card.document import Block, Points, Section, Table, Text, facts
from cytolens.bundle.model_card.training import parts
from cytolens.bundle.model_card.words import (
    AUTHORS,
    at,
    count,
    defined,
    listed,
    many,
    number,
    or_missing,
    percent,
    table,
    texts,
)

Content = Mapping[str, Any]
_UNITS = {
    "group": "the groups of the data, such as patients or slides",
    "near-duplicate cluster": "sets of images that are nearly the same; the data name no groups",
    "image": "single images; the data name no groups, and alike images count as independent",
}


def lead(content: Content) -> str:
    """Return what the model is, in two sentences."""
    classes = content["classes"]
    return (
        f"A network that calls a microscope image one of {many(len(classes), 'class', 'classes')}: "
        f"{listed(classes)}. What it says is a finding of a machine, not a diagnosis."
    )


def of_this_model(content: Content) -> bool:
    """Return whether the scores are those of the bundle's own model: there was one fold."""
    tested = at(content, "provenance.tested_on")
    return tested is not None and tested == at(content, "metrics.n")


def stamp(content: Content) -> str:
    """Return why the numbers may be too good, or ""."""
    leaks = texts(content, "metrics.leaks")
    if leaks:
        return (
            f"LEAKS. The numbers of this card are too good to be believed: {'; '.join(leaks)}. "
            "They are not what the model does on new patients."
        )
    if protocol_of(content) == "published":
        return (
            "PUBLISHED PROTOCOL. The split was made as in a publication and not held to the rules "
            "of the honest protocol; no leak was found."
        )
    return ""


def protocol_of(content: Content) -> str | None:
    """Return "honest", "published", or None where the bundle does not say."""
    found = at(content, "metrics.protocol") or at(content, "provenance.protocol")
    return None if found is None else str(found)


def what_it_is(content: Content) -> Section:
    model, pixels = content["model"], content["pixels"]
    height, width = content["size"]
    steps = [str(step.get("name")) for step in pixels["steps"]]
    fit = "stretched to it" if pixels["fit"] == "stretch" else "fitted into it, with a border"
    prepared = f"{listed(steps)}; then {fit}" if steps else fit
    return Section(
        "what",
        "What it is",
        (
            facts(
                ("Version", content["version"]),
                ("Classes", listed(content["classes"])),
                ("Classes that count as abnormal", _abnormal(content)),
                ("Network", content["backbone"]),
                ("Head", f"{model['head']}, pooling {model['pool']}, {model['output']} output"),
                ("Layers kept from the weights it started from", f"freeze = {model['freeze']}"),
                ("Input", "one RGB image of any size, and nothing else of the patient"),
                ("What the network sees", f"{height} × {width} px"),
                ("How an image is prepared", prepared),
                ("How pixels are scaled", _scaling(content["card"])),
                ("Views whose probabilities are averaged", listed(content["test_views"])),
                ("Output", _output(content)),
            ),
        ),
    )


def _scaling(card: Content) -> str:
    mean, std = (", ".join(f"{value:g}" for value in card[name]) for name in ("mean", "std"))
    return f"to 0 … 1, then by the mean {mean} and the standard deviation {std} (R, G, B)"


def _abnormal(content: Content) -> str:
    named = at(content, "decision.abnormal")
    return listed(named) if named else "none named"


def _output(content: Content) -> str:
    said = ["a probability of each class", "the most probable class"]
    if content.get("conformal") is not None:
        said.append("a set of classes")
    if content.get("decision") is not None:
        said.append('"clear", "abnormal" or "refer"')
    elif refers(content):
        said.append('"refer" where an expert should decide')
    if content.get("ood") is not None:
        said.append("how unlike the training images an image is")
    return listed(said)


def refers(content: Content) -> list[str]:
    """Return when a case is referred to an expert, a sentence a rule."""
    rules = []
    if content.get("checks") is not None:
        rules.append(
            "An image check fails: the image is too dark, too bright, blurred, empty, or its "
            "stain, shape or size is not that of the training images."
        )
    if content.get("ood") is not None:
        rules.append(
            "The image is unlike the training images: its strangeness, by the features the "
            "network takes from it, is above 1."
        )
    decides = content.get("decision") is not None
    if content.get("conformal") is not None:
        level = percent(at(content, "conformal.level"))
        held = "both normal and abnormal classes" if decides else "more than one class"
        empty = "" if at(content, "conformal.never_empty") is not False else "no class, or "
        rules.append(f"The set of classes (level {level}) holds {empty}{held}.")
    limits = at(content, "decision.refer")
    if isinstance(limits, Sequence) and len(limits) == 2:
        low, high = (defined(limit) for limit in limits)
        if low == high:
            rules.append(
                "By the probability of an abnormal finding alone nothing is referred: both limits "
                f"are {number(low)}."
            )
        else:
            rules.append(
                "The probability of an abnormal finding is at least "
                f"{number(low)} and below {number(high)}."
            )
    return rules


def use(content: Content) -> Section:
    data = or_missing(at(content, "provenance.data"))
    rules = refers(content)
    blocks: list[Block] = [
        Text(
            f"{AUTHORS}for which patients and which question it is meant, at which step of care, "
            "and who reads what it says."
        ),
        Points(
            (
                "It is not a medical device. It gives a finding of a machine, which a person "
                "trained in cytology or pathology must judge; it must not decide about a patient.",
                f"It knows the classes {listed(content['classes'])} and no others: whatever an "
                "image shows, one of them is the most probable.",
                f"Its numbers hold for patients, stains and microscopes like those of the data "
                f"set {data}. The bundle holds no scores of data from elsewhere.",
                "Images that were cropped, drawn on, or taken at another magnification are not "
                "what it was trained on.",
            )
        ),
    ]
    if rules:
        blocks += [Text('It says "refer", and leaves the case to an expert, when:')]
        blocks += [Points(tuple(rules))]
    else:
        blocks += [
            Text(
                "It never refers a case to an expert: the bundle holds no image checks, no "
                "statistics of the training images, no sets and no operating point.",
                strong=True,
            )
        ]
    if content.get("decision") is None:
        blocks += [
            Text("It sorts nothing into clear and abnormal: the bundle holds no operating point.")
        ]
    return Section("use", "Intended use and limits", tuple(blocks))


def data(content: Content) -> Section:
    interval, per_class = table(content, "metrics.interval"), table(content, "metrics.per_class")
    units = "not in the bundle"
    if "units" in interval:
        kind = str(interval.get("unit"))
        units = f"{many(interval['units'], kind)}: {_UNITS.get(kind, kind)}"
    pairs = [
        ("Data set", or_missing(at(content, "provenance.data"))),
        ("Images", count(at(content, "provenance.images"))),
        ("Images with a test prediction", count(at(content, "metrics.n"))),
        ("Independent units among them", units),
    ]
    pairs += [
        _values(content, *one)
        for one in (("dataset", "Data sets or sites"), ("magnification", "Magnifications"))
    ]
    rows = tuple((str(name), count(at(row, "support"))) for name, row in per_class.items())
    return Section(
        "data",
        "Data",
        (
            facts(*pairs),
            Table(("Class", "Tested images"), rows)
            if rows
            else Text("How many images each class has is not in the bundle."),
            parts(content),
            _carried(content),
            Text(
                f"{AUTHORS}how, where and when the images were taken and stained, from whom, who "
                "named their classes and by what standard, and who may use them."
            ),
        ),
    )


def _carried(content: Content) -> Text:
    if content.get("examples") is None:
        return Text("The bundle carries no pictures of its training images.")
    found = table(content, "examples")
    counts = table(content, "examples.classes")
    named = listed(f"{name} {count(value)}" for name, value in counts.items())
    return Text(
        f"The bundle carries small pictures of {many(found.get('images'), 'training image')} "
        f"({named}), at most {count(found.get('side'))} px a side, with labels and without names "
        "of files or patients. Whoever has the bundle can look at them: hand it on only where "
        "these images may go."
    )


def _values(content: Content, column: str, title: str) -> tuple[str, str]:
    found = table(content, f"metrics.subgroups.{column}")
    named = [f"{value} ({many(at(row, 'n'), 'image')})" for value, row in found.items()]
    return title, listed(named) if named else "not in the bundle: one alone, or none recorded"


def protocol(content: Content) -> Section:
    blocks: list[Block] = []
    kind, leaks = protocol_of(content), texts(content, "metrics.leaks")
    if kind == "honest":
        blocks.append(
            Text(
                "Honest: groups, duplicates, near duplicates and augmented copies stand on one "
                "side of a split; a leak that can be found would have stopped the run."
            )
        )
    elif kind == "published":
        blocks.append(Text("Published: the split is that of a publication.", strong=True))
    else:
        blocks.append(Text("The bundle does not say how its data were divided.", strong=True))
    if leaks:
        blocks += [Text("LEAKS, for these reasons:", strong=True), Points(leaks)]
    blocks += [Text(text) for text in _how(content)]
    return Section("protocol", "Protocol", tuple(blocks))


def _how(content: Content) -> Iterator[str]:
    yield (
        "The model of this bundle is that of fold "
        f"{count(at(content, 'provenance.fold'))} (counted from 0), not of the best one: trained "
        f"on {many(at(content, 'provenance.trained_on'), 'image')}, with "
        f"{count(at(content, 'provenance.validated_on'))} for validation and "
        f"{count(at(content, 'provenance.tested_on'))} for the test of that fold. Images made by "
        "augmenting others count."
    )
    interval = table(content, "metrics.interval")
    yield (
        "The scores below are those of this model on the test images of its fold."
        if of_this_model(content)
        else "The scores below are those of the test predictions of all folds together, scored "
        "once; the models of the other folds stand for this one."
    )
    if interval.get("resamples"):
        yield (
            f"Intervals are {percent(interval.get('level'))} bootstrap intervals over "
            f"{many(interval.get('units'), str(interval.get('unit')))}, with "
            f"{many(interval.get('resamples'), 'sample')}."
        )
    else:
        yield "The bundle holds no intervals."
