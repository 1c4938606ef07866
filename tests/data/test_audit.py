"""The audit: planted duplicates, siblings, marks and leaks are found, and nothing else."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cytolens.core.errors import InputError
from cytolens.core.seeding import rng
from cytolens.data.audit import audit, render_text, write_page
from cytolens.data.audit.siblings import augmented_name
from cytolens.data.audit.sizes import describe_sizes
from cytolens.data.facts import Facts, scan
from cytolens.data.loading import read_manifest
from cytolens.data.manifest import Manifest, Row

REAL = Path(
    os.environ.get("CYTOLENS_REAL_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data"
)
needs_real_data = pytest.mark.skipif(
    not REAL.is_dir(), reason=f"needs real images in {REAL} (set CYTOLENS_REAL_DATA)"
)

Pixels = NDArray[np.uint8]
KEYS = {
    "name",
    "images",
    "classes",
    "imbalance",
    "groups",
    "sizes",
    "problems",
    "duplicates",
    "siblings",
    "artefacts",
    "leaks",
    "warnings",
}


def picture(*names: str | int, size: int = 48) -> Pixels:
    """A smooth random picture, mid-grey: no two alike."""
    coarse = rng(7, *names).integers(60, 200, (6, 6, 3)).astype(np.uint8)
    image = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.uint8)


class Folder:
    """A set under construction in a temporary folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows: list[Row] = []

    def add(self, name: str, pixels: Pixels, label: str = "a", **columns: Any) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        self.rows.append(Row(name, path, label, **columns))

    def manifest(self) -> Manifest:
        return Manifest(tuple(self.rows), "planted")

    def audit(self, split: dict[str, Any] | None = None) -> dict[str, Any]:
        manifest = self.manifest()
        facts, problems = scan(manifest, cache=self.root / "facts.sqlite")
        return audit(manifest, facts, problems, split)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def clean(folder: Folder, n: int = 12) -> Folder:
    for i in range(n):
        folder.add(f"clean{i}.png", picture("clean", i), "ab"[i % 2], group=f"p{i // 2}")
    return folder


def test_a_clean_set_has_the_contract_and_no_false_alarm(folder: Folder) -> None:
    found = clean(folder, 60).audit()
    assert set(found) == KEYS
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["classes"] == {"a": 30, "b": 30} and found["imbalance"] == 1.0
    assert found["groups"]["count"] == 30 and found["groups"]["largest"] == 2
    assert len(found["groups"]["mixed_labels"]) == 30
    assert not found["siblings"] and not found["artefacts"] and not found["leaks"]
    assert found["duplicates"] == {
        "exact": [],
        "near": [],
        "across_labels": [],
        "across_groups": [],
    }
    assert [w for w in found["warnings"] if "more than one class" not in w] == []


def test_duplicates_are_found_across_labels_and_groups(folder: Folder) -> None:
    clean(folder)
    folder.add("same.png", picture("clean", 0), "b", group="other")
    brighter = np.clip(picture("clean", 1).astype(int) + 6, 0, 255).astype(np.uint8)
    folder.add("near.png", brighter, "b", group="p0")
    found = folder.audit()
    duplicates = found["duplicates"]
    assert duplicates["exact"] == [["clean0.png", "same.png"]]
    assert [pair[:2] for pair in duplicates["near"]] == [["clean1.png", "near.png"]]
    assert duplicates["near"][0][2] > 0.99
    assert duplicates["across_labels"] == [["clean0.png", "same.png"]]
    assert duplicates["across_groups"] == [["clean0.png", "same.png"]]
    assert "other labels" in found["warnings"][0]
    assert not found["siblings"]


@pytest.mark.parametrize(
    "turn",
    [
        lambda p: np.rot90(p),
        lambda p: np.rot90(p, 2),
        lambda p: np.rot90(p, 3),
        lambda p: p[:, ::-1],
        lambda p: p[::-1],
        lambda p: p.transpose(1, 0, 2),
        lambda p: np.rot90(p[:, ::-1], 1),
    ],
)
def test_rotated_and_mirrored_twins_are_siblings(
    folder: Folder, turn: Callable[[Pixels], Pixels]
) -> None:
    clean(folder)
    folder.add("twin.jpg", np.ascontiguousarray(turn(picture("clean", 3))), "b", group="p1")
    found = folder.audit()
    assert found["siblings"] == [{"rows": ["clean3.png", "twin.jpg"], "how": "rotated or flipped"}]
    assert not found["duplicates"]["near"]


