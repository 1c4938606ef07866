"""Phantoms: repeatable, truthful, and as hard (and as leaky) as their dials say."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cytolens.core import config as configs
from cytolens.core.errors import InputError
from cytolens.data.phantom import KINDS, PhantomConfig, PhantomImage, generate_one, write_phantoms
from cytolens.data.phantom.cohort import apportion, cohort


def small(**settings: object) -> PhantomConfig:
    return PhantomConfig(**({"images": 24, "patients": 6, "size": 64} | settings))  # type: ignore[arg-type]


def digest(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file under `folder`."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def rows_of(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(encoding="utf-8", newline="") as source:
        return list(csv.DictReader(source))


@pytest.fixture(params=KINDS.names())
def tissue(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- one image -------------------------------------------------------------------------------


def test_the_same_settings_give_the_same_bytes_in_any_order(tissue: str) -> None:
    config = small(tissue=tissue)
    forward = [generate_one(config, i).image.tobytes() for i in (0, 1, 2)]
    cohort.cache_clear()
    again = dataclasses.replace(config)
    backward = [generate_one(again, i).image.tobytes() for i in (2, 1, 0)]
    assert forward == backward[::-1]
    assert len(set(forward)) == 3


def test_another_seed_gives_other_images(tissue: str) -> None:
    one, other = (generate_one(small(tissue=tissue, seed=s), 0) for s in (0, 1))
    assert one.image.tobytes() != other.image.tobytes()


@pytest.mark.parametrize("size", [48, 64, 129])
def test_images_and_masks_are_whole(tissue: str, size: int) -> None:
    config = small(tissue=tissue, size=size)
    for phantom in (generate_one(config, i) for i in range(8)):
        assert phantom.image.shape == (size, size, 3) and phantom.image.dtype == np.uint8
        assert phantom.mask.shape == (size, size) and phantom.mask.dtype == np.uint8
        assert set(np.unique(phantom.mask)) <= {0, 1, 2}
        assert (phantom.mask == 2).sum() > 0.005 * size * size
        assert phantom.truth["nucleus_area"] == (phantom.mask == 2).sum()
        assert 0 < phantom.truth["nc_ratio"] <= 1
        assert {f"z_{name}" for name in KINDS.get(tissue).features} < set(phantom.truth)
        assert phantom.image.std() > 4


def test_the_mask_lies_on_the_nucleus(tissue: str) -> None:
    config = small(tissue=tissue, size=128, images=24)
    for phantom in (generate_one(config, i) for i in range(12)):
        grey = phantom.image.mean(2)
        assert grey[phantom.mask == 2].mean() < grey[phantom.mask == 0].mean() - 15


def test_an_index_outside_the_set_is_refused() -> None:
    with pytest.raises(InputError, match=r"There is no phantom 24 in a set of 24\.") as caught:
        generate_one(small(), 24)
    assert "0 to 23" in str(caught.value)


# --- who is in the set -----------------------------------------------------------------------


def test_every_class_and_patient_has_images(tissue: str) -> None:
    classes = len(KINDS.get(tissue).classes)
    for settings in ({}, {"label_patient_correlation": 1.0}, {"patients": 24}):
        config = small(tissue=tissue, **settings)
        members = cohort(config)
        assert set(members.label) == set(range(classes))
        assert set(members.patient) == set(range(config.patients))
        assert set(members.site) == {0, 1}


def test_class_shares_are_kept_to_the_image() -> None:
    config = small(images=963, patients=20, class_shares=(613, 163, 113, 74))
    assert np.bincount(cohort(config).label).tolist() == [613, 163, 113, 74]


def test_apportion_is_exact_and_leaves_none_out() -> None:
    assert apportion(np.array([1.0, 1.0, 1.0]), 10).tolist() == [4, 3, 3]
    assert apportion(np.array([98.0, 1.0, 1.0]), 10).tolist() == [8, 1, 1]
    assert apportion(np.array([1.0, 0.0]), 3).tolist() == [3, 0]


def test_the_correlation_dial_ties_labels_to_patients() -> None:
    shares = []
    for dial in (0.0, 0.6, 1.0):
        members = cohort(small(images=400, patients=20, label_patient_correlation=dial))
        table = np.zeros((20, 4))
        np.add.at(table, (members.patient, members.label), 1)
        shares.append((table.max(1) / table.sum(1)).mean())
        assert dial == 1.0 or (table > 0).sum(1).min() >= 2
    assert shares[0] < 0.4 < 0.6 < shares[1] < 0.8
    assert shares[2] == 1.0


# --- the dials -------------------------------------------------------------------------------


def describe(phantom: PhantomImage) -> NDArray[np.float64]:
    """Return simple features of a phantom: colours of each region, areas, sharpness."""
    image, mask = phantom.image.astype(float), phantom.mask
    colours = [f(image[mask == v], 0) for v in (0, 1, 2) for f in (np.mean, np.std)]
    sharp = cv2.Laplacian(phantom.image.mean(2).astype(np.float32), cv2.CV_32F).std()
    areas = np.log1p([(mask == 1).sum(), (mask == 2).sum()])
    return np.concatenate([*colours, areas, [phantom.truth["nc_ratio"], float(sharp)]])


def described(config: PhantomConfig) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """Return features [N, F], labels and patients of a whole set."""
    phantoms = [generate_one(config, i) for i in range(config.images)]
    x = np.array([describe(p) for p in phantoms])
    return x, [p.label for p in phantoms], [p.patient for p in phantoms]


def score(x: NDArray[np.float64], y: list[str], groups: list[str] | None = None) -> float:
    """Return the accuracy of a linear model, by image or, with `groups`, by patient."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, C=0.3, tol=1e-3))
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    folds = kind(4, shuffle=True, random_state=0)
    return float(cross_val_score(model, x, y, cv=folds, groups=groups).mean())


