"""The judgement as a whole: what is trusted, intervals over units, what is left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.explain.conftest import HAND_SIZE, noise

from cytolens.core.errors import InputError
from cytolens.explain import Explanation, Subject, Target, class_target
from cytolens.explain.judgement import SCORES, Case, JudgeConfig, deletion_insertion, judge
from cytolens.explain.judgement.resampled import ranking, unit_means
from cytolens.explain.methods.random_map import RandomMap

RED = np.array([[30.0, 0.0], [-30.0, 0.0]], np.float32)  # red speaks for c0, green for nothing
CASES = 16


@dataclass(frozen=True)
class _Fake:
    """A method made for a test."""

    name: ClassVar[str]
    title: ClassVar[str] = "made up"
    source: ClassVar[str] = "a test"
    signed: ClassVar[bool] = True
    seeded: ClassVar[bool] = False

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        subject.check(images, targets)
        return [
            Explanation(self.map(subject, image, target), self.name, target.name, {}, 0.25)
            for image, target in zip(images, targets, strict=True)
        ]

    def map(
        self, subject: Subject, image: NDArray[np.uint8], target: Target
    ) -> NDArray[np.float32]:
        raise NotImplementedError


@dataclass(frozen=True)
class Cause(_Fake):
    """What each pixel adds to the score of a linear network: gradient times pixel."""

    name: ClassVar[str] = "cause"

    def map(
        self, subject: Subject, image: NDArray[np.uint8], target: Target
    ) -> NDArray[np.float32]:
        pixels = torch.from_numpy(image[None].astype(np.float32)).requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(target(subject.scores(pixels)).sum(), pixels)
        return (gradient * pixels)[0].sum(-1).detach().numpy()


@dataclass(frozen=True)
class Wrong(Cause):
    """The contrary of the cause."""

    name: ClassVar[str] = "wrong"

    def map(
        self, subject: Subject, image: NDArray[np.uint8], target: Target
    ) -> NDArray[np.float32]:
        return -super().map(subject, image, target)


@dataclass(frozen=True)
class Redness(_Fake):
    """The image's red: right by chance, for it does not look at the network."""

    name: ClassVar[str] = "redness"

    def map(
        self, subject: Subject, image: NDArray[np.uint8], target: Target
    ) -> NDArray[np.float32]:
        del subject, target
        return image[..., 0].astype(np.float32)


@dataclass(frozen=True)
class Chance(_Fake):
    """A random map under another name and of another draw."""

    name: ClassVar[str] = "chance"

    def map(
        self, subject: Subject, image: NDArray[np.uint8], target: Target
    ) -> NDArray[np.float32]:
        return RandomMap(seed=5).explain(subject, image[None], [target])[0].map


@dataclass(frozen=True)
class Silent(_Fake):
    """Empty maps."""

    name: ClassVar[str] = "silent"

    def map(
        self, subject: Subject, image: NDArray[np.uint8], target: Target
    ) -> NDArray[np.float32]:
        del image, target
        return np.zeros(subject.size, np.float32)


@dataclass(frozen=True)
class Refusing(_Fake):
    """Cannot explain any network."""

    name: ClassVar[str] = "refusing"

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        del subject, images, targets
        raise InputError("No layer of this network has spatial extent.", fix="choose another.")


@pytest.fixture
def subject(by_hand: Callable[..., Subject]) -> Subject:
    made = by_hand(RED)
    made._engine = "torch"  # compiling takes longer than these tests
    return made


def cases_of(subject: Subject, units: int = 8) -> list[Case]:
    """Noise whose red fills the left half, where the nucleus is."""
    images = noise(CASES, HAND_SIZE)
    images[:, :, 4:, 0] //= 8
    mask = np.zeros(HAND_SIZE, np.int64)
    mask[:, :4] = 2
    mask[:, 4] = 1
    target = class_target(subject.classes, "c0")
    return [
        Case(f"{i:02}.png", f"unit {i % units}", image, mask if i else None, target)
        for i, image in enumerate(images)
    ]


def entry(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in found["methods"] if one["name"] == name)


ALL = (Chance(), Cause(), Redness(), Silent(), Refusing(), Wrong())


