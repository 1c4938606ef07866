"""The catalog: tiny copies of the published trees → manifests, groups, masks, counts, errors."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cytolens.core.errors import InputError
from cytolens.data.catalog import CATALOG, contours_to_mask, import_dataset
from cytolens.data.catalog.contours import read_contour
from cytolens.data.loading import read_manifest

REAL = Path(
    os.environ.get("CYTOLENS_REAL_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data"
)
needs_real_data = pytest.mark.skipif(
    not REAL.is_dir(), reason=f"needs real images in {REAL} (set CYTOLENS_REAL_DATA)"
)


def draw(path: Path, value: int = 120, size: tuple[int, int] = (24, 20)) -> Path:
    """Write a small image of (width, height) with a little texture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    pixels = (np.arange(height * width * 3) * 7 + value) % 251
    Image.fromarray(pixels.reshape(height, width, 3).astype(np.uint8)).save(path)
    return path


# --- contracts over the whole registry ---


@pytest.mark.parametrize("name", list(CATALOG))
def test_every_set_says_what_a_reader_must_know(name: str) -> None:
    dataset = CATALOG.get(name)
    assert dataset.name == name
    for text in (dataset.title, dataset.tree, dataset.group, dataset.licence, dataset.obtain):
        assert text.strip()
    for variant in dataset.variants:
        assert not variant.merge or set(variant.merge.values()) == set(variant.classes)
        assert all(count > 0 for count in variant.counts.values())
    totals = {sum(variant.counts.values()) for variant in dataset.variants}
    assert len(totals) == (2 if name == "taleghani_all" else 1)


@pytest.mark.parametrize("name", [name for name in CATALOG if name != "generic"])
def test_a_strange_tree_is_refused_with_what_was_expected_and_found(
    name: str, tmp_path: Path
) -> None:
    draw(tmp_path / "holiday" / "beach.png")
    (tmp_path / "notes.txt").write_text("hello")
    dataset = CATALOG.get(name)
    with pytest.raises(InputError) as caught:
        dataset.read(tmp_path)
    text = str(caught.value)
    assert f"does not hold the published tree of {dataset.title}" in text
    assert "found: holiday/" in text and "found: notes.txt" in text
    assert f"Expected: {dataset.tree}" in text and f"Way out: {dataset.obtain}" in text


def test_published_totals() -> None:
    totals = {name: sum(CATALOG.get(name).counts.values()) for name in CATALOG}
    assert totals == {
        "sipakmed": 4049,
        "herlev": 917,
        "mendeley_lbc": 963,
        "breakhis": 7909,
        "taleghani_all": 3256,
        "all_idb1": 108,
        "all_idb2": 260,
        "cnmc2019": 10661,
        "generic": 0,
    }


def test_breakhis_counts_by_magnification_add_up() -> None:
    strata = CATALOG.get("breakhis").strata
    assert strata is not None and strata[0] == "magnification"
    totals = {value: sum(counts.values()) for value, counts in strata[1].items()}
    assert totals == {"40": 1995, "100": 2081, "200": 2013, "400": 1820}


# --- one tree a set ---


def sipakmed_tree(root: Path, *, doubled: bool) -> Path:
    for label in ("Dyskeratotic", "Parabasal"):
        folder = root / f"im_{label}"
        folder = folder / f"im_{label}" if doubled else folder
        draw(folder / "001.bmp")  # the cluster image
        for name in ("001_01", "001_02", "002_01"):
            draw(folder / "CROPPED" / f"{name}.bmp")
            cell = folder / "CROPPED" / name
            cell.with_name(f"{name}_cyt01.dat").write_text("2,2\n20,2\n20,17\n2,17\n")
            cell.with_name(f"{name}_nuc01.dat").write_text("8.0,6.0\n12.0,6.0\n12.0,10.0\n8,10\n\n")
    return root


@pytest.mark.parametrize("doubled", [True, False])
def test_sipakmed_groups_cells_by_cluster_image(tmp_path: Path, doubled: bool) -> None:
    manifest = CATALOG.get("sipakmed").read(sipakmed_tree(tmp_path, doubled=doubled))
    assert manifest.classes[:2] == ("Superficial-Intermediate", "Parabasal")
    assert manifest.counts()["Dyskeratotic"] == 3 and len(manifest) == 6
    assert {row.group for row in manifest.rows} == {
        "Dyskeratotic/001",
        "Dyskeratotic/002",
        "Parabasal/001",
        "Parabasal/002",
    }


