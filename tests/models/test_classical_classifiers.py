"""Every classifier: one contract; the extreme learning machine and the temperature by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, log_softmax

from cytolens.core.errors import InputError
from cytolens.core.seeding import rng
from cytolens.models.classical.classifiers import CLASSIFIERS
from cytolens.models.classical.config import ClassifierConfig
from cytolens.models.classical.elm import ExtremeLearningMachine
from cytolens.models.classical.fitting import (
    INNER_FOLDS,
    Fitted,
    Training,
    fit_predict,
    inner_folds,
)
from cytolens.models.classical.temperature import as_columns, fit_temperature, softmax

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
LOOKING = [name for name in CLASSIFIERS if name != "majority"]
SCORING = [name for name in CLASSIFIERS if CLASSIFIERS.get(name).gives == "scores"]


def _blobs(counts: list[int], seed: int = 0, apart: float = 4.0) -> tuple[Floats, Labels]:
    """Draw one Gaussian cloud a class, in six dimensions; counts of 0 leave a class out."""
    draw = rng(seed, "blobs")
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = apart * np.eye(6)[: len(counts)]
    features = centres[labels] + draw.standard_normal((len(labels), 6))
    return features * [1, 10, 100, 1, 1, 1] + 50, labels


def _config(kind: str, **settings: Any) -> ClassifierConfig:
    features = "none" if kind == "majority" else "handcrafted"
    if kind == "random_forest":
        settings.setdefault("trees", 20)
    if kind == "elm":
        settings.setdefault("hidden", 40)
    return ClassifierConfig(kind, features, **settings)


def _fit(
    kind: str, counts: list[int], test: Floats, *, k: int | None = None, seed: int = 0, **s: Any
) -> Fitted:
    features, labels = _blobs(counts)
    units = [f"u{i // 2}" for i in range(len(labels))]
    train = Training(features, labels, units)
    return fit_predict(_config(kind, **s), train, test, k or len(counts), seed, 0, 1)


# ------------------------------------------------------------------ the contract


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("counts", [[20, 16, 12], [18, 14]])
def test_every_classifier_learns_what_is_easy(kind: str, counts: list[int]) -> None:
    test, labels = _blobs(counts, seed=1)
    found = _fit(kind, counts, test)
    assert found.probabilities.shape == (len(labels), len(counts))
    assert found.probabilities.dtype == np.float64
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert (found.probabilities >= 0).all()
    right = float((found.probabilities.argmax(axis=1) == labels).mean())
    if kind == "majority":
        expected = np.array(counts) / sum(counts)
        np.testing.assert_allclose(found.probabilities, np.tile(expected, (len(labels), 1)))
    else:
        assert right > 0.85
    assert ("temperature" in found.facts) == (kind in SCORING)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_every_classifier_is_seeded_and_leaves_the_global_generator_alone(kind: str) -> None:
    test, _ = _blobs([5, 5, 5], seed=2)
    before = np.random.get_state()[1].tolist()  # type: ignore[index]
    one, same, other = (_fit(kind, [9, 9, 9], test, seed=s).probabilities for s in (0, 0, 1))
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]
    np.testing.assert_array_equal(one, same)
    drawn = kind in {"random_forest", *SCORING}  # the inner folds are drawn
    assert np.array_equal(one, other) != drawn


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_class_missing_in_the_training_part_has_probability_zero(kind: str) -> None:
    test, _ = _blobs([4, 4, 4], seed=1)
    found = _fit(kind, [10, 0, 10], test).probabilities
    assert not found[:, 1].any()
    np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("counts", [[12, 1, 2], [1, 1, 3], [1, 1]])
def test_classes_of_one_or_two_images(kind: str, counts: list[int]) -> None:
    test, _ = _blobs([3] * len(counts), seed=1)
    settings = {"neighbours": 2} if kind == "knn" else {}
    found = _fit(kind, counts, test, **settings)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    if sum(counts) == 2 and kind in SCORING:
        assert found.facts["temperature"] is None


@pytest.mark.parametrize("kind", LOOKING)
def test_a_single_class_is_said_and_certain(kind: str) -> None:
    test, _ = _blobs([2, 2], seed=1)
    found = _fit(kind, [0, 7], test)
    np.testing.assert_array_equal(found.probabilities, np.tile([0.0, 1.0], (4, 1)))
    assert found.facts == {"only_class": 1}


@pytest.mark.parametrize("kind", LOOKING)
def test_scale_does_not_matter_and_is_learnt_from_the_training_part(kind: str) -> None:
    features, labels = _blobs([9, 9, 9])
    test, _ = _blobs([4, 4, 4], seed=1)
    units = [str(i) for i in range(len(labels))]

    def fit(factor: Floats, extra: Floats) -> Floats:
        train = Training(features * factor, labels, units)
        part = np.concatenate([test, extra]) * factor
        return fit_predict(_config(kind), train, part, 3, 0).probabilities[: len(test)]

    powers = 2.0 ** np.arange(-3, 3)  # exact in floating point
    far = np.full((1, 6), 1e6)
    expected = fit(np.ones(6), far[:0])
    np.testing.assert_allclose(fit(powers, far[:0]), expected, atol=1e-6)
    np.testing.assert_allclose(fit(np.ones(6), far), expected, atol=1e-9)


@pytest.mark.parametrize("kind", LOOKING)
def test_features_that_do_not_vary(kind: str) -> None:
    features, labels = _blobs([8, 8])
    units = [str(i) for i in range(len(labels))]
    still = np.concatenate([features, np.full((16, 2), 3.7)], axis=1)
    test = still.copy()
    test[:, -1] = 9.0
    found = fit_predict(_config(kind), Training(still, labels, units), test, 2, 0)
    assert np.isfinite(found.probabilities).all()
    with pytest.raises(InputError, match="^The features of all training images of a fold are eq"):
        flat = Training(np.ones((16, 3)), labels, units)
        fit_predict(_config(kind), flat, np.ones((2, 3)), 2, 0)


@pytest.mark.parametrize("kind", ["svm_linear", "svm_rbf", "svm_poly"])
def test_an_svm_decides_as_scikit_learn_does(kind: str) -> None:
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    features, labels = _blobs([12, 12, 12], apart=1.5)
    test, _ = _blobs([30, 30, 30], seed=1, apart=1.5)
    kernel = kind.removeprefix("svm_")
    scale = StandardScaler().fit(features)
    svm = SVC(kernel=kernel, C=3.0, break_ties=True).fit(scale.transform(features), labels)
    found = fit_predict(
        _config(kind, c=3.0), Training(features, labels, [str(i) for i in labels * 0]), test, 3, 0
    )
    np.testing.assert_array_equal(
        found.probabilities.argmax(axis=1), svm.predict(scale.transform(test))
    )


def test_more_neighbours_than_images() -> None:
    with pytest.raises(InputError) as caught:
        _fit("knn", [2, 1], _blobs([1, 1])[0])
    assert str(caught.value) == (
        "classifier.neighbours = 5 is more than the 3 training images of a fold."
    )


# ------------------------------------------------------------------ the extreme learning machine


def test_the_elm_is_its_closed_form() -> None:
    features, labels = _blobs([10, 8, 6])
    features = (features - features.mean(0)) / features.std(0)
    elm = ExtremeLearningMachine(15, 0.7, rng(3, "elm")).fit(features, labels)
    draw = rng(3, "elm")
    weights = draw.uniform(-(6**-0.5), 6**-0.5, (6, 15))
    h = expit(features @ weights + draw.uniform(-1, 1, 15))
    targets = 2.0 * np.eye(3)[labels] - 1
    # Ridge regression as least squares with rows of the penalty added.
    penalised = np.concatenate([h, np.eye(15) / np.sqrt(0.7)])
    expected = np.linalg.lstsq(penalised, np.concatenate([targets, np.zeros((15, 3))]))[0]
    np.testing.assert_allclose(elm.decision_function(features), h @ expected, atol=1e-8)


def test_the_elm_interpolates_as_huang_2006_says() -> None:
    """With as many hidden units as images and hardly a penalty, the training error is zero."""
    features, labels = _blobs([6, 6], apart=0.0)
    features = (features - features.mean(0)) / features.std(0)
    elm = ExtremeLearningMachine(60, 1e9, rng(0, "elm")).fit(features, labels)
    targets = np.where(labels[:, None] == [0, 1], 1.0, -1.0)
    np.testing.assert_allclose(elm.decision_function(features), targets, atol=0.02)


# ------------------------------------------------------------------ temperature, inner folds


def test_softmax_and_columns() -> None:
    np.testing.assert_allclose(
        softmax(np.array([[0.0, np.log(3)], [1e4, 0.0]])), [[0.25, 0.75], [1, 0]]
    )
    np.testing.assert_array_equal(as_columns(np.array([2.0, -1.0])), [[0, 2], [0, -1]])


def test_the_temperature_is_found_again() -> None:
    draw = rng(0, "temperature")
    logits = draw.normal(0, 2, (4000, 3))
    chances = softmax(logits)
    labels = np.array([draw.choice(3, p=p) for p in chances])
    assert fit_temperature([(logits * 5, labels)]) == pytest.approx(5, rel=0.1)
    parts = [(logits[:2000] * 5, labels[:2000]), (logits[2000:] * 5, labels[2000:])]
    assert fit_temperature(parts) == pytest.approx(
        fit_temperature([(logits * 5, labels)]), rel=1e-3
    )


def test_the_temperature_minimises_the_smoothed_log_loss() -> None:
    labels = rng(1, "labels").integers(0, 4, 30)
    scores = rng(1, "scores").normal(0, 3, (30, 4)) + 4 * np.eye(4)[labels]
    doubt = 1 / 32
    target = np.full((30, 4), doubt / 3)
    target[np.arange(30), labels] = 1 - doubt

    def loss(log_t: Floats) -> float:
        return float(-(target * log_softmax(scores / np.exp(log_t[0]), axis=1)).sum())

    best = np.log(fit_temperature([(scores, labels)]))
    steps = [loss(np.array([best + d])) for d in (-0.05, 0.0, 0.05)]
    assert steps[1] < min(steps[0], steps[2])


def test_scores_without_errors_do_not_become_certain() -> None:
    scores = np.array([[3.0, 0.0], [0.0, 3.0]] * 10)
    labels = np.array([0, 1] * 10)
    sure = softmax(scores / fit_temperature([(scores, labels)])).max()
    assert sure == pytest.approx(1 - 1 / 22, abs=1e-3)


def test_inner_folds_keep_units_and_spread_classes() -> None:
    labels = np.repeat([0, 1, 2], [30, 12, 2])
    units = [f"{label}-{i // 2}" for i, label in enumerate(labels.tolist())]
    part = inner_folds(labels, units, rng(0, "inner"))
    assert set(part.tolist()) == set(range(INNER_FOLDS))
    for unit in set(units):
        assert len({part[i] for i, u in enumerate(units) if u == unit}) == 1
    for label, most in ((0, 10), (1, 4)):
        counts = np.bincount(part[labels == label], minlength=INNER_FOLDS)
        assert counts.max() <= most + 2
    assert not np.array_equal(part, inner_folds(labels, units, rng(1, "inner")))


# ------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "svm"}, "Unknown classifier 'svm'"),
        (
            {"kind": "knn", "features": "lpb"},
            "Unknown kind of features 'lpb' (did you mean 'lbp'?)",
        ),
        ({"kind": "knn", "c": 2.0}, "c has no effect with classifier.kind = 'knn'."),
        ({"kind": "naive_bayes", "trees": 5, "hidden": 2}, "trees, hidden has no effect with"),
        ({"c": 2.0}, "c has no effect with classifier.kind = 'none'."),
        ({"features": "lbp"}, "classifier.features and masks have no effect with classifier.kind"),
        ({"kind": "majority"}, "classifier.kind = 'majority' looks at no features."),
        ({"kind": "knn", "features": "none"}, "classifier.kind = 'knn' needs features."),
        ({"kind": "elm", "features": "lbp", "masks": "ignore"}, "only the group 'shape' looks at"),
        ({"kind": "elm", "c": 0.0}, "classifier.c must be above 0, and gamma not below."),
        ({"kind": "knn", "neighbours": 0}, "degree, neighbours, trees and hidden must be at"),
    ],
)
def test_settings_that_cannot_be_meant(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        ClassifierConfig(**settings)
    assert message in str(caught.value)


def test_every_setting_has_a_user_and_every_user_a_setting() -> None:
    from dataclasses import fields

    used = {s for name in CLASSIFIERS for s in CLASSIFIERS.get(name).settings}
    assert used == {f.name for f in fields(ClassifierConfig)} - {"kind", "features", "masks"}
    assert all(CLASSIFIERS.get(name).title for name in CLASSIFIERS)
