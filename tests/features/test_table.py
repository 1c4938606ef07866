"""Feature tables: computed once, in order, views as promised; engines agree."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from cytolens.core.errors import InputError
from cytolens.data.reading import ImageProblem, read_image
from cytolens.features import table as table_module
from cytolens.features.engines import ENGINES, choose_engine
from cytolens.features.store import Store
from cytolens.features.table import FeatureSpec, FeatureTable, Source
from cytolens.pixels import TEST_VIEWS, AugmentConfig, PixelsConfig, preprocess, view

SIZE = (12, 16)
AUGMENT = AugmentConfig(rotation=40, horizontal_flip=True, brightness=0.2)
NETWORK = {"backbone": "n", "freeze": "all"}


class Lower(nn.Module):
    """Features that tell every image and view apart."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 4, 3, stride=2)

    def forward(self, pixels: Tensor) -> Tensor:
        out: Tensor = self.layer(pixels.permute(0, 3, 1, 2).float() / 255)
        return out


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    found = []
    for i in range(9):
        path = tmp_path / f"{i}.png"
        shape = (20 + i, 30, 3)
        image = np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(image).save(path)
        found.append(_source(path))
    return found


def _source(path: Path, name: str = "") -> Source:
    return Source(name or path.name, path, hashlib.sha256(path.read_bytes()).hexdigest())


def _spec(network: dict[str, Any] | None = NETWORK, **changes: Any) -> FeatureSpec:
    return replace(FeatureSpec(network, PixelsConfig(), AUGMENT, SIZE, "torch"), **changes)


Make = Callable[..., FeatureTable]


@pytest.fixture
def make(sources: list[Source]) -> Make:
    def build(spec: FeatureSpec | None = None, rows: list[Source] | None = None) -> FeatureTable:
        return FeatureTable(rows or sources, spec or _spec(), Lower, Store())

    return build


def _pixels(source: Source, v: int | str = 0, seed: int = 0) -> np.ndarray:
    base = preprocess(read_image(source.path), PixelsConfig(), SIZE)
    if isinstance(v, str):
        return TEST_VIEWS.get(v)(base)
    return view(base, AUGMENT, seed, source.id, v)


def _expected(sources: list[Source], v: int | str = 0, seed: int = 0) -> np.ndarray:
    batch = np.stack([_pixels(s, v, seed) for s in sources])
    with torch.inference_mode():
        return Lower()(torch.from_numpy(batch)).numpy()


def test_rows_in_the_order_asked(make: Make, sources: list[Source]) -> None:
    table = make()
    table.prepare([7, 2, 5, 0], [0, 1])
    for v in (0, 1):
        expected = _expected(sources, v)
        for rows in ([0, 2, 5, 7], [7, 0, 7], [5]):
            found = table.gather(np.array(rows), v)
            np.testing.assert_allclose(found, expected[rows], atol=1e-6)
    assert table.shape == (4, 5, 7)


def test_rows_that_were_not_prepared_are_our_own_mistake(make: Make) -> None:
    for network in (NETWORK, None):
        table = make(_spec(network))
        table.prepare([1, 2], [0])
        with pytest.raises(AssertionError, match="not prepared"):
            table.gather(np.array([1, 3]), 0)


