"""Every pair of several models: differences, tests, corrections, verdicts and refusals."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.evaluation import (
    LOWER_IS_BETTER,
    OVERALL,
    Predictions,
    compare,
    holm,
    mcnemar,
    paired_difference,
    point_scores,
)
from cytolens.evaluation.compare import verdict
from cytolens.report.views.names import OVERALL as WORDS

Build = Callable[..., Predictions]


def sharper(one: Predictions, share: float, **changes: Any) -> Predictions:
    """Return the same images with a share of probability moved to the true class."""
    truth = np.eye(len(one.classes))[one.labels]
    columns = {**vars(one), "probabilities": (1 - share) * one.probabilities + share * truth}
    return Predictions(**(columns | changes))


@pytest.fixture
def three(draw: Build) -> dict[str, Predictions]:
    poor = draw(240, 3, 60)
    return {"poor": poor, "good": sharper(poor, 0.35), "same": sharper(poor, 0.0)}


def test_the_contract(three: dict[str, Predictions]) -> None:
    found = compare(three, resamples=400, unit_name="group")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert {key: found[key] for key in ("score", "level", "n", "unit", "units", "resamples")} == {
        **{"score": "accuracy", "level": 0.95, "n": 240, "unit": "group"},
        **{"units": len(set(three["poor"].units)), "resamples": 400},
    }
    assert [set(run) for run in found["runs"]] == [{"name", "value", "low", "high"}] * 3
    named = [(pair["first"], pair["second"], pair["verdict"]) for pair in found["pairs"]]
    assert named == [
        ("poor", "good", "better"),
        ("poor", "same", "not shown to differ"),
        ("good", "same", "worse"),
    ]
    keys = {"first", "second", "difference", "p", "p_holm", "mcnemar", "verdict"}
    for pair in found["pairs"]:
        assert set(pair) == keys
        assert set(pair["difference"]) == {"value", "low", "high"}
        assert set(pair["mcnemar"]) == {"only_first", "only_second", "p", "p_holm"}
    assert found["pairs"][1]["p"] == found["pairs"][1]["p_holm"] == 1.0


def test_a_pair_is_what_the_two_would_be_alone(three: dict[str, Predictions]) -> None:
    found = compare(three, "auc", resamples=300, seed=5)
    for pair in found["pairs"]:
        one, two = three[pair["first"]], three[pair["second"]]
        alone = paired_difference(one, two, "auc", resamples=300, seed=5)
        expected = {"value": alone.value, "low": alone.low, "high": alone.high}
        assert pair["difference"] == pytest.approx(expected, abs=1e-12)
        assert pair["mcnemar"]["p"] == mcnemar(one, two).p
    for run in found["runs"]:
        one = three[run["name"]]
        assert run["value"] == point_scores(one.labels, one.probabilities).overall["auc"]
        assert run["low"] <= run["value"] <= run["high"]
    assert [pair["p_holm"] for pair in found["pairs"]] == holm([p["p"] for p in found["pairs"]])
    images = [pair["mcnemar"] for pair in found["pairs"]]
    assert [test["p_holm"] for test in images] == holm([test["p"] for test in images])


def test_images_of_a_unit_are_not_taken_for_independent(build: Build) -> None:
    """Ten images a unit, right or wrong together: three units speak for the second, not 30."""
    units = np.repeat(np.arange(20), 10)
    sets = {
        name: build(
            np.where(right[:, None], [[0.9, 0.1]], [[0.1, 0.9]]),
            [0] * 200,
            units=[f"u{unit}" for unit in units],
        )
        for name, right in (
            ("first", units % 2 == 0),
            ("second", (units % 2 == 0) | (units < 6)),
        )
    }
    [pair] = compare(sets, resamples=2000)["pairs"]
    assert pair["mcnemar"]["only_second"] == 30 and pair["mcnemar"]["p"] < 1e-8
    # the second gains nothing where none of the three units is drawn: (17 / 20)^20 = .039
    assert pair["p"] == pytest.approx(2 * 0.039, abs=0.02)
    assert pair["verdict"] == "not shown to differ"


def test_few_units_show_nothing_however_much_they_agree(build: Build) -> None:
    """All units favour the second: by the toss of a coin that happens once in 2^(units - 1)."""
    for units, said in ((5, "not shown to differ"), (7, "better")):
        first = build([[0.1, 0.9]] * 4 * units, [0] * 4 * units,
                      units=[f"u{row % units}" for row in range(4 * units)])  # fmt: skip
        [pair] = compare({"first": first, "second": sharper(first, 0.9)})["pairs"]
        assert pair["p"] == 2.0 ** (1 - units) and pair["verdict"] == said


def test_lower_is_better_for_errors(draw: Build) -> None:
    assert set(LOWER_IS_BETTER) == {n for n in OVERALL if not WORDS[n].more_is_better}
    poor = draw(240, 3, 60)
    [pair] = compare({"a": poor, "b": sharper(poor, 0.5)}, "brier", resamples=200)["pairs"]
    assert pair["difference"]["value"] < 0 and pair["verdict"] == "better"


def test_verdicts() -> None:
    assert verdict(0.1, 0.04, "accuracy") == "better"
    assert verdict(-0.1, 0.04, "accuracy") == "worse"
    assert verdict(0.1, 0.06, "accuracy") == "not shown to differ"
    assert verdict(0.1, None, "accuracy") == verdict(None, 0.01, "auc") == "not shown to differ"
    assert verdict(0.1, 0.04, "ece") == "worse"


def test_chance_is_seldom_called_a_difference(draw: Build) -> None:
    """Of 60 comparisons of equally good models, about 1 in 20 at most differs at .05."""
    called = 0
    for seed in range(60):
        first = draw(90, 2, 90, seed=seed)
        second = draw(90, 2, 90, seed=seed + 1000)
        columns = vars(first) | {"probabilities": first.probabilities[:, ::-1]}
        swapped = np.where(
            (second.predicted == second.labels)[:, None],
            np.eye(2)[first.labels],
            1 - np.eye(2)[first.labels],
        )
        other = Predictions(**(columns | {"probabilities": swapped}))
        [pair] = compare({"a": first, "b": other}, resamples=200, seed=seed)["pairs"]
        called += pair["verdict"] != "not shown to differ"
    assert called <= 8


def test_many_runs_draw_enough_and_stay_quick(draw: Build) -> None:
    poor = draw(900, 5, 150)
    runs = {f"run {i}": sharper(poor, 0.04 * i) for i in range(15)}
    started = time.perf_counter()
    found = compare(runs, resamples=2000)
    assert time.perf_counter() - started < 20, "2 s on a quiet machine"
    assert found["resamples"] == 100 * 105
    assert found["pairs"][13]["verdict"] == "better"  # 2 / 10501 times 105 pairs is .02
    assert found["pairs"][13]["p_holm"] == pytest.approx(105 * 2 / 10501)


def test_one_unit_gives_no_test(build: Build) -> None:
    one = build([[0.9, 0.1], [0.3, 0.7]], [0, 0], units=["u", "u"])
    found = compare({"a": one, "b": sharper(one, 0.9)})
    assert found["resamples"] == 0 and found["units"] == 1
    [pair] = found["pairs"]
    assert pair["p"] is None and pair["p_holm"] is None
    assert pair["difference"] == {"value": 0.5, "low": None, "high": None}
    assert pair["verdict"] == "not shown to differ"
    undefined = compare({"a": one, "b": one}, "auc")["pairs"][0]
    assert undefined["difference"]["value"] is None


def test_what_cannot_be_compared_is_refused(draw: Build) -> None:
    first = draw(4, 2, 4)
    with pytest.raises(InputError, match="1 set of predictions; a comparison needs two or more"):
        compare({"a": first})
    with pytest.raises(InputError, match="Unknown score 'acuracy'"):
        compare({"a": first, "b": first}, "acuracy")
    with pytest.raises(InputError, match="seed = -1 is negative"):
        compare({"a": first, "b": first}, seed=-1)
    with pytest.raises(InputError) as caught:
        compare({"a": first, "b": sharper(first, 0.1, classes=("a", "c"))})
    assert str(caught.value).startswith(
        "The runs have different classes.\n  - a: a, b\n  - b: a, c\n"
    )
    ids = ["0.png", "1.png", "8.png", "9.png"]
    with pytest.raises(InputError) as caught:
        compare({"a": first, "b": sharper(first, 0.1, ids=ids)})
    assert str(caught.value) == (
        "a and b differ in 4 images; all runs share 2 images.\n"
        "  - 2.png: only in a\n  - 3.png: only in a\n"
        "  - 8.png: only in b\n  - 9.png: only in b\n"
        "Expected: predictions of the same images with the same labels and units\n"
        "Way out: compare on the shared images (--common)."
    )
    units = [*first.units[:3], "other"]
    with pytest.raises(InputError) as caught:
        compare({"a": first, "b": sharper(first, 0.1, units=units)})
    assert "differ in 1 image; all runs share 4 images.\n  - 3.png: " in str(caught.value)
    assert str(caught.value).endswith("an image has one label and one unit.")


def test_common_images_with_joined_units(draw: Build) -> None:
    first = draw(40, 2, 12)
    later = first.select(range(10, 40))
    second = sharper(later, 0.2, units=[f"v{row // 3}" for row in range(30)])
    found = compare({"a": first, "b": second}, common=True, resamples=100)
    assert found["n"] == 30 and found["units"] < 10
    same_units = compare({"a": first, "b": sharper(later, 0.2)}, common=True, resamples=100)
    assert same_units["units"] == len(set(later.units))
    with pytest.raises(InputError, match="The runs share no image"):
        compare({"a": first.select([0, 1]), "b": first.select([2, 3])}, common=True)
    other = sharper(later, 0.0, labels=1 - later.labels)
    with pytest.raises(InputError, match="differ in 30 images"):
        compare({"a": first, "b": other}, common=True)