LEAKY = {"images": 240, "patients": 12, "label_patient_correlation": 0.8, "class_separation": 0.6}


def test_patients_leak_only_when_they_differ() -> None:
    gap, named = {}, {}
    for effect in (0.0, 1.0):
        x, y, patients = described(small(**LEAKY, patient_effect=effect, site_effect=0.0))
        gap[effect] = score(x, y) - score(x, y, patients)
        named[effect] = score(x[:, :6], patients)
    assert gap[1.0] > 0.15
    assert abs(gap[0.0]) < 0.08
    assert named[1.0] > 0.45
    assert named[0.0] < 0.25


def test_classes_are_learnable_but_overlap_and_separation_decides() -> None:
    scores = []
    for dial in (0.0, 1.0, 2.5):
        config = small(images=200, patients=10, patient_effect=0.3, class_separation=dial)
        scores.append(score(*described(config)))
    assert scores[0] < 0.45
    assert 0.55 < scores[1] < 0.92
    assert scores[2] > scores[1] + 0.05


def test_a_cause_alone_carries_the_label() -> None:
    config = small(
        images=200, patients=8, cause=("texture",), patient_effect=0.0, class_separation=1.5
    )
    phantoms = [generate_one(config, i) for i in range(config.images)]
    step = np.array([KINDS.get("pap").classes.index(p.label) for p in phantoms])

    def tie(name: str) -> float:
        return float(abs(np.corrcoef(step, [p.truth[name] for p in phantoms])[0, 1]))

    assert tie("z_texture") > 0.8
    assert all(tie(f"z_{n}") < 0.25 for n in KINDS.get("pap").features if n != "texture")
    assert tie("nucleus_area") < 0.25
    grain = [p.image.mean(2)[p.mask == 2].std() for p in phantoms]
    assert np.corrcoef(step, grain)[0, 1] > 0.3


def test_turning_one_dial_leaves_the_other_draws_alone() -> None:
    calm, wild = (generate_one(small(patient_effect=e), 3) for e in (0.0, 1.0))
    assert (calm.label, calm.patient, calm.site) == (wild.label, wild.patient, wild.site)
    assert calm.image.tobytes() != wild.image.tobytes()


# --- bad settings ----------------------------------------------------------------------------


def test_all_bad_settings_are_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        PhantomConfig(patients=3, sites=0, size=8, patient_effect=2, cause=("textur",))
    assert str(caught.value) == (
        "Phantoms cannot be made with 5 of these settings.\n"
        "  - patients: 3 for 4 classes; at least 4 are needed\n"
        "  - sites: 0; expected 1 to 3 (the patients)\n"
        "  - size: 8 px; expected 48 to 1024\n"
        "  - patient_effect: 2; expected 0 to 1\n"
        "  - cause: 'textur' is no feature of 'pap' (did you mean 'texture'?); there are size, "
        "nc_ratio, hyperchromasia, texture, membrane, halo, colour, shape, background\n"
        "Way out: correct the settings above."
    )


