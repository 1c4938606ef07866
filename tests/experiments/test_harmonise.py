"""Labels of public sets become common classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cytolens.core.config import from_dict
from cytolens.core.errors import InputError
from cytolens.data.catalog import CATALOG
from cytolens.data.manifest import Manifest, Row
from cytolens.experiments.harmonise import folded, harmonisations, harmonise
from cytolens.experiments.preparation import relabel
from cytolens.experiments.recipe import DataConfig, Recipe

SETS = {
    "leukaemia": ("taleghani_all", "all_idb1", "all_idb2", "cnmc2019"),
    "leukaemia_binary": ("taleghani_all", "all_idb1", "all_idb2", "cnmc2019"),
    "bethesda": ("herlev", "sipakmed", "mendeley_lbc"),
    "bethesda_four": ("herlev", "mendeley_lbc"),
    "normal_abnormal": ("herlev", "sipakmed", "mendeley_lbc"),
    "benign_malignant": ("breakhis",),
}


def table(*labels: str) -> Manifest:
    rows = [Row(f"{i}.png", Path(f"{i}.png"), label) for i, label in enumerate(labels)]
    return Manifest(tuple(rows), "some")


def meant(name: str, *labels: str) -> list[str]:
    return [row.label for row in harmonise(table(*labels), name).rows]


@pytest.mark.parametrize("name", SETS)
def test_every_class_of_a_public_set_has_a_meaning(name: str) -> None:
    known = harmonisations().get(name)
    for one in SETS[name]:
        fine, *coarse = CATALOG.get(one).variants
        for variant in [fine] if name.startswith("bethesda") else [fine, *coarse]:
            for label in variant.classes:
                assert known.meaning[folded(label)] in known.classes, f"{one}: {label}"


def test_every_class_of_a_harmonisation_can_be_reached() -> None:
    for name in harmonisations():
        known = harmonisations().get(name)
        assert set(known.meaning.values()) == set(known.classes), name
        assert known.about.endswith(".")
        for one in known.classes:  # what is harmonised already stays as it is
            assert known.meaning[folded(one)] == one


def test_herlev_by_bethesda() -> None:
    herlev = ["normal_superficiel", "normal_intermediate", "normal_columnar", "light_dysplastic"]
    herlev += ["moderate_dysplastic", "severe_dysplastic", "carcinoma_in_situ"]
    nilm = ["NILM"] * 3
    assert meant("bethesda", *herlev) == [*nilm, "LSIL", "HSIL", "HSIL", "HSIL"]
    assert meant("bethesda_four", *herlev) == [*nilm, "LSIL", "HSIL", "HSIL", "SCC"]
    assert meant("normal_abnormal", *herlev) == ["normal"] * 3 + ["abnormal"] * 4


def test_sets_of_blood_smears_share_classes() -> None:
    labels = ["benign", "early_pre_b", "Pro-B", "hem", "ALL", "all", "blast", "healthy", "AML"]
    healthy, sick = "healthy", "ALL"
    expected = [healthy, sick, sick, healthy, sick, sick, sick, healthy, "AML"]
    assert meant("leukaemia", *labels) == expected
    binary = ["healthy" if one == healthy else "leukaemia" for one in expected]
    assert meant("leukaemia_binary", *labels) == binary
    types = ["Neutrophil", "LYMPHOCYTE", "monocyte"]
    assert meant("wbc", *types) == ["neutrophil", "lymphocyte", "monocyte"]
    assert meant("benign_malignant", "non_tumor", "tumor") == ["benign", "malignant"]


def test_classes_keep_their_order_and_absent_ones_are_left_out() -> None:
    assert harmonise(table("severe_dysplastic", "NILM"), "bethesda").classes == ("NILM", "HSIL")
    recipe = Recipe(data=DataConfig(harmonise="bethesda"))
    manifest = table("carcinoma_in_situ", "light_dysplastic", "normal_columnar")
    assert relabel(manifest, recipe).classes == ("NILM", "LSIL", "HSIL")
    other = replace(recipe, data=DataConfig(harmonise="bethesda", classes=("HSIL", "LSIL", "NILM")))
    assert relabel(manifest, other).classes == ("HSIL", "LSIL", "NILM")


def test_labels_without_a_meaning_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        harmonise(table("NILM", "ASCUS", "AGC"), "bethesda_four")
    text = str(caught.value)
    assert text.startswith(
        "The harmonisation 'bethesda_four' does not know some labels of some.\n  - AGC\n  - ASCUS\n"
    )
    assert "Expected: labels among nilm, normal_superficiel, " in text
    assert text.endswith("write the whole map under [data.label_map].")


def test_wrong_settings() -> None:
    with pytest.raises(InputError) as caught:
        from_dict(Recipe, {"data": {"harmonise": "bethesdas"}}, "r")
    assert "Unknown harmonisation 'bethesdas' (did you mean 'bethesda'?)." in caught.value.rows[0]
    both = {"data": {"harmonise": "wbc", "label_map": {"a": "b"}}}
    with pytest.raises(InputError) as caught:
        from_dict(Recipe, both, "r")
    assert "data.harmonise and data.label_map are both given." in caught.value.rows[0]