def test_sipakmed_import_writes_masks_and_says_what_is_missing(tmp_path: Path) -> None:
    source = sipakmed_tree(tmp_path / "src", doubled=True)
    report = import_dataset("sipakmed", source, tmp_path / "out")
    assert report.masks == 6 and report.images == 6
    text = report.text()
    assert "Dyskeratotic: 3 of 813 images, 810 missing" in text
    assert "Koilocytotic: 0 of 825 images, 825 missing" in text
    assert "groups: 4 of 966" in text
    manifest = read_manifest(tmp_path / "out")
    mask = manifest.rows[0].mask
    assert mask is not None and mask.is_relative_to(tmp_path / "out" / "masks")
    values = np.asarray(Image.open(mask))
    assert values.shape == (20, 24)
    assert values[0, 0] == 0 and values[4, 4] == 1 and values[8, 10] == 2
    assert (tmp_path / "out" / "manifest.csv").read_text().splitlines()[1].startswith("../src/")
    assert not list((tmp_path / "out").glob(".*"))  # nothing temporary is left


def test_sipakmed_three_classes(tmp_path: Path) -> None:
    manifest = CATALOG.get("sipakmed").read(sipakmed_tree(tmp_path, doubled=True), "three")
    assert manifest.counts() == {"normal": 3, "benign": 0, "abnormal": 3}


def test_a_contour_that_fits_no_image_is_said_and_costs_the_mask_only(tmp_path: Path) -> None:
    source = sipakmed_tree(tmp_path / "src", doubled=False)
    broken = source / "im_Parabasal" / "CROPPED" / "001_01_cyt01.dat"
    broken.write_text("200,200\n300,200\n300,300\n")
    source.joinpath("im_Parabasal", "CROPPED", "002_01_nuc01.dat").write_text("1;2\nx,y\n")
    report = import_dataset("sipakmed", source, tmp_path / "out")
    assert report.masks == 4 and len(report.mask_problems) == 2
    text = report.text()
    assert "2 masks not converted:" in text
    assert "100% of the cytoplasm contour lie outside the image of 24 x 20 pixels." in text
    assert "002_01_nuc01.dat, line 2: 'x,y' is not a point." in text


def test_contours_to_mask_draws_the_nucleus_over_the_cytoplasm(tmp_path: Path) -> None:
    square = np.array([[1.0, 1.0], [8.0, 1.0], [8.0, 8.0], [1.0, 8.0]])
    mask = contours_to_mask((10, 12), square, square[:, ::-1] * 0.5 + 1)
    assert mask.shape == (10, 12) and mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 1, 2}
    assert contours_to_mask((10, 12), None, None).max() == 0
    (tmp_path / "c.dat").write_text("1.5, 2.5\n3 4\n5,6\n")
    assert read_contour(tmp_path / "c.dat").tolist() == [[1.5, 2.5], [3, 4], [5, 6]]
    (tmp_path / "short.dat").write_text("1,2\n")
    with pytest.raises(InputError, match=r"short.dat holds 1 points"):
        read_contour(tmp_path / "short.dat")


def herlev_tree(root: Path) -> Path:
    folder = root / "smear2005" / "New database pictures"
    for label in ("normal_superficiel", "carcinoma_in_situ"):
        for name in ("153-111-001", "153-222-001"):
            draw(folder / label / f"{name}.BMP")
            drawing = np.zeros((20, 24, 3), dtype=np.uint8)
            drawing[:] = (250, 4, 3)  # red as JPEG leaves it
            drawing[4:16, 4:20] = (0, 0, 128)
            drawing[8:12, 8:12] = (0, 0, 255)
            drawing[0, 0] = (128, 128, 128)
            Image.fromarray(drawing).save(folder / label / f"{name}-d.bmp")
    return root


