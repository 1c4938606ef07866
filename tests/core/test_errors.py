"""An error is one message: what, ten rows and their count, what was expected, the way out."""

from __future__ import annotations

from cytolens.core.errors import CytolensError, InputError, LeakError


def test_a_bare_error_is_its_first_sentence() -> None:
    assert str(InputError("The disk is full.")) == "The disk is full."


def test_all_four_parts_stand_in_order() -> None:
    error = InputError("2 rows are wrong.", rows=["a", "b"], expected="c", fix="do d.")
    assert str(error) == "2 rows are wrong.\n  - a\n  - b\nExpected: c\nWay out: do d."


def test_ten_rows_are_shown_without_a_count() -> None:
    lines = str(InputError("What.", rows=[f"r{i}" for i in range(10)])).splitlines()
    assert lines == ["What.", *(f"  - r{i}" for i in range(10))]


def test_the_eleventh_row_is_only_counted() -> None:
    error = InputError("What.", rows=[f"r{i}" for i in range(11)], fix="f.")
    lines = str(error).splitlines()
    assert lines[1:11] == [f"  - r{i}" for i in range(10)]
    assert lines[11:] == ["  … 11 in all, the first 10 shown", "Way out: f."]
    assert len(error.rows) == 11  # the message is short, the error itself whole


def test_a_leak_has_its_own_exit_status() -> None:
    assert (InputError.exit_code, LeakError.exit_code) == (1, 3)
    assert issubclass(LeakError, InputError)
    assert issubclass(InputError, CytolensError)