def test_what_is_trusted_and_why(subject: Subject) -> None:
    cases = cases_of(subject, units=CASES)
    found = judge(subject, cases, ALL, unit_name="patient", resamples=500)
    assert (found["n"], found["unit"], found["units"]) == (CASES, "patient", CASES)
    assert found["resamples"] == 1000, "100 a test at least: five methods, two measures"
    assert [one["name"] for one in found["methods"]] == [
        *("chance", "cause", "redness", "silent", "wrong", "random_map")
    ]
    why = {one["name"]: one["why"] for one in found["methods"]}
    assert why == {
        "cause": "It beats a random map in deletion and insertion, and its maps change when the "
        "network is randomised.",
        "redness": "It beats a random map in deletion and insertion, but its maps hardly change "
        "when the network is randomised.",
        "chance": "It is not shown to beat a random map, neither in deletion nor in insertion.",
        "wrong": "It is worse than a random map in deletion and insertion.",
        "silent": "All its maps are empty.",
        "random_map": "It knows nothing of the network: the floor that the others must beat.",
    }
    assert [one["name"] for one in found["methods"] if one["trusted"]] == ["cause"]
    assert found["left_out"] == [
        {"name": "refusing", "why": "No layer of this network has spatial extent."}
    ]
    json.dumps(found, allow_nan=False)

    floor, silent = entry(found, "random_map"), entry(found, "silent")
    assert floor["against_random"] is None and floor["sanity"] is None
    assert silent["empty"] == CASES and silent["sanity"] is None
    assert silent["scores"]["energy_nucleus"] is None and silent["defined"]["pointing_cell"] == 0
    redness = entry(found, "redness")
    assert redness["sanity"]["similarity_by_stage"][-1]["similarity"] == pytest.approx(1)
    assert redness["defined"]["energy_nucleus"] == CASES - 1, "one image has no mask"
    assert redness["seconds"] == 0.25
    ranks = {row["name"]: row for row in found["ranking"]}
    assert ranks["cause"]["rank"] == 1 and found["ranking"][-1]["name"] == "wrong"
    assert ranks["redness"]["low"] <= 1 <= ranks["redness"]["high"]


def test_scores_are_means_within_their_intervals(subject: Subject) -> None:
    cases = cases_of(subject)
    found = judge(subject, cases, [Cause()], resamples=200, config=JudgeConfig(steps=6))
    curves = [
        deletion_insertion(
            subject,
            c.image,
            Cause().explain(subject, c.image[None], [c.target])[0],
            c.target,
            steps=6,
        )
        for c in cases
    ]
    scores = entry(found, "cause")["scores"]
    assert set(scores) == set(SCORES)
    assert scores["deletion"]["value"] == pytest.approx(np.mean([c.deletion_auc for c in curves]))
    assert scores["insertion"]["value"] == pytest.approx(np.mean([c.insertion_auc for c in curves]))
    for one in found["methods"]:
        for score in one["scores"].values():
            assert score["low"] <= score["value"] <= score["high"]
    assert found["regions"]["nucleus"]["images"] == CASES - 1
    assert found["regions"]["nucleus"]["area"]["value"] == pytest.approx(0.5)
    assert found["regions"]["cell"]["area"]["value"] == pytest.approx(5 / 8)
    assert scores["energy_nucleus"]["value"] > 0.8, "where the red is"
    ours, floor = scores, entry(found, "random_map")["scores"]
    row = entry(found, "cause")["against_random"]["deletion"]
    assert row["difference"]["value"] == pytest.approx(
        ours["deletion"]["value"] - floor["deletion"]["value"]
    )
    assert row["difference"]["high"] < 0 and row["verdict"] == "better"
    assert row["p_holm"] >= row["p"] >= 2.0 ** (1 - 8)


def test_the_same_seed_gives_the_same_judgement(subject: Subject) -> None:
    cases = cases_of(subject)[:6]
    made = [judge(subject, cases, [Cause()], resamples=50, seed=3) for _ in range(2)]
    for one in made:
        for method in one["methods"]:
            method["seconds"] = 0
    assert made[0] == made[1]
    alone = judge(subject, cases, [], resamples=50, seed=3)
    assert [one["name"] for one in alone["methods"]] == ["random_map"]
    assert alone["ranking"][0]["rank"] == 1


