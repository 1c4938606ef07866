"""Conformal sets: coverage as promised, by class, on groups never seen; nesting; bad input."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import betabinom

from cytolens.core.errors import InputError
from cytolens.evaluation import (
    CONFORMAL_METHODS,
    Conformal,
    Penalty,
    Predictions,
    conformal_fit,
    coverage,
    crossfit_rows,
    fit_conformal,
    images_needed,
    wilson,
)
from cytolens.evaluation.conformal_scores import choose_penalty, strangeness, tuning_rows

Build = Callable[..., Predictions]
Table = np.ndarray[Any, Any]
SEEDS = 60


def drawn(n: int, k: int, generator: np.random.Generator) -> tuple[Table, Table]:
    """Return a poor, biased model's probabilities [n, k] and labels, exchangeable."""
    true = softmax(generator.normal(size=(n, k)), axis=1)
    labels = (true.cumsum(axis=1) < generator.random((n, 1))).sum(axis=1)
    noisy = 1.7 * np.log(true) + 0.5 * generator.normal(size=(n, k)) + np.linspace(0, 0.8, k)
    return softmax(noisy, axis=1), labels


@pytest.mark.parametrize("method", CONFORMAL_METHODS)
@pytest.mark.parametrize("level", [0.6, 0.8, 0.9, 0.95])
def test_coverage_of_exchangeable_images_is_the_level(method: str, level: float) -> None:
    """Given n images, coverage is Beta(r, n + 1 - r) distributed, r = ceil((n + 1) level)."""
    n, m = 150, 400
    kept = n - 45 if method == "raps" else n
    rank = math.ceil((kept + 1) * level)
    law = betabinom(m, rank, kept + 1 - rank)
    total = 0
    for seed in range(SEEDS):
        generator = np.random.default_rng([seed, 7])
        table, labels = drawn(n + m, 5, generator)
        fitted = fit_conformal(table[:n], labels[:n], level=level, method=method, seed=seed)
        assert fitted.n == kept, "of raps, some chose the penalty"
        sets = fitted.sets(table[n:], never_empty=False)
        held = int(sets[np.arange(m), labels[n:]].sum())
        assert law.ppf(1e-5) <= held <= law.ppf(1 - 1e-5)
        total += held
    spread = 4 * law.std() * math.sqrt(SEEDS)
    assert abs(total - SEEDS * law.mean()) < spread
    assert total / (SEEDS * m) >= level - spread / (SEEDS * m)


@pytest.mark.parametrize("method", CONFORMAL_METHODS)
def test_coverage_holds_for_each_class_where_asked(method: str) -> None:
    level, m = 0.8, 1500
    hits, seen = np.zeros(4), np.zeros(4)
    plain = np.zeros(4)
    for seed in range(SEEDS):
        generator = np.random.default_rng([seed, 11])
        table, labels = drawn(300 + m, 4, generator)
        cut = table[:300], labels[:300]
        by_class = fit_conformal(*cut, level=level, method=method, class_conditional=True)
        together = fit_conformal(*cut, level=level, method=method)
        rows = np.arange(m)
        held = by_class.sets(table[300:], never_empty=False)[rows, labels[300:]]
        held_together = together.sets(table[300:])[rows, labels[300:]]
        hits += np.bincount(labels[300:], weights=held, minlength=4)
        plain += np.bincount(labels[300:], weights=held_together, minlength=4)
        seen += np.bincount(labels[300:], minlength=4)
    assert (np.abs(hits / seen - level) < 0.025).all()
    assert np.ptp(plain / seen) > 0.1  # one bound for all favours what the model favours


