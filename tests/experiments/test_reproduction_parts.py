"""What a study is made of before anything runs: data that suit, networks at hand, the plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cytolens.core.errors import InputError
from cytolens.data.manifest import Manifest, Row
from cytolens.experiments.papers.paper import load_paper
from cytolens.experiments.reproduction.networks import choose_networks, say_networks
from cytolens.experiments.reproduction.planning import Planned, Wishes, plan
from cytolens.experiments.reproduction.suiting import Suited, suit

LBC = {"NILM": 613, "LSIL": 163, "HSIL": 113, "SCC": 74}


def table(counts: dict[str, int], **columns: Callable[[int], Any]) -> Manifest:
    """Return a manifest of so many images a class; each column is made from the row number."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    rows = [
        Row(f"{i}.png", Path(f"{i}.png"), label, **{k: make(i) for k, make in columns.items()})
        for i, label in enumerate(labels)
    ]
    return Manifest(tuple(rows), "mine")


def grouped(counts: dict[str, int], **columns: Callable[[int], Any]) -> Manifest:
    return table(counts, group=lambda i: f"p{i % 20}", **columns)


def test_the_papers_own_data_need_no_substitution() -> None:
    found = suit(load_paper("wong2023"), grouped(LBC))
    assert found.substitutions == ()
    assert found.manifest.classes == ("NILM", "LSIL", "HSIL", "SCC")
    assert found.targets == {"NILM": 648, "LSIL": 565, "HSIL": 613, "SCC": 550}


def test_fewer_groups_than_folds_are_held_out_one_by_one() -> None:
    breast = table({"benign": 60, "malignant": 60}, group=lambda i: f"region {i % 3}")
    found = suit(load_paper("prasuna2023"), breast)
    assert found.honest == {"split": {"folds": 3, "validation": 0.0}}
    assert found.substitutions[-1] == (
        "mine has 3 groups: the honest protocol holds one out at a time, in 3 folds instead of 5, "
        "and without a validation part."
    )
    cells = plan(
        load_paper("prasuna2023"),
        found,
        choose_networks(load_paper("prasuna2023"), weights="random"),
        Wishes(("published", "honest")),
    )
    recipes = {one.cell.protocol: one.recipe for one in cells if one.recipe}
    assert (recipes["honest"].split.folds, recipes["honest"].split.validation) == (3, 0.0)
    assert recipes["published"].split.validation == 0.15


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("split.folds=2",), "the honest protocol has no validation part."),
        (
            ("split.validation=0.34",),
            "the honest protocol holds one out at a time, in 3 folds instead of 5.",
        ),
        (("split.kind=holdout", "split.validation=0.34"), None),
        (("split.folds=2", "split.validation=0.34"), None),
    ],
)
def test_what_is_said_of_few_groups_is_true_of_the_runs(
    settings: tuple[str, ...], said: str | None
) -> None:
    paper = load_paper("prasuna2023")
    breast = table({"benign": 60, "malignant": 60}, group=lambda i: f"region {i % 3}")
    found = suit(paper, breast, settings)
    told = [text for text in found.substitutions if "mine has 3 groups" in text]
    assert told == ([f"mine has 3 groups: {said}"] if said else [])
    networks = choose_networks(paper, weights="random")
    for one in plan(paper, found, networks, Wishes(("honest",), settings=settings)):
        if one.recipe:
            folds = 2 if "split.folds=2" in settings else 3
            validation = 0.34 if "split.validation=0.34" in settings else 0.0
            assert (one.recipe.split.folds, one.recipe.split.validation) == (folds, validation)


def test_a_rate_of_the_backbone_is_not_for_contrastive_cells() -> None:
    paper, counts = load_paper("contrastive2023"), {"a": 60, "b": 60}
    wishes = Wishes(("honest",), settings=("training.backbone_lr=0.3",))
    networks = choose_networks(paper, weights="random")
    rates = {
        one.cell.regime: one.recipe.training.backbone_lr if one.recipe else None
        for one in plan(paper, suit(paper, table(counts)), networks, wishes)
    }
    del rates["baseline"]
    assert rates == {"finetune": 0.3, "cost_sensitive": 0.3, "contrastive": 1.0}


def test_herlev_by_bethesda_grows_by_the_same_ratios() -> None:
    herlev = {"normal_superficiel": 74, "light_dysplastic": 182, "carcinoma_in_situ": 150}
    found = suit(load_paper("wong2023"), grouped(herlev))
    assert found.content["data"] == {"harmonise": "bethesda"}
    assert found.manifest.counts() == {"NILM": 74, "LSIL": 182, "HSIL": 150}
    assert found.targets == {
        "NILM": round(74 * 648 / 613),
        "LSIL": round(182 * 565 / 163),
        "HSIL": round(150 * 613 / 113),
    }
    first, second, third = found.substitutions
    assert first.startswith("The 3 labels of mine become 3 classes by the harmonisation 'bethesda'")
    assert second == "mine has no image of SCC: 3 classes are learned."
    assert third.startswith("The classes grow by the paper's ratios (NILM 1.06, LSIL 3.47")