def test_a_symmetric_picture_is_a_near_duplicate_not_a_twin(folder: Folder) -> None:
    clean(folder)
    y, x = np.mgrid[-24:24, -24:24]
    disc = np.where((x**2 + y**2)[..., None] < 200, 60, 210).astype(np.uint8).repeat(3, axis=2)
    folder.add("disc.png", disc, "a", group="p1")
    folder.add("disc.jpg", disc, "a", group="p1")
    found = folder.audit()
    assert len(found["duplicates"]["near"]) == 1 and not found["siblings"]


def test_parents_and_file_names_tell_siblings(folder: Folder) -> None:
    pictures = iter(picture("s", i) for i in range(40))
    for name in ("x.png", "x_aug_1.png", "y_rot90.png", "y_hflip.png"):
        folder.add(f"train/{name}", next(pictures))
    for name in ("k_0_1734.png", "k_0_8415.png", "scan.png", "scan (2).png"):
        folder.add(f"test/{name}", next(pictures))
    for name in ("NL_1_ (1).png", "NL_1_ (2).png"):  # numbered, not copied
        folder.add(name, next(pictures))
    for place in ("0_1024", "512_1024", "512_2048"):  # places of tiles in a slide
        folder.add(f"slide_{place}.png", next(pictures))
    folder.add("z.png", next(pictures), "b")
    folder.add("w1.png", next(pictures), "b", parent="z.png")
    folder.add("w2.png", next(pictures), "b", parent="gone.png")
    folder.add("w3.png", next(pictures), "b", parent="gone.png")
    found = folder.audit()
    assert [(e["how"], e["rows"]) for e in found["siblings"]] == [
        ("parent column", ["z.png", "w1.png"]),
        ("parent column", ["w2.png", "w3.png"]),
        ("file name", ["train/x.png", "train/x_aug_1.png"]),
        ("file name", ["train/y_rot90.png", "train/y_hflip.png"]),
        ("file name", ["test/k_0_1734.png", "test/k_0_8415.png"]),
        ("file name", ["test/scan.png", "test/scan (2).png"]),
    ]
    assert any(w.startswith("5 images have names like augmented copies") for w in found["warnings"])


@pytest.mark.parametrize(
    ("stem", "base"),
    [
        ("x_aug_3", "x"),
        ("x-rot90-flip", "x"),
        ("LSIL_4 (1)_0_1734", "LSIL_4 (1)"),
        ("SOB_M_DC-14-5694-400-005", None),
        ("UID_11_10_1_all", None),
        ("157183412-157183614-001", None),
        ("1008_x3136_y0", None),
        ("WBC-Benign-001", None),
        ("copy", None),
    ],
)
def test_augmented_names(stem: str, base: str | None) -> None:
    assert augmented_name(stem) == base


def test_a_scale_bar_of_one_class_is_found_where_it_is(folder: Folder) -> None:
    for i in range(40):
        pixels = picture("bar", i, size=64).copy()
        if i % 2 and i % 8 != 1:  # three quarters of class b
            pixels[56:60, 48:60] = 255
        folder.add(f"{i}.png", pixels, "ab"[i % 2])
    found = folder.audit()
    (mark,) = found["artefacts"]
    assert mark["class"] == "b" and mark["kind"] == "bright mark"
    assert mark["share"] == pytest.approx(0.75)
    assert np.allclose(mark["region"], [0.75, 0.875, 0.9375, 0.9375])
    assert any("b 75% bottom right" in w for w in found["warnings"])


def test_a_bright_background_is_no_mark(folder: Folder) -> None:
    y, x = np.mgrid[0:64, 0:64]
    for i in range(40):
        light = np.clip(330 - 3 * np.hypot(x - 30, y - 30), 60, 255)  # burnt out in the middle
        cells = picture("light", i, size=64)
        pixels = np.where(cells > 120, light[..., None], cells).astype(np.uint8)
        folder.add(f"{i}.png", pixels, "ab"[i % 2])
    assert folder.audit()["artefacts"] == []


