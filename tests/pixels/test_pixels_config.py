"""Settings: TOML there and back, and every error at once."""

from __future__ import annotations

import tomllib

import pytest

from cytolens.core.config import from_dict, to_toml
from cytolens.core.errors import InputError
from cytolens.pixels import STEPS, AugmentConfig, PixelsConfig

RECIPE = """
size = [96, 144]
fit = "letterbox"
border = "median"
steps = [{name = "median", size = 5}, {name = "reinhard", mean = [60, 10, -10]}]
"""


def test_defaults_are_written_out_and_come_back() -> None:
    config = from_dict(PixelsConfig, tomllib.loads(RECIPE), "recipe")
    assert config.size == (96, 144)
    assert config.steps[1] == {
        "name": "reinhard",
        "mean": (60.0, 10.0, -10.0),
        "std": (12.6, 9.0, 8.7),
    }
    text = to_toml(config)
    assert from_dict(PixelsConfig, tomllib.loads(text), "recipe") == config
    assert "std" in text


@pytest.mark.parametrize("name", STEPS)
def test_every_step_comes_back_from_toml(name: str) -> None:
    config = PixelsConfig(steps=({"name": name},))
    assert from_dict(PixelsConfig, tomllib.loads(to_toml(config)), "recipe") == config
    assert config.built == (STEPS.get(name)(),)


def test_augmentation_comes_back_from_toml() -> None:
    config = AugmentConfig(rotation=45, shear=0.2, semantics="keras", horizontal_flip=True)
    assert from_dict(AugmentConfig, tomllib.loads(to_toml(config)), "recipe") == config


@pytest.mark.parametrize(
    ("size", "resolved"), [(0, (224, 224)), (110, (110, 110)), ((96, 144), (96, 144))]
)
def test_size(size: int | tuple[int, int], resolved: tuple[int, int]) -> None:
    assert PixelsConfig(size=size).resolve((224, 224)) == resolved


def test_all_wrong_steps_are_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        PixelsConfig(
            steps=(
                {"name": "medain"},
                {"name": "median", "sice": 3},
                {"name": "median", "size": 4},
                {"name": "clahe", "clip": "high"},
                {"size": 3},
            )
        )
    names = "median, gaussian, nlm, sharpen, clahe, reinhard, macenko, hsv_segment"
    assert str(caught.value) == (
        "The preprocessing steps have 5 wrong settings.\n"
        "  - steps[0]: Unknown preprocessing step 'medain' (did you mean 'median'?).\n"
        "  - steps[1]: sice: unknown key (did you mean 'size'?)\n"
        "  - steps[2]: median has 1 wrong value.\n"
        "  - size must be an odd number from 1 to 255, got 4\n"
        "  - steps[3]: clip: expected a number, got 'high'\n"
        f"  - steps[4].name: missing; one of {names}"
    )


def test_wrong_size() -> None:
    with pytest.raises(InputError) as caught:
        PixelsConfig(size=(0, 5), border="white")
    assert str(caught.value) == (
        "pixels has 2 wrong values.\n"
        "  - size must be at least 1 and at most 16384, got 0\n"
        "  - border has no effect with fit = 'stretch'"
    )


def test_all_wrong_augmentations_are_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        AugmentConfig(rotation=-5, zoom=1, shear=20, hue=0.7, fill_value=9)
    assert str(caught.value) == (
        "augmentation has 5 wrong values.\n"
        "  - rotation must be at least 0 and at most 180, got -5\n"
        "  - zoom must be at least 0 and below 1, got 1\n"
        "  - shear must be at least 0 and below 1, got 20\n"
        "  - hue must be at least 0 and at most 0.5, got 0.7\n"
        "  - fill_value has no effect with fill = 'reflect'"
    )


def test_shear_in_degrees_is_for_keras_only() -> None:
    assert AugmentConfig(shear=20, semantics="keras").moves
