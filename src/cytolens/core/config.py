"""Dataclasses <-> TOML: every unknown key is reported at once, with the nearest known one."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import tomli_w

from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean

C = TypeVar("C")


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file into a plain dict.

    Raises:
        InputError: missing, not UTF-8, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"There is no recipe at {path}.") from error
    except OSError as error:
        raise InputError(f"The recipe at {path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"{path} is not TOML: {error}.", expected="a TOML file in UTF-8"
        ) from error


def from_dict(cls: type[C], content: Mapping[str, Any], where: str) -> C:
    """Build the (nested) dataclass `cls` from plain data.

    Raises:
        InputError: with every unknown key and every value of a wrong type, all at once.
    """
    problems: list[str] = []
    built = _build(cls, content, "", problems)
    if problems:
        raise InputError(
            f"{where} has {len(problems)} wrong setting{'s' if len(problems) > 1 else ''}.",
            rows=problems,
            fix="correct these settings; docs/reference/recipe.md lists them all.",
        )
    return typing.cast(C, built)


def _build(cls: type[Any], content: Any, prefix: str, problems: list[str]) -> Any:
    if not isinstance(content, Mapping):
        problems.append(f"{prefix or 'the file'}: expected a table, got {content!r}")
        return None
    hints = typing.get_type_hints(cls)
    known = {field.name: field for field in dataclasses.fields(cls)}
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if key not in known:
            problems.append(f"{name}: unknown key{did_you_mean(str(key), known)}")
        else:
            values[key] = _coerce(hints[key], value, name, problems)
    for key, field in known.items():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and key not in values:
            problems.append(f"{prefix + '.' if prefix else ''}{key}: missing")
    if problems:
        return None
    try:
        return cls(**values)
    except InputError as error:
        problems.append(f"{prefix + ': ' if prefix else ''}{error}")
        return None


def _coerce(hint: Any, value: Any, name: str, problems: list[str]) -> Any:
    """Check `value` against the type `hint`; append to `problems` what does not fit."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type[Any], hint), value, name, problems)
    if origin is Literal:
        if value in arguments and type(value) in {type(a) for a in arguments}:
            return value
        near = did_you_mean(str(value), [str(a) for a in arguments])
        problems.append(f"{name}: {value!r} is not one of {', '.join(map(str, arguments))}{near}")
        return None
    if origin in (Union, types.UnionType):
        for option in arguments:
            attempt: list[str] = []
            result = _coerce(option, value, name, attempt)
            if not attempt:
                return result
        problems.append(f"{name}: expected {_name(hint)}, got {value!r}")
        return None
    if origin is tuple and isinstance(value, (list, tuple)):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(
                _coerce(arguments[0], v, f"{name}[{i}]", problems) for i, v in enumerate(value)
            )
        if len(arguments) == len(value):
            pairs = zip(arguments, value, strict=True)
            return tuple(_coerce(a, v, f"{name}[{i}]", problems) for i, (a, v) in enumerate(pairs))
    elif origin is dict and isinstance(value, Mapping):
        return {str(k): _coerce(arguments[1], v, f"{name}.{k}", problems) for k, v in value.items()}
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if value == value and abs(value) != float("inf"):
            return float(value)
    elif hint is Any or (hint in (int, str, bool) and type(value) is hint):
        return value
    elif hint is type(None) and value is None:
        return None
    problems.append(f"{name}: expected {_name(hint)}, got {value!r}")
    return None


def _name(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_name(a) for a in arguments if a is not type(None))
    if origin is Literal:
        return " or ".join(repr(a) for a in arguments)
    if origin is tuple:
        fixed = [a for a in arguments if a is not Ellipsis]
        count = "" if Ellipsis in arguments else f"{len(fixed)} of "
        return f"a list of {count}{_name(fixed[0])}"
    if origin is dict or dataclasses.is_dataclass(hint):
        return "a table"
    return names.get(hint, str(hint))


def to_dict(config: Any) -> dict[str, Any]:
    """Return the nested plain dict of a dataclass; `None` values are left out (TOML has none)."""
    result: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            result[field.name] = to_dict(value)
        elif value is not None:
            result[field.name] = _plain(value)
    return result


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return value


def to_toml(config: Any) -> str:
    """Return the TOML text of a dataclass; `from_dict(cls, tomllib.loads(text))` gives it back."""
    return tomli_w.dumps(to_dict(config))


def assign(content: dict[str, Any], setting: str) -> None:
    """Apply one `--set key=value` to a plain recipe dict; `value` is TOML, or a bare text.

    Raises:
        InputError: `setting` is not of the form `section.key=value`.
    """
    key, sign, text = setting.partition("=")
    if not sign or not key.strip():
        raise InputError(f"--set {setting!r} is not key=value.", expected="training.epochs=20")
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *tables, leaf = key.strip().split(".")
    for table in tables:
        content = content.setdefault(table, {})
        if not isinstance(content, dict):
            raise InputError(f"--set {setting!r}: {table!r} is a value, not a table.")
    content[leaf] = value
