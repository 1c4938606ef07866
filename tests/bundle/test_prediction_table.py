"""Predictions of many items: in order, in bounded batches, kept through a kill, three formats."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from fake_predictor import FakePredictor

from cytolens.bundle.inputs import Item, broken
from cytolens.bundle.journal import open_journal
from cytolens.bundle.stream import Row, predict_items, predict_sources, unfinished
from cytolens.bundle.table import Finished, Layout, csv_text, table_bytes, whole_records
from cytolens.core.errors import InputError

LAYOUT = Layout(("blue", "red"), ("set", "decision", "reasons", "strangeness"))
MADE_BY = {"bundle": "0123", "classes": ["blue", "red"]}


def item(name: str, red: int = 200, side: int = 10, stamp: str = "1") -> Item:
    image = np.zeros((side, side, 3), np.uint8)
    image[..., 0] = red
    return Item(name, lambda: image, Path(name), stamp)


def items(count: int, **options: Any) -> list[Item]:
    return [item(f"{i}.png", red=i, **options) for i in range(count)]


def rows(*some: Item) -> list[Row]:
    return [done.row for done in predict_items(FakePredictor(), some)]


# Batches


def test_items_come_in_order_and_a_bad_one_does_not_stop_the_rest() -> None:
    predictor = FakePredictor()
    some = items(70)
    some[3] = broken(Path("3.png"), "is empty (0 bytes)")
    found = list(predict_items(predictor, some, jobs=3))
    assert [done.item.name for done in found] == [done.row["image"] for done in found]
    assert [done.item for done in found] == some and predictor.batches == [31, 32, 6]
    assert found[3].row == {
        "image": "3.png", "label": None, "probabilities": {}, "set": [], "level": None,
        "decision": None, "reasons": [], "strangeness": None, "examples": [],
        "problem": "is empty (0 bytes)",
    }  # fmt: skip
    for i, done in enumerate(found):
        if i != 3:
            assert done.row["probabilities"]["red"] == pytest.approx(0.5 + i / 255)
    assert list(predict_items(predictor, [])) == []


def test_no_more_images_are_held_than_threads_read() -> None:
    """What is kept of each is what `look` makes of it."""
    held, most, lock = [0], [0], Lock()

    class Image(np.ndarray):  # type: ignore[type-arg]
        def __del__(self) -> None:
            with lock:
                held[0] -= 1

    def read() -> Any:
        with lock:
            held[0] += 1
            most[0] = max(most[0], held[0])
        return Image((10, 10, 3), np.uint8)

    class Small(FakePredictor):
        def look(self, image: Any) -> Any:  # noqa: ARG002
            return np.full((2, 2, 3), 7, np.uint8)

    predictor = Small()
    found = predict_items(predictor, [Item(f"{i}", read) for i in range(100)], jobs=3)
    assert len(list(found)) == 100 and predictor.batches == [32, 32, 32, 4]
    assert 1 <= most[0] <= 3 and held[0] == 0


def test_reading_is_a_few_batches_ahead_and_stops_with_the_reader() -> None:
    asked, taken = Counter[str](), 0

    def source(number: int) -> Any:
        nonlocal taken
        taken += 1

        def read() -> Any:
            asked["read"] += 1
            return np.zeros((10, 10, 3), np.uint8)

        return str(number), read

    found = predict_sources(FakePredictor(), map(source, range(1000)))
    assert next(found).image == "0"
    assert 32 <= taken <= 97
    found.close()  # type: ignore[attr-defined]
    assert asked["read"] <= taken <= 97
    nothing = [("x", broken(Path("x"), "is bad").read)] * 70
    predictor = FakePredictor()
    assert [p.problem for p in predict_sources(predictor, nothing)] == ["is bad"] * 70
    assert predictor.batches == []


def test_batches_without_a_usable_image_keep_their_place() -> None:
    some = items(32 * 4 + 5)
    for i in (*range(32), *range(64, 96), 131):
        some[i] = broken(Path(f"{i}.png"), "is bad")
    predictor = FakePredictor()
    found = list(predict_items(predictor, some))
    assert [done.row["image"] for done in found] == [f"{i}.png" for i in range(133)]
    assert predictor.batches == [32, 32, 4]
    assert [bool(done.row["problem"]) for done in found] == [
        i < 32 or 64 <= i < 96 or i == 131 for i in range(133)
    ]


def test_another_error_ends_it() -> None:
    def read() -> Any:
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        list(predict_sources(FakePredictor(), [("a", read)]))


def test_what_was_cut_off_is_predicted_in_the_same_batches() -> None:
    some = items(100)
    have = {one.name for one in some[:40]}
    todo = unfinished(some, lambda one: one.name in have)
    assert todo == some[32:]
    whole, rest = FakePredictor(), FakePredictor()
    list(predict_items(whole, some))
    list(predict_items(rest, todo))
    assert whole.batches[1:] == rest.batches == [32, 32, 4]
    assert unfinished(some, bool) == []


# The journal


def test_a_journal_keeps_whole_lines_of_the_same_bundle(tmp_path: Path) -> None:
    table, some = tmp_path / "p.csv", items(5)
    path = tmp_path / ".p.csv.partial"
    with pytest.raises(KeyboardInterrupt), open_journal(table, MADE_BY) as journal:
        journal.add(predict_items(FakePredictor(), some[:3]))
        raise KeyboardInterrupt
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])  # a kill within the third line
    changed = item("1.png", stamp="2")
    with open_journal(table, MADE_BY) as journal:
        assert [journal.row(i) is not None for i in (some[0], changed, *some[2:])] == [
            True, False, False, False, False,
        ]  # fmt: skip
        assert journal.row(some[0]) == rows(some[0])[0]
        journal.add(predict_items(FakePredictor(), some[2:3]))
        assert path.read_bytes() == whole
        with pytest.raises(InputError, match="Another process is predicting into"):
            open_journal(table, MADE_BY).__enter__()
    assert not path.exists()


def test_a_journal_of_another_bundle_is_refused(tmp_path: Path) -> None:
    table, path = tmp_path / "p.csv", tmp_path / ".p.csv.partial"
    with pytest.raises(KeyboardInterrupt), open_journal(table, MADE_BY):
        raise KeyboardInterrupt
    assert not path.exists(), "it held nothing"
    with pytest.raises(KeyboardInterrupt), open_journal(table, MADE_BY) as journal:
        journal.add(predict_items(FakePredictor(), items(1)))
        raise KeyboardInterrupt
    with (
        pytest.raises(InputError, match="holds what another bundle, or another version"),
        open_journal(table, MADE_BY | {"bundle": "4567"}),
    ):
        pass
    path.write_text('{"bundle": "4567"}\n')  # a kill before the first row: nothing is lost
    with pytest.raises(KeyboardInterrupt), open_journal(table, MADE_BY) as journal:
        journal.add(predict_items(FakePredictor(), items(1)))
        assert json.loads(path.read_text().splitlines()[0]) == MADE_BY
        raise KeyboardInterrupt
    path.write_text("{\n")
    with pytest.raises(InputError, match=r"partial is damaged\."), open_journal(table, MADE_BY):
        pass
    with (
        pytest.raises(InputError, match="Cannot write the predictions"),
        open_journal(path / "p.csv", MADE_BY),
    ):
        pass


# The table

ROWS = rows(item("a.png"), item('b, "c"\nd.png', red=1)) + rows(broken(Path("e.png"), "is bad"))


def test_csv() -> None:
    text = csv_text(ROWS, LAYOUT)
    first, second, third = csv.DictReader(io.StringIO(text))
    assert list(first) == [
        "image", "label", "p_blue", "p_red", "set", "decision", "reasons", "strangeness", "problem",
    ]  # fmt: skip
    assert first == {
        "image": "a.png", "label": "red", "p_blue": "0.000000", "p_red": "1.000000", "set": "red",
        "decision": "clear", "reasons": "", "strangeness": "1.000000", "problem": "",
    }  # fmt: skip
    assert second["image"] == 'b, "c"\nd.png' and second["set"] == "blue; red"
    assert (second["decision"], second["reasons"]) == ("refer", "The classes are as probable.")
    assert third["problem"] == "is bad" and third["label"] == third["p_red"] == ""
    assert csv_text(ROWS, Layout(("blue", "red"))).startswith("image,label,p_blue,p_red,problem\n")


def test_json_and_parquet() -> None:
    assert json.loads(table_bytes(ROWS, "json", LAYOUT)) == ROWS
    table = pyarrow.parquet.read_table(io.BytesIO(table_bytes(ROWS, "parquet", LAYOUT)))
    assert table.column_names == LAYOUT.columns
    assert table.to_pylist() == [LAYOUT.flat(row) for row in ROWS]


def test_every_cut_of_a_csv_is_repaired_to_whole_records() -> None:
    content = csv_text(ROWS, LAYOUT).encode()
    records = list(csv.reader(io.StringIO(content.decode())))
    for length in range(len(content) + 1):
        whole = whole_records(content[:length])
        assert content.startswith(whole)
        parsed = list(csv.reader(io.StringIO(whole.decode())))
        assert parsed == records[: len(parsed)]
        assert len(parsed) >= sum(
            len(csv_text(ROWS[:n], LAYOUT).encode()) <= length for n in range(4)
        )


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
def test_rows_are_added_below(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"p.{format}"
    assert Finished.open(path, format, LAYOUT, resume=False) is None
    path.write_bytes(table_bytes(ROWS[:2], format, LAYOUT))
    with pytest.raises(InputError) as caught:
        Finished.open(path, format, LAYOUT, resume=False)
    assert str(caught.value) == (
        f"{path} exists.\nWay out: `--resume` keeps its rows and adds to them; or remove it."
    )
    finished = Finished.open(path, format, LAYOUT, resume=True)
    assert finished is not None
    assert list(finished.rows) == [row["image"] for row in ROWS[:2]]
    assert finished.rows["a.png"]["p_red"] == 1.0
    assert finished.extended(ROWS[2:]) == table_bytes(ROWS, format, LAYOUT)


def test_a_half_written_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    whole = table_bytes(ROWS, "csv", LAYOUT)
    for cut in (whole[:-4], whole[: len(whole) // 2], whole[:10], b""):
        path.write_bytes(cut)
        finished = Finished(path, "csv", LAYOUT)
        missing = [row for row in ROWS if row["image"] not in finished.rows]
        assert missing and finished.extended(missing) == whole


@pytest.mark.parametrize(
    ("format", "content", "found"),
    [
        ("csv", b"image,label\na,b\n", "it has other columns"),
        ("csv", b"\xff\xfe\n", "it is no CSV"),
        ("json", b"[1]", "it is no JSON list of predictions"),
        ("json", b"{", "it is no JSON list of predictions"),
        ("parquet", b"PAR1", "it is no Parquet file"),
    ],
)
def test_what_cannot_be_added_to(tmp_path: Path, format: str, content: bytes, found: str) -> None:
    path = tmp_path / "p"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        Finished(path, format, LAYOUT)
    assert str(caught.value).startswith(f"{path} is not a table that can be added to: {found}")
    assert "choose another place, or remove it." in str(caught.value)