def test_a_harmonisation_of_ones_own_choice() -> None:
    herlev = {"normal_superficiel": 74, "light_dysplastic": 82, "carcinoma_in_situ": 50}
    found = suit(load_paper("wong2023"), grouped(herlev), ["data.harmonise=bethesda_four"])
    assert found.manifest.classes == ("NILM", "LSIL", "SCC")
    assert found.substitutions[0].startswith("The labels are those of the settings")


def test_other_classes_grow_together() -> None:
    found = suit(load_paper("wong2023"), grouped({"a": 90, "b": 10}))
    growth = 2376 / 963
    assert found.targets == {"a": round(50 * growth), "b": round(50 * growth)}
    assert "The classes are those of mine (a, b), not the paper's" in found.substitutions[0]
    kept = suit(load_paper("wong2023"), grouped({"a": 190, "b": 10})).targets
    assert kept["a"] == round(100 * growth)


def test_without_groups() -> None:
    (said,) = suit(load_paper("murtoza"), table(dict.fromkeys(TALEGHANI, 9))).substitutions
    assert said.startswith("mine has no groups (patients, slides): near-duplicate clusters")


TALEGHANI = ("benign", "early_pre_b", "pre_b", "pro_b")


def test_several_leukaemia_sets_get_common_classes() -> None:
    both = {"pre_b": 5, "benign": 5, "hem": 5, "all": 5}
    found = suit(load_paper("murtoza"), grouped(both, dataset=lambda i: f"d{i % 2}"))
    assert found.manifest.classes == ("ALL", "healthy") and found.datasets == 2
    types = suit(load_paper("murtoza"), grouped({"monocyte": 5, "neutrophil": 5}))
    assert types.manifest.classes == ("monocyte", "neutrophil"), "all of them are healthy"


def test_two_classes_are_needed() -> None:
    paper = load_paper("prasuna2023")
    assert suit(paper, grouped({"tumor": 4, "non_tumor": 6})).manifest.counts() == {
        "benign": 6,
        "malignant": 4,
    }
    assert suit(paper, grouped({"yes": 4, "no": 6})).manifest.classes == ("no", "yes")
    with pytest.raises(InputError) as caught:
        suit(paper, grouped({"a": 4, "b": 5, "c": 6}))
    assert str(caught.value) == (
        "prasuna2023 tells 2 classes apart; mine has 3.\n  - a: 4\n  - b: 5\n  - c: 6\n"
        "Expected: labels that mean benign or malignant\n"
        "Way out: map the labels, as in --set 'data.label_map={adenoma=\"benign\", …}'."
    )
    mapped = suit(paper, grouped({"a": 4, "b": 5, "c": 6}), ['data.label_map={a="x", b="y", c=""}'])
    assert len(mapped.manifest) == 9
    notes = mapped.describe(grouped({"a": 4, "b": 5, "c": 6}))["notes"]
    assert notes == ["6 of 15 images are left out by the label map."]


def test_magnification() -> None:
    paper, counts = load_paper("abualhaija2020"), {"benign": 8, "malignant": 8}
    for spelling in ("40", "40X", "40x"):
        one = grouped(counts, magnification=lambda i, s=spelling: (s, "100")[i % 2])
        assert suit(paper, one).content["split"] == {"test_values": [spelling]}
    none = grouped(counts, magnification=lambda i: ("20", "100")[i % 2])
    with pytest.raises(InputError) as caught:
        suit(paper, none)
    assert str(caught.value) == (
        "abualhaija2020 tests on images at 40X; mine has none.\n"
        "  - magnification = 100\n  - magnification = 20\n"
        "Way out: choose other values, as in --set 'split.test_values=[\"100\"]'."
    )
    other = suit(paper, none, ['split.test_values=["20"]'])
    assert other.content["split"] == {"test_values": ["20"]}


