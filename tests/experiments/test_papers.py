"""The papers as data: every recipe against the paper's settings, written here once more by hand."""

from __future__ import annotations

from typing import Any

import pytest

from cytolens.core.config import from_dict
from cytolens.core.errors import InputError
from cytolens.experiments.harmonise import harmonisations
from cytolens.experiments.papers.cells import Cell, cells, merged, shipped_cells, slug
from cytolens.experiments.papers.paper import (
    PROTOCOLS,
    load_paper,
    load_published,
    paper_names,
)
from cytolens.experiments.recipe import Recipe, load_recipe
from cytolens.models.backbones import PAPER_BACKBONES
from cytolens.models.freezing import KERAS_CONVOLUTIONS

PAPERS = ("abualhaija2020", "contrastive2023", "murtoza", "prasuna2023", "wong2023")


def build(cell: Cell) -> Recipe:
    return from_dict(Recipe, cell.content, cell.full_name)


def recipe(paper: str, name: str, protocol: str = "published") -> Recipe:
    found = [c for c in cells(load_paper(paper), protocol) if c.name == name]  # type: ignore[arg-type]
    assert len(found) == 1, name
    return build(found[0])


def all_cells() -> list[Cell]:
    return [
        cell
        for name in paper_names()
        for protocol in PROTOCOLS
        for quick in (False, True)
        for cell in cells(load_paper(name), protocol, quick=quick)
    ]


def test_the_five_papers_ship() -> None:
    assert paper_names() == PAPERS
    with pytest.raises(InputError) as caught:
        load_paper("wong2032")
    assert str(caught.value) == (
        "There is no paper 'wong2032' (did you mean 'wong2023'?).\n"
        f"Expected: one of {', '.join(PAPERS)}"
    )


def test_every_cell_of_every_paper_is_a_valid_recipe() -> None:
    found = all_cells()
    for cell in found:
        made = build(cell)
        assert made.name == cell.full_name and made.protocol == cell.protocol
        assert made.about.endswith(".")
        assert (made.split.unit, made.protocol) in (("image", "published"), ("auto", "honest"))
    for name in PAPERS:
        names = [c.name for c in cells(load_paper(name), "honest")]
        assert len(set(names)) == len(names)
    assert len(found) > 150


@pytest.mark.parametrize("name", PAPERS)
def test_a_paper_is_whole(name: str) -> None:
    paper, printed = load_paper(name), load_published(name)
    assert paper.name == name
    assert sum(model.lead for model in paper.model) == 1
    assert {model.name for model in paper.model} <= set(PAPER_BACKBONES)
    for text in (*paper.system, *paper.published_protocol, *paper.departures):
        assert text.rstrip('")').endswith("."), text
    assert all(one in harmonisations() for one in paper.needs.harmonise)
    regimes = {r.name for r in paper.regime}
    assert all(set(fusion.regimes) <= regimes for fusion in paper.fusion)
    own = {model.name for model in paper.model}
    named = [row for row in printed.row if row.model in own]
    assert named and all(row.regime in regimes for row in named)
    for row in printed.row:
        assert 0.5 < row.accuracy < 1
        assert not row.per_class or set(row.per_class) == set(paper.needs.classes)


def test_wong2023() -> None:
    for name in ("resnet50v2-frozen", "resnet101v2-frozen"):
        one, honest = recipe("wong2023", name), recipe("wong2023", name, "honest")
        assert one.model.freeze == "all" and one.model.pool == "none"
        assert one.model.head == "wong2023" and one.model.output == "softmax"
        training = one.training
        assert (training.optimizer, training.lr, training.batch) == ("adam", 1e-4, 256)
        assert (training.epochs, training.patience) == (50, 12)
        assert training.monitor == "validation_accuracy" and training.views == 0
        augment = one.augment
        assert (augment.rotation, augment.shear, augment.zoom) == (45, 0.2, 0.2)
        assert (augment.width_shift, augment.height_shift) == (0.2, 0.2)
        assert augment.horizontal_flip and not augment.vertical_flip
        assert (augment.fill, augment.semantics) == ("reflect", "keras")
        targets = {"NILM": 648, "LSIL": 565, "HSIL": 613, "SCC": 550}
        assert one.expand.targets == honest.expand.targets == targets
        assert (one.expand.when, honest.expand.when) == ("before_split", "train")
        assert (one.split.kind, one.split.test) == ("holdout", 0.1)
        assert (honest.split.kind, honest.split.folds) == ("kfold", 5)
        assert honest.training == training and honest.model == one.model


