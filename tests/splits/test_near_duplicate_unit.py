"""split.unit = "near_duplicate": pictures that look alike stay together, groups do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cytolens.core.errors import LeakError
from cytolens.data.facts import Facts
from cytolens.data.manifest import Manifest
from cytolens.splits.plan import SplitConfig, make_split
from cytolens.splits.split import Split
from cytolens.splits.units import Links, find_units, look_alike_units

Make = Callable[..., tuple[Manifest, Facts]]
CONFIG = SplitConfig(unit="near_duplicate", folds=4, validation=0)
LABELS = ["a", "b"] * 12


def together(split: Split, manifest: Manifest, *rows: int) -> bool:
    names = {manifest.ids[row] for row in rows}
    return all(len(names & set(fold.test)) in (0, len(names)) for fold in split.folds)


def test_published_keeps_look_alikes_together_and_confesses_the_groups(made: Make) -> None:
    groups = [f"g{i // 6}" for i in range(24)]
    manifest, facts = made(LABELS, groups, same=[(0, 6)], near=[(6, 12)], parents={18: 0})
    split, units = make_split(manifest, facts, CONFIG, "published", 0)
    assert split.unit == "near-duplicate cluster"
    assert together(split, manifest, 0, 6, 12, 18)
    assert not together(split, manifest, *range(1, 6))
    assert [reason.split(" on ")[0] for reason in split.leaks] == ["4 groups"]
    assert units.kind == "group", "intervals still draw the honest units"


def test_honest_refuses_it_where_a_group_crosses(made: Make) -> None:
    manifest, facts = made(LABELS, [f"g{i // 6}" for i in range(24)])
    with pytest.raises(LeakError, match="The split leaks"):
        make_split(manifest, facts, CONFIG, "honest", 0)


@pytest.mark.parametrize("groups", [None, [f"g{i}" for i in range(24)]])
def test_honest_allows_it_where_none_does(made: Make, groups: list[str] | None) -> None:
    manifest, facts = made(LABELS, groups, near=[(0, 6)])
    if groups is not None:
        groups[6] = groups[0]
        manifest, facts = made(LABELS, groups, near=[(0, 6)])
    split, _ = make_split(manifest, facts, CONFIG, "honest", 0)
    assert split.leaks == () and together(split, manifest, 0, 6)


def test_without_look_alikes_the_unit_is_the_image(made: Make) -> None:
    manifest, _ = made(LABELS, ["g"] * 24)
    links = Links(group=[(0, 1), (1, 2)], exact=[], near=[], sibling=[])
    assert look_alike_units(manifest, links).kind == "image"
    assert look_alike_units(manifest, links).names == manifest.ids
    assert find_units(manifest, links).kind == "group"
