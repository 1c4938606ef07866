"""Manifests: every form of table a user has, and every defect as one exact message."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cytolens.core.errors import InputError
from cytolens.data.loading import read_manifest
from cytolens.data.manifest import Manifest, Row

Table = Callable[..., Path]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Write a CSV beside the (empty) image files it names."""

    def write(
        text: str, images: Sequence[str] = (), name: str = "set.csv", encoding: str = "utf-8"
    ) -> Path:
        for image in images:
            (tmp_path / image).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / image).write_bytes(b"")
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


def _message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_manifest(path)
    return str(caught.value)


AB = ("a.png", "b.png")


@pytest.mark.parametrize("sign", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_byte_order_marks_and_line_ends(
    table: Table, sign: str, encoding: str, end: str
) -> None:
    lines = ["Image, LABEL ,group", " a.png,benign,p1", "", "b.png, malignant ,p2", ""]
    path = table(end.join(lines).replace(",", sign), AB, encoding=encoding)
    found = read_manifest(path)
    assert [(r.id, r.label, r.group) for r in found.rows] == [
        ("a.png", "benign", "p1"),
        ("b.png", "malignant", "p2"),
    ]
    assert found.name == "set"
    assert found.classes == ("benign", "malignant")


def test_paths_with_spaces_backslashes_and_quotes(table: Table) -> None:
    files = ("my images/a b.png", "sub/deep/c.png", "x,y.png")
    path = table(
        "image,label,parent\nmy images/a b.png,k,\n"
        'sub\\deep\\c.png,k,my images\\a b.png\n"x,y.png",l,\n',
        files,
    )
    found = read_manifest(path)
    assert found.ids == files
    assert [r.image for r in found.rows] == [path.parent / f for f in files]
    assert found.rows[1].parent == files[0]  # a parent is an id, so written as ids are


@pytest.mark.parametrize(("written", "stored"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_either_unicode_form_is_found(table: Table, written: str, stored: str) -> None:
    name = unicodedata.normalize(written, "Präparat é.png")
    file = unicodedata.normalize(stored, name)
    path = table(f"image,label,mask\n{name},k,{name}\n", [file])
    row = read_manifest(path).rows[0]
    assert row.id == name
    assert row.image == path.parent / file == row.mask


def test_absolute_paths(table: Table, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    file = tmp_path / "else" / "z.png"
    file.write_bytes(b"")
    assert read_manifest(table(f"image,label\n{file},k\n")).rows[0].image == file


def test_optional_columns_and_others_are_kept(table: Table) -> None:
    path = table(
        "image,label,group,dataset,mask,magnification,um_per_px,parent,stain,none\n"
        "a.png,k,p,D,m.png,40X,0.25,q.png,HE,NaN\n",
        ["a.png", "m.png"],
    )
    row = read_manifest(path).rows[0]
    assert row == Row(
        "a.png",
        path.parent / "a.png",
        "k",
        "p",
        "D",
        path.parent / "m.png",
        "40X",
        0.25,
        "q.png",
        {"stain": "HE"},
    )
    assert row.attribute("stain") == "HE"
    assert row.attribute("um_per_px") == "0.25"
    assert row.attribute("nothing") is None


def test_an_empty_optional_cell_is_none(table: Table) -> None:
    row = read_manifest(table("image,label,group,mask\na.png,k,,N/A\n", ["a.png"])).rows[0]
    assert row.group is None
    assert row.mask is None


def test_missing_columns(table: Table) -> None:
    path = table("file,label\na.png,k\n", AB)
    assert _message(path) == (
        f"{path} lacks the column image.\n  - found: file, label\n"
        "Expected: image and label; optional: "
        "group, dataset, mask, magnification, um_per_px, parent"
    )
    assert _message(table("x,y\n1,2\n")).startswith(f"{path} lacks the columns image and label.")


def test_a_column_twice(table: Table) -> None:
    path = table("image,label,Label\na.png,k,k\n", AB)
    assert _message(path) == f"{path} names the column label twice."


@pytest.mark.parametrize("text", ["", "image,label\n", "\n\n image,label\n\n"])
def test_no_rows(table: Table, text: str) -> None:
    path = table(text)
    assert _message(path) == f"{path} holds no rows.\nExpected: a header line and a line an image"


def test_empty_and_nan_cells_show_the_first_ten(table: Table) -> None:
    rows = "".join(f"{i}.png,{'' if i % 2 else 'NaN'}\n" for i in range(12))
    shown = "".join(
        f"  - row {i + 2}: image='{i}.png', label='{'' if i % 2 else 'NaN'}'\n" for i in range(10)
    )
    assert _message(table("image,label\n" + rows + ",k\n")) == (
        "13 rows of set.csv have no image or no label (empty or NaN).\n"
        + shown
        + "  … 13 in all, the first 10 shown\n"
        "Expected: a path and a class name in each row\n"
        "Way out: fill them in or delete these rows."
    )


def test_ragged_lines_are_named_by_their_number_in_the_file(table: Table) -> None:
    path = table("image,label\n\na.png,k\n\nb.png,k,z\nc.png\n", AB)
    assert _message(path) == (
        "2 lines of set.csv have another number of cells than the header.\n"
        "  - line 5\n  - line 6\nExpected: 2 cells\n"
        "Way out: put quotes around a cell that holds the separator."
    )


def test_a_quote_that_is_never_closed(table: Table) -> None:
    rows = "".join(f"{i:06}.png,k\n" for i in range(12000))
    message = _message(table('image,label\n"' + rows))
    assert "set.csv is not a CSV file: field larger than field limit" in message
    assert message.endswith("Way out: look for a quote that is never closed.")


def test_another_encoding(table: Table) -> None:
    path = table("image,label\né.png,k\n", encoding="latin-1")
    assert _message(path) == (
        f"{path} is not UTF-8: invalid continuation byte at byte 12.\n"
        "Expected: a CSV file in UTF-8 (with or without a byte-order mark)\n"
        "Way out: save it again as 'CSV UTF-8'."
    )


def test_missing_files_show_the_first_ten(table: Table, tmp_path: Path) -> None:
    path = table("image,label\n" + "".join(f"{i}.png,k\n" for i in range(13)), ["3.png"])
    names = [f"{i}.png" for i in range(13) if i != 3]
    assert _message(path) == (
        "12 of 13 images of set.csv do not exist.\n"
        + "".join(f"  - {name}\n" for name in names[:10])
        + "  … 12 in all, the first 10 shown\n"
        f"Expected: files, with paths relative to {tmp_path}\n"
        "Way out: correct the paths, or put the images there."
    )


def test_a_folder_is_not_an_image(table: Table, tmp_path: Path) -> None:
    (tmp_path / "d.png").mkdir()
    assert "1 of 1 images of set.csv do not exist" in _message(table("image,label\nd.png,k\n"))


def test_missing_masks(table: Table) -> None:
    path = table("image,label,mask\na.png,k,a.png\nb.png,k,m.png\n", AB)
    assert _message(path) == "1 masks of set.csv do not exist.\n  - b.png"


def test_one_image_in_two_rows_under_two_names(table: Table, tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    path = table("image,label\na.png,k\n./a.png,l\nb.png,l\nlink.png,k\n", AB)
    assert _message(path) == (
        "1 images of set.csv stand in more than one row.\n"
        "  - a.png: 3 rows, label k / l\n"
        "Expected: one row an image\nWay out: delete the duplicate rows."
    )


def test_partial_groups(table: Table) -> None:
    path = table("image,label,group\na.png,k,p\nb.png,k,nan\n", AB)
    assert _message(path) == (
        "1 of 2 rows of set.csv have no group (empty or NaN).\n  - b.png\n"
        "Expected: a group in each row, or in none\n"
        "Way out: name the patient or slide of these rows, or remove the column."
    )


@pytest.mark.parametrize("scale", ["0", "-1", "inf", "a lot", "0,25"])
def test_um_per_px_must_be_a_size(table: Table, scale: str) -> None:
    path = table(f'image;label;um_per_px\na.png;k;"{scale}"\nb.png;k;0.5\n', AB)
    assert _message(path) == (
        "1 rows of set.csv have no usable um_per_px.\n"
        f"  - row 2: um_per_px={scale!r}\n"
        "Expected: micrometres a pixel as a number above 0, or an empty cell"
    )


def test_a_rare_label_that_is_nearly_a_frequent_one(table: Table) -> None:
    names = [f"{i}.png" for i in range(12)]
    labels = ["NILM"] * 10 + ["NLIM", "nilm"]
    lines = [f"{n},{label}" for n, label in zip(names, labels, strict=True)]
    message = _message(table("image,label\n" + "\n".join(lines), names))
    assert message == (
        "2 labels look like a typing error.\n"
        "  - 'NLIM' (1: 10.png) looks like 'NILM'\n"
        "  - 'nilm' (1: 11.png) looks like 'NILM'\n"
        "Expected: each class spelled one way\n"
        "Way out: correct the label; if it is a class of its own, give it more than 3 images "
        "or another name."
    )


@pytest.mark.parametrize(
    "labels",
    [
        ["grade 1"] * 20 + ["grade 2"] * 2,  # told apart by a digit
        ["LSIL"] * 20 + ["HSIL"] * 5,  # too frequent to be a typing error
        ["benign"] * 20 + ["malignant"] * 2,  # not alike
        ["LSIL"] * 3 + ["HSIL"],  # too few to say
    ],
)
def test_classes_that_are_no_typing_errors(table: Table, labels: list[str]) -> None:
    names = [f"{i}.png" for i in range(len(labels))]
    lines = [f"{n},{label}" for n, label in zip(names, labels, strict=True)]
    found = read_manifest(table("image,label\n" + "\n".join(lines), names))
    assert set(found.classes) == set(labels)


def test_no_manifest(tmp_path: Path) -> None:
    assert _message(tmp_path / "no.csv") == (
        f"There is no manifest at {tmp_path / 'no.csv'}.\n"
        "Expected: a CSV or Parquet file, or a folder of class folders"
    )


def test_class_folders(table: Table, tmp_path: Path) -> None:
    table(
        "",
        ["A/1.PNG", "A/deep/2.jpg", "B b/3.tif", "B b/notes.txt", ".hid/4.png", "A/.5.png", "C/x"],
        name="readme.txt",
    )
    found = read_manifest(tmp_path)
    assert [(r.id, r.label) for r in found.rows] == [
        ("A/1.PNG", "A"),
        ("A/deep/2.jpg", "A"),
        ("B b/3.tif", "B b"),
    ]
    assert found.name == tmp_path.name
    assert not found.has_groups


def test_one_class_folder_is_not_enough(table: Table, tmp_path: Path) -> None:
    table("", ["A/1.png", "A/2.png", "B/x.txt"], name="readme.txt")
    assert _message(tmp_path) == (
        f"{tmp_path} is not a folder of class folders: 2 images in 1 class folders.\n"
        "Expected: at least two sub-folders named after the classes, with images in them, "
        "or a manifest.csv"
    )


def test_a_folder_with_a_manifest_takes_it(table: Table, tmp_path: Path) -> None:
    table("image,label\nA/1.png,z\n", ["A/1.png", "B/2.png"], name="manifest.csv")
    found = read_manifest(tmp_path)
    assert [(r.id, r.label) for r in found.rows] == [("A/1.png", "z")]
    assert found.name == tmp_path.name


def test_parquet_with_nan_and_numbers(table: Table, tmp_path: Path) -> None:
    table("", AB)
    path = tmp_path / "set.parquet"
    columns = {
        " Image": ["a.png", "b.png"],
        "label": [1.0, 0.0],
        "group": [7, 8],
        "magnification": [40.0, float("nan")],
        "um_per_px": [0.5, None],
        "stain": ["HE", None],
    }
    pq.write_table(pa.table(columns), path)
    first, second = read_manifest(path).rows
    assert (first.label, first.group, first.magnification) == ("1", "7", "40")
    assert (first.um_per_px, first.extra) == (0.5, {"stain": "HE"})
    assert (second.label, second.magnification, second.um_per_px) == ("0", None, None)
    assert second.extra == {}


def test_parquet_nan_label(table: Table, tmp_path: Path) -> None:
    table("", AB)
    path = tmp_path / "set.parquet"
    pq.write_table(pa.table({"image": ["a.png", "b.png"], "label": [1.0, float("nan")]}), path)
    assert _message(path).startswith(
        "1 rows of set.parquet have no image or no label (empty or NaN).\n"
        "  - row 3: image='b.png', label=nan\n"
    )


def test_not_parquet(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    path.write_bytes(b"image,label\n")
    assert _message(path).startswith(f"{path} is not a Parquet file: ")


def test_written_manifests_read_back_from_another_folder(table: Table, tmp_path: Path) -> None:
    path = table(
        "image,label,group,dataset,mask,magnification,um_per_px,parent,stain,site\n"
        'in/a b.png,"k, l",p,D,in/m.png,40X,0.25,,HE,\n'
        "in/ü.png,z,q,E,,,,in/a b.png,,Bern\n",
        ["in/a b.png", "in/ü.png", "in/m.png"],
    )
    first = read_manifest(path)
    first.write(tmp_path / "runs" / "1" / "manifest.csv")
    second = read_manifest(tmp_path / "runs" / "1")
    assert second.ids == ("../../in/a b.png", "../../in/ü.png")
    for before, after in zip(first.rows, second.rows, strict=True):
        assert after.image.resolve() == before.image.resolve()
        for name in ("label", "group", "dataset", "magnification", "um_per_px", "extra"):
            assert getattr(after, name) == getattr(before, name), name
    assert second.rows[0].mask is not None
    assert second.rows[0].mask.resolve() == tmp_path / "in" / "m.png"
    assert second.rows[1].parent == second.ids[0]  # still names its parent's row
    again = tmp_path / "runs" / "1" / "again.csv"
    second.write(again)
    assert again.read_bytes() == (tmp_path / "runs" / "1" / "manifest.csv").read_bytes()


def test_derived_arrays_follow_the_rows() -> None:
    rows = [Row(f"{i}", Path(f"{i}"), label) for i, label in enumerate("bcab")]
    found = Manifest(tuple(rows), "n")
    assert found.classes == ("a", "b", "c")
    assert found.labels.tolist() == [1, 2, 0, 1]
    assert found.counts() == {"a": 1, "b": 2, "c": 1}
    assert found.index["2"] == 2
    part = found.select(np.array([3, 0]))
    assert part.ids == ("3", "0")
    assert part.classes == ("a", "b", "c")  # also those that no row has any more
    assert part.labels.tolist() == [1, 1]
    assert found.with_rows(rows[:1]).classes == ("a", "b", "c")


def test_relabelling() -> None:
    found = Manifest(tuple(Row(x, Path(x), x) for x in "abcd"), "n")
    with pytest.raises(InputError) as caught:
        found.relabelled({"a": "x", "c": ""})
    assert str(caught.value) == (
        "The label mapping has no entry for some labels.\n  - b\n  - d\n"
        "Expected: an entry for each label ('' leaves its images out)\n"
        "Way out: add them under [data.label_map]."
    )
    new = found.relabelled({"a": "x", "b": "x", "c": "", "d": "y"}, ["y", "x"])
    assert [(r.id, r.label) for r in new.rows] == [("a", "x"), ("b", "x"), ("d", "y")]
    assert new.classes == ("y", "x")