@pytest.mark.parametrize("method", ["aps", "raps"])
def test_coverage_holds_on_groups_never_seen(build: Build, method: str) -> None:
    """Groups differ in how well the model reads them; folds keep them whole."""
    found = []
    for seed in range(30):
        generator = np.random.default_rng([seed, 13])
        groups = np.repeat(np.arange(60), 6)
        table, labels = drawn(360, 4, generator)
        blur = np.exp(0.5 * generator.normal(size=60))[groups]
        seen = softmax(np.log(table) * blur[:, None], axis=1)
        one = build(seen, labels, folds=groups % 5, units=[f"g{g}" for g in groups])
        sets = crossfit_rows(one, conformal_fit(0.9, method))
        found.append(sets[np.arange(360), labels].mean())
    assert 0.89 < np.mean(found) < 0.92
    assert min(found) > 0.82


@pytest.mark.parametrize("method", CONFORMAL_METHODS)
@pytest.mark.parametrize("by_class", [False, True])
def test_sets_grow_with_the_level_and_are_never_empty(method: str, by_class: bool) -> None:
    table, labels = drawn(400, 4, np.random.default_rng(3))
    new, _ = drawn(500, 4, np.random.default_rng(4))
    last = np.zeros((500, 4), np.bool_)
    for level in (0.05, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.9999):
        fitted = fit_conformal(
            table,
            labels,
            level=level,
            method=method,
            class_conditional=by_class,
            penalty=Penalty(2, 0.1) if method == "raps" else None,
        )
        sets = fitted.sets(new)
        assert (sets | ~last).all(), "a set of a lower level is part of it"
        assert sets[np.arange(500), new.argmax(axis=1)].all()
        last = sets
    assert last.all(), "too few images for .9999: every class"


def test_scores_equal_naive_loops() -> None:
    table, _ = drawn(50, 4, np.random.default_rng(5))
    table[0] = [0.4, 0.4, 0.1, 0.1]
    aps, lac = strangeness(table, "aps"), strangeness(table, "lac")
    for row, p in enumerate(table):
        for j in range(4):
            assert aps[row, j] == pytest.approx(sum(q for q in p if q > p[j]))
            assert lac[row, j] == pytest.approx(1 - p[j])
    assert aps[0].tolist() == pytest.approx([0, 0, 0.8, 0.8])  # equals enter together


def test_a_penalty_equals_naive_loops() -> None:
    table, _ = drawn(50, 6, np.random.default_rng(5))
    aps, raps = strangeness(table, "aps"), strangeness(table, "raps", Penalty(2, 0.1))
    for row, p in enumerate(table):
        for j in range(6):
            place = sum(q >= p[j] for q in p)
            assert raps[row, j] == pytest.approx(aps[row, j] + 0.1 * max(place - 2, 0))
    assert (strangeness(table, "raps", Penalty(6, 0.5)) == aps).all()
    assert (strangeness(table, "raps", Penalty(1, 0.0)) == aps).all()


def test_the_penalty_is_chosen_as_its_authors_do() -> None:
    table, labels = drawn(200, 30, np.random.default_rng(9))
    found = choose_penalty(table, labels, level=0.8)
    places = sorted(1 + int((p > p[y]).sum()) for p, y in zip(table, labels, strict=True))
    assert found.k_reg == places[math.ceil(201 * 0.8) - 1]
    sizes = {
        weight: fit_conformal(
            table, labels, level=0.8, method="raps", penalty=Penalty(found.k_reg, weight)
        )
        .sets(table)
        .sum()
        for weight in (0.001, 0.01, 0.1, 0.2, 0.5)
    }
    assert found.weight == min(sizes, key=lambda weight: sizes[weight]) and len(set(sizes)) > 1
    assert choose_penalty(table[:0], labels[:0], level=0.8) == Penalty(30, 0.0)