def test_the_printed_tables_of_wong2023_add_up() -> None:
    printed, paper = load_published("wong2023"), load_paper("wong2023")
    growth = {row[0]: [int(x.replace(",", "")) for x in row[2:]] for row in printed.table[0].rows}
    before = {"NILM": 613, "LSIL": 163, "HSIL": 113, "SCC": 74}
    assert {name: growth[name][0] for name in before} == paper.counts == before
    assert all(a + b == c for a, b, c in growth.values())
    assert growth[""] == [963, 1413, 2376]
    targets = paper.recipe["expand"]["targets"]
    assert {name: growth[name][2] for name in before} == targets
    for network, correct in (("ResNet50V2*", 232), ("ResNet101V2*", 228)):
        rows = [list(map(int, row[2:])) for row in printed.table[1].rows if row[0] == network]
        assert all(a + b == c for a, b, c in rows)
        assert sum(c for _, _, c in rows) == 240 and sum(a for a, _, _ in rows) == correct
        given = printed.accuracy(network.rstrip("*"), "frozen")
        assert given == round(correct / 240, 2)
        recalls = printed.row[network == "ResNet101V2*"].per_class
        names = ("NILM", "LSIL", "HSIL", "SCC")
        for name, (right, _, total) in zip(names, rows, strict=True):
            assert recalls[name]["recall"] == pytest.approx(right / total, abs=0.0051)
    assert [round(row.accuracy, 2) for row in printed.comparison][2:] == [
        *(0.89, 0.96, 0.95, 0.94, 0.94, 0.89, 0.82)
    ]


KERAS = {
    "vgg16": ("VGG16", 13, 9, 13),
    "vgg19": ("VGG19", 17, 12, 16),
    "densenet169": ("DenseNet169", 249, 70, 168),
    "mobilenetv2": ("MobileNetV2", 100, 34, 52),
    "resnet50": ("ResNet50", 86, 26, 53),
}
REGIMES: dict[str, tuple[str, dict[str, Any]]] = {
    "finetune": ("finetune", {}),
    "cost_sensitive": ("cost_sensitive", {}),
    "contrastive": ("contrastive", {"loss": "npairs"}),
    "contrastive_ntxent": ("contrastive", {"loss": "ntxent"}),
    "contrastive_triplet": ("contrastive", {"loss": "triplet"}),
    "contrastive_supcon": ("contrastive", {"loss": "supcon"}),
}


@pytest.mark.parametrize("model", KERAS)
@pytest.mark.parametrize("regime", REGIMES)
def test_contrastive2023(model: str, regime: str) -> None:
    name, layers, frozen, convolutions = KERAS[model]
    kind, contrast = REGIMES[regime]
    for protocol in PROTOCOLS:
        one = recipe("contrastive2023", f"{model}-{regime}", protocol)
        assert one.model.backbone == name and one.model.freeze == f"keras:{layers}"
        assert (one.model.head, one.model.dropout, one.model.batch_norm) == ("linear", 0.5, "auto")
        assert one.pixels.size == 110 and one.pixels.fit == "letterbox"
        training = one.training
        assert (training.optimizer, training.lr, training.batch) == ("adam", 1e-3, 32)
        # ours, said among the departures; contrastive.lr stands for it
        assert training.backbone_lr == (1.0 if contrast else 0.1)
        assert (training.epochs, training.views, training.regime) == (50, 7, kind)
        assert one.cost.class_weights == "balanced"
        if contrast:
            assert one.contrastive.loss == contrast["loss"]
            assert (one.contrastive.epochs, one.contrastive.lr) == (50, 1e-4)
            assert one.contrastive.batch == 32
        split = (one.split.kind, one.split.validation)
        assert split == (("holdout" if protocol == "published" else "kfold"), 0.2)
        assert one.split.test == 0.2 and one.split.folds == 5
    assert KERAS_CONVOLUTIONS[(PAPER_BACKBONES[name], layers)] == frozen
    found = next(m for m in load_paper("contrastive2023").model if m.name == name)
    assert found.convolutions_frozen == (frozen, convolutions)