def test_an_unknown_tissue_gets_a_suggestion() -> None:
    with pytest.raises(InputError, match=r"Unknown kind of phantom tissue 'blod' \(did you mean"):
        PhantomConfig(tissue="blod")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"images": 5}, "images: 5; at least one a patient and class is needed (24)"),
        ({"class_shares": (1.0, 2.0)}, "class_shares: [1.0, 2.0]; expected 4 numbers above 0"),
        ({"class_separation": -1.0}, "class_separation: -1.0; expected 0 to 5"),
        ({"seed": -1}, "seed: -1; expected 0 or more"),
    ],
)
def test_a_bad_setting_is_named(settings: dict[str, object], text: str) -> None:
    with pytest.raises(InputError) as caught:
        PhantomConfig(**settings)  # type: ignore[arg-type]
    assert text in str(caught.value)


# --- on disk ---------------------------------------------------------------------------------


def test_a_written_set_is_complete_and_repeatable(tmp_path: Path) -> None:
    config = small(cause=("size",))
    manifest = write_phantoms(config, tmp_path / "set", workers=1)
    assert manifest == tmp_path / "set" / "manifest.csv"
    rows = rows_of(manifest)
    assert list(rows[0])[:6] == ["image", "label", "group", "dataset", "mask", "um_per_px"]
    assert {"nucleus_area", "nc_ratio", "z_size"} < set(rows[0])
    assert {r["label"] for r in rows} == set(KINDS.get("pap").classes)
    assert len({r["group"] for r in rows}) == 6
    assert {r["dataset"] for r in rows} == {"site_0", "site_1"}
    for index, row in enumerate(rows):
        image = cv2.imread(str(manifest.parent / row["image"]))
        mask = cv2.imread(str(manifest.parent / row["mask"]), cv2.IMREAD_UNCHANGED)
        expected = generate_one(config, index)
        np.testing.assert_array_equal(image[..., ::-1], expected.image)
        np.testing.assert_array_equal(mask, expected.mask)
        assert row["label"] == expected.label
    card = json.loads((tmp_path / "set" / "phantom.json").read_text(encoding="utf-8"))
    assert configs.from_dict(PhantomConfig, card["config"], "phantom.json") == config
    assert {p.name for p in tmp_path.iterdir()} == {"set"}
    assert {p.name for p in manifest.parent.iterdir()} == {
        "images", "masks", "manifest.csv", "phantom.json"
    }  # fmt: skip


def test_two_processes_write_the_same_bytes_as_one(tmp_path: Path) -> None:
    config = small(images=60)
    seen: list[tuple[int, int]] = []
    write_phantoms(config, tmp_path / "two", workers=2, progress=lambda n, of: seen.append((n, of)))
    write_phantoms(config, tmp_path / "one", workers=1)
    assert digest(tmp_path / "two") == digest(tmp_path / "one")
    assert seen[-1] == (60, 60) and [n for n, _ in seen] == sorted(n for n, _ in seen)


def test_a_killed_generation_leaves_nothing_that_looks_finished_and_can_be_repeated(
    tmp_path: Path,
) -> None:
    class Killed(BaseException):
        pass

    def kill(done: int, total: int) -> None:
        if done < total:
            raise Killed

    config = small(images=60)
    with pytest.raises(Killed):
        write_phantoms(config, tmp_path / "set", workers=1, progress=kill)
    assert not (tmp_path / "set").exists()
    assert not list(tmp_path.rglob("manifest.csv"))
    assert (tmp_path / "set.partial").is_dir()

    write_phantoms(config, tmp_path / "set", workers=1)
    write_phantoms(config, tmp_path / "clean", workers=1)
    assert digest(tmp_path / "set") == digest(tmp_path / "clean")
    assert not (tmp_path / "set.partial").exists()


def test_what_a_cut_off_generation_of_other_settings_left_is_cleared(tmp_path: Path) -> None:
    partial = tmp_path / "set.partial"
    (partial / "images" / "old").mkdir(parents=True)
    (partial / "phantom.json").write_text("{}", encoding="utf-8")
    write_phantoms(small(), tmp_path / "set")
    assert not (tmp_path / "set" / "images" / "old").exists()


def test_a_finished_set_is_left_alone_and_other_content_is_refused(tmp_path: Path) -> None:
    manifest = write_phantoms(small(), tmp_path / "set")
    before = manifest.stat().st_mtime_ns
    assert write_phantoms(small(), tmp_path / "set") == manifest
    assert manifest.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="holds phantoms of other settings"):
        write_phantoms(small(seed=1), tmp_path / "set")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="is not empty, and what it holds are not phantoms"):
        write_phantoms(small(), tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_workers_below_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="workers must be 1 or more, not 0"):
        write_phantoms(small(), tmp_path / "set", workers=0)
    assert not (tmp_path / "set").exists()
