"""Bundles asked together: the mean, the union, the strictest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from random_bundle import noise_images, teach, write_random_bundle

from cytolens.bundle import Prediction, load_bundle, load_ensemble
from cytolens.bundle.ensemble import Ensemble
from cytolens.bundle.inputs import Item
from cytolens.bundle.prediction import Strangeness
from cytolens.bundle.save import amend_bundle
from cytolens.bundle.stream import predict_opened
from cytolens.core.errors import InputError

IMAGES = noise_images(60)
SOME = list(IMAGES[:12])


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two bundles of other heads that know all that a bundle can."""
    folder = tmp_path_factory.mktemp("members")
    for seed in (0, 1):
        write_random_bundle(folder / str(seed), seed=seed)
        teach(folder / str(seed), IMAGES)
    return [folder / "0", folder / "1"]


def test_probabilities_are_the_mean_of_calibrated_ones(members: list[Path]) -> None:
    ensemble = load_ensemble(members)
    tables = [load_bundle(folder).probabilities(SOME) for folder in members]
    assert abs(tables[0] - tables[1]).max() > 0.1, "they differ"
    np.testing.assert_allclose(ensemble.probabilities(SOME), (tables[0] + tables[1]) / 2)
    raw = [load_bundle(folder).probabilities(SOME, calibrated=False) for folder in members]
    found = ensemble.probabilities(SOME, calibrated=False)
    np.testing.assert_allclose(found, (raw[0] + raw[1]) / 2)
    said = [list(p.probabilities.values()) for p in ensemble.predict_arrays(SOME)]
    np.testing.assert_allclose(said, (tables[0] + tables[1]) / 2, atol=1e-6)


def test_sets_by_union_and_referral_by_the_strictest(members: list[Path]) -> None:
    ensemble = load_ensemble(members)
    alone = [load_bundle(folder).predict_arrays(SOME) for folder in members]
    for found, first, second in zip(ensemble.predict_arrays(SOME), *alone, strict=True):
        union = {*first.classes_in_set, *second.classes_in_set, found.label}
        assert set(found.classes_in_set) == union and found.level == 0.9
        assert found.label == max(found.probabilities, key=lambda c: found.probabilities[c])
        if "refer" in (first.decision, second.decision):
            assert found.decision == "refer"
        assert {*first.reasons, *second.reasons} <= set(found.reasons)
        scores = [p.strangeness.score for p in (first, second) if p.strangeness]
        assert found.strangeness is not None
        assert found.strangeness.score == pytest.approx(max(scores), rel=1e-4)


def test_one_interface(members: list[Path], tmp_path: Path) -> None:
    """Paths, arrays and files that cannot be used, as with one bundle."""
    ensemble = load_ensemble([str(folder) for folder in members])
    assert ensemble.classes == ("a", "b", "c") and ensemble.size == (48, 48)
    path, bad = tmp_path / "x.png", tmp_path / "bad.png"
    Image.fromarray(IMAGES[0]).save(path)
    bad.touch()
    found = list(ensemble.predict_many([bad, path, tmp_path / "none.png"]))
    assert [p.image for p in found] == [str(bad), str(path), str(tmp_path / "none.png")]
    assert [p.problem for p in found] == ["is empty (0 bytes)", "", "does not exist"]
    assert found[1] == ensemble.predict(path) == ensemble.predict(str(path))
    assert ensemble.predict(IMAGES[0]).probabilities == found[1].probabilities
    with pytest.raises(InputError, match="bad.png is empty"):
        ensemble.predict(bad)


def test_many_images_as_one_by_one(members: list[Path]) -> None:
    """Read once, looked at by each member, in order, whatever the batch."""
    ensemble, one = load_ensemble(members), load_bundle(members[0])
    opened = []

    def item(number: int) -> Item:
        def read() -> Any:
            opened.append(number)
            return IMAGES[number % 60]

        return Item(str(number), read)

    found = list(predict_opened(ensemble, map(item, range(75)), jobs=1))
    assert opened == list(range(75))
    assert [(i.name, p.image) for i, p in found] == [(str(n), str(n)) for n in range(75)]
    expected = ensemble.predict_arrays(list(IMAGES))
    for number, (_, said) in enumerate(found):
        other = expected[number % 60]
        assert (said.label, said.decision) == (other.label, other.decision)
        np.testing.assert_allclose(
            list(said.probabilities.values()), list(other.probabilities.values()), atol=1e-5
        )
    assert any(
        abs(said.probabilities["a"] - alone.probabilities["a"]) > 0.01
        for (_, said), alone in zip(found, one.predict_arrays(list(IMAGES)), strict=False)
    )


