"""Errors that a user can act on: what was wrong, where, what was expected, the way out."""

from __future__ import annotations

from collections.abc import Sequence

ROWS_SHOWN = 10


class CytolensError(Exception):
    """Base of every error that is reported to the user as one message instead of a traceback."""

    exit_code = 1


class InputError(CytolensError):
    """The user's input or data is wrong.

    The message has up to four parts: `what` was wrong, the `rows` concerned (the first ten
    and their count), what was `expected`, and the way out (`fix`).
    """

    def __init__(
        self, what: str, *, rows: Sequence[str] = (), expected: str = "", fix: str = ""
    ) -> None:
        self.what = what
        self.rows = tuple(rows)
        self.expected = expected
        self.fix = fix
        super().__init__(self._compose())

    def _compose(self) -> str:
        lines = [self.what]
        lines += [f"  - {row}" for row in self.rows[:ROWS_SHOWN]]
        if len(self.rows) > ROWS_SHOWN:
            lines.append(f"  … {len(self.rows)} in all, the first {ROWS_SHOWN} shown")
        if self.expected:
            lines.append(f"Expected: {self.expected}")
        if self.fix:
            lines.append(f"Way out: {self.fix}")
        return "\n".join(lines)


class LeakError(InputError):
    """Test data would be known to training: a group, image or augmented sibling on both sides."""

    exit_code = 3
