"""What an import found, beside what was published: as text and as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SHOWN = 5


@dataclass(frozen=True)
class ImportReport:
    """What was imported, and how it differs from what was published.

    Attributes:
        counts: {class: (found, published or None)}.
        groups: (found, published or None); found is 0 where there is no group key.
        strata: differences a stratum, as sentences ("magnification 40: adenosis 3 of 114").
        left_out: images not taken, as "path: why".
        mask_problems: images whose mask could not be converted, as "path: why".
    """

    dataset: str
    title: str
    variant: str
    manifest: Path
    counts: Mapping[str, tuple[int, int | None]]
    groups: tuple[int, int | None]
    strata: tuple[str, ...] = ()
    masks: int = 0
    left_out: tuple[str, ...] = ()
    mask_problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        return sum(found for found, _ in self.counts.values())

    @property
    def differences(self) -> tuple[str, ...]:
        """One sentence a class whose count is not the published one."""
        sentences = []
        for name, (found, published) in self.counts.items():
            if published is not None and found != published:
                gap = abs(found - published)
                sense = "missing" if found < published else "more than published"
                sentences.append(f"{name}: {found:,} of {published:,} images, {gap:,} {sense}")
        found, published = self.groups
        if published is not None and found != published:
            sentences.append(f"groups: {found:,} of {published:,}")
        return (*sentences, *self.strata)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data for `--json`."""
        return {
            "dataset": self.dataset,
            "variant": self.variant,
            "manifest": str(self.manifest),
            "images": self.images,
            "classes": {
                name: {"found": found, "published": published}
                for name, (found, published) in self.counts.items()
            },
            "groups": {"found": self.groups[0], "published": self.groups[1]},
            "complete": not self.differences,
            "differences": list(self.differences),
            "masks": self.masks,
            "left_out": list(self.left_out),
            "mask_problems": list(self.mask_problems),
            "notes": list(self.notes),
        }

    def text(self) -> str:
        """Return the report for a reader at the terminal."""
        lines = [f"{self.title} ({self.variant}): {self.images:,} images → {self.manifest}"]
        width = max(len(name) for name in self.counts)
        for name, (found, published) in self.counts.items():
            known = "" if published is None else f"   published {published:,}"
            lines.append(f"  {name:<{width}} {found:>6,}{known}")
        found = self.groups[0]
        lines.append(f"  groups: {found:,}" if found else "  groups: none")
        if self.masks:
            lines.append(f"  masks converted: {self.masks:,}")
        if self.differences:
            lines.append("Differs from the published set:")
            lines += [f"  - {sentence}" for sentence in self.differences]
        elif any(published is not None for _, published in self.counts.values()):
            lines.append("Complete: every class has its published count.")
        lines += _shown("images left out", self.left_out)
        lines += _shown("masks not converted", self.mask_problems)
        if self.notes:
            lines.append("Know this:")
            lines += [f"  - {note}" for note in self.notes]
        return "\n".join(lines)


def _shown(what: str, entries: tuple[str, ...]) -> list[str]:
    if not entries:
        return []
    lines = [f"{len(entries):,} {what}:"] + [f"  - {entry}" for entry in entries[:_SHOWN]]
    return lines + ([f"  … the first {_SHOWN} shown"] if len(entries) > _SHOWN else [])
