"""The judgement: every method on the same cases, against the random map, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from cytolens.core.errors import InputError
from cytolens.core.progress import Progress, Silent
from cytolens.core.seeding import rng
from cytolens.evaluation.compare import (
    BETTER,
    NOT_SHOWN,
    RESAMPLES,
    RESAMPLES_A_PAIR,
    WORSE,
    verdict,
)
from cytolens.evaluation.intervals import LEVEL
from cytolens.evaluation.significance import holm, unit_p
from cytolens.explain.judgement.cases import Case, check_cases, check_methods, covered
from cytolens.explain.judgement.measure import SCORES, JudgeConfig, Measured, measure
from cytolens.explain.judgement.resampled import Means, interval_of, ranking, unit_means
from cytolens.explain.judgement.sanity import Sanity, sanity
from cytolens.explain.methods.method import Method, settings_of
from cytolens.explain.methods.random_map import RandomMap
from cytolens.explain.subject import Subject

RANDOM = RandomMap.name
TESTED = {"deletion": -1, "insertion": 1}  # which way is better


def judge(
    subject: Subject,
    cases: Sequence[Case],
    methods: Sequence[Method],
    *,
    unit_name: str = "unit",
    resamples: int = RESAMPLES,
    seed: int = 0,
    config: JudgeConfig | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Judge methods by what their maps are worth on a network and a data set.

    The random map is always among them. A method is trusted here when it beats the random map in
    deletion or insertion and is worse in neither (paired bootstrap over units, Holm-corrected over
    both measures of all methods, at .05), and its maps change when the network is randomised.

    Args:
        subject: the network.
        cases: images that the network was not trained on.
        methods: with different names; one that cannot explain this network is left out.
        unit_name: what the units are, for the result.
        resamples: bootstrap samples; more are drawn where there are many tests.
        seed: of the bootstrap, ties, the choice of images for sanity and its random weights.
        config: how explanations are judged.

    Returns:
        the content of `judgement.json`:
        {n, unit, units, resamples, level, masks, settings {steps, start, sanity_images, seed},
        regions: {nucleus | cell: {images, area {value, low, high} | null}} | null,
        methods: [{name, title, source, settings, seconds, empty, scores {name: {value, low, high} |
        null}, defined {name: images}, against_random {deletion, insertion: {difference {value,
        low, high}, p, p_holm, verdict}} | null, sanity {images, similarity_by_stage: [{stage,
        similarity, flat}], passed} | null, trusted, why}],
        left_out: [{name, why}], ranking_by, ranking: [{name, rank, low, high, value {value, low,
        high}}]}. Scores are means over the images where they are defined: shares and
        probabilities, the average drop as well. The ranking is by insertion minus deletion, best
        first. With fewer than two units there are no intervals, no p, and nothing is trusted.

    Raises:
        InputError: no cases, cases or methods that do not fit, negative resamples or seed.
    """
    settings, listener = config or JudgeConfig(), progress or Silent()
    _check(resamples, seed)
    check_cases(subject, cases)
    check_methods(methods)
    asked = list(methods)
    if RANDOM not in [method.name for method in asked]:
        asked.append(RandomMap())
    chosen = rng(seed, "sanity images").permutation(len(cases))[: settings.sanity_images]
    keep = sorted(chosen.tolist())
    found = {m.name: measure(subject, cases, m, keep, settings, seed, listener) for m in asked}
    measured = [one for one in found.values() if isinstance(one, Measured)]
    checked = _sanity(subject, cases, keep, measured, seed, listener)

    units = [case.unit for case in cases]
    areas = covered(cases)
    table = np.concatenate([one.table for one in measured], axis=1)  # [N, methods · SCORES]
    everything = np.concatenate([table, np.stack(list(areas.values()), axis=1)], axis=1)
    tests = len(TESTED) * (len(measured) - 1)
    drawn = max(resamples, RESAMPLES_A_PAIR * tests) if resamples else 0
    means = unit_means(everything, units, drawn, seed)
    against = _against_random(measured, means, len(set(units)))
    masks = any(case.mask is not None for case in cases)
    return {
        "n": len(cases),
        "unit": unit_name,
        "units": len(set(units)),
        "resamples": 0 if means.samples is None else drawn,
        "level": LEVEL,
        "masks": masks,
        "settings": asdict(settings) | {"seed": seed},
        "regions": {
            name: {
                "images": int((~np.isnan(shares)).sum()),
                "area": means.interval(table.shape[1] + place),
            }
            for place, (name, shares) in enumerate(areas.items())
        }
        if masks
        else None,
        "methods": [
            _entry(one, place, means, against.get(one.method.name), checked[one.method.name])
            for place, one in enumerate(measured)
        ],
        "left_out": [
            {"name": name, "why": why} for name, why in found.items() if isinstance(why, str)
        ],
        "ranking_by": "insertion - deletion",
        "ranking": _ranking(measured, means),
    }


