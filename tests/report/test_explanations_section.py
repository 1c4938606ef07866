"""Explanations in the report: colours over pictures, the gallery, the judgement, the figures."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_explanations import Told, write_explanations
from fake_run import edit_json, write_json
from numpy.typing import NDArray
from page_check import Page, check_accessible, check_self_contained
from PIL import Image

from cytolens.core.errors import InputError
from cytolens.report import overlay
from cytolens.report.explanation_figures import grids
from cytolens.report.explanations import Explanations, Map, read_explanations
from cytolens.report.figures import canvas, explanation_grid
from cytolens.report.run_folder import read_run
from cytolens.report.run_report import write_run_report
from cytolens.report.text import MINUS, number, significant
from cytolens.report.thumbnails import thumbnail
from cytolens.report.views.explanations import explanations
from cytolens.report.views.judgement import NOT_BETTER, NOT_CHANGED, doubt, judgement
from cytolens.report.views.limits import limits

GRIDS = ("correct", "wrong", "one_a_class")


def bare(honest: Path, target: Path) -> Path:
    """Return a run of metrics alone, so that little else is drawn."""
    target.mkdir(parents=True)
    shutil.copy(honest / "metrics.json", target)
    return target


@pytest.fixture(scope="module")
def run(honest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with judged explanations, reported once; not to be changed."""
    path = bare(honest, tmp_path_factory.mktemp("explained") / "run")
    write_explanations(path)
    write_run_report(path)
    return path


@pytest.fixture
def own(run: Path, tmp_path: Path) -> Path:
    """A copy that may be changed, not reported yet."""
    left_out = shutil.ignore_patterns("figures", "report.html")
    return Path(shutil.copytree(run, tmp_path / "run", ignore=left_out))


def found_in(run: Path) -> Explanations:
    found = read_explanations(run)
    assert found is not None
    return found


def bump(side: int = 40) -> Map:
    """A map that is zero in its left half."""
    y, x = np.indices((side, side))
    values = np.where(x >= side // 2, 0.02 + np.hypot(y - side / 2, 0) / 1000, 0)
    return Map(values.astype(np.float32), None)


def quarters(weights: list[float], side: int = 40) -> Map:
    y, x = np.indices((side, side))
    segments = (2 * (y >= side // 2) + (x >= side // 2)).astype(np.int32)
    return Map(np.array(weights, np.float32)[segments], segments)


# ---- colours ----------------------------------------------------------------------------------


def test_the_picture_stays_where_the_map_is_zero() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    mixed = overlay.blend(picture, overlay.heat(bump(), signed=False))
    assert np.array_equal(mixed[:, :20], picture[:, :20])
    assert (mixed[:, 20:] != picture[:, 20:]).any(axis=2).mean() > 0.9


def test_a_map_of_noise_next_to_nothing_is_not_blown_up_without_saying_so() -> None:
    faint = Map(bump().values * np.float32(1e-12), None)
    assert np.array_equal(
        overlay.heat(faint, signed=False), overlay.heat(bump(), signed=False)
    )  # a map is coloured by its own largest magnitude …
    assert significant(faint.largest) == "4.00·10⁻¹⁴"  # … which is printed


def test_opacity_grows_with_the_magnitude_and_colours_differ_by_sign() -> None:
    line = np.linspace(-1, 1, 81, dtype=np.float32)[None].repeat(4, axis=0)
    layer = overlay.heat(Map(line, None), signed=True)[0].astype(int)
    assert layer[40, 3] == 0 and layer[-1, 3] == layer[0, 3] == round(255 * overlay.OPAQUE)
    assert (np.diff(layer[40:, 3]) >= 0).all() and (np.diff(layer[:41, 3]) <= 0).all()
    assert layer[-1, 0] > layer[-1, 2] and layer[0, 2] > layer[0, 0]  # orange for, blue against
    alone = overlay.heat(Map(line, None), signed=False)[0]
    assert not alone[:41, 3].any()  # what speaks against is not part of an unsigned map


@pytest.mark.parametrize("signed", [False, True])
def test_the_ramps_are_even_in_lightness(signed: bool) -> None:
    """No step of lightness (CIE L*) is over twice the mean one; both signs are equally light."""
    rgb = overlay.ramp(signed)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126, 0.7152, 0.0722])
    lightness = np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3)
    half = lightness[128:] if signed else lightness
    steps = np.abs(np.diff(half))
    assert steps.max() < 2 * steps.mean()
    assert (np.diff(half) < 0).all() if signed else (np.diff(half) > 0).all()
    if signed:
        assert np.abs(lightness[::-1] - lightness).max() < 1


