"""Reports of cost-sensitive, contrastive and classical runs, and of runs with subgroups."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_kinds import (
    classical,
    contrastive,
    cost_sensitive,
    fused,
    set_recipe,
    with_subgroups,
)
from fake_run import Fake, edit_json, write_fake_run, write_json
from page_check import Page, check_accessible, check_self_contained

from cytolens.core.errors import InputError
from cytolens.report.embedding import Embedding, read_embedding
from cytolens.report.figures import embedding as scatter
from cytolens.report.figures import training as curves
from cytolens.report.run_figures import embedding_plan
from cytolens.report.run_folder import read_run
from cytolens.report.run_report import write_run_report
from cytolens.report.text import interval_text, number
from cytolens.report.views.asked import asked
from cytolens.report.views.costs import cost_text, costs
from cytolens.report.views.epochs import epochs
from cytolens.report.views.learning import learning, pairless
from cytolens.report.views.limits import limits
from cytolens.report.views.method import method
from cytolens.report.views.subgroups import in_order, subgroups


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with small contents: tests copy it and change the copy."""
    return write_fake_run(tmp_path_factory.mktemp("kinds") / "plain", Fake(samples=False))


@pytest.fixture
def run(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "run"))


def checked(run: Path) -> Page:
    page = Page(write_run_report(run))
    check_self_contained(page)
    check_accessible(page)
    return page


def said(run: Path) -> str:
    """Return what the page says, without the text of the recipe."""
    page = Page(write_run_report(run))
    return page.text.replace((run / "recipe.toml").read_text(), "")


# ---- costs ------------------------------------------------------------------------------------


def test_costs_show_both_decisions_with_their_matrices(run: Path) -> None:
    page = checked(cost_sensitive(run, [1.31, None, 1.62]))
    cost = json.loads((run / "metrics.json").read_text())["cost"]
    for decision in (cost["most_probable"], cost["cheapest"]):
        assert number(decision["mean"]["value"]) in page.text
        assert interval_text(decision["mean"]) in page.text
        assert cost_text(decision["total"]) in page.text
    assert interval_text(cost["cheapest"]["accuracy"]) in page.text
    assert {"figure-confusion_beside", "figure-confusion_cheapest"} <= set(page.ids())
    for row in cost["cheapest"]["confusion"]:
        assert all(f">{count}</text>" in page.source for count in row)
    assert "In 2 of 3 folds the probabilities are calibrated" in page.text
    assert "1.31 to 1.62" in page.text
    assert "not calibrated: where the model claims" in " ".join(limits(read_run(run)))


def test_the_words_on_costs_are_counted_from_the_matrices(run: Path) -> None:
    cost_sensitive(run, [1.2, 1.2, 1.2])
    found = costs(read_run(run))
    assert found is not None
    metrics = json.loads((run / "metrics.json").read_text())
    matrix = np.array(metrics["cost"]["matrix"])
    support = np.array(metrics["confusion"]).sum(axis=1)
    always = support @ matrix / support.sum()
    assert f"would cost {number(always.min())} an image" in found.meaning[-1]
    assert "at 12, is to take SCC for NILM" in found.meaning[1]
    before, after = (
        metrics["confusion"][2][0],
        metrics["cost"]["cheapest"]["confusion"][2][0],
    )
    assert (before, after) == (1, 0)
    assert "HSIL taken for NILM (cost 8), happens once" in found.effect[-1]
    assert "and never under the cheapest" in found.effect[-1]
    assert "The probabilities of each fold are calibrated" in found.calibration


def test_without_a_temperature_the_cheapest_decision_is_called_uncalibrated(run: Path) -> None:
    cost_sensitive(run, [None] * 3)
    found = costs(read_run(run))
    assert found is not None and "were not calibrated" in found.calibration