def _check(resamples: int, seed: int) -> None:
    wrong = {"resamples": resamples, "seed": seed}
    rows = [f"{name} = {value}" for name, value in wrong.items() if value < 0]
    if rows:
        raise InputError("The judgement has negative settings.", rows=rows, expected="0 or more")


def _sanity(
    subject: Subject,
    cases: Sequence[Case],
    keep: Sequence[int],
    measured: Sequence[Measured],
    seed: int,
    progress: Progress,
) -> dict[str, Sanity | str]:
    """Test all but the random map, which does not look at the network to begin with."""
    found: dict[str, Sanity | str] = {one.method.name: "no image was asked for" for one in measured}
    tested = [one for one in measured if one.method.name != RANDOM]
    if keep and tested:
        images = np.stack([cases[i].image for i in keep])
        targets = [cases[i].target for i in keep]
        originals = {one.method.name: one.kept for one in tested}
        chosen = [one.method for one in tested]
        found |= sanity(subject, images, targets, chosen, originals, seed=seed, progress=progress)
    return found


def _against_random(
    measured: Sequence[Measured], means: Means, units: int
) -> dict[str, dict[str, Any]]:
    """Compare each method with the random map, both measures of all methods as one family."""
    names = [one.method.name for one in measured]
    floor = names.index(RANDOM) * len(SCORES)
    gains: list[tuple[str, str, float]] = []
    results: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        for score in TESTED if name != RANDOM else ():
            column = SCORES.index(score)
            interval, drawn = means.difference(place * len(SCORES) + column, floor + column)
            assert interval is not None and interval["value"] is not None  # of every image
            gains.append((name, score, TESTED[score] * interval["value"]))
            results.append({"difference": interval, "p": unit_p(drawn, units)})
    found: dict[str, dict[str, Any]] = {}
    corrected = holm([result["p"] for result in results])
    for (name, score, gain), p, result in zip(gains, corrected, results, strict=True):
        result |= {"p_holm": p, "verdict": verdict(gain, p, "gain")}
        found.setdefault(name, {})[score] = result
    return found


def _entry(
    one: Measured,
    place: int,
    means: Means,
    against: dict[str, Any] | None,
    checked: Sanity | str,
) -> dict[str, Any]:
    trusted, why = _trust(one, against, checked, means.samples is not None)
    defined = (~np.isnan(one.table)).sum(axis=0)
    return {
        "name": one.method.name,
        "title": one.method.title,
        "source": one.method.source,
        "settings": settings_of(one.method),
        "seconds": one.seconds,
        "empty": one.empty,
        "scores": {s: means.interval(place * len(SCORES) + i) for i, s in enumerate(SCORES)},
        "defined": {score: int(n) for score, n in zip(SCORES, defined, strict=True)},
        "against_random": against,
        "sanity": None
        if isinstance(checked, str)
        else {
            "images": checked.images,
            "similarity_by_stage": [asdict(stage) for stage in checked.stages],
            "passed": checked.passed,
        },
        "trusted": trusted,
        "why": why,
    }


def _trust(
    one: Measured, against: dict[str, Any] | None, checked: Sanity | str, tested: bool
) -> tuple[bool, str]:
    """Return whether a method is trusted, and why in a sentence."""
    if against is None:
        return False, "It knows nothing of the network: the floor that the others must beat."
    if one.empty == len(one.table):
        return False, "All its maps are empty."
    if not tested:
        return False, "It could not be tested: intervals need resamples of two units or more."
    by_verdict: dict[str, list[str]] = {BETTER: [], WORSE: [], NOT_SHOWN: []}
    for score, row in against.items():
        by_verdict[row["verdict"]].append(score)
    if by_verdict[WORSE]:
        return False, f"It is worse than a random map in {' and '.join(by_verdict[WORSE])}."
    if not by_verdict[BETTER]:
        return False, "It is not shown to beat a random map, neither in deletion nor in insertion."
    beats = f"It beats a random map in {' and '.join(by_verdict[BETTER])}"
    if isinstance(checked, str):
        return False, f"{beats}, but was not tested on randomised networks: {checked}."
    if not checked.passed:
        return False, f"{beats}, but its maps hardly change when the network is randomised."
    return True, f"{beats}, and its maps change when the network is randomised."


def _ranking(measured: Sequence[Measured], means: Means) -> list[dict[str, Any]]:
    deletion, insertion = (
        [place * len(SCORES) + SCORES.index(score) for place in range(len(measured))]
        for score in ("deletion", "insertion")
    )
    values = means.value[insertion] - means.value[deletion]
    samples = None
    if means.samples is not None:
        samples = means.samples[:, insertion] - means.samples[:, deletion]
    rows = [
        {
            "name": one.method.name,
            "rank": rank,
            "low": low,
            "high": high,
            "value": interval_of(values[i], None if samples is None else samples[:, i]),
        }
        for i, (one, (rank, low, high)) in enumerate(
            zip(measured, ranking(values, samples), strict=True)
        )
    ]
    return sorted(rows, key=lambda row: row["rank"])
