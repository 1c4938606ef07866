"""Model cards: every number is the bundle's, what is missing is said, and nothing is trusted."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cytolens.bundle import BundleCard, bundle_id, save_bundle
from cytolens.bundle.card import REFERENCE, check_files, read_bundle_card
from cytolens.bundle.checks import fit_checks
from cytolens.bundle.model_card import MODEL_CARD, model_card, write_model_card
from cytolens.bundle.model_card.checklists import NAMES, load_checklist
from cytolens.bundle.model_card.document import Points, Section, Table, Text
from cytolens.bundle.model_card.words import score
from cytolens.bundle.ood import fit_ood
from cytolens.bundle.save import amend_bundle, write_tensors
from cytolens.core.config import to_dict
from cytolens.core.errors import InputError
from cytolens.core.seeding import rng
from cytolens.evaluation.metrics import OVERALL, PER_CLASS
from cytolens.models.cards import Card
from cytolens.models.config import ModelConfig
from cytolens.pixels.config import PixelsConfig

CLASSES = ("NILM", "LSIL", "HSIL")
CONFUSION = [[40, 7, 1], [9, 30, 2], [0, 3, 8]]
SETTINGS = {
    "training": {"regime": "cost_sensitive", "loss": "cross_entropy", "optimizer": "adam",
                 "lr": 0.001, "schedule": "cosine", "epochs": 40, "batch": 16, "views": "epochs"},
    "augment": {"rotation": 15.0, "horizontal_flip": True, "zoom": 0.0, "fill": "reflect"},
    "split": {"kind": "kfold", "folds": 5, "test_values": ["20x", "40x"]},
    "data": {"label_map": {"normal": "NILM"}, "one_label_a_group": False},
}  # fmt: skip
EVIL = "<script>alert(1)</script>|**b**\n# [x](http://x) `c`"


class Numbers:
    """Scores that are all different."""

    def __init__(self) -> None:
        self._draw = rng(0, "model card")

    def __call__(self) -> dict[str, float]:
        low, value, high = sorted(self._draw.random(3).tolist())
        return {"value": value, "low": low, "high": high}


def _metrics(classes: tuple[str, ...], protocol: str, leaks: list[str]) -> dict[str, Any]:
    new = Numbers()
    sites = {
        value: {"n": n, **{key: new() for key in ("accuracy", "balanced_accuracy", "auc")}}
        for value, n in (("site_0", 61), ("site_1", 39))
    }
    return {
        "protocol": protocol,
        "leaks": leaks,
        "n": 100,
        "classes": list(classes),
        "confusion": CONFUSION,
        "interval": {"level": 0.95, "unit": "group", "units": 23, "resamples": 500},
        **{name: new() for name in OVERALL},
        "per_class": {
            name: {"support": sum(row), **{key: new() for key in PER_CLASS}}
            for name, row in zip(classes, CONFUSION, strict=True)
        },
        "cost": {
            "matrix": [[0, 1, 1]] * 3,
            "most_probable": {"total": 22.0, "mean": new()},
            "cheapest": {"total": 20.0, "mean": new()},
        },
        "subgroups": {"dataset": sites},
    }


def _doubt(classes: tuple[str, ...]) -> dict[str, Any]:
    new = Numbers()
    for _ in range(40):
        new()  # other numbers than those of the metrics
    triage = "clear refer abnormal missed false_alarms clear_right abnormal_right"
    return {
        "calibration": {
            "method": "temperature",
            "parameters": {"temperature": 1.5},
            "n": 100,
            "before": {key: new() for key in ("ece", "brier", "log_loss")},
            "after": {key: new() for key in ("ece", "brier", "log_loss")},
            "candidates": {"none": 0.4321, "temperature": 0.3456},
            "how": "5 folds",
            "note": "fitted with care",
        },
        "conformal": {
            "level": 0.9,
            "method": "aps",
            "class_conditional": False,
            "parameters": {"quantiles": [0.8] * 3},
            "n": 100,
            "results": {
                "n": 100,
                **{key: new() for key in ("coverage", "size", "single", "single_right")},
                "per_class": {name: {"n": 30, "coverage": new()} for name in classes},
            },
        },
        "decision": {
            "abnormal": list(classes[1:]),
            "wanted": {"sensitivity": 0.97, "specificity": 0.9},
            "threshold": 0.2345,
            "refer": [0.2345, 0.6789],
            "results": {
                "n": 100,
                "abnormal": 52,
                **{key: new() for key in ("sensitivity", "specificity", "ppv", "npv")},
                "triage": {key: new() for key in triage.split()},
            },
        },
    }


Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return what writes a bundle that has everything but a network that could run."""

    def make(
        classes: tuple[str, ...] = CLASSES,
        *,
        protocol: str = "honest",
        leaks: list[str] | None = None,
        data: str = "smears",
    ) -> Path:
        folder = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
        card = Card("tiny", (9, 9), (0.5,) * 3, (0.25,) * 3, licence="CC0", source="drawn")
        bundle = BundleCard(
            classes,
            "tiny",
            card,
            ModelConfig(),
            PixelsConfig(),
            (48, 64),
            (8,),
            provenance={
                "recipe": "frozen",
                "protocol": protocol,
                "data": data,
                "images": 130,
                "fold": 0,
                "trained_on": 110,
                "validated_on": 0,
                "tested_on": 20,
                "weights": {"identity": "abc", "file": "tiny.safetensors", "note": ""},
                "seed": 7,
                "settings": SETTINGS,
                "class_weights": dict.fromkeys(classes, 1.25),
                "parts": {
                    part: {"images": n, "copies": n // 10, "units": n // 5}
                    | {"classes": dict.fromkeys(classes, n // 3)}
                    for part, n in (("train", 110), ("validation", 0), ("test", 20))
                },
                "libraries": {"python": "3.11.9", "torch": "2.15.0", "openvino": None},
                "cytolens": "0.1.0",
                "notes": [],
            },
            metrics=_metrics(classes, protocol, leaks or []),
        )
        save_bundle(folder, bundle, {"net.x": np.zeros(3, np.float32)})
        draw = rng(0, "features")
        features = draw.normal(size=(90, 8))
        ood = fit_ood(features[:50], range(50), features[50:], acceptance=0.95, seed=0)
        write_tensors(folder / REFERENCE, ood.tensors)
        images = draw.integers(0, 255, (30, 40, 50, 3), dtype=np.uint8)
        seen = {"ood": to_dict(ood.card), "checks": to_dict(fit_checks(images))}
        amend_bundle(folder, REFERENCE, **_doubt(classes), **seen)
        return folder

    return make


def _content(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "bundle.json").read_text())
    return content


def _edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    content = _content(folder)
    change(content)
    (folder / "bundle.json").write_text(json.dumps(content))
    return folder


def _numbers(content: Any) -> Iterator[float]:
    if isinstance(content, dict | list):
        for inner in content.values() if isinstance(content, dict) else content:
            yield from _numbers(inner)
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield float(content)


def _scores(content: Any) -> Iterator[dict[str, float]]:
    if isinstance(content, dict):
        if set(content) == {"value", "low", "high"}:
            yield content
        for inner in content.values():
            yield from _scores(inner)


def _texts(section: Section) -> str:
    """Return all that a section says."""
    said: list[str] = []
    for block in section.blocks:
        match block:
            case Text(text, _):
                said.append(text)
            case Points(items):
                said += items
            case Table(head, rows, _, caption):
                said += [caption, *head, *(cell for row in rows for cell in row)]
    return "\n".join(said)


def test_every_number_is_one_of_the_bundle(make: Make) -> None:
    folder = make()
    content, text = _content(folder), model_card(folder).to_markdown()
    known = {f"{number:.3f}".replace("-", "−") for number in _numbers(content)}
    shown = set(re.findall(r"(?<![\w.])−?\d+\.\d{3}(?!\d)", text))
    assert len(shown) > 150 and shown - known == set()
    asked = {f"{100 * level:g}" for level in (0.95, 0.97, 0.9)}
    assert set(re.findall(r"(\d[\d.]*) %", text)) == asked


def test_every_score_of_the_bundle_is_shown(make: Make) -> None:
    folder = make()
    content, text = _content(folder), model_card(folder).to_markdown()
    for row in content["metrics"]["per_class"].values():
        del row["average_precision"]  # the one that has no column
    found = list(_scores(content))
    assert len(found) > 60
    assert [one for one in found if score(one) not in text] == []
    assert "| Accuracy | " + score(content["metrics"]["accuracy"]) + " |\n" in text
    after = content["calibration"]["after"]["ece"]
    before = content["calibration"]["before"]["ece"]
    assert f"| Expected calibration error | {score(before)} | {score(after)} |\n" in text


def test_what_is_told_in_words(make: Make) -> None:
    card = model_card(make())
    assert card.title == "tiny on smears, version 1.0.0" and card.stamp == ""
    use = _texts(card.section("use"))
    assert "a finding of a machine" in use and "not a medical device" in use
    assert "The set of classes (level 90 %) holds both normal and abnormal classes." in use
    assert "at least 0.234 and below 0.679." in use  # half to even: 0.2345 is a bit less
    data = _texts(card.section("data"))
    assert "130" in data and "23 groups: the groups of the data" in data
    assert "site_0 (61 images) and site_1 (39 images)" in data
    assert "To be filled by the authors: how, where and when the images were taken" in data
    protocol = _texts(card.section("protocol"))
    assert "trained on 110 images, with 0 for validation and 20 for the test" in protocol
    assert "95 % bootstrap intervals over 23 groups, with 500 samples" in protocol
    assert "the models of the other folds stand for this one" in protocol
    origin = _texts(card.section("provenance"))
    assert "Weight card: licence\nCC0\n" in origin and "Recipe\nfrozen\n" in origin
    assert "sensitivity of 97 % and a specificity of 90 %" in _texts(card.section("decisions"))


def test_scores_of_a_single_holdout_are_those_of_this_model(make: Make) -> None:
    folder = _edit(make(), lambda c: c["provenance"].update(tested_on=100))
    card = model_card(folder)
    assert "those of this model on the test images" in _texts(card.section("protocol"))
    assert "Scores of\nthis model\n" in _texts(card.section("provenance"))


def test_the_training_is_told_from_the_recipe(make: Make) -> None:
    card = model_card(make())
    text = _texts(card.section("training"))
    for line in (
        "Regime\ncost_sensitive\n", "Epochs, at most\n40\n", "Images a step\n16\n",
        "Learning rate of the head\n0.001, cosine over the epochs\n",
        "Augmentation\nrotation 15.0 and horizontal_flip\n", "Seed of all that is drawn\n7\n",
        "NILM 1.25, LSIL 1.25 and HSIL 1.25", "split\ntest_values\n20x and 40x\n",
        "data\nlabel_map\nnormal = NILM\n", "data\none_label_a_group\nfalse",
    ):  # fmt: skip
        assert line in text, line
    parts = card.section("data").blocks[2]
    assert isinstance(parts, Table) and parts.head == ("Class", "Training", "Validation", "Test")
    assert parts.rows[0] == ("NILM", "36", "0", "6")
    assert parts.rows[3:] == (
        ("All", "110", "0", "20"),
        ("Augmented copies among them", "11", "0", "2"),
        ("Independent units", "22", "0", "4"),
    )
    origin = _texts(card.section("provenance"))
    assert "torch\n2.15.0" in origin and "openvino\nnot installed" in origin


def test_augmentation_that_is_not_used_is_none(make: Make) -> None:
    folder = _edit(make(), lambda c: c["provenance"]["settings"]["training"].update(views=0))
    assert "Augmentation\nnone\n" in _texts(model_card(folder).section("training"))
    folder = _edit(make(), lambda c: c["provenance"].update(class_weights=None))
    assert "none: all images count alike" in _texts(model_card(folder).section("training"))


def test_a_bundle_of_before_says_what_it_lacks(make: Make) -> None:
    def older(content: dict[str, Any]) -> None:
        for name in ("settings", "parts", "libraries", "seed", "class_weights"):
            del content["provenance"][name]

    card = model_card(_edit(make(), older))
    assert "Missing: the bundle does not hold how it was" in _texts(card.section("training"))
    assert "How many images each part of the split has is not" in _texts(card.section("data"))
    assert "(environment.json), not in the bundle" in _texts(card.section("provenance"))
    text = _texts(card.section("checklists"))
    assert "The bundle lacks provenance.libraries. To be filled by the authors." in text


def test_the_most_confused_pairs_are_counted(make: Make) -> None:
    section = model_card(make()).section("failures")
    assert "22 of 100 test predictions are wrong." in _texts(section)
    pairs = next(block for block in section.blocks if isinstance(block, Table))
    assert pairs.rows == (
        ("LSIL", "NILM", "9", "41"),
        ("NILM", "LSIL", "7", "48"),
        ("HSIL", "LSIL", "3", "11"),
        ("LSIL", "HSIL", "2", "41"),
        ("NILM", "HSIL", "1", "48"),
    )


def test_the_weakest_class_and_site_are_named(make: Make) -> None:
    folder = make()
    metrics = _content(folder)["metrics"]
    text = _texts(model_card(folder).section("failures"))
    per_class, sites = metrics["per_class"], metrics["subgroups"]["dataset"]
    worst = min(per_class, key=lambda name: per_class[name]["recall"]["value"])
    site = min(sites, key=lambda name: sites[name]["accuracy"]["value"])
    recall = score(per_class[worst]["recall"])
    assert f"missed most often is {worst}, with a recall of {recall}." in text
    assert f"lowest accuracy: {site}, {score(sites[site]['accuracy'])}." in text


def test_repeats_and_no_mistakes(make: Make) -> None:
    def perfect(content: dict[str, Any]) -> None:
        content["metrics"]["confusion"] = [[96, 0, 0], [0, 82, 0], [0, 0, 22]]
        for row in content["metrics"]["per_class"].values():
            row["recall"] = {"value": 1.0, "low": 1.0, "high": 1.0}

    text = _texts(model_card(_edit(make(), perfect)).section("failures"))
    assert text.startswith("0 of 200 test predictions are wrong. The 100 images were predicted")
    assert "confused most" not in text and "missed most often" not in text


def test_a_run_that_leaks_is_stamped_at_every_score(make: Make) -> None:
    leaks = ["augmented before the split", "the test part chose the epoch"]
    card = model_card(make(protocol="published", leaks=leaks))
    text = card.to_markdown()
    stamp = text.splitlines()[2]
    assert stamp.startswith("**LEAKS. ") and stamp.endswith("**") and "; ".join(leaks) in stamp
    for name in ("results", "subgroups", "calibration", "sets", "decisions", "failures"):
        assert card.section(name).blocks[0] == Text("LEAKS: see the protocol.", strong=True)
    assert "- augmented before the split\n- the test part chose the epoch\n" in text
    assert "<strong>LEAKS. " in card.to_html()
    assert "Honest: " not in text


def test_a_published_protocol_without_leaks_is_stamped(make: Make) -> None:
    card = model_card(make(protocol="published"))
    assert card.stamp.startswith("PUBLISHED PROTOCOL. ")
    assert card.section("results").blocks[0] == Text(
        "PUBLISHED PROTOCOL: see the protocol.", strong=True
    )
    assert "LEAKS" not in card.to_markdown()


class _Page(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_self_contained_and_escapes_what_the_bundle_says(make: Make) -> None:
    html = model_card(make((EVIL, *CLASSES[1:]), data=EVIL)).to_html()
    page = _Page()
    page.feed(html)
    page.close()
    assert EVIL in page.text, "shown as it is"
    assert not {"script", "link", "img", "iframe", "object", "b"} & set(page.tags)
    assert {value for name, value in page.attributes if name == "href"} == {
        f"#{value}" for name, value in page.attributes if name == "id"
    }
    assert not [name for name, _ in page.attributes if name == "src" or name.startswith("on")]
    assert page.tags.count("h1") == 1 and "default-src 'none'" in html
    assert not re.search(r"url\(|@import", html)


def test_markdown_escapes_what_the_bundle_says(make: Make) -> None:
    plain = model_card(make()).to_markdown()
    text = model_card(make((EVIL, *CLASSES[1:]), data=EVIL)).to_markdown()
    assert "<" not in text and r"\*\*b\*\*" in text and r"\[x\](http://x)" in text

    def shape(card: str) -> list[int]:
        return [len(re.findall(r"(?<!\\)\|", line)) for line in card.splitlines()]

    assert shape(text) == shape(plain), "no cell and no line more"
    assert [line for line in text.splitlines() if line.startswith("# ")] == [text.splitlines()[0]]


def test_a_bundle_of_few_images_says_what_it_lacks_and_why(tiny_run: Path) -> None:
    card = model_card(tiny_run)
    why = "Why: Nothing was fitted: there are 36 images, fewer than 50."
    for name in ("calibration", "sets", "decisions"):
        text = _texts(card.section(name))
        assert text.startswith("Missing: ") and why in text
    images = _texts(card.section("recognition"))
    assert "Missing: the bundle cannot tell images unlike those of training." in images
    assert "Missing: image checks" in images
    assert "Why: 12 training images are too few" in images
    assert "It never refers a case to an expert" in _texts(card.section("use"))
    text = card.to_markdown()
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    assert score(metrics["accuracy"]) in text and score(metrics["macro_f1"]) in text
    assert "| HSIL | 9 | 0.000 (0.000–0.000) | – |" in text, "an undefined precision is a dash"


def test_a_run_writes_its_card_and_the_bundle_vouches_for_it(
    tiny_run: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_run / "bundle", tmp_path / "bundle"))
    card, before = read_bundle_card(folder), bundle_id(folder)
    assert set(MODEL_CARD) < set(card.files)
    texts = [(folder / name).read_text(encoding="utf-8") for name in MODEL_CARD]
    assert not any(card.files[name] in text for name in MODEL_CARD for text in texts)
    assert card.files["model.safetensors"] in texts[0]
    assert write_model_card(folder) == [folder / name for name in MODEL_CARD]
    assert [(folder / name).read_text(encoding="utf-8") for name in MODEL_CARD] == texts
    assert bundle_id(folder) == before
    check_files(folder, read_bundle_card(folder))
    with (folder / MODEL_CARD[0]).open("a") as file:
        file.write("accuracy 1.000\n")
    with pytest.raises(InputError, match="MODEL_CARD.md is not the file that bundle.json describe"):
        model_card(folder)


def test_a_card_elsewhere_leaves_the_bundle_alone(make: Make, tmp_path: Path) -> None:
    folder = make()
    before = bundle_id(folder)
    paths = write_model_card(folder, tmp_path / "new" / "place")
    assert [path.name for path in paths] == list(MODEL_CARD) and all(p.is_file() for p in paths)
    assert bundle_id(folder) == before and not (folder / MODEL_CARD[0]).exists()


@pytest.mark.parametrize(("name", "items", "numbers"), [("tripod_ai", 52, 27), ("claim", 44, 44)])
def test_checklists_are_whole(name: str, items: int, numbers: int) -> None:
    checklist = load_checklist(name)
    ids = [item.id for item in checklist.items]
    assert len(set(ids)) == len(ids) == items
    assert {int(re.sub(r"\D", "", one)) for one in ids} == set(range(1, numbers + 1))
    for item in checklist.items:
        assert item.asks and bool(item.keys) == bool(item.section), item.id
        assert item.keys or not item.author, item.id


def test_a_full_bundle_answers_every_item_that_a_bundle_can(make: Make) -> None:
    folder = make()
    card, content = model_card(folder), _content(folder)
    text = _texts(card.section("checklists"))
    for name in NAMES:
        checklist = load_checklist(name)
        states = [item.state(content) for item in checklist.items]
        assert states.count("open") == sum(not item.keys for item in checklist.items), name
        whole, part = states.count("answered"), states.count("in part")
        assert f"{whole} of {len(states)} items answered, {part} more in part." in text
        assert all(card.section(item.section) for item in checklist.items if item.keys)
    assert "The bundle lacks" not in text and text.count("To be filled by the authors") > 50


def test_a_gap_names_what_the_bundle_lacks(make: Make) -> None:
    text = _texts(model_card(_edit(make(), lambda c: c.pop("decision"))).section("checklists"))
    lacking = "decision.results.sensitivity and decision.results.specificity"
    assert f"The bundle lacks {lacking}. To be filled by the authors." in text


def test_a_bundle_without_scores(make: Make) -> None:
    card = model_card(_edit(make(), lambda c: c.update(metrics={}, provenance={})))
    assert card.section("results").blocks == (Text("The bundle holds no scores.", strong=True),)
    assert "The bundle holds no confusion matrix." in _texts(card.section("failures"))
    assert "does not say how its data were divided" in _texts(card.section("protocol"))
    assert card.title == "tiny, version 1.0.0"
    assert "Data set\nnot in the bundle\n" in _texts(card.section("data"))
    assert card.to_html() and card.to_markdown()


@pytest.mark.parametrize(
    "metrics",
    [
        {"confusion": [[1, 2], [3]], "per_class": 3, "leaks": "all", "interval": None},
        {"accuracy": {"value": None, "low": None, "high": None}, "subgroups": {"dataset": []}},
        {"accuracy": 0.5, "confusion": [["a"] * 3] * 3, "cost": [1], "n": "many"},
    ],
)
def test_scores_of_another_shape_are_dashes(make: Make, metrics: dict[str, Any]) -> None:
    card = model_card(_edit(make(), lambda c: c.update(metrics=metrics)))
    assert "no confusion matrix" in _texts(card.section("failures"))
    if "accuracy" in metrics:
        assert "Accuracy\n–" in _texts(card.section("results"))
    assert card.to_html() and card.stamp == ""


def test_what_is_no_bundle_is_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no bundle at"):
        model_card(tmp_path)
    with pytest.raises(InputError, match="has the bundle format 1"):
        model_card(_edit(make(), lambda c: c.update(format=1)))
    with pytest.raises(InputError, match="The decision part cannot be read"):
        model_card(_edit(make(), lambda c: c["decision"].pop("threshold")))
    folder = make()
    (folder / REFERENCE).unlink()
    with pytest.raises(InputError, match=f"lacks {REFERENCE}"):
        model_card(folder)


def test_it_needs_no_torch(make: Make) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from cytolens.bundle.model_card import model_card\n"
        "card = model_card(sys.argv[1]); assert card.to_markdown() and card.to_html()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(make())], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
