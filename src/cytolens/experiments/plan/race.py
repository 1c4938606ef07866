"""Try candidates within the time there is: the shipped recipes first, then what may beat them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence

from cytolens.core.errors import InputError
from cytolens.core.progress import Progress
from cytolens.evaluation import LOWER_IS_BETTER, point_scores
from cytolens.experiments.plan.budget import Watch
from cytolens.experiments.plan.candidates import FINETUNE, FROZEN, Candidate
from cytolens.experiments.plan.inner import Judge
from cytolens.experiments.plan.speed import Speed, feature_rows, further_rows, with_epochs
from cytolens.experiments.plan.trial import Trial, lead
from cytolens.experiments.recipe import Recipe
from cytolens.report.text import seconds as duration

LADDER = (1.0, 0.5, 0.34)  # shares of the epochs that fine-tuning may be judged with
_FIRST_SHARE = 0.6  # of what is left, for the first judgement of the shipped fine-tuning
_SCREEN_SHARE = 0.3  # of what is left, for one frozen candidate
_BELIEVED = 0.5  # how much of a surprise in one fold is expected of the next
_MOST = 3.0  # a fold may be so many times slower or faster than predicted


class Race:
    """Tries candidates; every one is kept, with the reason if it was not tried.

    Args:
        judge: of the inner folds.
        watch: the budget.
        progress: told what is tried.
    """

    def __init__(self, judge: Judge, watch: Watch, score: str, progress: Progress) -> None:
        self.judge = judge
        self.watch = watch
        self.score = score
        self.progress = progress
        self.trials: list[Trial] = []
        self.share = 1.0  # of the epochs, the same for all that is fine-tuned
        self._speeds: dict[tuple[str, str], Speed] = {}
        self._slower: dict[bool, float] = {True: 1.0, False: 1.0}  # actual / predicted

    @property
    def reference(self) -> Trial | None:
        """The shipped recipe that a challenger must beat: fine-tuning, where it was judged."""
        for name in (FINETUNE, FROZEN):
            for trial in self.trials:
                if trial.name == name and trial.tried:
                    return trial
        return None

    def screen(self, candidates: Sequence[Candidate]) -> None:
        """Judge frozen candidates on all inner folds: their features are computed once."""
        for candidate in candidates:
            trial = self._enter(candidate, 1.0)
            # The shipped recipe is the floor: it may take all the time there is.
            share = 1.0 if trial.name == FROZEN else _SCREEN_SHARE
            with self._forgiving(trial):
                if not self._late(trial):
                    self._judge_all(trial, share * self.watch.left)

    def _judge_all(self, trial: Trial, seconds: float) -> None:
        numbers = range(len(self.judge.inner.folds))
        needed = sum(self.predict(trial.candidate.recipe, number) for number in numbers)
        if needed > seconds:
            trial.skipped = f"not tried: would take {duration(needed)}"
            return
        for number in numbers:
            self._run(trial, number)

    def first_training(self, candidate: Candidate) -> None:
        """Judge the shipped fine-tuning on one inner fold, with fewer epochs where time is short.

        All other fine-tuning is then judged with the same share of its epochs.
        """
        trial = self._enter(candidate, 1.0)
        if self._late(trial):
            self.share = 0.0
            return
        needed = {share: self._needed(candidate, share) for share in LADDER}
        fitting = [s for s in LADDER if needed[s] <= _FIRST_SHARE * self.watch.left]
        if not fitting and needed[LADDER[-1]] <= self.watch.left:
            fitting = [LADDER[-1]]
        if not fitting:
            self.share = 0.0
            trial.skipped = (
                f"not tried: would take {duration(needed[1.0])}, and with a third of the epochs "
                f"{duration(needed[LADDER[-1]])}"
            )
            return
        self.share = fitting[0]
        trial.epochs = self._epochs(candidate, self.share)
        self._run(trial, 0)

    def train(self, candidates: Sequence[Candidate]) -> None:
        """Judge variants of the fine-tuning on the first inner fold, as far as time allows."""
        for candidate in candidates:
            share = self.share or 1.0
            trial = self._enter(candidate, share)
            with self._forgiving(trial):
                if self._late(trial):
                    continue
                needed = self._needed(candidate, share)
                if not self.share or needed > self.watch.left:
                    trial.skipped = f"not tried: would take {duration(needed)}"
                    continue
                self._run(trial, 0)

    def confirm(self) -> None:
        """Judge the reference and whoever is ahead of it on further folds, until time is up."""
        reference = self.reference
        if reference is None:
            return
        for number in range(1, len(self.judge.inner.folds)):
            ahead = [t for t in self._challengers(reference) if self._gain(t, reference) > 0]
            ahead.sort(key=lambda t: -self._gain(t, reference))
            todo = [t for t in (reference, *ahead) if number not in t.parts]
            if not ahead or not todo:
                return
            for trial in todo[:2]:  # the reference and the best challenger
                recipe = with_epochs(trial.candidate.recipe, trial.epochs)
                if self.predict(recipe, number) > self.watch.left:
                    return
                self._run(trial, number)

    def backbones_ahead(self, of: str) -> list[str]:
        """Return the other backbones whose frozen features did better than those of `of`."""
        values: dict[str, float] = {}
        for trial in self.trials:
            if trial.tried and trial.candidate.frozen:
                name = trial.candidate.recipe.model.backbone
                values[name] = max(values.get(name, -math.inf), self._value(trial))
        known = values.get(of, math.inf)
        return [name for name, value in values.items() if name != of and value > known]

    def predict(self, recipe: Recipe, number: int) -> float:
        """Predict the seconds of one inner fold; a network is measured when it is first met."""
        model = recipe.model
        frozen = model.freeze == "all"
        key = (model.backbone, "frozen" if frozen else "trained")
        if key not in self._speeds:
            self._speeds[key] = self.judge.probe(recipe)
        fold = self.judge.inner.folds[number]
        train, test = len(fold.train), len(fold.test)
        # Folds share their features: the first one computes most of them.
        rows = feature_rows(recipe, train, test) if number == 0 else further_rows(recipe, test)
        area = self.judge.area(recipe)
        return self._slower[frozen] * self._speeds[key].seconds(recipe, area, train, test, rows)

    def speed_facts(self) -> list[dict[str, object]]:
        """Return what was measured, for the plan."""
        return [
            {
                "backbone": backbone,
                "part": part,
                "input_pixels": speed.area,
                "features_per_second": round(speed.features, 1),
                "training_images_per_second": round(speed.training, 1),
            }
            for (backbone, part), speed in self._speeds.items()
        ]

    def _enter(self, candidate: Candidate, share: float) -> Trial:
        trial = Trial(candidate, self._epochs(candidate, share))
        self.trials.append(trial)
        return trial

    @contextlib.contextmanager
    def _forgiving(self, trial: Trial) -> Iterator[None]:
        """Pass over a variant that cannot be carried out; a shipped recipe that fails is an error.

        A backbone may be too deep for small images, or have no place to be cut at.
        """
        try:
            yield
        except InputError as error:
            if trial.name in (FROZEN, FINETUNE):
                raise
            trial.parts.clear()
            trial.skipped = f"not possible: {error.what}"

    def _late(self, trial: Trial) -> bool:
        """Whether no time is left, not even to measure how long it would take."""
        if self.watch.left > 0:
            return False
        trial.skipped = "not tried: no time was left"
        return True

    def _needed(self, candidate: Candidate, share: float) -> float:
        return self.predict(with_epochs(candidate.recipe, self._epochs(candidate, share)), 0)

    def _epochs(self, candidate: Candidate, share: float) -> int:
        return max(1, round(candidate.recipe.training.epochs * share))

    def _run(self, trial: Trial, number: int) -> None:
        recipe = with_epochs(trial.candidate.recipe, trial.epochs)
        predicted = self.predict(recipe, number)
        judged = self.judge.judge(trial.name, recipe, number)
        trial.parts[number] = judged
        surprise = min(max(judged.seconds / max(predicted, 0.01), 1 / _MOST), _MOST)
        self._slower[trial.candidate.frozen] *= 1 + _BELIEVED * (surprise - 1)

    def _challengers(self, reference: Trial) -> list[Trial]:
        return [
            t for t in self.trials if t is not reference and set(t.parts) & set(reference.parts)
        ]

    def _gain(self, trial: Trial, reference: Trial) -> float:
        gain = lead(trial, reference, self.score, trial.candidate.recipe.seed).gain
        return -math.inf if gain is None else gain

    def _value(self, trial: Trial) -> float:
        found = trial.on(set(trial.parts))
        value = point_scores(found.labels, found.probabilities).overall[self.score]
        if value is None:
            return -math.inf
        return -value if self.score in LOWER_IS_BETTER else value