def test_the_line_holds_a_fifth_of_the_picture() -> None:
    y, x = np.indices((224, 224))
    hot = np.exp(-((np.hypot(y - 100, x - 120) / 60) ** 2)).astype(np.float32)
    assert (overlay.strongest(Map(hot, None)) > 1).mean() == pytest.approx(0.2, abs=0.005)
    small = np.where(hot > 0.9, hot, 0)  # covers less than a fifth
    inside = overlay.strongest(Map(small, None)) > 1
    assert inside[small > 0].mean() > 0.95 and inside.mean() < 0.1
    assert not (overlay.strongest(Map(np.zeros((8, 8), np.float32), None)) > 1).any()


def test_superpixels_are_chosen_by_weight() -> None:
    map = quarters([0.5, -0.9, 0.1, 0.0])
    assert np.allclose(overlay.weights(map), [0.5, -0.9, 0.1, 0.0])
    assert overlay.chosen(map, positive=True) == [0, 2]
    assert overlay.chosen(map, positive=False) == [1, 0, 2]
    assert overlay.chosen(quarters([-1, -1, 0, 0]), positive=True) == []


def test_superpixels_dim_the_rest_or_are_green_and_red() -> None:
    map = quarters([0.5, -0.9, 0.0, 0.0])
    dimmed = overlay.superpixels(map, positive=True)
    assert dimmed[5, 5, 3] == 0 and dimmed[5, 35, 3] > 150 and dimmed[35, 35, 3] > 150
    both = overlay.superpixels(map, positive=False).astype(int)
    assert both[5, 5, 1] > both[5, 5, 0] and both[35, 5, 3] == 0
    against = both[2:18, 22:38].reshape(-1, 4)
    assert len(np.unique(against, axis=0)) == 2  # red, and stripes for prints in grey
    assert (against[:, 0] > 2 * against[:, 1]).any()
    assert both[5, 20, 3] > 200  # the border


def test_a_small_map_keeps_its_values_and_a_layer_its_pixels() -> None:
    small = overlay.resized(quarters([0.5, -0.9, 0.1, 0.0]), 10)
    assert small.values.shape == (10, 10) and small.segments is not None
    assert np.allclose(overlay.weights(small), [0.5, -0.9, 0.1, 0.0], atol=1e-6)
    layer = overlay.lined(overlay.heat(bump(), signed=False, levels=20), bump())
    with Image.open(io.BytesIO(overlay.png(layer))) as image:
        assert np.array_equal(np.asarray(image.convert("RGBA")), layer)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0123456, "0.0123"), (1.0, "1.00"), (0, "0"), (3400.4, "3400"), (-0.5, f"{MINUS}0.500"),
        (123.4, "123"), (1.2345e-7, "1.23·10⁻⁷"), (-2e9, f"{MINUS}2.00·10⁹"), (None, "–"),
        (0.99999, "1.00"), (45678, "45\N{NARROW NO-BREAK SPACE}700"),
    ],
)  # fmt: skip
def test_magnitudes_of_any_size_have_three_digits(value: float | None, text: str) -> None:
    assert significant(value) == text


# ---- the section ------------------------------------------------------------------------------


def test_a_run_without_explanations_says_nothing_of_them(honest: Path) -> None:
    page = Page(honest / "report.html")
    assert "explanations" not in page.ids() and not (honest / "explanations").exists()
    assert not any("explanation" in limit.lower() for limit in limits(read_run(honest)))
    assert explanations(read_run(honest)) is None


def test_the_section_is_accessible_and_loads_nothing(run: Path) -> None:
    page = Page(run / "report.html")
    check_self_contained(page)
    check_accessible(page)
    assert "explanations" in page.ids()
    labels = {at.get("for") for tag, at in page.tags if tag == "label"}
    inputs = [at for tag, at in page.tags if tag == "input"]
    assert inputs and {at["id"] for at in inputs} <= labels
    assert [at["type"] for at in inputs].count("range") == 1
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.source and "--fade" in page.scripts[0]