def test_herlev_decodes_the_coloured_drawings(tmp_path: Path) -> None:
    report = import_dataset("herlev", herlev_tree(tmp_path / "src"), tmp_path / "out")
    assert report.images == 4 and report.masks == 4 and report.groups[0] == 1
    manifest = read_manifest(tmp_path / "out" / "manifest.csv")
    assert manifest.rows[0].mask is not None
    values = np.asarray(Image.open(manifest.rows[0].mask))
    assert [values[0, 0], values[1, 1], values[5, 5], values[9, 9]] == [3, 0, 1, 2]
    binary = CATALOG.get("herlev").read(tmp_path / "src", "binary")
    assert binary.counts() == {"normal": 2, "abnormal": 2}


def test_herlev_manifest_form_refuses_other_labels(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "manifest.csv").write_text("image,label\na.png,cat\n")
    with pytest.raises(InputError, match="labels that Herlev does not have") as caught:
        CATALOG.get("herlev").read(tmp_path)
    assert "cat" in str(caught.value)


def test_mendeley_keeps_the_source_of_augmented_copies(tmp_path: Path) -> None:
    source = tmp_path / "src"
    draw(source / "High squamous intra-epithelial lesion" / "HSIL_1 (1).jpg")
    draw(source / "High squamous intra-epithelial lesion" / "HSIL_1 (1)_0_4446.jpg", 3)
    draw(source / "Negative for Intraepithelial malignancy" / "NL_3_ (2).jpg", 9)
    report = import_dataset("mendeley_lbc", source, tmp_path / "out")
    rows = read_manifest(tmp_path / "out").rows
    original, copy, negative = rows
    assert copy.parent == original.id and original.parent is None
    assert negative.label == "NILM" and negative.extra["series"] == "NL_3"
    assert report.groups == (0, None) and "groups: none" in report.text()


def breakhis_tree(root: Path) -> Path:
    for kind, subtype, name in (
        ("malignant", "ductal_carcinoma", "SOB_M_DC-14-13412-40-001"),
        ("malignant", "lobular_carcinoma", "SOB_M_LC-14-13412-100-002"),
        ("benign", "adenosis", "SOB_B_A-14-22549AB-400-007"),
        ("benign", "adenosis", "SOB_B_A-14-22549G-400-008"),
    ):
        base = root / "histology_slides" / "breast" / kind / "SOB" / subtype
        draw(base / name.rsplit("-", 2)[0] / f"{name.split('-')[3]}X" / f"{name}.png")
    return root


def test_breakhis_groups_by_patient_across_subtypes(tmp_path: Path) -> None:
    dataset = CATALOG.get("breakhis")
    manifest = dataset.read(breakhis_tree(tmp_path))
    assert manifest.counts() == {"benign": 2, "malignant": 2}
    groups = {row.extra["subtype"]: row.group for row in manifest.rows}
    assert groups["ductal_carcinoma"] == groups["lobular_carcinoma"] == "13412"
    assert {row.extra["slide"] for row in manifest.rows if row.group == "22549"} == {
        "14-22549AB",
        "14-22549G",
    }
    assert {row.magnification for row in manifest.rows} == {"40", "100", "400"}
    assert dataset.read(tmp_path, "subtype").counts()["adenosis"] == 2


def test_breakhis_says_which_magnification_is_incomplete_and_what_it_left_out(
    tmp_path: Path,
) -> None:
    source = breakhis_tree(tmp_path / "src")
    draw(source / "histology_slides" / "preview.png")
    report = import_dataset("breakhis", source, tmp_path / "out")
    text = report.text()
    assert "magnification 40: 1 of 1,995 images" in text
    assert "1 images left out" in text and "preview.png: not named" in text
    content = json.loads(json.dumps(report.to_dict()))
    assert content["complete"] is False and content["images"] == 4
    assert content["classes"]["benign"] == {"found": 2, "published": 2480}


def test_taleghani_tells_its_release_and_its_segmented_twins_apart(tmp_path: Path) -> None:
    dataset = CATALOG.get("taleghani_all")
    for kind in ("Original", "Segmented"):
        for folder in ("Benign", "Early", "Pre", "Pro"):
            draw(tmp_path / "a" / kind / folder / "WBC-1.jpg")
    for folder in ("Benign", "[Malignant] early Pre-B", "[Malignant] Pre-B", "[Malignant] Pro-B"):
        draw(tmp_path / "b" / folder / "Sap_013 (1).jpg")
    each = dict.fromkeys(("benign", "early_pre_b", "pre_b", "pro_b"), 1)
    for variant, inside in ((None, "Original"), ("segmented", "Segmented")):
        manifest = dataset.read(tmp_path / "a", variant)
        assert manifest.counts() == each and not manifest.has_groups
        assert all(row.id.startswith(inside) for row in manifest.rows)
    report = import_dataset("taleghani_all", tmp_path / "b", tmp_path / "out")
    assert report.variant == "3242" and report.counts["benign"] == (1, 512)
    assert dataset.read(tmp_path / "b").counts() == each


