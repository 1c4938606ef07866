"""Registries keep their order and suggest the nearest name."""

from __future__ import annotations

import pytest

from cytolens.core.errors import InputError
from cytolens.core.registry import Registry, did_you_mean


def _colours() -> Registry[int]:
    colours: Registry[int] = Registry("colour")
    for number, name in enumerate(("red", "green", "blue")):
        colours.register(name, number)
    return colours


def test_names_keep_the_order_of_registration() -> None:
    colours = _colours()
    assert colours.names() == tuple(colours) == ("red", "green", "blue")
    assert len(colours) == 3
    assert colours.get("green") == 1
    assert "green" in colours
    assert "grey" not in colours


def test_an_unknown_name_brings_the_nearest_and_the_list() -> None:
    with pytest.raises(InputError) as caught:
        _colours().get("gren")
    assert str(caught.value) == (
        "Unknown colour 'gren' (did you mean 'green'?).\nExpected: one of red, green, blue"
    )
    with pytest.raises(InputError, match=r"^Unknown colour 'xyz'\.\n"):
        _colours().get("xyz")


def test_a_name_is_registered_once() -> None:
    with pytest.raises(AssertionError, match="colour 'red' is registered twice"):
        _colours().register("red", 9)


def test_did_you_mean() -> None:
    assert did_you_mean("lable", ["image", "label"]) == " (did you mean 'label'?)"
    assert did_you_mean("q", ["image", "label"]) == ""