def test_each_picture_has_its_map_its_scale_and_its_words(run: Path) -> None:
    page, found = Page(run / "report.html"), found_in(run)
    for case in found.cases:
        assert case.id in page.text
        for said in case.found.values():
            largest = significant(found.maps[said.key].largest)
            assert largest in page.text
    assert "R² 0.81, stability 0.93" in page.text and "superpixels 49" not in page.text
    assert "completeness error 0.01" in page.text and "passes 32" not in page.text
    assert "drawn by seed 0" in page.text and "lost.png: is truncated" in page.text
    assert "zero everywhere" in page.text
    layers = [at for tag, at in page.tags if tag == "img" and "map " in str(at.get("class"))]
    # 6 methods, LIME in two ways, and one empty map a picture less
    assert len(layers) == 7 * len(found.cases) - 1
    assert all("largest magnitude" in str(at["alt"]) for at in layers)


def test_a_map_far_fainter_than_the_others_of_its_method_is_said_to_be_so(own: Path) -> None:
    with np.load(own / "explanations/maps.npz") as stored:
        maps = dict(stored)
    maps["002/score_cam"] *= np.float32(1e-5)
    np.savez(own / "explanations/maps.npz", **maps)
    found = found_in(own)
    said = [found.words(case.found["score_cam"]) for case in found.cases]
    assert said == ["", "", "far fainter than others", *[""] * (len(said) - 3)]
    view = explanations(read_run(own))
    assert view is not None and view.gallery is not None
    assert "far fainter than others" in view.gallery.groups[1].cards[0].marks[1].words


def test_an_empty_map_is_not_coloured(run: Path) -> None:
    found = explanations(read_run(run))
    assert found is not None and found.gallery is not None
    mark = found.gallery.groups[0].cards[1].marks[0]
    assert (mark.uri, mark.over, mark.scale) == (None, "zero everywhere", "")


def test_the_layer_in_the_page_is_the_map(run: Path) -> None:
    """Score-CAM of the fixture is zero without the cell: there its layer is transparent."""
    found, view = found_in(run), explanations(read_run(run))
    assert view is not None and view.gallery is not None
    assert view.gallery.choices[1] == "Score-CAM"
    uri = view.gallery.groups[0].cards[0].marks[1].uri
    assert uri is not None
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        layer = np.asarray(image.convert("RGBA"))
    values = found.maps[found.cases[0].found["score_cam"].key].values
    without = ~_grown(values > 0, 3)
    line = _grown(overlay.strongest(Map(values, None)) > 1, 2)
    assert (layer[without & ~line, 3] == 0).all() and without.mean() > 0.2
    assert layer[values > 0.5 * values.max(), 3].min() > 0


def _grown(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    padded = np.pad(mask, by)
    size = 2 * by + 1
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size)).any(axis=(2, 3))


def test_methods_that_failed_are_not_among_the_shown(run: Path) -> None:
    view = explanations(read_run(run))
    assert view is not None and view.gallery is not None and view.doubted is not None
    assert view.gallery.choices == [
        "Grad-CAM", "Score-CAM", "Integrated gradients", "LIME: what speaks for it",
        "LIME: green for, red against",
    ]  # fmt: skip
    assert view.doubted.choices == ["Eigen-CAM", "Random map"]
    source = (run / "report.html").read_text()
    details = source[source.index("<details><summary>Not shown as insight") :]
    details = details[: details.index("</details>")]
    assert "explained-doubted" in details and "explained-maps" not in details
    assert f"{NOT_BETTER}; {NOT_CHANGED}." in details


def test_the_reasons_are_those_that_hold(own: Path) -> None:
    content = json.loads((own / "explanations/judgement.json").read_text())
    by_name = {entry["name"]: entry for entry in content["methods"]}
    by_name["eigen_cam"]["sanity"]["passed"] = True
    worse = by_name["grad_cam"]
    worse["trusted"], worse["against_random"]["deletion"]["verdict"] = False, "worse"
    by_name["score_cam"]["trusted"], by_name["score_cam"]["sanity"] = False, None
    by_name["lime"]["trusted"] = by_name["lime"]["sanity"]["passed"] = False
    write_json(own / "explanations/judgement.json", content)
    found = found_in(own)
    names = ("eigen_cam", "grad_cam", "score_cam", "lime", "integrated_gradients")
    assert [doubt(found, name) for name in names] == [
        NOT_BETTER, NOT_BETTER, "because", NOT_CHANGED, "",
    ]  # fmt: skip