def test_letterbox_borders_are_found(folder: Folder) -> None:
    for i in range(20):
        pixels = picture("box", i, size=64).copy()
        pixels[:8] = pixels[-8:] = 90 + i
        folder.add(f"{i}.png", pixels, "ab"[i % 2])
    found = folder.audit()
    assert [(e["class"], e["kind"], e["share"]) for e in found["artefacts"]] == [
        (None, "flat border", 1.0),
        (None, "flat border", 1.0),
    ]
    assert any("padded to shape (100% of all)" in w for w in found["warnings"])
    assert [e["region"] for e in found["artefacts"]] == [[0, 0, 1, 0.125], [0, 0.875, 1, 1]]


def test_leaks_of_a_split_are_named(folder: Folder) -> None:
    clean(folder)
    folder.add("same.png", picture("clean", 11), "b", group="p9")
    folder.add(
        "clean4_flip.png", np.ascontiguousarray(picture("clean", 4)[:, ::-1]), "a", group="p2"
    )
    names = [row.id for row in folder.rows]
    honest = {"train": names[:4], "validation": [], "test": names[4:]}
    leaking = {"train": names[:5], "validation": ["same.png"], "test": names[5:12] + names[13:]}
    found = folder.audit({"folds": [honest, leaking]})
    assert found["leaks"] == [
        "1 group stands in both train and test (p2) in 1 of 2 folds.",
        "1 exact duplicate stands in both validation and test (clean11.png) in 1 of 2 folds.",
        "1 set of augmented siblings stands in both train and test (clean4.png) in 1 of 2 folds.",
    ]
    assert found["warnings"][0] == f"Leak: {found['leaks'][0]}"
    assert folder.audit({"folds": [honest]})["leaks"] == []


def test_a_split_of_another_set_is_refused(folder: Folder) -> None:
    with pytest.raises(InputError, match="1 images of the split are not in planted") as caught:
        clean(folder).audit({"folds": [{"train": ["ghost.png"]}]})
    assert "ghost.png (train)" in str(caught.value)


def test_warnings_come_most_important_first(folder: Folder) -> None:
    for i in range(24):
        folder.add(f"{i}.png", picture("w", i), "a" if i else "b")
    (folder.root / "23.png").write_bytes(b"no image")
    found = folder.audit()
    assert found["problems"] == {"23.png": "is not an image of a known format"}
    starts = [
        "1 image cannot be used",
        "There is no group key",
        "Classes of fewer than 20",
        "The larg",
    ]
    assert len(found["warnings"]) == len(starts)
    for sentence, start in zip(found["warnings"], starts, strict=True):
        assert sentence.startswith(start)
    assert "patient leakage cannot be excluded" in found["warnings"][1]


def test_groups_of_one_image_protect_nothing(folder: Folder) -> None:
    for i in range(40):
        folder.add(f"{i}.png", picture("g", i), "ab"[i % 2], group=str(i))
    assert "the group key protects nothing" in folder.audit()["warnings"][0]


# --- sizes ---


def test_recommended_size_is_the_mode_of_the_histogram() -> None:
    values = rng(1, "sizes").normal((98.5, 108.9), (4, 4), (2000, 2)).round().astype(np.int64)
    spread = rng(2, "sizes").integers((48, 62), (553, 531), (300, 2))
    found = describe_sizes(np.concatenate([values, spread]))
    assert found["recommended"]["width"] == found["recommended"]["height"] == 110
    counts = np.array(found["histogram"]["counts"])
    assert counts.sum() == 2300
    assert counts.shape == (
        len(found["histogram"]["width_edges"]) - 1,
        len(found["histogram"]["height_edges"]) - 1,
    )


@pytest.mark.parametrize(
    ("size", "recommended"),
    [
        ((224, 224), (224, 224)),
        ((700, 460), (512, 336)),
        ((2048, 1536), (512, 384)),
        ((16, 20), (32, 32)),
    ],
)
def test_recommended_size_of_sets_of_one_size(
    size: tuple[int, int], recommended: tuple[int, int]
) -> None:
    found = describe_sizes(np.array([size] * 3))["recommended"]
    assert (found["width"], found["height"]) == recommended
    assert found["why"].startswith(f"all images have {size[0]} x {size[1]} pixels")


def test_no_readable_image_is_said() -> None:
    assert describe_sizes(np.zeros((0, 2), dtype=np.int64))["recommended"]["why"] == (
        "no image could be read"
    )


