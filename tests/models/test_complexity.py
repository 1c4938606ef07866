"""Parameters, multiply-adds, megabytes and milliseconds, against the literature and by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from cytolens.core.errors import InputError
from cytolens.models.complexity import complexity
from cytolens.models.config import ModelConfig
from cytolens.models.weights import Weights

MakeWeights = Callable[..., Weights]


@pytest.mark.parametrize(
    ("backbone", "parameters", "multiply_adds", "classifier", "its_multiply_adds"),
    [
        # Sandler 2018, table 4: 3.4 M, 300 M; the classifier is dense 1280 -> 1000
        ("mobilenetv2_100", 3.50e6, 300e6, 1281 * 1000, 1280 * 1000),
        # torchvision: 1.24 M, .35 G; a 1 × 1 convolution 512 -> 1000 over 13 × 13
        ("squeezenet1_1", 1.24e6, 350e6, 513 * 1000, 512 * 1000 * 13 * 13),
        # torchvision: 25.6 M, 4.09 G; dense 2048 -> 1000
        ("resnet50", 25.6e6, 4.09e9, 2049 * 1000, 2048 * 1000),
    ],
)
def test_counts_are_those_of_the_literature(
    random_weights: MakeWeights,
    backbone: str,
    parameters: float,
    multiply_adds: float,
    classifier: int,
    its_multiply_adds: int,
) -> None:
    config = ModelConfig(backbone=backbone, weights="random")
    found = complexity(config, random_weights(backbone), (224, 224), 1, repeats=1)
    head = found.trained_parameters  # all else is frozen
    assert found.parameters - head + classifier == pytest.approx(parameters, rel=0.01)
    operations = found.multiply_adds - (head - 1) + its_multiply_adds
    assert operations == pytest.approx(multiply_adds, rel=0.01)


def test_every_number_of_lenet_by_hand(random_weights: MakeWeights) -> None:
    config = ModelConfig(
        backbone="lenet5", weights="random", freeze="none", pool="none", head="lenet5", width=84
    )
    found = complexity(config, random_weights("lenet5", 32), (32, 32), 10)
    c1, c3, c5 = 6 * 3 * 25, 16 * 6 * 25, 120 * 16 * 25
    assert found.parameters == (c1 + 6) + (c3 + 16) + (c5 + 120) + 121 * 84 + 85 * 10
    assert found.trained_parameters == found.parameters
    assert found.multiply_adds == c1 * 28 * 28 + c3 * 10 * 10 + c5 + 120 * 84 + 84 * 10
    assert found.megabytes == found.parameters * 4 / 1e6
    assert found.milliseconds > 0 and found.engine == "torch"


def test_freezing_leaves_fewer_to_train_and_as_many_to_keep(random_weights: MakeWeights) -> None:
    weights = random_weights("cytolens_tiny", 48)
    found = [
        complexity(
            ModelConfig(backbone="cytolens_tiny", weights="random", freeze=freeze),
            weights, (48, 48), 3, repeats=1,
        )
        for freeze in ("none", 0.5, "all")
    ]  # fmt: skip
    assert len({one.parameters for one in found}) == 1
    assert len({one.multiply_adds for one in found}) == 1
    trained = [one.trained_parameters for one in found]
    assert trained[0] == found[0].parameters
    assert trained[0] > trained[1] > trained[2] > 0


def test_the_engine_that_is_handed_in_is_timed_on_one_image(random_weights: MakeWeights) -> None:
    seen: list[tuple[int, ...]] = []

    class Engine:
        def run(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Any]:
            for batch in batches:
                seen.append(batch.shape)
                yield batch

    def make(whole: nn.Module, size: tuple[int, int], precision: str) -> Engine:
        assert isinstance(whole, nn.Module) and size == (48, 40) and precision == "f32"
        return Engine()

    found = complexity(
        ModelConfig(backbone="cytolens_tiny", weights="random"),
        random_weights("cytolens_tiny", 48), (48, 40), 3,
        engine=make, engine_name="ours", repeats=4,
    )  # fmt: skip
    assert found.engine == "ours"
    assert seen == [(1, 48, 40, 3)] * 5


def test_an_unknown_backbone_is_refused(random_weights: MakeWeights) -> None:
    weights = random_weights("mobilenetv2_10", 48)
    with pytest.raises(InputError, match="Unknown backbone"):
        complexity(ModelConfig(backbone="mobilenetv2_10"), weights, (48, 48), 3)