def test_without_a_trusted_method_nothing_is_shown_as_insight(own: Path) -> None:
    content = json.loads((own / "explanations/judgement.json").read_text())
    for entry in content["methods"]:
        entry["trusted"] = False
    write_json(own / "explanations/judgement.json", content)
    page = Page(write_run_report(own))
    assert "No method may be shown as insight." in page.text
    assert "explained-maps" not in page.ids() and "explained-doubted" in page.ids()
    assert ">best<" not in page.source
    check_self_contained(page)


def test_methods_that_were_not_tested_are_said_to_be_so(own: Path) -> None:
    (own / "explanations/judgement.json").unlink()
    page = Page(write_run_report(own))
    assert "were not put to the test on these data" in page.text
    assert "no more than a map drawn at random" in page.text
    assert "Put to the test" not in page.text
    assert "explained-doubted" in page.ids()  # the random map is the floor in any case


def test_the_limits_say_what_a_map_cannot(run: Path) -> None:
    said = " ".join(limits(read_run(run)))
    assert "It does not say that the answer is right" in said and "not put to the test" not in said


def test_a_leaking_run_stamps_its_explanations(published: Path, tmp_path: Path) -> None:
    run = bare(published, tmp_path / "run")
    write_explanations(run, Told((("correct", 1),), ("grad_cam", "random_map"), 32))
    page = Page(write_run_report(run))
    assert "LEAKS" in (run / "explanations/figures/correct.svg").read_text()
    section = page.source[page.source.index('<section id="explanations"') :]
    assert section[: section.index("</section>")].count(">leaks<") >= 4


def test_foreign_markup_in_explanations_stays_text(own: Path) -> None:
    content = json.loads((own / "explanations/explanations.json").read_text())
    bad = "<script>alert(1)</script>"
    content["notes"], content["methods"][0]["title"] = [bad], bad
    content["images"][0] |= {"id": bad, "target": bad}
    write_json(own / "explanations/explanations.json", content)
    page = Page(write_run_report(own))
    check_self_contained(page)
    assert bad in page.text and "alert" not in page.scripts[0]


def test_the_page_stays_small(honest: Path, tmp_path: Path) -> None:
    """Five methods over seventeen pictures add less than a megabyte."""
    run = bare(honest, tmp_path / "run")
    methods = ("grad_cam", "score_cam", "eigen_cam", "integrated_gradients", "lime")
    parts = (("correct", 5), ("wrong", 5), ("class", 7))
    write_explanations(run, Told(parts, methods, 224, untrusted=()))
    view = explanations(read_run(run))
    assert view is not None and view.gallery is not None and view.doubted is None
    cards = [card for group in view.gallery.groups for card in group.cards]
    marks = [mark.uri or "" for card in cards for mark in card.marks]
    pictures = [thumbnail(picture.file) for picture in view.pictures() if picture.file]
    assert len(marks) == 6 * 17 and len(pictures) == 17 and all(pictures)
    assert sum(map(len, marks)) + sum(len(uri or "") for uri in pictures) < 900_000


# ---- the judgement ----------------------------------------------------------------------------


def test_the_tables_hold_every_score_with_its_interval(run: Path) -> None:
    page, content = Page(run / "report.html"), found_in(run).judgement
    assert content is not None
    for entry in content["methods"]:
        for score in entry["scores"].values():
            assert number(score["value"]) in page.text
            assert f"{number(score['low'])}–{number(score['high'])}" in page.text
    for said in (
        "Judged on 40 images of the first fold’s test part.",
        "12 groups with replacement 200 times",
        "the nucleus takes up 12.5",
        "layer_cam: No layer has spatial extent.",
        "3 of 40 maps zero",
        "4 of 5 methods beat a map drawn at random",
    ):
        assert said in page.text


def test_the_best_is_marked_among_those_that_may_be_shown(own: Path) -> None:
    content = json.loads((own / "explanations/judgement.json").read_text())
    eigen = next(entry for entry in content["methods"] if entry["name"] == "eigen_cam")
    eigen["scores"]["insertion"] = {"value": 0.99, "low": 0.9, "high": 1.0}
    write_json(own / "explanations/judgement.json", content)
    found = judgement(found_in(own))
    assert found is not None
    best = {
        measure.key: [row.title for row in found.tables[0].rows if row.cells[place].best]
        for place, measure in enumerate(found.tables[0].measures)
    }
    assert list(best) == ["deletion", "insertion", "average_drop", "increase"]
    assert all(titles == ["Grad-CAM"] for titles in best.values())
    assert found.tables[0].rows[-1].floor and found.tables[0].rows[-1].title == "Random map"