def test_an_image_is_computed_once(
    make: Make, sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(table_module, "read_image", lambda p: (read.append(p), read_image(p))[1])
    table = make()
    assert table.missing({v: range(9) for v in (0, 1, 2)}) == 27
    table.prepare(range(9), [0, 1, 2, 1])
    assert (table.computed, table.reused) == (27, 0)
    assert sorted(read) == sorted(s.path for s in sources)  # once for all its views
    table.prepare(range(9), [2, 0])
    assert (table.computed, table.reused) == (27, 18)

    def fail() -> nn.Module:
        raise AssertionError("the network was built again")

    other = FeatureTable(sources, _spec(), fail, Store())
    assert other.missing({v: range(9) for v in (0, 1, 2)}) == 0
    other.prepare(range(9), [0, 1, 2])
    assert (other.computed, other.reused) == (0, 27)
    assert len(read) == 9
    assert np.array_equal(other.gather(np.arange(9), 2), table.gather(np.arange(9), 2))
    other = make()
    other.prepare([3, 4], [3])
    assert (other.computed, len(read)) == (2, 11)


def test_equal_files_share_a_row_but_not_their_views(
    make: Make, sources: list[Source], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(sources[0].path.read_bytes())
    table = make(rows=[sources[0], sources[1], _source(copy)])
    table.prepare(range(3), [0, "hflip"])
    assert table.computed == 4
    rows = np.arange(3)
    assert np.array_equal(table.gather(rows, 0)[0], table.gather(rows, 0)[2])
    assert np.array_equal(table.gather(rows, "hflip")[0], table.gather(rows, "hflip")[2])
    table.prepare(range(3), [1])
    assert table.computed == 7  # the id seeds the view
    assert not np.array_equal(table.gather(rows, 1)[0], table.gather(rows, 1)[2])


def test_what_makes_another_row(make: Make) -> None:
    make().prepare(range(9), [0, 1])
    same = {
        "seed": replace(_spec(), seed=1),
        "augment": _spec(augment=AugmentConfig(rotation=10)),
    }
    for spec in same.values():  # view 0 knows neither seed nor augmentation; view 1 does
        assert make(spec).missing({0: range(9)}) == 0
        assert make(spec).missing({1: range(9)}) == 9
    for spec in (
        _spec({**NETWORK, "freeze": 0.5}),
        _spec(pixels=PixelsConfig(fit="letterbox")),
        _spec(pixels=PixelsConfig(steps=({"name": "median", "size": 3},))),
        _spec(size=(16, 12)),
        _spec(precision="bf16"),
        _spec(engine="openvino"),
        _spec(None),
    ):
        assert make(spec).missing({0: range(9)}) == 9, spec
    assert _spec(None).space() == _spec(None, engine="openvino").space()  # pixels are pixels


def test_each_view_for_its_own_rows(make: Make, sources: list[Source]) -> None:
    table = make()
    table.prepare_views({0: [1, 2], 1: [2, 3]})
    assert table.computed == 4
    for v, rows in ((0, [2, 1]), (1, [3, 2])):
        expected = _expected(sources, v)[rows]
        np.testing.assert_allclose(table.gather(np.array(rows), v), expected, atol=1e-6)
    with pytest.raises(AssertionError, match="not prepared"):
        table.gather(np.array([1]), 1)


def test_views_are_the_seeded_ones(make: Make, sources: list[Source]) -> None:
    table = make(_spec(seed=5))
    table.prepare([1, 3], [1, 2, "rot180"])
    for v in (1, 2, "rot180"):
        expected = _expected(sources, v, 5)[[1, 3]]
        np.testing.assert_allclose(table.gather(np.array([1, 3]), v), expected, atol=1e-6)
    assert not np.allclose(table.gather(np.array([1]), 1), table.gather(np.array([1]), 2))


def test_pixel_tables_keep_the_image_and_draw_views_when_asked(
    make: Make, sources: list[Source]
) -> None:
    table = make(_spec(None, seed=3))
    assert table.stores_pixels
    table.prepare([8, 1, 4], [1, 2, 3, "hflip"])
    assert table.computed == 3  # the base images alone
    assert table.shape == (*SIZE, 3)
    for v in (0, 1, 3, "hflip"):
        found = table.gather(np.array([4, 8]), v)
        assert found.dtype == np.uint8
        expected = [_pixels(sources[i], v, 3) for i in (4, 8)]
        assert np.array_equal(found, np.stack(expected))


def test_more_rows_than_a_batch_and_a_segment(
    sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "BATCH", 4)
    monkeypatch.setattr(table_module, "SEGMENT_ROWS", 7)
    steps: list[int] = []
    table = FeatureTable(sources, _spec(), Lower, Store())
    table.prepare_views({0: range(9), 1: range(9)}, lambda: steps.append(1))
    assert len(steps) == 18
    for v in (0, 1):
        expected = _expected(sources, v)
        np.testing.assert_allclose(table.gather(np.arange(9), v), expected, atol=1e-6)


def test_an_interrupted_computation_keeps_whole_segments(
    make: Make, sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "BATCH", 2)
    monkeypatch.setattr(table_module, "SEGMENT_ROWS", 2)
    kept = sources[8].path.read_bytes()
    sources[8].path.write_bytes(b"")
    with pytest.raises(ImageProblem, match="is empty"):
        make().prepare(range(9), [0])
    sources[8].path.write_bytes(kept)
    table = make()
    assert 1 <= table.missing({0: range(9)}) < 9
    table.prepare(range(9), [0])
    np.testing.assert_allclose(table.gather(np.arange(9), 0), _expected(sources), atol=1e-6)


def test_a_store_too_small_for_the_run(
    sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "BATCH", 2)
    monkeypatch.setattr(table_module, "SEGMENT_ROWS", 2)
    table = FeatureTable(sources, _spec(), Lower, Store(limit=1500))
    with pytest.raises(InputError) as caught:
        table.prepare(range(9), [0])
    assert str(caught.value) == (
        "The feature store evicted rows that this run has just computed.\n"
        "Expected: a limit above what it needs (now 0.0 GiB)\n"
        "Way out: raise CYTOLENS_STORE_LIMIT (GiB), or draw fewer views."
    )


def test_about() -> None:
    assert _spec().about() == "n freeze=all torch f32 12x16"
    assert _spec(None).about() == "pixels 12x16"


# ------------------------------------------------------------------ engines


def test_engines_agree_in_order_over_uneven_batches() -> None:
    random = np.random.default_rng(0)
    batches = [random.integers(0, 256, (n, *SIZE, 3), dtype=np.uint8) for n in (20, 1, 8, 9)]
    found = {n: list(ENGINES.get(n)(Lower(), SIZE, "f32").run(batches)) for n in ENGINES}
    assert set(found) == {"openvino", "torch"}
    with torch.inference_mode():
        expected = [Lower()(torch.from_numpy(batch)).numpy() for batch in batches]
    for outs in found.values():
        assert len(outs) == len(expected)
        for out, right in zip(outs, expected, strict=True):
            assert out.dtype == np.float32
            assert out.shape == right.shape
            np.testing.assert_allclose(out, right, atol=1e-5)


def test_choosing_an_engine() -> None:
    assert choose_engine("auto") == ("torch" if torch.cuda.is_available() else "openvino")
    assert choose_engine("torch") == "torch"
    with pytest.raises(InputError) as caught:
        choose_engine("onnx")
    assert str(caught.value) == "Unknown engine 'onnx'.\nExpected: auto, openvino, torch"


def test_two_that_want_the_same_compute_it_once(make: Make) -> None:
    from concurrent.futures import ThreadPoolExecutor

    tables = [make(), make()]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda table: table.prepare(range(9), (0, 1)), tables))
    assert sum(table.computed for table in tables) == 18
    assert sum(table.reused for table in tables) == 18
    rows = np.arange(9)
    np.testing.assert_array_equal(tables[0].gather(rows, 1), tables[1].gather(rows, 1))
