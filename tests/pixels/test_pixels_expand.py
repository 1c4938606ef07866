"""Offline expansion: counts, parents, resuming."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from cytolens.core.errors import InputError
from cytolens.core.seeding import rng
from cytolens.pixels import AugmentConfig, Expanded, Source, augment, expand

CONFIG = AugmentConfig(rotation=45, zoom=0.2, horizontal_flip=True)
SOURCES = [Source(f"{label}/{i}.png", Path(label) / f"{i}.png", label)
           for label, n in (("NILM", 5), ("SCC", 3)) for i in range(n)]  # fmt: skip


def read(path: Path) -> npt.NDArray[np.uint8]:
    """An image that depends on its path alone."""
    return rng(0, str(path)).integers(0, 256, (12, 10, 3), dtype=np.uint8)


def png(path: Path) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), np.uint8)


def contents(copies: list[Expanded]) -> dict[str, bytes]:
    return {f"{c.label}/{c.path.name}": c.path.read_bytes() for c in copies}


def test_targets_and_equal_parents(tmp_path: Path) -> None:
    copies = expand(SOURCES, {"SCC": 10, "NILM": 7}, CONFIG, 1, tmp_path / "out", read)
    assert Counter(c.label for c in copies) == {"NILM": 2, "SCC": 7}
    assert sorted(Counter(c.parent for c in copies if c.label == "SCC").values()) == [2, 2, 3]
    assert all(c.parent.startswith(c.label) and c.path.exists() for c in copies)
    assert len({c.path for c in copies}) == len(copies)


def test_a_factor_counts_the_originals(tmp_path: Path) -> None:
    copies = expand(SOURCES, 7, CONFIG, 1, tmp_path / "out", read)
    assert len(copies) + len(SOURCES) == 7 * len(SOURCES)
    assert set(Counter(c.parent for c in copies).values()) == {6}


def test_a_class_left_out_and_a_target_reached_stay(tmp_path: Path) -> None:
    assert expand(SOURCES, {"SCC": 3}, CONFIG, 1, tmp_path / "out", read) == []


def test_pixels_are_the_parents_view(tmp_path: Path) -> None:
    for copy in expand(SOURCES, 3, CONFIG, 4, tmp_path / "out", read):
        k = int(copy.path.stem.split("~")[1])
        expected = augment(read(Path(copy.parent)), CONFIG, rng(4, "expand", copy.parent, k))
        assert np.array_equal(png(copy.path), expected)
        assert copy.path.stem.split("~")[0] == Path(copy.parent).stem


def test_the_same_again_and_more_of_it(tmp_path: Path) -> None:
    small = contents(expand(SOURCES, {"SCC": 7}, CONFIG, 1, tmp_path / "a", read))
    again = contents(expand(SOURCES, {"SCC": 7}, CONFIG, 1, tmp_path / "b", read))
    large = contents(expand(SOURCES, {"SCC": 20}, CONFIG, 1, tmp_path / "c", read))
    assert small == again and small.items() <= large.items()
    other = contents(expand(SOURCES, {"SCC": 20}, CONFIG, 2, tmp_path / "d", read))
    assert other != large


def test_a_cut_off_expansion_goes_on(tmp_path: Path) -> None:
    whole = contents(expand(SOURCES, 4, CONFIG, 1, tmp_path / "whole", read))
    reads: list[Path] = []

    def failing(path: Path) -> npt.NDArray[np.uint8]:
        reads.append(path)
        if len(reads) == 4:
            raise KeyboardInterrupt
        return read(path)

    def counting(path: Path) -> npt.NDArray[np.uint8]:
        reads.append(path)
        return read(path)

    def note(finished: int, total: int) -> None:
        seen.append((finished, total))

    with pytest.raises(KeyboardInterrupt):
        expand(SOURCES, 4, CONFIG, 1, tmp_path / "cut", failing)
    written = Counter(
        f"{p.parent.name}/{p.stem.split('~')[0]}.png" for p in (tmp_path / "cut").rglob("*.png")
    )
    assert len(written) < len(SOURCES)  # others went on, but not all of them
    reads.clear()
    seen: list[tuple[int, int]] = []
    resumed = expand(SOURCES, 4, CONFIG, 1, tmp_path / "cut", counting, note)
    assert contents(resumed) == whole
    finished = {parent for parent, copies in written.items() if copies == 3}
    # What is finished is not read again, and nothing is read twice.
    assert {path.as_posix() for path in reads} == {s.id for s in SOURCES} - finished
    assert len(reads) == len(set(reads))
    assert seen[-1] == (24, 24) and len(seen) == 24
    assert not list((tmp_path / "cut").rglob("*.tmp"))


def test_equal_stems_and_odd_class_names(tmp_path: Path) -> None:
    sources = [
        Source("a/1.png", Path("a/1.png"), "HSIL/SCC"),
        Source("b/1.png", Path("b/1.png"), "HSIL/SCC"),
        Source("c/1.png", Path("c/1.png"), ".."),
    ]
    copies = expand(sources, 2, CONFIG, 1, tmp_path / "out", read)
    assert len({c.path for c in copies}) == 3
    folders = {c.path.parent for c in copies}
    assert folders == {tmp_path / "out" / "HSIL%2FSCC", tmp_path / "out" / "%2E."}


def test_unreachable_targets(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        expand(SOURCES, {"SCC": 2, "NILN": 9}, CONFIG, 1, tmp_path / "out", read)
    assert str(caught.value) == (
        "The expansion cannot reach its targets.\n"
        "  - NILN: no image of this class (did you mean 'NILM'?)\n"
        "  - SCC: 3 present, 2 asked\n"
        "Expected: for each class the final number of images, the originals counted"
    )
    with pytest.raises(InputError, match=r"factor must be at least 1, got 0\."):
        expand(SOURCES, 0, CONFIG, 1, tmp_path / "out", read)
    assert not (tmp_path / "out").exists()


def test_exact_copies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        expand(SOURCES, 2, AugmentConfig(), 1, tmp_path / "out", read)
    assert str(caught.value) == (
        "The expansion would write exact copies: the augmentation changes nothing.\n"
        "Way out: set at least one of rotation, horizontal_flip, … above zero."
    )


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    expand(SOURCES, 2, CONFIG, 1, tmp_path / "out", read)
    with pytest.raises(InputError) as caught:
        expand(SOURCES, 2, CONFIG, 2, tmp_path / "out", read)
    assert str(caught.value) == (
        f"{tmp_path / 'out'} holds an expansion made with another seed or other settings.\n"
        "Way out: choose another folder, or remove this one."
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(InputError) as caught:
        expand(SOURCES, 2, CONFIG, 1, tmp_path / "mine", read)
    assert str(caught.value) == (
        f"{tmp_path / 'mine'} is not empty, and not an expansion that was cut off.\n"
        "Way out: choose a folder of its own for the expanded images."
    )


def test_a_file_in_the_way_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as caught:
        expand(SOURCES, 2, CONFIG, 1, tmp_path / "file", read)
    assert str(caught.value) == (
        f"Cannot write the expanded images at {tmp_path / 'file'}: a part of the path is a file.\n"
        "Way out: choose another path."
    )
