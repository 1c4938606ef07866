"""Colours, dashes and markers of all figures; no matplotlib, so that a page can name them too.

Colours are those of Okabe and Ito (2008) without black and yellow, told apart by dashes and
markers as well, so that a grey print reads. `INK`, `MUTED`, `RULE`, `PAPER` and `RED`
become CSS variables when a figure is put into a page (`report.svg`): it follows light and dark.
"""

from __future__ import annotations

from typing import Any

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
MARKERS = ("o", "s", "D", "^", "v", "P")
INK, MUTED, RULE, PAPER = "#1b1d1f", "#5f6468", "#d5d6d3", "#ffffff"
BLUE, RED = COLOURS[0], "#b3261e"
ON_BLUE = "#fdfdfd"  # text upon a dark cell; unlike PAPER it stays white in the dark