def test_all_idb_and_cnmc_read_classes_and_subjects_from_names(tmp_path: Path) -> None:
    draw(tmp_path / "idb" / "im" / "Im001_1.jpg")
    draw(tmp_path / "idb" / "im" / "Im002_0.jpg")
    for name in ("all_idb1", "all_idb2"):
        assert CATALOG.get(name).read(tmp_path / "idb").counts() == {"healthy": 1, "blast": 1}
    draw(tmp_path / "cnmc" / "fold_0" / "all" / "UID_11_10_1_all.bmp")
    draw(tmp_path / "cnmc" / "fold_1" / "hem" / "UID_H11_10_1_hem.bmp")
    draw(tmp_path / "cnmc" / "testing" / "1277.bmp")
    report = import_dataset("cnmc2019", tmp_path / "cnmc", tmp_path / "out")
    rows = read_manifest(tmp_path / "out").rows
    assert [(row.label, row.group, row.extra["fold"]) for row in rows] == [
        ("all", "11", "fold_0"),
        ("hem", "H11", "fold_1"),
    ]
    assert report.left_out == (
        "testing/1277.bmp: not named UID_<subject>_<image>_<cell>_<all|hem>",
    )


def test_generic_takes_class_folders_and_keeps_their_names(tmp_path: Path) -> None:
    for label in ("b", "a"):
        draw(tmp_path / "src" / label / "1.png")
    report = import_dataset("generic", tmp_path / "src", tmp_path / "out")
    assert report.counts == {"a": (1, None), "b": (1, None)} and not report.differences
    assert "Complete" not in report.text()


# --- importing ---


def test_an_import_does_not_replace_another_unless_told(tmp_path: Path) -> None:
    source = sipakmed_tree(tmp_path / "src", doubled=True)
    import_dataset("sipakmed", source, tmp_path / "out")
    with pytest.raises(InputError, match=r"manifest\.csv exists already") as caught:
        import_dataset("sipakmed", source, tmp_path / "out")
    assert "--overwrite" in str(caught.value)
    report = import_dataset("sipakmed", source, tmp_path / "out", overwrite=True)
    assert report.masks == 6


def test_an_import_cut_off_leaves_no_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sipakmed_tree(tmp_path / "src", doubled=True)

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cytolens.data.catalog.importing.cv2.imencode", cut)
    with pytest.raises(KeyboardInterrupt):
        import_dataset("sipakmed", source, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_unknown_names_get_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'sipakmed'"):
        import_dataset("sipakmet", tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match=r"has no variant 'binry'.*did you mean 'binary'"):
        CATALOG.get("breakhis").read(tmp_path, "binry")
    with pytest.raises(InputError, match="There is nothing at"):
        CATALOG.get("breakhis").read(tmp_path / "absent")


def test_a_complete_set_is_called_complete(tmp_path: Path) -> None:
    for number in range(108):
        draw(tmp_path / "im" / f"Im{number:03}_{int(number >= 59)}.jpg", number, (8, 8))
    report = import_dataset("all_idb1", tmp_path, tmp_path / "out")
    assert report.differences == ()
    assert "Complete: every class has its published count." in report.text()


# --- real images, where they are ---


@needs_real_data
@pytest.mark.parametrize(
    ("name", "images", "groups"),
    [
        ("herlev", 917, 323),
        ("mendeley_lbc", 48, 0),
        ("breakhis", 52, 29),
        ("taleghani_all", 600, 0),
    ],
)
def test_real_trees(name: str, images: int, groups: int, tmp_path: Path) -> None:
    report = import_dataset(name, REAL / name, tmp_path / "out")
    assert report.images == images and report.groups[0] == groups
    assert not report.left_out and not report.mask_problems
    manifest = read_manifest(tmp_path / "out")
    assert len(manifest) == images
    assert bool(report.differences) == (name != "herlev")