@pytest.mark.parametrize("cheapest", [False, True])
def test_plain_costs_are_left_out_unless_a_cheapest_decision_is_there(
    run: Path, cheapest: bool
) -> None:
    cost_sensitive(run, [None] * 3)
    cost = json.loads((run / "metrics.json").read_text())["cost"]
    cost["matrix"] = (1 - np.eye(4)).tolist()
    cost["cheapest"] = cost["cheapest"] if cheapest else None
    edit_json(run / "metrics.json", cost=cost)
    assert ("What the errors cost" in said(run)) == cheapest


def test_costs_without_a_cheapest_decision_show_one_row(run: Path) -> None:
    cost_sensitive(run, [None] * 3)
    cost = json.loads((run / "metrics.json").read_text())["cost"]
    edit_json(run / "metrics.json", cost=cost | {"cheapest": None})
    page = checked(run)
    assert "What the errors cost" in page.text and "Most probable class" in page.text
    assert "Cheapest class" not in page.text and "calibrated" not in said(run)


def test_a_run_before_costs_and_subgroups_has_neither_section(run: Path) -> None:
    page = checked(run)
    assert not {"costs", "subgroups", "embedding"} & set(page.ids())


@pytest.mark.parametrize(("cost", "text"), [(12.0, "12"), (0.5, "0.50"), (123.45, "123.5")])
def test_costs_have_no_needless_decimals(cost: float, text: str) -> None:
    assert cost_text(cost) == text


# ---- how it was trained -----------------------------------------------------------------------


def test_class_weights_are_the_mean_over_the_folds(run: Path) -> None:
    cost_sensitive(run, [None] * 3)
    found = learning(read_run(run))
    assert found is not None
    assert found.weights[0] == ("NILM", "0.510", "0.500 to 0.520")
    assert "120 were computed, and 240 times" in found.sentences[-1]
    page = checked(run)
    assert "Weights of the classes in the loss, from the training part" in page.text


@pytest.mark.parametrize(("without", "words"), [(0, "0 of them held"), (40, "120 of them (10.0")])
def test_pairless_batches_are_counted_also_when_there_are_none(
    run: Path, without: int, words: str
) -> None:
    contrastive(run, without)
    assert pairless(read_run(run)) == (3 * without, 1200)
    found = learning(read_run(run))
    assert found is not None and words in found.sentences[0]
    named = any("held no pair" in limit for limit in limits(read_run(run)))
    assert named == (without > 0)


def test_both_stages_of_a_contrastive_run_are_drawn_and_listed(run: Path) -> None:
    contrastive(run)
    page = checked(run)
    assert "1. Encoder</text>" in page.source and "2. Classifier on the frozen" in page.source
    assert "Contrastive loss</text>" in page.source
    rows = epochs(read_run(run))
    assert [(r.fold, r.stage, r.epochs) for r in rows[:2]] == [
        ("0", "encoder", 6),
        ("0", "classifier", 10),
    ]
    assert rows[0].kept == "last"


def test_stages_keep_their_own_epochs_and_measures(run: Path) -> None:
    stages = curves.stages(read_run(contrastive(run)).history)
    assert [name for name, _ in stages] == ["encoder", "classifier"]
    (_, encoder), (_, head) = stages
    assert encoder.said("loss") and not encoder.said("accuracy")
    assert head.said("loss") and head.said("accuracy")
    assert encoder.epochs == [1, 2, 3, 4, 5, 6] and len(head.epochs) == 12
    assert len(curves.draw(stages).axes) == 3


# ---- embedding --------------------------------------------------------------------------------


def test_the_embedding_is_drawn_and_its_caption_warns_of_distances(run: Path) -> None:
    page = checked(contrastive(run))
    assert "figure-embedding" in page.ids()
    assert "how far apart distant clusters lie, and how large they are, means little" in page.text
    assert "test part of the first fold" in page.text


def test_every_class_has_a_colour_and_a_marker_of_its_own() -> None:
    classes = [f"class {i}" for i in range(13)]
    figure = scatter.draw(np.arange(26.0).reshape(13, 2), classes, classes)
    looks = {
        (tuple(dots.get_facecolor()[0]), dots.get_paths()[0].vertices.tobytes())  # type: ignore[attr-defined]
        for dots in figure.axes[0].collections
    }
    assert len(looks) == 13