def test_raps_keeps_long_sets_short() -> None:
    """A model that knows a few likely classes, and the rest as noise."""
    generator = np.random.default_rng(10)
    true = softmax(6 * generator.normal(size=(2400, 40)), axis=1)
    labels = (true.cumsum(axis=1) < generator.random((2400, 1))).sum(axis=1)
    noise = softmax(generator.normal(size=(2400, 40)), axis=1)
    blind = generator.beta(0.4, 0.8, size=(2400, 1))
    table = (1 - blind) * true + blind * noise
    sizes, held = {}, {}
    for method in ("aps", "raps"):
        sets = fit_conformal(table[:1200], labels[:1200], level=0.9, method=method).sets(
            table[1200:]
        )
        sizes[method] = sets.sum(axis=1)
        held[method] = sets[np.arange(1200), labels[1200:]].mean()
    assert sizes["raps"].max() < sizes["aps"].max()
    assert sizes["raps"].mean() < sizes["aps"].mean()
    assert abs(held["raps"] - 0.9) < 0.03


def test_the_penalty_is_chosen_on_whole_units() -> None:
    units = [f"p{i // 7}" for i in range(140)]
    apart = tuning_rows(units, 3)
    assert 0.3 <= apart.mean() < 0.36
    assert not {u for u, a in zip(units, apart, strict=True) if a} & {
        u for u, a in zip(units, apart, strict=True) if not a
    }
    assert (apart == tuning_rows(units, 3)).all() and (apart != tuning_rows(units, 4)).any()
    assert not tuning_rows(["one"] * 9, 0).any(), "nothing is left for the bound otherwise"
    table, labels = drawn(140, 4, np.random.default_rng(12))
    fitted = fit_conformal(table, labels, level=0.8, method="raps", units=units, seed=3)
    again = fit_conformal(
        table[~apart], labels[~apart], level=0.8, method="raps", penalty=fitted.penalty
    )
    assert fitted == again and fitted.n == (~apart).sum()


def test_the_bound_is_the_rank_of_the_rule() -> None:
    p = np.arange(1, 10) / 20
    table = np.stack([p, 1 - p], axis=1)
    fitted = fit_conformal(table, [0] * 9, level=0.9, method="lac")
    assert fitted.quantiles == (0.95, 0.95)  # ceil(10 x .9) = 9: the largest of nine
    eight = fit_conformal(table[:8], [0] * 8, level=0.9, method="lac")
    assert eight.quantiles == (None, None) and eight.sets([[0.99, 0.01]]).all()
    assert [images_needed(level) for level in (0.5, 0.8, 0.9, 0.95, 0.99)] == [1, 4, 9, 19, 99]
    for level in (0.33, 0.5, 0.8, 0.9, 0.95, 0.99):
        n = images_needed(level)
        some = np.tile([0.5, 0.5], (n, 1))
        assert fit_conformal(some, [0] * n, level=level).quantiles[0] is not None
        if n > 1:
            fewer = fit_conformal(some[1:], [0] * (n - 1), level=level)
            assert fewer.quantiles == (None, None)


def test_a_class_without_images_is_in_every_set() -> None:
    table, _ = drawn(100, 3, np.random.default_rng(6))
    fitted = fit_conformal(table, np.arange(100) % 2, level=0.5, class_conditional=True)
    assert fitted.quantiles[2] is None
    assert fitted.sets(table)[:, 2].all() and not fitted.sets(table)[:, 0].all()


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("method", ["lac", "raps"])
def test_what_is_fitted_round_trips(by_class: bool, method: str) -> None:
    table, labels = drawn(80, 3, np.random.default_rng(8))
    fitted = fit_conformal(table, labels, level=0.97, method=method, class_conditional=by_class)
    told = json.loads(json.dumps(fitted.to_json(), allow_nan=False))
    assert set(told) == {"level", "method", "class_conditional", "parameters", "n"}
    again = Conformal.from_json(told | {"note": "left alone"})
    assert again == fitted
    assert (again.sets(table) == fitted.sets(table)).all()
    assert fitted.sets(np.empty((0, 3))).shape == (0, 3)


