"""The split file: written once, read back equal, refused when it does not fit or leaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cytolens.core.errors import InputError, LeakError
from cytolens.data.facts import Facts
from cytolens.data.manifest import Manifest
from cytolens.splits.plan import SplitConfig, make_split
from cytolens.splits.split import Fold, Split, read_split

Make = Callable[..., tuple[Manifest, Facts]]
IDS = tuple(f"i{i:03}.png" for i in range(8))


def _write(path: Path, **changes: Any) -> Path:
    fold = {"fold": 0, "repeat": 0, "train": IDS[:5], "validation": IDS[5:6], "test": IDS[6:]}
    content: dict[str, Any] = {
        "kind": "holdout",
        "unit": "image",
        "seed": 0,
        "protocol": "honest",
        "folds": [{**fold, **changes.pop("fold", {})}],
    }
    path.write_text(json.dumps({**content, **changes}))
    return path


def test_there_and_back(made: Make, tmp_path: Path) -> None:
    manifest, facts = made("ab" * 20, [f"ü{i // 2}" for i in range(40)])
    split, units = make_split(manifest, facts, SplitConfig(repeats=2), "honest", 5)
    split.write(tmp_path / "split.json")
    assert read_split(tmp_path / "split.json", manifest) == split
    config = SplitConfig(kind="file", file=str(tmp_path / "split.json"))
    again, same_units = make_split(manifest, facts, config, "honest", 99)
    assert again == split  # the file wins, whatever the seed
    assert np.array_equal(units.of_row, same_units.of_row)


def test_rows_of_a_fold_are_in_its_order(made: Make) -> None:
    manifest, _ = made("ab" * 4)
    fold = Fold(0, 0, (IDS[3], IDS[0]), (), (IDS[7],))
    assert fold.rows("train", manifest).tolist() == [3, 0]
    assert fold.rows("validation", manifest).dtype == np.int64
    assert fold.rows("test", manifest).tolist() == [7]


def test_a_leaking_file_is_refused_or_recorded(made: Make, tmp_path: Path) -> None:
    groups = ["p", "p", "q", "r", "s", "t", "p", "u"]
    manifest, facts = made("abababab", groups, same=[(2, 7)], near=[(3, 5)], parents={4: 6, 5: 6})
    config = SplitConfig(kind="file", file=str(_write(tmp_path / "s.json")))
    # train 0–4, validation 5, test 6 and 7
    leaks = (
        "1 group on both sides of train and validation / test (1 images; p)",
        "1 set of exact duplicates on both sides of train and validation / test "
        "(1 images; i002.png)",
        # An exact duplicate looks the same, too.
        "1 set of near duplicates on both sides of train and validation / test "
        "(1 images; i002.png)",
        "1 set of near duplicates on both sides of train / validation (1 images; i003.png)",
        "1 set of augmented siblings on both sides of train and validation / test "
        "(1 images; i004.png)",
        "1 set of augmented siblings on both sides of train / validation (1 images; i004.png)",
    )
    with pytest.raises(LeakError) as caught:
        make_split(manifest, facts, config, "honest", 0)
    assert caught.value.exit_code == 3
    assert str(caught.value) == (
        "The split leaks: training would know test images.\n"
        + "".join(f"  - {leak}\n" for leak in leaks)
        + "Expected: no group, duplicate or augmented sibling on both sides\n"
        'Way out: split by group (split.unit = "auto"), or set protocol = "published": the run '
        "is then allowed and every number carries the stamp 'leaks'."
    )
    split, units = make_split(manifest, facts, config, "published", 0)
    assert split.leaks == leaks
    assert split.protocol == "published"
    assert units.kind == "group"


def test_leaks_claimed_in_a_file_are_not_believed(made: Make, tmp_path: Path) -> None:
    manifest, facts = made("ab" * 4)
    path = _write(tmp_path / "s.json", leaks=["a lie"], protocol="published")
    config = SplitConfig(kind="file", file=str(path))
    split, _ = make_split(manifest, facts, config, "honest", 0)
    assert (split.leaks, split.protocol) == ((), "honest")


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({"folds": []}, ["it has no folds"]),
        ({"fold": {"test": ["x.png"]}}, ["repeat 0 fold 0: x.png is not in the manifest"]),
        (
            {"fold": {"test": [IDS[0], IDS[7]]}},
            ["repeat 0 fold 0: i000.png stands in two parts"],
        ),
        (
            {"fold": {"train": [IDS[0], IDS[0]]}},
            ["repeat 0 fold 0: i000.png stands in two parts"],
        ),
        ({"fold": {"test": []}}, ["repeat 0 fold 0: no test images"]),
        ({"fold": {"train": []}}, ["repeat 0 fold 0: no train images"]),
        (
            {
                "folds": [
                    {"fold": f, "repeat": 1, "train": IDS[:4], "validation": [], "test": IDS[6:7]}
                    for f in (0, 1)
                ]
            },
            ["repeat 1: i006.png is tested 2 times"],
        ),
    ],
)
def test_files_that_cannot_be_used(
    made: Make, tmp_path: Path, changes: dict[str, Any], rows: list[str]
) -> None:
    manifest, _ = made("ab" * 4)
    path = _write(tmp_path / "s.json", **changes)
    with pytest.raises(InputError) as caught:
        read_split(path, manifest)
    assert str(caught.value) == (
        f"The split of {path} cannot be used.\n"
        + "".join(f"  - {row}\n" for row in rows)
        + "Expected: ids of the manifest, each in one part of a fold, tested once a repeat\n"
        "Way out: write a new one with `cytolens split`."
    )


def test_files_of_another_form(made: Make, tmp_path: Path) -> None:
    manifest, _ = made("ab" * 4)
    path = _write(tmp_path / "s.json", version=2)
    with pytest.raises(InputError) as caught:
        read_split(path, manifest)
    assert str(caught.value) == f"{path} has version 2.\nExpected: version 1"
    _write(path, kinds="x", seed="0")
    with pytest.raises(InputError) as caught:
        read_split(path, manifest)
    assert caught.value.rows == (
        "seed: expected a whole number, got '0'",
        "kinds: unknown key (did you mean 'kind'?)",
    )
    path.write_text("[]")
    with pytest.raises(InputError, match="the file: expected a table, got"):
        read_split(path, manifest)
    with pytest.raises(InputError, match=r"^There is no split file at .*none\.json\.$"):
        read_split(tmp_path / "none.json", manifest)


def test_a_split_is_json_of_plain_things(made: Make) -> None:
    manifest, facts = made("ab" * 20)
    split, _ = make_split(manifest, facts, SplitConfig(), "honest", 0)
    text = json.dumps(split.to_json(), allow_nan=False)
    assert set(json.loads(text)) == {
        "version", "kind", "unit", "seed", "protocol", "leaks", "folds", "notes",
    }  # fmt: skip
    assert isinstance(split, Split)