def test_many_dots_become_a_picture_within_the_page(run: Path) -> None:
    contrastive(run)
    many = np.random.default_rng(0).normal(size=(2000, 2))
    labels = [("NILM", "LSIL", "HSIL", "SCC")[i % 4] for i in range(2000)]
    edit_json(run / "embedding.json", labels=labels, xy=many.tolist())
    page = checked(run)
    svg = (run / "figures" / "embedding.svg").read_text()
    assert "<image" in svg and len(svg) < 150_000
    assert "2000 images" in page.text


def test_a_drawn_part_of_the_images_and_another_method_are_told() -> None:
    some = Embedding("test", "PCA", ["a", "b"], np.zeros((2, 2)), 5000)
    caption = embedding_plan(some, ["a", "b"]).caption
    assert "2 of 5000 images" in caption and "PCA" in caption and "means little" not in caption


@pytest.mark.parametrize(
    "content",
    [
        {"labels": ["NILM"], "xy": [[0, 0], [1, 1]]},
        {"labels": ["NILM"], "xy": [[0, float("inf")]]},
        {"xy": []},
        {"labels": [9], "xy": [[0, 0]]},
        [],
    ],
)
def test_a_damaged_embedding_is_an_error_with_a_name(tmp_path: Path, content: object) -> None:
    (tmp_path / "embedding.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"embedding\.json is not an embedding"):
        read_embedding(tmp_path, ["NILM", "SCC"])


def test_labels_may_be_numbers(tmp_path: Path) -> None:
    write_json(tmp_path / "embedding.json", {"labels": [1, 0], "xy": [[0, 0], [1, 2]]})
    found = read_embedding(tmp_path, ["NILM", "SCC"])
    assert found is not None and found.labels == ["SCC", "NILM"] and found.images == 2


# ---- classical --------------------------------------------------------------------------------


def test_a_classical_run_says_what_was_fitted_and_nothing_of_a_network(run: Path) -> None:
    page = checked(classical(run))
    assert "figure-training_curves" not in page.ids()
    assert "What was fitted" in page.text and '"svm_rbf" was fitted' in page.text
    assert "Features: glcm, lbp, colour, shape." in page.text
    assert "in at most 3 images of a fold there is no nucleus" in page.text
    assert "by a temperature fitted within its training part: 0.40" in page.text
    text = said(run)
    assert "What the network saw" not in text and "backbone" not in text
    assert "same weights" not in page.text and "bundle" not in page.text
    tables = [section.name for section in asked(read_run(run)).sections]
    assert "classifier" in tables and not {"model", "training"} & set(tables)
    assert any("cannot use it on new images" in limit for limit in limits(read_run(run)))


def test_deep_features_keep_the_backbone_in_the_words(run: Path) -> None:
    set_recipe(run, model={"weights": "imagenet"})
    classical(run, "knn", "deep")
    [words] = method(read_run(run))
    assert "frozen backbone (mobilenetv2_100, ImageNet weights)" in words


def test_the_majority_class_looks_at_nothing(run: Path) -> None:
    classical(run, "majority", "none")
    assert "No image is looked at" in method(read_run(run))[0]
    assert "labels of the training part alone" in said(run)


def test_an_ensemble_has_no_model_of_its_own(run: Path) -> None:
    cost_sensitive(run, [None] * 3)
    (run / "folds.json").unlink()
    page = checked(fused(run))
    assert "test predictions of 2 runs (first, second)" in page.text
    assert "The same runs give the same ensemble." in page.text
    assert "its members may have been" in page.text
    assert "needs all of its members" in " ".join(limits(read_run(run)))
    assert "training" not in page.ids()


def test_a_validation_that_was_the_test_part_is_called_so(run: Path) -> None:
    assert "stood in for the validation part" not in said(run)
    set_recipe(run, training={"choose_on": "test"})
    assert "stood in for the validation part" in said(run)


# ---- the recipe in words ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"training": {"regime": "finetune", "loss": "mse"}}, "The loss is the mean squared error"),
        ({"training": {"regime": "contrastive", "loss": "cross_entropy"},
          "contrastive": {"loss": "supcon", "epochs": 7}}, "(SupCon) for 7 epochs"),
        ({"training": {"regime": "cost_sensitive", "loss": "cross_entropy"},
          "cost": {"class_weights": "none", "matrix": "binary", "loss_weight": 2.0}},
         "cross-entropy; the expected cost of the answer is added to it, 2 times"),
        ({"training": {"choose_on": "test"}}, "chosen by the test part itself"),
        ({"cost": {"decision": "cheapest"}}, "the class of least expected cost"),
        ({"model": {"freeze": "none", "weights": "random"}},
         "random weights, is trained with the head"),
        ({"model": {"freeze": 0.5}}, "is frozen up to a boundary (0.5)"),
    ],
)  # fmt: skip
def test_the_recipe_is_told_in_words(
    run: Path, tables: dict[str, dict[str, object]], words: str
) -> None:
    set_recipe(run, **tables)
    assert words in " ".join(method(read_run(run)))


