"""How the model was trained: the settings of its recipe, and what was counted of its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cytolens.bundle.model_card.document import Block, Section, Table, Text, facts
from cytolens.bundle.model_card.words import at, count, listed, or_missing, table

Content = Mapping[str, Any]
_SETTINGS = "provenance.settings"
_PARTS = {"train": "Training", "validation": "Validation", "test": "Test"}
_COUNTS = {"images": "All", "copies": "Augmented copies among them", "units": "Independent units"}
_IDLE = ("fill", "fill_value", "semantics")  # these say how, and change nothing by themselves


def training(content: Content) -> Section:
    title = "How it was trained"
    settings = table(content, _SETTINGS)
    if not settings:
        text = "Missing: the bundle does not hold how it was trained; recipe.toml of the run does."
        return Section("training", title, (Text(text, strong=True),))
    used = table(content, f"{_SETTINGS}.training")
    rate = f"{or_missing(used.get('lr'))}, {or_missing(used.get('schedule'))} over the epochs"
    blocks: list[Block] = [
        facts(
            ("Regime", or_missing(used.get("regime"))),
            ("Loss", or_missing(used.get("loss"))),
            ("Optimiser", or_missing(used.get("optimizer"))),
            ("Learning rate of the head", rate),
            ("Epochs, at most", count(used.get("epochs"))),
            ("Images a step", count(used.get("batch"))),
            ("Augmentation", _augmentation(content)),
            ("Weights of the classes in the loss", _weights(content)),
            ("Seed of all that is drawn", count(at(content, "provenance.seed"))),
        ),
        Table(
            ("Table", "Setting", "Value"),
            tuple(_rows(settings)),
            words=3,
            caption="All settings, by their names in the recipe; tables without effect are left "
            "out.",
        ),
    ]
    return Section("training", title, tuple(blocks))


def parts(content: Content) -> Table | Text:
    """Return the images of each class in each part of the model's own fold."""
    found = table(content, "provenance.parts")
    if not found:
        return Text("How many images each part of the split has is not in the bundle.")
    rows = [
        (str(name), *(count(table(found, f"{part}.classes").get(name)) for part in _PARTS))
        for name in content["classes"]
    ]
    rows += [
        (title, *(count(at(found, f"{part}.{name}")) for part in _PARTS))
        for name, title in _COUNTS.items()
    ]
    caption = "Images in the parts of the fold whose model this is."
    return Table(("Class", *_PARTS.values()), tuple(rows), caption=caption)


def libraries(content: Content) -> Table | Text:
    """Return the versions of the libraries that the model was made with."""
    found = table(content, "provenance.libraries")
    if not found:
        return Text(
            "Versions of other libraries stand in the folder of the run (environment.json), not in "
            "the bundle."
        )
    rows = tuple((str(name), "not installed" if v is None else str(v)) for name, v in found.items())
    return Table(("Library", "Version"), rows, words=2)


def _augmentation(content: Content) -> str:
    changes = table(content, f"{_SETTINGS}.augment")
    drawn = at(content, f"{_SETTINGS}.training.views") or table(content, f"{_SETTINGS}.expand")
    named = [
        str(name) if value is True else f"{name} {value}"
        for name, value in changes.items()
        if value and name not in _IDLE
    ]
    return listed(named) if named and drawn else "none"


def _weights(content: Content) -> str:
    found = table(content, "provenance.class_weights")
    named = [f"{name} {value:.3g}" for name, value in found.items() if isinstance(value, float)]
    return listed(named) if named else "none: all images count alike"


def _rows(settings: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, values in settings.items():
        for key, value in values.items() if isinstance(values, Mapping) else ():
            yield str(name), str(key), _value(value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return listed(f"{name} = {_value(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return listed(map(_value, value))
    return str(value) or '""'
