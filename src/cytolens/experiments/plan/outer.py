"""The outer split of a plan: its test part is locked before anything is chosen."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from cytolens.core.errors import InputError
from cytolens.core.progress import Progress
from cytolens.data.facts import Facts, scan_or_fail
from cytolens.data.manifest import Manifest
from cytolens.splits.plan import SplitConfig, make_split
from cytolens.splits.split import Split

TEST_SHARES = (0.2, 0.34, 0.5)  # tried in this order: a small set cannot be cut into five


@dataclass(frozen=True)
class Part:
    """Fold `number` (from 1) of `folds`."""

    number: int
    folds: int

    def __str__(self) -> str:
        return f"{self.number}/{self.folds}"


def parse_part(text: str) -> Part:
    """Read "2/5".

    Raises:
        InputError: not of this form, or no such fold.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    part = Part(int(found[1]), int(found[2])) if found else None
    if part is None or part.folds < 2 or not 1 <= part.number <= part.folds:
        raise InputError(
            f"--fold {text!r} is not a fold.", expected="1/5 … 5/5, or another number of folds"
        )
    return part


def outer_split(manifest: Manifest, part: Part | None, seed: int, progress: Progress) -> Split:
    """Return a split of one fold, without a validation part.

    All images are looked at once here, because equal and nearly equal pictures must stay on one
    side. Whoever chooses settings sees only the rows of the training part.

    Args:
        manifest: with its final labels.
        part: a fold of the k-fold that a recipe with the same seed and `split.folds` makes; None
            is a holdout of about a fifth (more where the classes are small).

    Raises:
        InputError: unusable images, or classes too small to be split.
    """
    with progress.task("looking at the images", len(manifest)) as step:
        facts = scan_or_fail(manifest, step=step)
    split = _holdout(manifest, facts, seed) if part is None else _kfold(manifest, facts, part, seed)
    [chosen] = split.folds
    notes = list(split.notes)
    seen = {manifest.rows[manifest.index[name]].label for name in chosen.train}
    if unseen := [name for name in manifest.classes if name not in seen]:
        notes.append(f"no training image of {', '.join(unseen)}: all of them are in the test part")
    # A run numbers its folds from 0.
    return replace(split, folds=(replace(chosen, fold=0, repeat=0),), notes=tuple(notes))


def _kfold(manifest: Manifest, facts: Facts, part: Part, seed: int) -> Split:
    config = SplitConfig(kind="kfold", folds=part.folds, validation=0.0)
    split, _ = make_split(manifest, facts, config, "honest", seed)
    return replace(split, folds=(split.folds[part.number - 1],))


def _holdout(manifest: Manifest, facts: Facts, seed: int) -> Split:
    """Return a holdout of about a fifth, or of a third or a half where the classes are small."""
    for share in TEST_SHARES:
        config = SplitConfig(kind="holdout", test=share, validation=0.0)
        try:
            split, _ = make_split(manifest, facts, config, "honest", seed)
        except InputError:
            if share == TEST_SHARES[-1]:
                raise
            continue
        if share == TEST_SHARES[0]:
            return split
        note = f"the test part is {share:.0%} of the images: the classes are too small for less"
        return replace(split, notes=(*split.notes, note))
    raise AssertionError("the last share returns or raises")