class Fixed:
    """A member that says what it is told to."""

    def __init__(self, prediction: Prediction, abnormal: tuple[str, ...] | None) -> None:
        self.classes, self.folder = ("a", "b", "c"), Path("fixed")
        self.prediction = prediction
        self.assessment = self
        self.point = self if abnormal else None
        self.abnormal = abnormal

    def predict_arrays(self, images: Any, names: Any) -> list[Prediction]:
        del names
        return [self.prediction] * len(images)


def says(p: tuple[float, ...], **rest: Any) -> Prediction:
    label = "abc"[int(np.argmax(p))]
    return Prediction("", label, dict(zip("abc", p, strict=True)), **rest)


def together(*answers: Prediction, abnormal: tuple[str, ...] | None = ("b", "c")) -> Prediction:
    return Ensemble([Fixed(p, abnormal) for p in answers]).predict(SOME[0])  # type: ignore[misc]


def test_what_members_disagree_about_is_referred() -> None:
    clear, ill = says((0.9, 0.1, 0.0), decision="clear"), says((0.1, 0.9, 0.0), decision="abnormal")
    assert together(clear, clear).decision == "clear"
    assert together(ill, ill, ill).decision == "abnormal"
    found = together(clear, ill)
    assert found.decision == "refer"
    assert found.reasons == ("one model finds it clear, another abnormal",)
    doubt = says((0.9, 0.1, 0.0), decision="refer", reasons=("the field is empty",))
    assert together(clear, doubt, doubt).reasons == ("the field is empty",), "said once"


def test_a_union_that_leaves_it_open_is_referred() -> None:
    """Each member is sure, of another class; both are abnormal in the second case."""
    a = says((0.9, 0.1, 0.0), classes_in_set=("a",), level=0.9)
    b = says((0.0, 0.9, 0.1), classes_in_set=("b",), level=0.8)
    found = together(a, b, abnormal=None)
    assert (found.classes_in_set, found.level) == (("a", "b"), 0.8), "the lowest level"
    assert (found.decision, found.reasons) == ("refer", ("it may be a or b",))
    c = says((0.0, 0.1, 0.9), classes_in_set=("c",), level=0.9, decision="abnormal")
    d = says((0.0, 0.9, 0.1), classes_in_set=("b",), level=0.9, decision="abnormal")
    assert together(c, d).decision == "abnormal" and together(c, d).reasons == ()


def test_members_that_know_less() -> None:
    """A bundle without sets or statistics adds its probability alone."""
    knows = says(
        (0.1, 0.8, 0.1), classes_in_set=("b",), level=0.9, strangeness=Strangeness(0.5, 1.0)
    )
    found = together(knows, says((0.9, 0.1, 0.0)), abnormal=None)
    assert found.classes_in_set == ("a", "b"), "the most probable class is in the set"
    assert found.strangeness == Strangeness(0.5, 1.0)
    found = together(says((0.9, 0.1, 0.0)), says((0.8, 0.1, 0.1)), abnormal=None)
    assert (found.classes_in_set, found.level, found.decision) == ((), None, None)


def test_what_is_no_ensemble(members: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 bundle is no ensemble"):
        load_ensemble(members[:1])
    with pytest.raises(InputError, match="given more than once"):
        load_ensemble([members[0], members[0]])
    write_random_bundle(tmp_path / "x", ("a", "c", "b"))
    with pytest.raises(InputError) as caught:
        load_ensemble([members[0], tmp_path / "x"])
    assert str(caught.value) == (
        "Bundles of different classes cannot be one ensemble.\n"
        f"  - {members[0]}: a, b, c\n  - {tmp_path}/x: a, c, b\n"
        "Expected: the same classes in the same order"
    )
    other = shutil.copytree(members[1], tmp_path / "other")
    card = load_bundle(other).card
    assert card.decision is not None
    amend_bundle(other, decision=card.decision | {"abnormal": ["c"]})
    with pytest.raises(InputError, match="call different classes abnormal"):
        load_ensemble([members[0], other])
