"""The kinds of phantom tissue."""

from __future__ import annotations

from cytolens.core.registry import Registry
from cytolens.data.phantom import blood, histology, pap
from cytolens.data.phantom.kind import Kind

KINDS: Registry[Kind] = Registry("kind of phantom tissue")
KINDS.register("pap", pap.BETHESDA)
KINDS.register("sipakmed", pap.SIPAKMED)
KINDS.register("blood", blood.ALL)
KINDS.register("histology", histology.BREAST)