def test_coverage_is_counted() -> None:
    sets = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 1]], np.bool_)
    found = coverage(sets, [0, 1, 0, 2], ["u", "u", "v", "w"], "xyz", resamples=200)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    values = {name: found[name]["value"] for name in ("coverage", "size", "single", "single_right")}
    assert values == {"coverage": 0.75, "size": 1.75, "single": 0.5, "single_right": 0.5}
    assert found["n"] == 4
    x, y = found["per_class"]["x"], found["per_class"]["y"]
    assert (x["n"], x["coverage"]["value"], y["coverage"]["value"]) == (2, 0.5, 1.0)
    assert (y["coverage"]["low"], y["coverage"]["high"]) == wilson(1, 1)
    assert found["coverage"]["low"] <= 0.75 <= found["coverage"]["high"]


def test_a_coverage_of_one_is_not_certain() -> None:
    """60 images of 20 patients, all held: as certain as 20 of 20."""
    sets = np.ones((60, 2), np.bool_)
    found = coverage(sets, np.arange(60) % 2, [f"g{i // 3}" for i in range(60)], "ab")
    expected = wilson(20, 20)
    assert (found["coverage"]["low"], found["coverage"]["high"]) == expected
    assert found["single_right"] == {"value": None, "low": None, "high": None}


@pytest.mark.parametrize("level", [0, 1, -0.1, 1.5, float("nan")])
def test_a_level_outside_0_and_1_is_refused(level: float) -> None:
    with pytest.raises(InputError, match="level = .*\nExpected: a number between 0 and 1"):
        fit_conformal([[0.5, 0.5]], [0], level=level)


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.empty((0, 2)), [], "Conformal sets cannot be fitted to probabilities (0, 2)"),
        ([[0.5, 0.5]], [0, 1], "a label for each row"),
        ([[np.nan, 0.5]], [0], "1 row that are not probabilities"),
        ([[0.5, 0.5]], [-1], "A label is out of range.\nExpected: 0 to 1"),
    ],
)
def test_bad_images_are_refused(probabilities: Any, labels: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        fit_conformal(probabilities, labels, level=0.9)
    assert message in str(caught.value)


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(InputError, match=r"'apz' \(did you mean 'aps'\?\)"):
        fit_conformal([[0.5, 0.5]], [0], level=0.9, method="apz")
    good = fit_conformal([[0.5, 0.5]] * 20, [0] * 20, level=0.9).to_json()
    with pytest.raises(InputError, match="Expected: \\[n, 2\\]"):
        Conformal.from_json(good).sets([[0.2, 0.3, 0.5]])
    for change in ({"parameters": {}}, {"parameters": {"quantiles": ["x"]}}, {"n": None}):
        with pytest.raises(InputError, match="The conformal part cannot be read"):
            Conformal.from_json(good | change)
    for change in ({"level": 2}, {"method": "?"}, {"parameters": {"quantiles": [math.nan]}}):
        with pytest.raises(InputError):
            Conformal.from_json(good | change)
    penalised = fit_conformal([[0.5, 0.5]] * 20, [0] * 20, level=0.9, method="raps").to_json()
    for change in ({"k_reg": None}, {"lambda": "much"}):
        with pytest.raises(InputError, match="The conformal part cannot be read"):
            Conformal.from_json(penalised | {"parameters": penalised["parameters"] | change})
    with pytest.raises(InputError, match="Sets of 'aps' with the penalty"):
        fit_conformal([[0.5, 0.5]], [0], level=0.9, penalty=Penalty(1, 0.1))
    with pytest.raises(InputError, match="A penalty of -0.1 behind 1 places"):
        Penalty(1, -0.1)
    with pytest.raises(InputError, match="a set and a label for each"):
        coverage(np.ones((2, 2), np.bool_), [0], ["u"], "ab")
    with pytest.raises(InputError, match="A label is out of range"):
        coverage(np.ones((1, 2), np.bool_), [2], ["u"], "ab")
