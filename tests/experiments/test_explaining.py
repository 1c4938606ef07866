"""A run's explanations: which images, what the folder holds, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cytolens.bundle import load_bundle
from cytolens.core.errors import InputError
from cytolens.core.files import read_json, sha256_file, write_json
from cytolens.data.loading import read_manifest
from cytolens.data.reading import read_image
from cytolens.evaluation import Predictions
from cytolens.experiments.explaining import (
    DEFAULT_METHODS,
    Question,
    create_methods,
    explain_images,
    explain_run,
)
from cytolens.experiments.explaining.choosing import choose, draw
from cytolens.experiments.explaining.question import costs_of
from cytolens.experiments.explaining.tested import read_tested
from cytolens.experiments.predictions_file import read_predictions
from cytolens.explain import METHODS, class_target

CLASSES = ("a", "b", "c")
CAM = ("grad_cam",)
QUICK = ("lime.samples=20", "lime.segments=8")
REPORT = "cytolens.experiments.explaining.run.write_run_report"


def _predictions(labels: list[int], called: list[int], sure: list[float]) -> Predictions:
    """Predictions of images "0", "1", …: what is left of the confidence is shared."""
    probabilities = np.array(
        [
            [p if c == k else (1 - p) / (len(CLASSES) - 1) for k in range(len(CLASSES))]
            for c, p in zip(called, sure, strict=True)
        ]
    )
    n = len(labels)
    zeros = np.zeros(n, np.int64)
    names = [str(i) for i in range(n)]
    return Predictions(names, np.array(labels), probabilities, CLASSES, zeros, zeros, names)


# ---- which images ------------------------------------------------------------------------------


def test_the_rules_of_the_choice() -> None:
    #         correct: a 0-4, b 5-6                wrong: 7-12 (class c is never right)
    labels = [0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2]
    called = [0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1]
    sure = [0.90, 0.60, 0.80, 0.70, 0.99, 0.5, 0.9, 0.4, 0.8, 0.6, 0.7, 0.9, 0.8]
    found = choose(_predictions(labels, called, sure), seed=0)
    parts = {part: [row for row, p in found.rows if p == part] for _, part in found.rows}
    # Median of class a: .80 (row 2), then .90 (0) and .70 (3), both .10 off: the id decides. Of
    # class b both are .20 off.
    assert parts["correct"] == [2, 5, 0, 6, 3]
    assert parts["wrong"] == [11, 12, 8, 10, 9], "surest first; 12 before 8 as text"
    one_a_class = [labels[row] for row in parts["class"]]
    assert one_a_class == [0, 1, 2]
    assert parts["class"][0] in (1, 4), "not one that is shown already"
    assert parts["class"][1] in (5, 6), "unless its class has no other"
    assert parts["class"][2] == 7
    assert found.notes == []


def test_few_mistakes_and_a_class_without_images_are_said() -> None:
    found = choose(_predictions([0, 0, 1], [0, 1, 1], [0.9, 0.8, 0.7]), seed=0)
    assert [(row, part) for row, part in found.rows if part != "class"] == [
        *((0, "correct"), (2, "correct"), (1, "wrong"))
    ]
    assert found.notes == [
        "2 of 3 test images of this fold are correct.",
        "1 of 3 test images of this fold are wrong.",
        "The test images of this fold hold none of class c.",
    ]


def test_what_is_drawn_depends_on_the_seed_alone() -> None:
    known = _predictions([0, 1, 2] * 10, [0, 1, 2] * 10, [0.9] * 30)
    assert choose(known, 3) == choose(known, 3)
    assert len({tuple(choose(known, seed).rows[-3:]) for seed in range(5)}) > 1
    assert draw(known, 7, 0) == draw(known, 7, 0) != draw(known, 7, 1)
    assert len(set(draw(known, 7, 0))) == 7 and draw(known, 99, 0) == list(range(30))


# ---- the question ------------------------------------------------------------------------------


def test_the_targets_of_a_question() -> None:
    sure = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    costs = np.array([[0.0, 1, 1], [1, 0, 1], [99, 99, 0]])  # missing c is dear

    def names(question: Question) -> list[str]:
        return [one.name for one in question.targets(["x", "y"], sure, CLASSES, costs)]

    assert names(Question()) == ["a", "c"]
    assert names(Question(target="b")) == ["b", "b"]
    assert names(Question(against="b")) == ["a against b", "c against b"]
    assert names(Question(decision=True)) == ["decision for c", "decision for c"]
    assert names(Question("a", decision=True)) == ["decision for a", "decision for a"]
    [first, _] = Question().targets(["x", "y"], sure, CLASSES, None)
    assert first == class_target(CLASSES, "a")


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (Question("bb"), "There is no class 'bb' (did you mean 'b'?)."),
        (Question("a", "a"), "a against itself is always 0."),
        (Question(against="a"), "1 of 2 images are called a themselves;"),
        (Question(decision=True), "The bundle does not say what errors cost"),
    ],
)
def test_questions_that_have_no_answer(question: Question, message: str) -> None:
    sure = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    with pytest.raises(InputError) as caught:
        question.targets(["x", "y"], sure, CLASSES, None)
    assert message in str(caught.value)


def test_one_question_at_a_time() -> None:
    with pytest.raises(InputError, match=r"ask one of them"):
        Question("a", "b", decision=True)


# ---- methods -----------------------------------------------------------------------------------


def test_methods_with_their_settings() -> None:
    assert [method.name for method in create_methods()] == list(DEFAULT_METHODS)
    every = create_methods(["lime", "all", "lime"], seed=7)
    assert [m.name for m in every] == ["lime", *(n for n in METHODS if n != "lime")]
    assert {getattr(method, "seed", 7) for method in every} == {7}
    settings = ["lime.samples=20", "lime.seed=1", "grad_cam.layer=here"]
    cam, lime = create_methods(["grad_cam", "lime"], settings, layer="there", seed=7)
    assert (cam.layer, lime.samples, lime.seed) == ("here", 20, 1)  # type: ignore[attr-defined]
    [cam] = create_methods(CAM, layer="there")
    assert cam == METHODS.get("grad_cam")(layer="there")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("names", "settings", "layer", "message"),
    [
        (["gradcam"], [], None, "Unknown method of explanation 'gradcam' (did you mean 'grad_cam"),
        (["lime"], ["lime.sample=3"], None, "sample: unknown key (did you mean 'samples'?)"),
        (["lime"], ["lime.samples=many"], None, "samples: expected"),
        (["lime"], ["lime=3"], None, "expected a table, got 3"),
        (["lime"], ["grad_cam.layer=x"], None, "Settings of grad_cam have no effect"),
        (["lime"], ["limes.samples=3"], None, "Unknown method of explanation 'limes'"),
        (["lime"], [], "x", "--layer x has no effect: lime look"),
    ],
)
def test_methods_that_are_not_there(
    names: list[str], settings: list[str], layer: str | None, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        create_methods(names, settings, layer=layer)
    assert message in str(caught.value)
    assert "recipe.md" not in str(caught.value)


# ---- a run -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explained(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the small run, explained by two methods; not to be changed."""
    run = _beside(tiny_run, tmp_path_factory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(REPORT, lambda run, **_: run / "report.html")
        explain_run(run, create_methods(("grad_cam", "lime"), QUICK))
    return run


@pytest.fixture
def run(
    tiny_run: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return a copy of the small run; its report, the slowest part, is not written anew."""
    monkeypatch.setattr(REPORT, lambda run, **_: run / "report.html")
    return _beside(tiny_run, tmp_path_factory)


def _beside(tiny_run: Path, factory: pytest.TempPathFactory) -> Path:
    """Copy a run to another folder from which the paths of its manifest still hold."""
    return Path(shutil.copytree(tiny_run, factory.mktemp("explained") / "tiny"))


def _content(run: Path) -> Any:
    return read_json(run / "explanations" / "explanations.json", "explanations")


def test_the_folder(explained: Path, phantoms: Path) -> None:
    folder = explained / "explanations"
    names = {"explanations.json", "maps.npz", "images"}
    assert names <= {path.name for path in folder.iterdir()} <= names | {"figures"}
    assert not list(explained.glob(".explanations*")) + list(explained.glob("*.partial"))
    content = _content(explained)
    card = load_bundle(explained).card
    assert content["model"] == {
        "run": "tiny",
        "backbone": "cytolens_tiny",
        "fold": 0,
        "sha256": sha256_file(explained / "bundle" / "model.safetensors"),
    }
    assert content["classes"] == list(card.classes) and content["skipped"] == []
    cam, lime = content["methods"]
    assert cam == {
        "name": "grad_cam",
        "title": "Grad-CAM",
        "source": "Selvaraju et al. 2017",
        "signed": False,
        "settings": {"layer": "auto"},
    }
    assert lime["settings"]["samples"] == 20 and lime["settings"]["seed"] == 0
    [rule, *_] = content["notes"]
    assert rule.startswith("Chosen by rule from the ") and "which the model never saw" in rule

    known = read_predictions(explained / "predictions.parquet", card.classes)
    tested = known.select(np.flatnonzero(known.folds == 0))
    truth = {row.id: row.label for row in read_manifest(phantoms).rows}
    bundle = load_bundle(explained)
    for image in content["images"]:
        row = tested.ids.index(image["id"])
        assert image["label"] == truth[image["id"]]
        assert image["predicted"] == card.classes[tested.predicted[row]] == image["target"]
        assert image["probability"] == pytest.approx(tested.probabilities[row].max())
        right = image["label"] == image["predicted"]
        assert {"correct": right, "wrong": not right, "class": True}[image["part"]]
        seen = cv2.cvtColor(cv2.imread(str(folder / image["file"])), cv2.COLOR_BGR2RGB)
        expected = bundle.subject().prepare(read_image(phantoms / image["id"]))
        assert np.array_equal(seen, expected)
        assert [one["method"] for one in image["explanations"]] == ["grad_cam", "lime"]
    parts = [image["part"] for image in content["images"]]
    assert parts.count("correct") <= 5 and parts.count("wrong") <= 5
    assert [i["label"] for i in content["images"] if i["part"] == "class"] == list(card.classes)


def test_the_maps(explained: Path) -> None:
    content, subject = _content(explained), load_bundle(explained).subject()
    with np.load(explained / "explanations" / "maps.npz", allow_pickle=False) as maps:
        found = {name: maps[name] for name in maps.files}
    keys = [one["key"] for image in content["images"] for one in image["explanations"]]
    assert len(set(keys)) == len(keys)
    assert set(found) == {*keys, *(f"{key}/segments" for key in keys if key.endswith("lime"))}
    for image in content["images"]:
        for one in image["explanations"]:
            values = found[one["key"]]
            assert (values.shape, values.dtype) == (subject.size, np.float32)
            assert (one["max"], one["min"]) == (values.max(), values.min())
            assert one["notes"] == ([] if values.any() else one["notes"]) and one["seconds"] > 0
            if one["method"] == "lime":
                pieces = found[f"{one['key']}/segments"]
                assert (pieces.shape, pieces.dtype) == (subject.size, np.int32)
                assert one["layer"] is None and "r2" in one["facts"]
            else:
                assert isinstance(one["layer"], str)
    [image, *_] = content["images"]
    [cam] = create_methods(CAM)
    pixels = cv2.cvtColor(
        cv2.imread(str(explained / "explanations" / image["file"])), cv2.COLOR_BGR2RGB
    )
    [direct] = cam.explain(
        subject, pixels[None], [class_target(subject.classes, image["predicted"])]
    )
    assert found[image["explanations"][0]["key"]] == pytest.approx(direct.map, abs=1e-6)


def test_the_same_question_gives_the_same_bytes(explained: Path, run: Path) -> None:
    again = explain_run(run, create_methods(("grad_cam", "lime"), QUICK))
    first = explained / "explanations"
    assert (again / "maps.npz").read_bytes() == (first / "maps.npz").read_bytes()

    def timeless(content: Any) -> str:
        for image in content["images"]:
            for one in image["explanations"]:
                del one["seconds"]
        return json.dumps(content)

    assert timeless(_content(run)) == timeless(_content(explained))


def test_the_report_is_written_anew_and_damage_is_no_obstacle(
    tiny_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = _beside(tiny_run, tmp_path_factory)
    (run / "report.html").write_text("old")
    (run / "explanations").mkdir()
    (run / "explanations" / "explanations.json").write_text("damaged")
    explain_run(run, create_methods(CAM), overwrite=True)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<html" in page and "Grad-CAM" in page


def test_explanations_stay_until_new_ones_are_whole(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [cam] = create_methods(CAM)
    folder = explain_run(run, [cam])
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    with pytest.raises(InputError, match=r"already holds explanations\.\nWay out: pass --over"):
        explain_run(run, [cam])

    def breaks(*_: object) -> None:
        raise InputError("The gradients are not finite.")

    with monkeypatch.context() as patch, pytest.raises(InputError, match="not finite"):
        patch.setattr(type(cam), "explain", breaks)
        explain_run(run, [cam], overwrite=True)
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before
    (run / "explanations.partial" / "images").mkdir(parents=True)  # of a process that was killed
    explain_run(run, [cam], Question(target="SCC"), overwrite=True)
    assert {image["target"] for image in _content(run)["images"]} == {"SCC"}
    left = {path.name for path in run.iterdir()}
    assert not {name for name in left if name.startswith((".exp", "explanations."))}


@pytest.mark.parametrize("place", ["explanations", "explanations.partial"])
def test_what_is_in_the_way_stays(run: Path, place: str) -> None:
    (run / place).mkdir()
    (run / place / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"something else|in the way"):
        explain_run(run, create_methods(CAM), overwrite=True)
    assert (run / place / "notes.txt").read_text() == "mine"


def test_a_decision_is_explained_by_the_costs_of_the_run(run: Path) -> None:
    explain_run(run, create_methods(CAM), Question(decision=True))
    tested = read_tested(run)
    costs = costs_of(tested.run.metrics)
    assert costs is not None and costs.tolist() == (1 - np.eye(4)).tolist()
    for image in _content(run)["images"]:  # where every error costs 1, the most probable class
        assert image["target"] == f"decision for {image['predicted']}"


def test_a_run_that_leaks_is_stamped(run: Path) -> None:
    metrics = read_json(run / "metrics.json", "metrics")
    leaks = {"protocol": "published", "leaks": ["2 groups on both sides"]}
    write_json(run / "metrics.json", metrics | leaks)
    explain_run(run, create_methods(CAM))
    stamp, rule, *_ = _content(run)["notes"]
    assert stamp == "LEAKS: 2 groups on both sides." and "may know from training" in rule


def test_masks_come_at_the_size_of_the_network(tiny_run: Path, phantoms: Path) -> None:
    tested = read_tested(tiny_run)
    [name, *_] = tested.predictions.ids
    found = tested.mask(name, (48, 48))
    [row] = [row for row in read_manifest(phantoms).rows if row.id == name]
    drawn = cv2.imread(str(row.mask), cv2.IMREAD_UNCHANGED)
    assert found is not None and found.shape == tested.bundle.card.size
    assert np.array_equal(found, np.where(drawn == 3, 0, drawn))
    assert {1, 2} <= set(np.unique(found))


def test_runs_without_a_network(vary: Callable[..., Path]) -> None:
    classical, fused, bare = (vary(name) for name in ("classical", "fused", "bare"))
    for folder in (classical, fused, bare):
        shutil.rmtree(folder / "bundle")
    (classical / "recipe.toml").write_text('[classifier]\nkind = "svm_rbf"\n')
    (fused / "recipe.toml").write_text('[fusion]\nmethod = "mean"\nmembers = ["one", "two"]\n')
    with pytest.raises(InputError, match=r"classifier \(svm_rbf\) sees features, not pixels"):
        explain_run(classical, create_methods(CAM))
    with pytest.raises(InputError, match=r"ensemble .*\n  - one\n  - two\nWay out: explain its"):
        explain_run(fused, create_methods(CAM))
    with pytest.raises(InputError, match=r"holds no bundle"):
        explain_run(bare, create_methods(CAM))


def test_no_run_at_all(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no metrics of a run at"):
        explain_run(tmp_path, create_methods(CAM))
    with pytest.raises(InputError, match=r"is a bundle, not a run: it holds no test images"):
        explain_run(tiny_run / "bundle", create_methods(CAM))


def test_images_that_are_gone_and_layers_that_are_not_there(run: Path) -> None:
    with pytest.raises(InputError, match=r"The network cannot be opened at 'final'"):
        explain_run(run, create_methods(CAM, layer="final"))
    table = run / "manifest.csv"
    table.write_text(table.read_text().replace("images/", "elsewhere/"))
    with pytest.raises(InputError, match=r"test images of .* cannot be read") as caught:
        explain_run(run, create_methods(CAM))
    assert "does not exist" in str(caught.value) and "manifest.csv says" in str(caught.value)
    assert not (run / "explanations").exists()


# ---- images of one's own -----------------------------------------------------------------------


def test_images_of_ones_own(tiny_run: Path, phantoms: Path, tmp_path: Path) -> None:
    good = sorted((phantoms / "images" / "SCC").iterdir())[:2]
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"x")
    out = tmp_path / "deep" / "explained"
    files = [good[0], bad, good[1]]
    done = explain_images(tiny_run / "bundle", files, create_methods(CAM), out=out)
    assert done == out and [path.name for path in out.parent.iterdir()] == ["explained"]
    content = read_json(out / "explanations.json", "explanations")
    assert content["model"]["bundle"] == "bundle" and content["model"]["fold"] == 0
    assert content["skipped"] == [
        {"file": str(bad), "problem": "is not an image of a known format"}
    ]
    assert [image["id"] for image in content["images"]] == [str(path) for path in good]
    expected = load_bundle(tiny_run).predict(good[0])
    [first, _] = content["images"]
    assert (first["label"], first["part"]) == (None, "asked")
    assert first["predicted"] == expected.label
    assert first["probability"] == pytest.approx(max(expected.probabilities.values()))
    with pytest.raises(InputError, match=r"already holds explanations"):
        explain_images(tiny_run, good, create_methods(CAM), out=out)
    with pytest.raises(InputError, match=r"None of the images can be used.*\n  - .*bad\.png is"):
        explain_images(tiny_run, [bad], create_methods(CAM), out=tmp_path / "none")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").touch()
    with pytest.raises(InputError, match=r"something else than explanations"):
        explain_images(tiny_run, good, create_methods(CAM), out=tmp_path / "mine", overwrite=True)