# --- text, page, speed ---


def planted(folder: Folder) -> dict[str, Any]:
    clean(folder)
    folder.add("same.png", picture("clean", 0), "b", group="other")
    folder.add("<b>&turned.png", np.ascontiguousarray(picture("clean", 3)[::-1]), "b", group="p1")
    (folder.root / "clean7.png").write_bytes(b"")
    return folder.audit()


def test_text_is_readable(folder: Folder) -> None:
    text = render_text(planted(folder))
    assert "planted: 14 images, 2 classes, 7 groups, the largest of 3" in text
    assert "sizes 48 x 48 pixels; recommended input 48 x 48" in text
    assert "Exact duplicates (1):\n  clean0.png = same.png" in text
    assert "Problems (1):\n  clean7.png: is " in text
    assert max(len(line) for line in text.splitlines()) <= 110


def test_page_is_one_self_contained_file(folder: Folder) -> None:
    found = planted(folder)
    page = folder.root / "audit.html"
    write_page(found, folder.manifest(), page)
    text = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;turned.png" in text and "<b>&turned" not in text
    assert not re.search(r"(?:src|href)=\"(?!data:)", text) and "<script" not in text
    assert text.count("data:image/jpeg;base64,") >= 14
    for heading in ("Know this", "Classes", "Sizes", "Duplicates", "Augmented siblings", "Samples"):
        assert f"<h2>{heading}</h2>" in text
    assert "different labels</p>" in text


def test_page_of_a_set_of_which_nothing_reads(folder: Folder) -> None:
    folder.add("1.png", picture("n", 1))
    folder.rows[0].image.write_bytes(b"")
    found = folder.audit()
    write_page(found, folder.manifest(), folder.root / "audit.html")
    assert "no image could be read" in (folder.root / "audit.html").read_text()


def synthetic_facts(n: int) -> tuple[Manifest, Facts]:
    from cytolens.data.facts import _dct_hash

    noise = rng(3, "speed").integers(0, 255, (n, 8, 8), dtype=np.uint8)
    thumbs = noise.repeat(4, axis=1).repeat(4, axis=2)
    rows = tuple(
        Row(f"{i}.png", Path(f"{i}.png"), "abcd"[i % 4], group=str(i // 9)) for i in range(n)
    )
    facts = Facts(
        sha256=tuple(f"{i:064x}" for i in range(n)),
        sizes=rng(4, "speed").integers(60, 500, (n, 2)),
        phash=np.array([_dct_hash(thumb) for thumb in thumbs], dtype=np.uint64),
        thumbs=thumbs,
        means=np.zeros((n, 3)),
        bright=thumbs,
    )
    return Manifest(rows, "speed"), facts


def test_five_thousand_images_take_about_a_second() -> None:
    manifest, facts = synthetic_facts(5000)
    start = time.perf_counter()
    found = audit(manifest, facts, {})
    assert time.perf_counter() - start < 5  # about 0.5 s on an idle core; the rest is for busy ones
    assert not found["duplicates"]["near"] and not found["siblings"]


# --- real images, where they are ---


@needs_real_data
def test_taleghani_scale_bars_are_found_in_every_class_and_nothing_else(tmp_path: Path) -> None:
    manifest = read_manifest(REAL / "taleghani_all")
    facts, problems = scan(manifest, cache=tmp_path / "facts.sqlite")
    found = audit(manifest, facts, problems)
    marks = found["artefacts"]
    assert sorted(mark["class"] for mark in marks) == ["benign", "early_pre_b", "pre_b", "pro_b"]
    assert all(mark["region"][0] > 0.8 and mark["region"][1] > 0.8 for mark in marks)
    shares = {mark["class"]: mark["share"] for mark in marks}
    assert shares["pro_b"] > 0.95 and shares["early_pre_b"] < 0.5


@needs_real_data
def test_wbc_holds_one_file_twice(tmp_path: Path) -> None:
    manifest = read_manifest(REAL / "wbc")
    facts, problems = scan(manifest, cache=tmp_path / "facts.sqlite")
    found = audit(manifest, facts, problems)
    assert found["duplicates"]["exact"] == [["source1/images/112.png", "source1/images/139.png"]]
    assert found["artefacts"] == [] and found["siblings"] == []