def test_without_masks_there_is_no_table_of_plausibility(honest: Path, tmp_path: Path) -> None:
    run = bare(honest, tmp_path / "run")
    write_explanations(run, Told((("correct", 1),), ("grad_cam", "random_map"), 16, masks=False))
    found = judgement(found_in(run))
    assert found is not None and len(found.tables) == 1
    assert "no masks" in " ".join(found.sentences)


def test_the_ranking_is_drawn_and_read_out(run: Path) -> None:
    page = Page(run / "report.html")
    assert "figure-explanation_ranking" in page.ids()
    assert "by insertion minus deletion" in page.text
    told = [str(at["aria-label"]) for tag, at in page.tags if tag == "svg"]
    assert any("Grad-CAM 1.00 (1.00 to 2.10)" in words for words in told)
    assert (run / "explanations/figures/explanation_ranking.png").is_file()


# ---- the figures ------------------------------------------------------------------------------


def test_the_figures_hold_titles_captions_and_raw_maxima(run: Path) -> None:
    found, folder = found_in(run), run / "explanations/figures"
    for name in GRIDS:
        svg = (folder / f"{name}.svg").read_text()
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg) + re.findall(
            r"<tspan[^>]*>([^<]*)</tspan>", svg
        )
        grid = next(grid for grid in grids(found) if grid.name == name)
        for case in grid.cases:
            assert f"True: {case.label}" in texts and f"Predicted: {case.predicted}" in texts
            assert f"Probability: {number(case.probability, 2)}" in texts
            for method in ("grad_cam", "score_cam", "integrated_gradients"):
                largest = found.maps[case.found[method].key].largest
                assert (significant(largest) if largest else "largest magnitude: 0") in texts
        assert ("zero everywhere" in texts) == (name == "correct")
        assert "Eigen-CAM" not in svg and "image/png" not in svg
        with Image.open(folder / f"{name}.png") as image:
            assert image.size[0] > 1000
    doubted = (folder / "not_insight_correct.svg").read_text()
    assert "Eigen-CAM alone" in doubted and "did not pass the tests" in doubted
    assert "Random map" not in doubted


def test_where_a_map_is_zero_the_figure_shows_the_picture() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)
    values = np.zeros((200, 200), np.float32)
    values[150:, 150:] = 3
    row = explanation_grid.Row(picture, ["a"], {"m": Map(values, None)})
    columns = [
        explanation_grid.Column("Original", "original"),
        explanation_grid.Column("M", "heat", "m"),
    ]
    with canvas.style("x"):
        figure = explanation_grid.draw([row], columns)
        first, second, bar = (np.asarray(image.get_array()) for image in figure.axes[0].images)
    assert np.array_equal(first, picture)
    assert np.array_equal(second[values == 0], picture[values == 0])
    assert (second[values > 0] != picture[values > 0]).any()
    assert bar.shape[0] == 1
    assert {"0", "3.00"} <= {text.get_text() for text in figure.axes[0].texts}


def test_many_methods_and_images_are_spread_over_figures(honest: Path, tmp_path: Path) -> None:
    run = bare(honest, tmp_path / "run")
    methods = ("grad_cam", "score_cam", "eigen_cam", "integrated_gradients", "lime")
    write_explanations(run, Told((("asked", 9),), methods, 16, judged=False))
    found = list(grids(found_in(run)))
    assert [(g.name, len(g.cases), [m.name for m in g.methods]) for g in found] == [
        ("asked", 8, list(methods)),
        ("asked_2", 1, list(methods)),
    ]
    write_explanations(run, Told((("asked", 1),), (*methods, "random_map"), 16))
    shown, failed = grids(found_in(run))
    assert [m.name for m in shown.methods] == [m for m in methods if m != "eigen_cam"]
    assert (failed.name, [m.name for m in failed.methods]) == ("not_insight_asked", ["eigen_cam"])