@pytest.fixture
def squeezenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a file where SqueezeNet's weights would be; nothing loads it here."""
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "squeezenet1_1.safetensors").write_bytes(b"some")
    card = {
        "backbone": "squeezenet1_1",
        "input_size": [224, 224],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    (folder / "squeezenet1_1.json").write_text(json.dumps(card))
    monkeypatch.setenv("CYTOLENS_WEIGHTS", str(folder))


@pytest.mark.usefixtures("squeezenet")
def test_a_network_at_hand_stands_in() -> None:
    paper = load_paper("contrastive2023")
    *own, stand_in = choose_networks(paper)
    assert len(own) == 5 and all(choice.why_not for choice in own)
    assert (stand_in.label, stand_in.backbone) == ("SqueezeNet", "squeezenet1_1")
    assert stand_in.model.name == "DenseNet169" and stand_in.freeze == round(70 / 168, 3)
    *_, stand_in = choose_networks(paper, ["vgg19"])
    assert stand_in.model.name == "VGG19" and stand_in.freeze == 0.75
    said = say_networks(choose_networks(load_paper("wong2023")))
    assert said[-1] == "SqueezeNet stands in for ResNet50V2."


def test_random_weights_need_no_stand_in() -> None:
    paper = load_paper("murtoza")
    found = choose_networks(paper, weights="random")
    assert [c.label for c in found] == [m.name for m in paper.model]
    assert not any(c.why_not or c.stands_in for c in found)
    assert say_networks(found) == [
        "The networks start from random weights: nothing is transferred."
    ]
    with pytest.raises(InputError, match=r"not 'auto'\.\nExpected: imagenet or random"):
        choose_networks(paper, weights="auto")
    with pytest.raises(InputError, match="murtoza has no model 'VGG61' .did you mean 'VGG19'"):
        choose_networks(paper, ["VGG61"])


def planned(paper: str, suited: Suited, **wishes: Any) -> dict[str, Planned]:
    chosen = load_paper(paper)
    found = plan(chosen, suited, choose_networks(chosen, weights="random"), Wishes(**wishes))
    return {f"{p.cell.protocol}/{p.cell.name}": p for p in found}


def blood(datasets: int) -> Suited:
    counts = dict.fromkeys(TALEGHANI, 9)
    return suit(load_paper("murtoza"), grouped(counts, dataset=lambda i: f"d{i % datasets}"))


def test_the_plan_of_murtoza() -> None:
    found = planned("murtoza", blood(1), protocols=("published", "honest"))
    assert len([key for key in found if key.startswith("published/")]) == 18
    lodo = found["honest/lodo"]
    assert lodo.recipe is None and lodo.why_not == (
        "it needs 2 data sets (values of the column `dataset`), and there is 1"
    )
    assert all(p.recipe is not None for key, p in found.items() if key != "honest/lodo")
    probe = found["honest/probe"].recipe
    assert probe is not None and probe.model.backbone == "VGG16", "the paper's lead model"
    lodo = planned("murtoza", blood(2), protocols=("honest",))["honest/lodo"]
    assert lodo.recipe is not None and lodo.recipe.split.kind == "lodo"


def test_settings_go_where_they_belong() -> None:
    settings = ("training.epochs=3", "classifier.c=2", "seed=7")
    only = ("raw", "svm")
    found = planned("murtoza", blood(1), protocols=("honest",), settings=settings[:1], only=only)
    assert {p.recipe.training.epochs for k, p in found.items() if "raw" in k and p.recipe} == {3}
    svm = found["honest/svm"].recipe
    assert svm is not None and svm.training.epochs == 50, "it has no such table"
    found = planned("murtoza", blood(1), protocols=("honest",), settings=settings[1:], only=only)
    svm, raw = found["honest/svm"].recipe, found["honest/vgg16-raw"].recipe
    assert svm is not None and raw is not None
    assert svm.classifier.c == 2 and raw.classifier.kind == "none"
    assert (svm.seed, raw.seed) == (7, 7)
    with pytest.raises(InputError) as caught:
        planned("murtoza", blood(1), protocols=("honest",), settings=("contrastive.epochs=3",))
    assert str(caught.value) == (
        "Settings without effect on any experiment of murtoza.\n  - contrastive.epochs=3"
    )
    with pytest.raises(InputError, match="A study sets these itself"):
        planned("murtoza", blood(1), protocols=("honest",), settings=("protocol=published",))


def test_regimes_that_are_asked_for() -> None:
    suited = suit(load_paper("contrastive2023"), grouped({"a": 9, "b": 9}))
    found = planned("contrastive2023", suited, protocols=("honest",), only=("contrastive_supcon",))
    assert len(found) == 5
    assert all(p.recipe and p.recipe.contrastive.loss == "supcon" for p in found.values())
    with pytest.raises(InputError) as caught:
        planned("contrastive2023", suited, protocols=("honest",), only=("contrastiv",))
    assert "has no regime or baseline 'contrastiv' (did you mean 'contrastive'?)." in str(
        caught.value
    )
