"""How long a candidate would take on this machine: measured on a few images, then predicted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cytolens.experiments.recipe import Recipe

FEW, MANY = 16, 96  # images of the two probes; their difference leaves the start-up out
PROBE_EPOCHS = 2  # the first one warms up
_FORWARD = 1 / 3  # of the time of a training step
_FASTEST = 1e6  # a second; where a probe took no time that could be measured


@dataclass(frozen=True)
class Probe:
    """What learning a few images took.

    Attributes:
        rows: images and views the frozen part was computed of.
        extracting: seconds of that, with building and compiling.
        building: seconds of building the trained part.
        epoch: images a second of the last epoch.
    """

    rows: int
    extracting: float
    building: float
    epoch: float


@dataclass(frozen=True)
class Speed:
    """The measured speed of one network at one input size.

    Attributes:
        start: seconds before the first feature of a fold that has features to compute.
        building: seconds before the first training step of a fold.
        features: rows a second through the frozen part.
        training: images a second through a training step.
        area: of the input, in pixels.
    """

    start: float
    building: float
    features: float
    training: float
    area: int

    @staticmethod
    def between(few: Probe, many: Probe, area: int) -> Speed:
        """Take the start-up out of two probes of different size."""
        took = many.extracting - few.extracting
        rows = many.rows - few.rows
        if rows > 0 and took > 0:
            features = rows / took
        else:  # too few images to tell the start-up apart: all of it counts
            features = many.rows / max(many.extracting, 1 / _FASTEST)
        start = max(0.0, few.extracting - few.rows / features)
        return Speed(start, many.building, features, many.epoch, area)

    def seconds(self, recipe: Recipe, area: int, train: int, test: int, rows: int) -> float:
        """Predict the seconds of one fold.

        Args:
            area: of the recipe's input, in pixels; time grows in proportion.
            train, test: images.
            rows: images and views of which the frozen part is still to be computed.
        """
        factor = area / self.area
        trained = 1.0 if recipe.model.freeze == "all" else factor
        steps = train * recipe.training.epochs
        steps_like = test * len(recipe.evaluation.test_views) * _FORWARD
        upper = (steps + steps_like) * trained / self.training
        extracting = self.start + rows * factor / self.features if rows else 0.0
        return extracting + self.building + upper


def with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """Return the recipe with other epochs; the warm-up stays below them."""
    training = recipe.training
    changed = replace(training, epochs=epochs, warmup=min(training.warmup, epochs - 1))
    return replace(recipe, training=changed)


def feature_rows(recipe: Recipe, train: int, test: int) -> int:
    """Return how many images and views the frozen part is computed of in a first fold."""
    return train * max(1, recipe.training.view_count) + test * len(recipe.evaluation.test_views)


def further_rows(recipe: Recipe, test: int) -> int:
    """Return how many more it takes in a further fold of the same images, about.

    Images that were tested in the fold before are now trained on, and as many others are tested.
    """
    views, tests = recipe.training.view_count, set(recipe.evaluation.test_views)
    if not views:  # trained on the images themselves, whose features are there
        return test * len(tests - {"identity"})
    return test * (views + len(tests))