def test_figures_of_an_earlier_report_do_not_stay(honest: Path, tmp_path: Path) -> None:
    run = bare(honest, tmp_path / "run")
    told = Told((("correct", 1),), ("grad_cam",), 16, judged=False)
    folder = write_explanations(run, told) / "figures"
    folder.mkdir()
    for name in ("wrong.svg", "wrong.png", "correct_2.svg", "wrongly_mine.svg", "correct.txt"):
        (folder / name).write_text("old")
    write_run_report(run)
    assert sorted(file.name for file in folder.iterdir()) == [
        "correct.png", "correct.svg", "correct.txt", "wrongly_mine.svg",
    ]  # fmt: skip


def test_figures_and_page_are_the_same_bytes_each_time(run: Path, own: Path) -> None:
    write_run_report(own)
    for name in ("report.html", *(f"explanations/figures/{grid}.svg" for grid in GRIDS)):
        assert (own / name).read_bytes() == (run / name).read_bytes()


def test_reporting_explanations_loads_no_torch(honest: Path, tmp_path: Path) -> None:
    run = bare(honest, tmp_path / "run")
    write_explanations(run, Told((("correct", 1),), ("lime", "grad_cam", "random_map"), 16))
    code = (
        "import sys, pathlib\n"
        "from cytolens.report.run_report import write_run_report\n"
        "assert 'matplotlib' not in sys.modules\n"
        "write_run_report(pathlib.Path(sys.argv[1]))\n"
        "banned = {'torch', 'timm', 'matplotlib.pyplot', 'sklearn', 'scipy'}\n"
        "assert not banned & set(sys.modules), banned & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(run)], check=True, timeout=120)


# ---- damage -----------------------------------------------------------------------------------


def test_a_damaged_list_is_an_error(own: Path) -> None:
    path = own / "explanations/explanations.json"
    for content in ("{", "[]", '{"methods": [], "images": [{"id": 1}]}'):
        path.write_text(content)
        with pytest.raises(InputError, match="not a list of explanations"):
            write_run_report(own)


def test_a_part_that_does_not_exist_is_an_error(own: Path) -> None:
    path = own / "explanations/explanations.json"
    images = json.loads(path.read_text())["images"]
    edit_json(path, images=[images[0] | {"part": "lucky"}])
    with pytest.raises(InputError, match=r"parts that do not exist[\s\S]*lucky"):
        read_explanations(own)


def test_a_damaged_judgement_is_an_error(own: Path) -> None:
    for content in ({}, {"methods": [{"name": "lime"}], "ranking": []}, []):
        write_json(own / "explanations/judgement.json", content)
        with pytest.raises(InputError, match=r"not a judgement of explanations[\s\S]*--judge"):
            write_run_report(own)


def test_damaged_maps_are_errors(own: Path) -> None:
    path = own / "explanations/maps.npz"
    with np.load(path) as stored:
        maps = dict(stored)
    first = "000/grad_cam"

    def changed(key: str, value: NDArray[np.generic]) -> Explanations:
        np.savez(path, allow_pickle=False, **(maps | {key: value}))  # type: ignore[arg-type]
        return found_in(own)

    wrong = np.full((64, 64), np.nan, np.float32)
    with pytest.raises(InputError, match=f"something else than a map under {first}"):
        _ = changed(first, wrong).maps
    with pytest.raises(InputError, match="something else than superpixels under 000/lime/segments"):
        _ = changed("000/lime/segments", np.full((64, 64), -1)).maps
    small = changed(first, np.ones((8, 8), np.float32))
    with pytest.raises(InputError, match="another size"):
        small.picture(small.cases[0])
    for content in (b"", b"PK no zip", None):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(InputError, match="is not maps"):
            write_run_report(own)


def test_a_map_that_is_missing_is_an_error(own: Path) -> None:
    np.savez(own / "explanations/maps.npz", other=np.ones((4, 4)))
    with pytest.raises(InputError, match="000/grad_cam"):
        write_run_report(own)


def test_maps_are_never_unpickled(own: Path) -> None:
    path = own / "explanations/maps.npz"
    with np.load(path) as stored:
        maps = dict(stored) | {"000/grad_cam": np.array([[{}]], object)}
    np.savez(path, **maps)
    with pytest.raises(InputError, match="is not maps"):
        write_run_report(own)


def test_a_damaged_picture_is_an_error(own: Path) -> None:
    (own / "explanations/images/000.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"000\.png is not a picture"):
        write_run_report(own)