def test_what_contrastive2023_runs_unasked() -> None:
    found = [c for c in cells(load_paper("contrastive2023"), "honest") if not c.optional]
    assert len([c for c in found if c.regime != "baseline"]) == 15


def test_the_printed_tables_of_contrastive2023() -> None:
    printed = load_published("contrastive2023")
    expected = {
        "VGG16": (95.57, 95.94, 97.29),
        "VGG19": (94.21, 94.09, 96.68),
        "DenseNet169": (97.17, 97.29, 93.47),
        "MobileNetV2": (96.55, 95.57, 95.81),
        "ResNet50": (94.58, 94.21, 96.43),
    }
    assert len(printed.row) == 15
    for model, accuracies in expected.items():
        for regime, accuracy in zip(REGIMES, accuracies, strict=False):
            assert printed.accuracy(model, regime) == pytest.approx(accuracy / 100)
    first, last = printed.row[0].per_class, printed.row[-1].per_class
    assert first["Koilocytotic"] == {"precision": 0.93, "recall": 0.88, "f1": 0.90}
    assert last["Superficial-Intermediate"] == {"precision": 0.98, "recall": 0.96, "f1": 0.97}
    # the weights of the text are n / (k n_c) of these counts of the test part
    weights = {row[0]: float(row[1]) for row in printed.table[0].rows}
    counts = {
        "Dyskeratotic": 163,
        "Koilocytotic": 165,
        "Metaplastic": 159,
        "Parabasal": 158,
        "Superficial-Intermediate": 167,
    }
    assert sum(counts.values()) == 812
    for name, count in counts.items():
        assert weights[name] == pytest.approx(812 / (5 * count), rel=1e-12)


def test_murtoza() -> None:
    paper = load_paper("murtoza")
    trained = [m.name for m in paper.model if not m.surveyed]
    assert trained == ["InceptionV3", "ResNet50", "VGG16", "VGG19"]
    surveyed = {m.name for m in paper.model if m.surveyed}
    assert surveyed == {"Xception", "ResNet101", "MobileNet", "DenseNet121", "EfficientNetB0"}
    for protocol in PROTOCOLS:
        raw = recipe("murtoza", "vgg16-raw", protocol)
        segmented = recipe("murtoza", "vgg16-segmented", protocol)
        assert raw.pixels.size == 224 and (raw.split.kind, raw.split.folds) == ("kfold", 5)
        assert [s["name"] for s in raw.pixels.steps] == ["median", "sharpen", "clahe"]
        assert segmented.pixels.steps[0]["name"] == "hsv_segment"
        augment = raw.augment
        assert augment.rotation and augment.zoom and augment.horizontal_flip
        assert raw.training.views == 20 and raw.training.loss == "cross_entropy"
        assert isinstance(raw.model.freeze, float) and 0 < raw.model.freeze < 1
    kinds = {"svm": "svm_rbf", "knn": "knn", "random_forest": "random_forest"}
    for name, kind in {**kinds, "naive_bayes": "naive_bayes"}.items():
        made = recipe("murtoza", name, "honest")
        assert (made.classifier.kind, made.classifier.features) == (kind, "handcrafted")
    scratch = recipe("murtoza", "scratch_cnn", "honest")
    assert (scratch.model.backbone, scratch.model.weights) == ("scratch_cnn", "random")
    assert recipe("murtoza", "lodo", "honest").split.kind == "lodo"
    printed = load_published("murtoza")
    expected = {"InceptionV3": (0.8, 0.9), "ResNet50": (0.87, 0.89)}
    expected |= {"VGG16": (0.94, 0.94), "VGG19": (0.91, 0.94)}
    found = {r.model: (r.accuracy, r.other.get("training_accuracy")) for r in printed.row}
    assert {name: found[name] for name in expected} == expected
    assert found["not named (abstract)"][0] == 0.9828
    rows = printed.table[0].rows
    assert len(rows) == 19 and rows[-1] == ("Total", "1434", "2102", "363"), "as printed"


