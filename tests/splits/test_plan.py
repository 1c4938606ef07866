"""Splits: properties over random manifests, each kind, and every error text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cytolens.core.config import from_dict
from cytolens.core.errors import InputError, LeakError
from cytolens.data.facts import Facts
from cytolens.data.manifest import Manifest
from cytolens.splits.plan import SplitConfig, make_split
from cytolens.splits.split import Split

Make = Callable[..., tuple[Manifest, Facts]]


def _random(made: Make, seed: int, grouped: bool) -> tuple[Manifest, Facts]:
    """60–160 images of 2–4 classes; groups may hold several classes; some copies and children."""
    random = np.random.default_rng(seed)
    n = int(random.integers(60, 160))
    labels = random.choice(list("abcd")[: int(random.integers(2, 5))], n).tolist()
    groups = [f"p{g}" for g in random.integers(0, n // 3, n)] if grouped else None
    draws = random.permutation(n)[:18].tolist()
    pairs = [tuple(sorted(draws[i : i + 2])) for i in range(0, 18, 2)]
    parents = {max(p): min(p) for p in pairs[6:]}
    return made(labels, groups, same=pairs[:3], near=pairs[3:6], parents=parents)


def _check(manifest: Manifest, facts: Facts, split: Split) -> None:
    """No unit on two sides, by a search that knows nothing of units."""
    tied: list[tuple[int, int]] = []
    for i, one in enumerate(manifest.rows):
        for j in range(i):
            other = manifest.rows[j]
            if (
                (one.group is not None and one.group == other.group)
                or facts.sha256[i] == facts.sha256[j]
                or np.array_equal(facts.thumbs[i], facts.thumbs[j])
                or one.parent == other.id
                or other.parent == one.id
                or (one.parent is not None and one.parent == other.parent)
            ):
                tied.append((i, j))
    assert tied
    for fold in split.folds:
        part = {}
        for name in ("train", "validation", "test"):
            part.update(dict.fromkeys(getattr(fold, name), name))
        assert len(part) == len(fold.train) + len(fold.validation) + len(fold.test)
        for i, j in tied:
            a, b = part.get(manifest.ids[i]), part.get(manifest.ids[j])
            assert a == b or None in (a, b), (manifest.ids[i], manifest.ids[j], a, b)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("grouped", [True, False])
def test_kfold(made: Make, seed: int, grouped: bool) -> None:
    manifest, facts = _random(made, seed, grouped)
    config = SplitConfig(kind="kfold", folds=4, repeats=2)
    split, units = make_split(manifest, facts, config, "honest", seed)
    assert split.unit == units.kind == ("group" if grouped else "near-duplicate cluster")
    assert split.leaks == ()
    assert [(f.repeat, f.fold) for f in split.folds] == [(r, f) for r in (0, 1) for f in range(4)]
    for repeat in (0, 1):
        tested = Counter(i for f in split.folds if f.repeat == repeat for i in f.test)
        assert tested == Counter(manifest.ids)  # each exactly once
    assert split.folds[0].test != split.folds[4].test
    _check(manifest, facts, split)
    for fold in split.folds:
        assert {*fold.train, *fold.validation, *fold.test} == set(manifest.ids)
        # 1 / 7 of what is not tested, as nearly as whole units (of up to 20 images) allow
        assert 0.03 < len(fold.validation) / (len(fold.train) + len(fold.validation)) < 0.35
    again, _ = make_split(manifest, facts, config, "honest", seed)
    assert again == split
    other, _ = make_split(manifest, facts, config, "honest", seed + 100)
    assert other.folds != split.folds


def test_classes_keep_their_shares(made: Make) -> None:
    labels = ["a"] * 120 + ["b"] * 60 + ["c"] * 20
    single, facts = made(labels)
    for protocol in ("honest", "published"):
        split, _ = make_split(single, facts, SplitConfig(), protocol, 3)
        for fold in split.folds:
            counts = single.select(fold.rows("test", single)).counts()
            assert counts == {"a": 24, "b": 12, "c": 4}
            found = single.select(fold.rows("validation", single)).counts()
            assert abs(found["a"] - 96 / 7) < 1.5
            assert abs(found["c"] - 16 / 7) < 1.5
    groups = [f"p{i // 4}" for i in range(200)]
    grouped, facts = made(labels, groups)
    split, _ = make_split(grouped, facts, SplitConfig(), "honest", 3)
    for fold in split.folds:
        counts = grouped.select(fold.rows("test", grouped)).counts()
        assert abs(counts["a"] - 24) <= 4
        assert abs(counts["b"] - 12) <= 4
        assert abs(counts["c"] - 4) <= 4


@pytest.mark.parametrize("seed", range(4))
def test_holdout(made: Make, seed: int) -> None:
    manifest, facts = _random(made, seed, True)
    config = SplitConfig(kind="holdout", test=0.25, validation=0.0)
    split, _ = make_split(manifest, facts, config, "honest", seed)
    (fold,) = split.folds
    assert fold.validation == ()
    assert 0.15 < len(fold.test) / len(manifest) < 0.35
    _check(manifest, facts, split)


def test_images_of_their_own_are_units_of_their_own(made: Make) -> None:
    manifest, facts = made("ab" * 20)
    split, units = make_split(manifest, facts, SplitConfig(), "honest", 0)
    assert split.unit == "image"
    assert units.names == manifest.ids


def test_the_published_protocol_splits_by_image_and_confesses(made: Make) -> None:
    manifest, facts = _random(made, 1, True)
    split, units = make_split(manifest, facts, SplitConfig(), "published", 0)
    assert (split.unit, units.kind, split.protocol) == ("image", "group", "published")
    kinds = ("group", "exact duplicate", "near duplicate", "augmented sibling")
    for what in kinds:
        assert any(what in leak and "train and validation / test" in leak for leak in split.leaks)
    insisting = SplitConfig(unit="group")
    split, _ = make_split(manifest, facts, insisting, "published", 0)
    assert split.leaks == ()
    with pytest.raises(LeakError):
        make_split(manifest, facts, SplitConfig(unit="image"), "honest", 0)


def test_families_stay_together_however_deep(made: Make) -> None:
    """A child of a child, and a child beside a near copy of its parent."""
    parents = {3: 0, 7: 3, 9: 7}
    manifest, facts = made("ab" * 12, near=[(9, 14)], same=[(14, 17)], parents=parents)
    family = {manifest.ids[i] for i in (0, 3, 7, 9, 14, 17)}
    for seed in range(8):
        split, units = make_split(manifest, facts, SplitConfig(folds=3), "honest", seed)
        assert units.kind == "near-duplicate cluster"
        for fold in split.folds:
            parts = [set(part) & family for part in (fold.train, fold.validation, fold.test)]
            assert sorted(map(len, parts)) == [0, 0, 6]


def test_children_of_a_parent_that_is_not_there(made: Make) -> None:
    manifest, facts = made("ab" * 12)
    rows = list(manifest.rows)
    for i in (2, 5, 8):
        rows[i] = replace(rows[i], parent="gone.png")
    manifest = manifest.with_rows(rows)
    for seed in range(5):
        split, _ = make_split(manifest, facts, SplitConfig(folds=3), "honest", seed)
        for fold in split.folds:
            assert len({manifest.ids[i] for i in (2, 5, 8)} & set(fold.test)) in (0, 3)


def test_parents_in_a_circle_end(made: Make) -> None:
    manifest, facts = made("ab" * 12, parents={2: 4, 4: 2})
    make_split(manifest, facts, SplitConfig(folds=3), "honest", 0)


# ------------------------------------------------------------------ leave one dataset out


def test_lodo_tests_each_dataset_once(made: Make) -> None:
    datasets = ["X", "Y", "Z"] * 16
    manifest, facts = made("aabb" * 12, datasets=datasets)
    split, _ = make_split(manifest, facts, SplitConfig(kind="lodo"), "honest", 0)
    assert len(split.folds) == 3
    for fold, name in zip(split.folds, "XYZ", strict=True):
        assert {manifest.rows[i].dataset for i in fold.rows("test", manifest)} == {name}
        rest = [*fold.rows("train", manifest), *fold.rows("validation", manifest)]
        assert {manifest.rows[i].dataset for i in rest} == set("XYZ") - {name}
        assert len(fold.test) + len(rest) == 48
    assert split.notes == ()


def test_lodo_leaves_out_what_training_does_not_know_and_says_so(made: Make) -> None:
    labels = ["a", "b"] * 12 + ["c"] * 4 + ["a", "b"] * 10
    manifest, facts = made(labels, datasets=["X"] * 28 + ["Y"] * 20)
    split, _ = make_split(manifest, facts, SplitConfig(kind="lodo"), "honest", 0)
    assert split.notes == ("fold 0 (X): 4 test images of c left out, the other side has none",)
    assert len(split.folds[0].test) == 24
    learned = [
        *split.folds[1].rows("train", manifest),
        *split.folds[1].rows("validation", manifest),
    ]
    assert {manifest.rows[i].label for i in learned} == {"a", "b", "c"}, (
        "training keeps all classes"
    )


def test_lodo_tests_a_dataset_of_one_shared_class(made: Make) -> None:
    labels = ["a", "b"] * 10 + ["a"] * 8 + ["a", "b"] * 10
    manifest, facts = made(labels, datasets=["X"] * 20 + ["Y"] * 8 + ["Z"] * 20)
    split, _ = make_split(manifest, facts, SplitConfig(kind="lodo"), "honest", 0)
    assert [len(fold.test) for fold in split.folds] == [20, 8, 20]
    assert split.notes == (
        "fold 1 (Y): all test images are a; the AUC of this fold alone is undefined",
    )


def test_lodo_skips_a_dataset_that_shares_no_class(made: Make) -> None:
    labels = ["a", "b"] * 10 + ["c"] * 8 + ["a", "b"] * 10
    manifest, facts = made(labels, datasets=["X"] * 20 + ["Y"] * 8 + ["Z"] * 20)
    split, _ = make_split(manifest, facts, SplitConfig(kind="lodo"), "honest", 0)
    assert [fold.fold for fold in split.folds] == [0, 1], "numbered without a gap"
    tested = {manifest.rows[i].dataset for f in split.folds for i in f.rows("test", manifest)}
    assert tested == {"X", "Z"}
    assert split.notes == ("dataset Y is not tested: the others have none of its classes",)


def test_lodo_skips_a_dataset_without_which_one_class_is_left(made: Make) -> None:
    manifest, facts = made(["a", "b"] * 10 + ["a"] * 8, datasets=["X"] * 20 + ["Y"] * 8)
    split, _ = make_split(manifest, facts, SplitConfig(kind="lodo"), "honest", 0)
    [fold] = split.folds
    assert (fold.fold, len(fold.test)) == (0, 8)
    assert split.notes == (
        "fold 0 (Y): all test images are a; the AUC of this fold alone is undefined",
        "dataset X is not tested: the others have 1 class to train on",
    )


def test_lodo_keeps_a_unit_of_two_datasets_on_the_test_side(made: Make) -> None:
    datasets = ["X", "Y"] * 20
    manifest, facts = made("aabb" * 10, datasets=datasets, near=[(0, 1)])
    split, _ = make_split(manifest, facts, SplitConfig(kind="lodo"), "honest", 0)
    first, second = split.folds
    assert manifest.ids[0] in first.test
    assert manifest.ids[1] not in {*first.train, *first.validation}
    assert manifest.ids[1] in second.test
    assert manifest.ids[0] not in {*second.train, *second.validation}


def test_lodo_errors(made: Make) -> None:
    config = SplitConfig(kind="lodo")
    manifest, facts = made("ab" * 6)
    with pytest.raises(InputError) as caught:
        make_split(manifest, facts, config, "honest", 0)
    assert str(caught.value).startswith(
        "Leave-one-dataset-out needs a dataset for each image: 0 datasets, 12 images without.\n"
        "  - i000.png\n"
    )
    assert str(caught.value).endswith("Expected: a `dataset` column with at least two values")
    manifest, facts = made("aabb" * 3, datasets=["X", "X", "Y", "Y"] * 3)
    with pytest.raises(InputError) as caught:
        make_split(manifest, facts, config, "honest", 0)
    assert str(caught.value) == (
        "No dataset can be left out.\n"
        "  - dataset X is not tested: the others have 1 class to train on\n"
        "  - dataset Y is not tested: the others have 1 class to train on\n"
        "Expected: a dataset with a class that the others have too, and two classes in those\n"
        "Way out: harmonise the labels with data.harmonise or data.label_map."
    )


# ------------------------------------------------------------------ by attribute


def _magnified(made: Make) -> tuple[Manifest, Facts]:
    """Twelve patients with an image of each class-defining patient at each magnification."""
    labels, groups, sizes = [], [], []
    for patient in range(20):
        for size in ("40X", "100X", "200X", "400X"):
            labels.append("ab"[patient % 2])
            groups.append(f"p{patient}")
            sizes.append(size)
    return made(labels, groups, magnifications=sizes)


def test_published_attribute_split_is_the_paper_s(made: Make) -> None:
    manifest, facts = _magnified(made)
    config = SplitConfig(kind="attribute", test_values=("40X",))
    split, units = make_split(manifest, facts, config, "published", 0)
    (fold,) = split.folds
    assert [manifest.rows[i].magnification for i in fold.rows("test", manifest)] == ["40X"] * 20
    assert len(fold.train) + len(fold.validation) == 60
    assert units.kind == "group"
    assert split.leaks[0] == (
        "20 groups on both sides of train and validation / test (20 images; p0, p1, p2, …)"
    )


def test_honest_attribute_split_keeps_patients_apart(made: Make) -> None:
    manifest, facts = _magnified(made)
    config = SplitConfig(kind="attribute", test_values=("40X",), folds=4)
    split, _ = make_split(manifest, facts, config, "honest", 0)
    assert len(split.folds) == 4
    tested = Counter(i for fold in split.folds for i in fold.test)
    assert tested == Counter(r.id for r in manifest.rows if r.magnification == "40X")
    for fold in split.folds:
        known = [*fold.rows("train", manifest), *fold.rows("validation", manifest)]
        assert {manifest.rows[i].magnification for i in known} == {"100X", "200X", "400X"}
        patients = {manifest.rows[i].group for i in fold.rows("test", manifest)}
        assert not patients & {manifest.rows[i].group for i in known}
    _check(manifest, facts, split)


def test_attribute_errors(made: Make) -> None:
    manifest, facts = _magnified(made)
    columns = "image, label, group, dataset, mask, magnification, um_per_px, parent"
    config = SplitConfig(kind="attribute", attribute="magnificaton")
    with pytest.raises(InputError) as caught:
        make_split(manifest, facts, config, "honest", 0)
    assert str(caught.value) == (
        "Not every image has a value of 'magnificaton' (did you mean 'magnification'?).\n"
        f"Expected: a column with two or more values; there are {columns}"
    )
    config = SplitConfig(kind="attribute", test_values=("40X", "40x"))
    with pytest.raises(InputError) as caught:
        make_split(manifest, facts, config, "honest", 0)
    assert str(caught.value) == (
        "No image has magnification = 40x.\nExpected: values among 100X, 200X, 400X, 40X"
    )
    config = SplitConfig(kind="attribute", test_values=("40X", "100X", "200X", "400X"))
    for protocol in ("honest", "published"):
        with pytest.raises(InputError):  # nothing is left to train on
            make_split(manifest, facts, config, protocol, 0)


# ------------------------------------------------------------------ too little


def test_a_class_with_one_image(made: Make) -> None:
    manifest, facts = made(["a"] * 20 + ["b"] * 20 + ["c"])
    for kind in ("kfold", "holdout"):
        with pytest.raises(InputError) as caught:
            make_split(manifest, facts, SplitConfig(kind=kind), "honest", 0)  # type: ignore[arg-type]
        assert str(caught.value) == (
            "1 classes are too small to be split.\n  - c: 1 image in 1 image\n"
            "Expected: at least 2 images a class\n"
            'Way out: add images, or leave the class out with data.label_map (label = "").'
        )


def test_a_class_of_one_patient(made: Make) -> None:
    groups = [f"p{i}" for i in range(20)] + ["q"] * 5
    manifest, facts = made(["a"] * 20 + ["b"] * 5, groups)
    with pytest.raises(InputError) as caught:
        make_split(manifest, facts, SplitConfig(), "honest", 0)
    assert caught.value.rows == ("b: 5 images in 1 group",)
    assert caught.value.expected == "at least 2 groups a class"
    split, _ = make_split(manifest, facts, SplitConfig(), "published", 0)
    assert "1 group on both sides of train and validation / test (5 images; q)" in split.leaks


def test_more_folds_than_groups(made: Make) -> None:
    groups = [f"p{i // 10}" for i in range(40)]
    manifest, facts = made("ab" * 20, groups)
    with pytest.raises(InputError) as caught:
        make_split(manifest, facts, SplitConfig(folds=5), "honest", 0)
    assert str(caught.value) == (
        "4 groups cannot be cut into 5 parts.\nWay out: ask for fewer folds, or bring more groups."
    )


def test_the_rest_of_a_fold_may_be_one_group(made: Make) -> None:
    manifest, facts = made("ab" * 20, [f"p{i // 20}" for i in range(40)])
    with pytest.raises(InputError) as caught:
        make_split(manifest, facts, SplitConfig(folds=2, validation=0.5), "honest", 0)
    assert caught.value.what == "1 group cannot be cut into 2 parts."


def test_more_folds_than_images_of_any_class(made: Make) -> None:
    manifest, facts = made("ab" * 4)
    with pytest.raises(InputError) as caught:
        make_split(manifest, facts, SplitConfig(folds=6, validation=0.0), "honest", 0)
    assert str(caught.value).startswith("The classes are too small for 6 parts: ")
    assert str(caught.value).endswith("Way out: ask for fewer folds or a larger test share.")


def test_a_negative_seed_is_refused(made: Make) -> None:
    manifest, facts = made(["a", "b"] * 10)
    with pytest.raises(InputError, match=r"^seed = -1 is negative\."):
        make_split(manifest, facts, SplitConfig(), "honest", -1)


def test_a_class_smaller_than_the_folds_is_split_all_the_same(made: Make) -> None:
    manifest, facts = made(["a"] * 30 + ["b"] * 3)
    split, _ = make_split(manifest, facts, SplitConfig(validation=0.0), "honest", 0)
    tested = Counter(i for fold in split.folds for i in fold.test)
    assert tested == Counter(manifest.ids)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"folds": 1}, "folds must be at least 2 and repeats at least 1."),
        ({"repeats": 0}, "folds must be at least 2 and repeats at least 1."),
        (
            {"test": 0.6},
            "test = 0.6, validation = 0.15 are out of range.\n"
            "Expected: 0 < test ≤ 0.5 and 0 ≤ validation ≤ 0.5",
        ),
        (
            {"validation": -0.1},
            "test = 0.2, validation = -0.1 are out of range.\n"
            "Expected: 0 < test ≤ 0.5 and 0 ≤ validation ≤ 0.5",
        ),
        ({"kind": "file"}, 'kind = "file" needs split.file.'),
    ],
)
def test_settings(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        from_dict(SplitConfig, settings, "r")
    assert caught.value.rows == (said,)