def test_settings_without_effect_are_left_to_the_full_recipe(run: Path) -> None:
    set_recipe(
        run,
        classifier={"kind": "none", "features": "deep"},
        contrastive={"loss": "npairs"},
        cost={
            "class_weights": "balanced",
            "matrix": {"NILM": {"SCC": 5.0}},
            "loss_weight": 1.0,
            "decision": "most_probable",
        },
    )
    found = asked(read_run(run))
    tables = {section.name: section.settings for section in found.sections}
    assert not {"classifier", "contrastive"} & set(tables)
    assert set(tables["cost"]) == {("matrix", "as a table"), ("decision", "most_probable")}
    assert "[contrastive]" in found.toml


# ---- subgroups --------------------------------------------------------------------------------


def test_subgroups_have_a_table_and_a_figure_a_column(run: Path) -> None:
    page = checked(with_subgroups(run, lodo=True))
    assert {"figure-subgroups_dataset", "figure-subgroups_magnification"} <= set(page.ids())
    scores = json.loads((run / "metrics.json").read_text())["subgroups"]
    for values in scores.values():
        for name, row in values.items():
            assert name in page.text
            assert number(row["accuracy"]["value"]) in page.text
            assert interval_text(row["accuracy"]) in page.text
    assert "By data set" in page.text and "By magnification" in page.text
    assert "nothing of the data set that it stands in" in page.text
    assert "0: Hospital A" in page.text


@pytest.mark.parametrize(
    ("lodo", "words"), [(True, "trained without a single image"), (False, "stood in the training")]
)
def test_it_says_whether_a_data_set_was_met_in_training(run: Path, lodo: bool, words: str) -> None:
    found = subgroups(read_run(with_subgroups(run, lodo=lodo)))
    by = {part.title: part.sentences for part in found}
    assert words in by["By data set"][0]
    assert "stood in the training too" in by["By magnification"][0]


def test_magnifications_stand_in_the_order_of_their_numbers() -> None:
    assert in_order({"100X": 0, "40X": 0, "b": 0, "a": 0}) == ["40X", "100X", "a", "b"]


def test_an_auc_of_one_class_is_a_dash_with_a_reason(run: Path) -> None:
    with_subgroups(run, lodo=True)
    scores = json.loads((run / "metrics.json").read_text())["subgroups"]
    scores["dataset"]["Hospital A"]["auc"] = {"value": None, "low": None, "high": None}
    scores["dataset"]["Hospital A"]["n"] = 7
    edit_json(run / "metrics.json", subgroups=scores)
    page = checked(run)
    assert "The AUC is undefined where images of one class alone" in page.text
    assert "Few images by data set or magnification: Hospital A (7)" in page.text


def test_facts_that_are_no_list_are_an_error_with_a_name(run: Path) -> None:
    write_json(run / "folds.json", {"fold": 0})
    with pytest.raises(InputError, match="is not the facts of the folds"):
        write_run_report(run)
