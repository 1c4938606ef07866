"""From probabilities to what may be said: every cause of a referral alone, sets, decisions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_bundle import noise_images

from cytolens.bundle.assessment import Assessment, left_open
from cytolens.bundle.card import REFERENCE, BundleCard
from cytolens.bundle.checks import fit_checks
from cytolens.bundle.ood import fit_ood
from cytolens.bundle.prediction import Prediction
from cytolens.bundle.save import write_tensors
from cytolens.core.config import to_dict
from cytolens.core.errors import InputError
from cytolens.core.seeding import rng
from cytolens.models.cards import Card
from cytolens.models.config import ModelConfig
from cytolens.pixels.config import PixelsConfig

CLASSES = ("HSIL", "LSIL", "NILM")
D = 8
IMAGES = noise_images(60)
FEATURES = rng(0, "features").normal(1, 0.1, (60, D)).astype(np.float32)
SETS = {
    "level": 0.9,
    "method": "lac",  # a class is in the set where p >= 1 - quantile
    "class_conditional": False,
    "parameters": {"quantiles": [0.7, 0.7, 0.7]},
    "n": 100,
}
DECISION = {
    "abnormal": ["HSIL", "LSIL"],
    "wanted": {"sensitivity": 0.95, "specificity": 0.95},
    "threshold": 0.2,
    "refer": [0.2, 0.8],
}


def card(**parts: Any) -> BundleCard:
    network = Card("none", (48, 48), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    model, pixels = ModelConfig(), PixelsConfig()
    return BundleCard(CLASSES, "none", network, model, pixels, (48, 48), (D,), **parts)


def one(
    probabilities: list[float],
    *,
    folder: Path = Path("nowhere"),
    image: Any = IMAGES[0],
    features: Any = FEATURES[:1],
    **parts: Any,
) -> Prediction:
    assessment = Assessment(folder, card(**parts))
    found = assessment.predictions(
        ["x.png"], [assessment.checked(image)], np.array([probabilities]), features
    )
    assert len(found) == 1
    return found[0]


def test_a_bundle_that_knows_nothing_only_names_the_class() -> None:
    assert one([0.2, 0.7, 0.1]) == Prediction(
        "x.png", "LSIL", {"HSIL": 0.2, "LSIL": 0.7, "NILM": 0.1}
    )


def test_probabilities_are_calibrated_before_anything_is_made_of_them() -> None:
    """Temperature 2: the square roots, renormalised. The set is that of the calibrated ones."""
    p = np.array([0.04, 0.64, 0.32])
    calibration = {"method": "temperature", "parameters": {"temperature": 2.0}}
    found = one(p.tolist(), calibration=calibration, conformal=SETS)
    expected = np.sqrt(p) / np.sqrt(p).sum()
    np.testing.assert_allclose(list(found.probabilities.values()), expected, rtol=1e-9)
    assert found.classes_in_set == ("LSIL", "NILM"), "p >= .3"
    assert one([0.04, 0.7, 0.26], conformal=SETS).classes_in_set == ("LSIL",)


def test_a_set_of_one_class_is_no_reason() -> None:
    found = one([0.1, 0.85, 0.05], conformal=SETS)
    assert (found.classes_in_set, found.level) == (("LSIL",), 0.9)
    assert (found.decision, found.reasons) == (None, ())


def test_without_abnormal_classes_a_set_of_two_is_referred() -> None:
    found = one([0.45, 0.4, 0.15], conformal=SETS)
    assert found.decision == "refer" and found.reasons == ("it may be HSIL or LSIL",)
    found = one([0.34, 0.33, 0.33], conformal=SETS)
    assert found.reasons == ("it may be HSIL, LSIL or NILM",)


def test_two_classes_to_be_treated_alike_are_no_reason() -> None:
    """HSIL or LSIL: abnormal either way. A normal one beside it leaves open what to do."""
    found = one([0.5, 0.45, 0.05], conformal=SETS, decision=DECISION)
    assert found.classes_in_set == ("HSIL", "LSIL")
    assert (found.decision, found.reasons) == ("abnormal", ())
    decision = DECISION | {"refer": [0.2, 0.2]}  # nothing between
    found = one([0.6, 0.05, 0.35], conformal=SETS, decision=decision)
    assert found.decision == "refer"
    assert found.reasons == ("it may be normal or abnormal: HSIL or NILM",)


@pytest.mark.parametrize(
    ("abnormal", "decision"),
    [(0.1, "clear"), (0.199, "clear"), (0.2, "refer"), (0.5, "refer"), (0.8, "abnormal")],
)
def test_between_the_limits_of_the_decision_it_is_referred(abnormal: float, decision: str) -> None:
    found = one([abnormal / 2, abnormal / 2, 1 - abnormal], decision=DECISION)
    assert found.decision == decision
    said = ("the probability of an abnormal finding is neither low nor high enough",)
    assert found.reasons == (said if decision == "refer" else ())


def test_a_strange_image_is_referred_however_sure_the_network_is(tmp_path: Path) -> None:
    ood = fit_ood(FEATURES[:40], None, FEATURES[40:])
    write_tensors(tmp_path / REFERENCE, ood.tensors)
    parts: Any = {"ood": asdict(ood.card), "files": {REFERENCE: ""}, "decision": DECISION}
    usual = one([0, 0, 1], folder=tmp_path, features=FEATURES[50:51], **parts)
    assert usual.decision == "clear" and usual.strangeness is not None
    assert not usual.strangeness.out and usual.strangeness.limit == 1
    odd = -FEATURES[:1]
    found = one([0, 0, 1], folder=tmp_path, features=odd, **parts)
    assert found.decision == "refer" and found.strangeness is not None and found.strangeness.out
    assert found.strangeness.score == pytest.approx(float(ood.score(odd)[0]))
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith("the image does not look like those the model was trained ")
    assert found.to_json()["strangeness"]["out"] is True


def test_an_image_that_fails_a_check_is_referred() -> None:
    parts: Any = {"checks": to_dict(fit_checks(IMAGES)), "decision": DECISION}
    assert one([0, 0, 1], image=IMAGES[3], **parts).decision == "clear"
    found = one([0, 0, 1], image=np.full((48, 48, 3), 250, np.uint8), **parts)
    assert found.decision == "refer" and found.strangeness is None
    assert len(found.reasons) == 1 and found.reasons[0].startswith("the field is empty")


def test_every_reason_is_given(tmp_path: Path) -> None:
    ood = fit_ood(FEATURES[:40], None, FEATURES[40:])
    write_tensors(tmp_path / REFERENCE, ood.tensors)
    found = one(
        [0.3, 0.1, 0.6],
        folder=tmp_path,
        image=np.full((48, 48, 3), 250, np.uint8),
        features=-FEATURES[:1],
        files={REFERENCE: ""},
        ood=asdict(ood.card),
        checks=to_dict(fit_checks(IMAGES)),
        conformal=SETS,
        decision=DECISION,
    )
    assert [reason.partition(" ")[2][:10] for reason in found.reasons] == [
        "field is e",
        "image does",
        "may be nor",
        "probabilit",
    ]


def test_rows_are_not_mixed_up() -> None:
    """Each image with its own probabilities, features and pixels."""
    parts: Any = {"checks": to_dict(fit_checks(IMAGES)), "conformal": SETS}
    table = np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]])
    blank = np.full((48, 48, 3), 250, np.uint8)
    assessment = Assessment(Path("nowhere"), card(**parts))
    seen = [assessment.checked(image) for image in (IMAGES[0], blank, IMAGES[3])]
    found = assessment.predictions(["a", "b", "c"], seen, table, FEATURES[:3])
    assert [p.image for p in found] == ["a", "b", "c"]
    assert [p.label for p in found] == list(CLASSES)
    assert [p.decision for p in found] == [None, "refer", None]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"calibration": {"method": "platt"}}, "Unknown calibrator 'platt'"),
        ({"calibration": {"method": "temperature"}}, "calibrator 'temperature' cannot be read"),
        ({"conformal": {"level": 0.9}}, "The conformal part cannot be read."),
        (
            {"conformal": SETS | {"parameters": {"quantiles": [0.7]}}},
            "The bundle's sets are not of its 3 classes.",
        ),
        ({"decision": {}}, "The decision part cannot be read."),
        ({"decision": DECISION | {"abnormal": ["SCC"]}}, "SCC"),
        ({"checks": {"images": 3}}, "the checks of the bundle has"),
        ({"ood": {"width": 3}}, "the statistics of the bundle has"),
    ],
)
def test_parts_that_cannot_be_read(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Assessment(Path("nowhere"), card(**parts))
    assert message in str(caught.value)


def test_statistics_that_nobody_vouched_for_are_not_used(tmp_path: Path) -> None:
    ood = fit_ood(FEATURES[:40], None, FEATURES[40:])
    write_tensors(tmp_path / REFERENCE, ood.tensors)
    with pytest.raises(InputError, match=f"does not vouch for {REFERENCE}"):
        Assessment(tmp_path, card(ood=asdict(ood.card)))


def test_what_a_set_leaves_open() -> None:
    assert left_open([], None) == left_open(["a"], None) == left_open(["a"], ["a"]) == []
    assert left_open(["b", "c"], ["a"]) == [], "normal either way"
    assert left_open(["a", "b"], []) == []