def test_without_units_masks_or_sanity_nothing_is_claimed(subject: Subject) -> None:
    cases = [replace(case, mask=None, unit="one") for case in cases_of(subject)]
    found = judge(subject, cases, [Cause()], config=JudgeConfig(sanity_images=0))
    cause = entry(found, "cause")
    assert found["resamples"] == 0 and not found["masks"] and found["regions"] is None
    assert cause["why"] == "It could not be tested: intervals need resamples of two units or more."
    assert cause["scores"]["deletion"]["low"] is None and cause["scores"]["iou_cell"] is None
    assert cause["against_random"]["deletion"]["p"] is None
    apart = judge(
        subject, cases_of(subject), [Cause()], resamples=99, config=JudgeConfig(sanity_images=0)
    )
    assert not entry(apart, "cause")["trusted"]
    assert "but was not tested on randomised networks" in entry(apart, "cause")["why"]


def test_few_units_never_show_a_difference(subject: Subject) -> None:
    """Of four units test's least p is 2^-3, whatever the bootstrap says."""
    found = judge(subject, cases_of(subject, units=4), [Cause()], resamples=200)
    row = entry(found, "cause")["against_random"]["deletion"]
    assert row["difference"]["high"] < 0
    assert row["p"] == 0.125 and row["verdict"] == "not shown to differ"
    assert not entry(found, "cause")["trusted"]


def test_progress_counts_every_image_and_stage(subject: Subject) -> None:
    class Counting:
        def __init__(self) -> None:
            self.tasks: dict[str, list[int]] = {}

        def task(self, name: str, total: int) -> Any:
            import contextlib

            done = self.tasks.setdefault(name, [total, 0])

            def step() -> None:
                done[1] += 1

            return contextlib.nullcontext(step)

        def say(self, text: str) -> None:
            raise AssertionError(text)

    listener = Counting()
    judge(subject, cases_of(subject), [Cause()], resamples=0, progress=listener)
    assert len(listener.tasks) == 3
    assert all(done == total for total, done in listener.tasks.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cases: cases[:0], "There is no image to judge"),
        (lambda cases: cases[:1] * 2, "An image would be judged twice"),
        (lambda cases: [replace(cases[0], image=noise(1, (9, 9))[0])], "cannot be explained"),
        (lambda cases: [replace(cases[1], mask=np.zeros((3, 3), int))], "masks that do not fit"),
        (lambda cases: [replace(cases[1], mask=cases[1].mask + 9)], "values up to 11"),
    ],
)
def test_cases_that_cannot_be_judged(
    subject: Subject, change: Callable[[list[Case]], list[Case]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        judge(subject, change(cases_of(subject)), [Cause()])


def test_settings_that_cannot_be_meant(subject: Subject) -> None:
    with pytest.raises(InputError, match="resamples = -1"):
        judge(subject, cases_of(subject), [Cause()], resamples=-1)
    with pytest.raises(InputError, match="A method would be judged twice"):
        judge(subject, cases_of(subject), [Cause(), Cause()])
    with pytest.raises(InputError, match="(?s)steps = 0.*start = 'noise'.*sanity_images = -1"):
        JudgeConfig(steps=0, start="noise", sanity_images=-1)  # type: ignore[arg-type]


# ------------------------------------------------------------------ means over units


def test_means_of_units_are_those_of_a_naive_bootstrap() -> None:
    draws = np.random.default_rng(0)
    table = draws.normal(size=(9, 3))
    table[[0, 4], 1] = np.nan
    table[:, 2] = np.nan
    units = list("aabbbccdd")
    found = unit_means(table, units, 300, seed=1)
    assert found.value[:2] == pytest.approx(np.nanmean(table[:, :2], axis=0))
    assert found.interval(2) is None
    assert found.samples is not None and found.samples.shape == (300, 3)
    naive = []
    for _ in range(4000):
        rows = [i for u in draws.choice(list("abcd"), 4) for i in range(9) if units[i] == u]
        naive.append(np.nanmean(table[rows, 0]))
    assert found.samples[:, 0].std() == pytest.approx(np.std(naive), rel=0.15)
    interval, drawn = found.difference(0, 1)
    assert interval is not None and drawn is not None
    assert interval["value"] == pytest.approx(found.value[0] - found.value[1])
    assert drawn == pytest.approx(found.samples[:, 0] - found.samples[:, 1], nan_ok=True)


def test_ranks_are_redrawn_in_every_sample() -> None:
    values = np.array([0.1, 0.9, 0.5, 0.5])
    assert [rank for rank, _, _ in ranking(values, None)] == [4, 1, 2, 2]
    samples = np.tile(values, (100, 1))
    samples[:50, 1], samples[50:, 1] = 1.0, 0.0
    assert ranking(values, samples)[1] == (1, 1, 4)
    assert ranking(values, samples)[0] == (4, 3, 4)