def test_abualhaija2020() -> None:
    one = recipe("abualhaija2020", "resnet50-finetune")
    assert one.pixels.size == (96, 144), "height, width"
    model, training = one.model, one.training
    assert (model.head, model.width, model.dropout) == ("abualhaija2020", 1024, 0.4)
    assert model.output == "sigmoid"
    assert (training.loss, training.optimizer) == ("mse", "rmsprop")
    assert (training.batch, training.epochs) == (32, 200)
    for protocol in PROTOCOLS:
        split = recipe("abualhaija2020", "resnet50-finetune", protocol).split
        assert (split.kind, split.attribute) == ("attribute", "magnification")
        assert split.test_values == ("40",) and split.validation == 0
    printed = load_published("abualhaija2020")
    assert printed.accuracy("ResNet50", "finetune") == 0.991
    others = [row.accuracy for row in printed.comparison[:-1]]
    assert (min(others), max(others)) == (0.8434, 0.9877)
    table = [list(map(int, row[1:])) for row in printed.table[0].rows]
    assert [a + b for a, b in zip(*table[:2], strict=True)][:4] == [2022, 2081, 2013, 1820]
    assert table[2][0] == 1995, "the paper's total at 40X is not the sum of its column"
    assert table[2][4] == table[0][4] + table[1][4] == 7909


def test_prasuna2023() -> None:
    for protocol in PROTOCOLS:
        one = recipe("prasuna2023", "resnet50v2-frozen", protocol)
        assert one.pixels.size == 224 and one.model.freeze == "all"
        assert (one.model.head, one.model.dropout, one.model.pool) == ("linear", 0.2, "avg")
        assert one.model.output == "sigmoid" and one.training.loss == "binary_cross_entropy"
    printed = load_published("prasuna2023")
    assert printed.row[0].accuracy == pytest.approx(57 / 61, abs=5e-5)
    assert printed.row[0].other["loss"] == 0.1723


def test_a_cell_is_a_recipe_by_name() -> None:
    one = load_recipe("contrastive2023/mobilenetv2-contrastive", ["training.epochs=3"])
    assert one.name == "contrastive2023/mobilenetv2-contrastive" and one.protocol == "honest"
    assert one.training.epochs == 3
    again = load_recipe("contrastive2023/mobilenetv2-contrastive")
    assert again.training.epochs == 50, "a setting changes no other recipe"
    assert len(shipped_cells()) == sum(len(cells(load_paper(n), "honest")) for n in PAPERS)
    with pytest.raises(InputError, match="did you mean 'wong2023/resnet50v2-frozen'"):
        load_recipe("wong2023/resnet50v2")


def test_tables_are_laid_over_each_other() -> None:
    below = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    over = merged(below, {"a": {"c": [3]}}, {"e": {"f": 2}})
    assert over == {"a": {"b": 1, "c": [3]}, "d": 1, "e": {"f": 2}}
    over["a"]["c"].append(4)
    assert below == {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert slug("ResNet 50 (V2)") == "resnet-50-v2"
