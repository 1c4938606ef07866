"""Settings: all mistakes at once, with suggestions; TOML there and back."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from cytolens.core.config import assign, from_dict, load_toml, to_dict, to_toml
from cytolens.core.errors import InputError


@dataclass(frozen=True)
class _Inner:
    rate: float = 0.1
    kind: Literal["adam", "sgd"] = "adam"
    size: tuple[int, int] = (2, 3)

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise InputError(f"rate = {self.rate} is not above 0.")


@dataclass(frozen=True)
class _Outer:
    name: str
    inner: _Inner = field(default_factory=_Inner)
    epochs: int = 5
    dropout: bool = False
    freeze: str | float = "all"
    views: int | Literal["epochs"] = 0
    note: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    steps: tuple[_Inner, ...] = ()


def _problems(content: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        from_dict(_Outer, content, "recipe.toml")
    return caught.value.rows


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(InputError) as caught:
        from_dict(_Outer, {"epoch": 3, "dropout": 1, "inner": {"raet": 1.0}}, "recipe.toml")
    assert str(caught.value) == (
        "recipe.toml has 4 wrong settings.\n"
        "  - epoch: unknown key (did you mean 'epochs'?)\n"
        "  - dropout: expected true or false, got 1\n"
        "  - inner.raet: unknown key (did you mean 'rate'?)\n"
        "  - name: missing\n"
        "Way out: correct these settings; docs/reference/recipe.md lists them all."
    )


def test_one_mistake_is_singular_and_a_far_name_has_no_suggestion() -> None:
    with pytest.raises(InputError, match=r"^recipe\.toml has 1 wrong setting\.") as caught:
        from_dict(_Outer, {"name": "n", "zzz": 1}, "recipe.toml")
    assert caught.value.rows == ("zzz: unknown key",)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("name", 3, "name: expected a text, got 3"),
        ("epochs", 2.5, "epochs: expected a whole number, got 2.5"),
        ("epochs", True, "epochs: expected a whole number, got True"),
        ("epochs", "5", "epochs: expected a whole number, got '5'"),
        ("inner", 7, "inner: expected a table, got 7"),
        ("inner", {"rate": float("nan")}, "inner.rate: expected a number, got nan"),
        ("inner", {"rate": float("inf")}, "inner.rate: expected a number, got inf"),
        ("inner", {"rate": True}, "inner.rate: expected a number, got True"),
        (
            "inner",
            {"kind": "adm"},
            "inner.kind: 'adm' is not one of adam, sgd (did you mean 'adam'?)",
        ),
        ("inner", {"size": [1]}, "inner.size: expected a list of 2 of a whole number, got [1]"),
        ("inner", {"size": [1, "b"]}, "inner.size[1]: expected a whole number, got 'b'"),
        ("inner", {"rate": -1}, "inner: rate = -1.0 is not above 0."),
        ("freeze", [1], "freeze: expected a text or a number, got [1]"),
        ("views", "epoch", "views: expected a whole number or 'epochs', got 'epoch'"),
        ("labels", {"a": 1}, "labels.a: expected a text, got 1"),
        ("labels", [1], "labels: expected a table, got [1]"),
        ("steps", [{"kind": "sgd"}, {"x": 1}], "steps[1].x: unknown key"),
    ],
)
def test_wrong_values(key: str, value: object, said: str) -> None:
    assert _problems({"name": "n", key: value}) == (said,)


def test_a_whole_number_is_a_number_and_text_wins_in_a_union() -> None:
    built = from_dict(_Outer, {"name": "n", "inner": {"rate": 1}, "freeze": 1}, "r")
    assert isinstance(built.inner.rate, float)
    assert built.freeze == 1.0
    assert isinstance(built.freeze, float)
    assert from_dict(_Outer, {"name": "n", "freeze": "1"}, "r").freeze == "1"


def test_what_is_not_a_table_at_all() -> None:
    with pytest.raises(InputError) as caught:
        from_dict(_Outer, [1], "split.json")  # type: ignore[arg-type]
    assert caught.value.rows == ("the file: expected a table, got [1]",)


def test_toml_gives_back_what_was_written() -> None:
    config = _Outer(
        "µ = “x”",
        _Inner(0.25, "sgd", (7, 8)),
        views="epochs",
        freeze=0.5,
        labels={"a b": "c"},
        steps=(_Inner(), _Inner(2.0)),
    )
    text = to_toml(config)
    assert from_dict(_Outer, tomllib.loads(text), "r") == config
    assert "note" not in to_dict(config)  # TOML has no null
    assert tomllib.loads(text)["epochs"] == 5  # defaults are written out


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("training.epochs=20", 20),
        ("training.epochs = 2e1", 20.0),
        ("training.epochs=adam", "adam"),
        ("training.epochs='1'", "1"),
        ("training.epochs=[1, 2]", [1, 2]),
        ("training.epochs=a=b", "a=b"),
        ("training.epochs=", ""),
        ("training.epochs=true", True),
    ],
)
def test_assign(setting: str, expected: object) -> None:
    content: dict[str, Any] = {"training": {"epochs": 1, "lr": 2}, "seed": 0}
    assign(content, setting)
    assert content == {"training": {"epochs": expected, "lr": 2}, "seed": 0}


def test_assign_makes_missing_tables() -> None:
    content: dict[str, Any] = {}
    assign(content, "a.b.c=1")
    assert content == {"a": {"b": {"c": 1}}}


def test_assign_errors() -> None:
    with pytest.raises(InputError) as caught:
        assign({}, "epochs")
    assert str(caught.value) == ("--set 'epochs' is not key=value.\nExpected: training.epochs=20")
    with pytest.raises(InputError, match="^--set '=3' is not key=value"):
        assign({}, "=3")
    with pytest.raises(InputError) as caught:
        assign({"seed": 3}, "seed.x=1")
    assert str(caught.value) == "--set 'seed.x=1': 'seed' is a value, not a table."


def test_load_toml(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\n")  # a byte-order mark, and Windows' line ends
    assert load_toml(path) == {"a": 1}
    path.write_text("a = ")
    with pytest.raises(
        InputError, match=r"r\.toml is not TOML: Invalid value \(at end of document\)"
    ):
        load_toml(path)
    path.write_bytes(b'a = "\xe9"')
    with pytest.raises(InputError, match="(?s)r.toml is not TOML: .*Expected: a TOML file in UTF"):
        load_toml(path)
    with pytest.raises(InputError) as caught:
        load_toml(tmp_path / "none.toml")
    assert str(caught.value) == f"There is no recipe at {tmp_path / 'none.toml'}."
