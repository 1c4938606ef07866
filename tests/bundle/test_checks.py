"""Image checks: what is measured, what of a set passes, and what each sentence is said of."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cytolens.bundle.checks import Checks, Range, fit_checks, measure
from cytolens.core.config import from_dict, to_dict
from cytolens.core.errors import InputError
from cytolens.core.seeding import rng
from cytolens.data.loading import read_manifest
from cytolens.data.phantom import PhantomConfig, write_phantoms
from cytolens.data.reading import read_image

Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def smears(tmp_path_factory: pytest.TempPathFactory) -> list[Image]:
    """Return 60 phantoms of 112 px."""
    config = PhantomConfig(images=60, size=112, patients=12)
    path = write_phantoms(config, tmp_path_factory.mktemp("smears") / "data", workers=1)
    return [read_image(row.image) for row in read_manifest(path).rows]


@pytest.fixture(scope="module")
def checks(smears: list[Image]) -> Checks:
    return fit_checks(smears[:40])


def flat(r: int, g: int, b: int, height: int = 60, width: int = 60) -> Image:
    return np.broadcast_to(np.array([r, g, b], np.uint8), (height, width, 3)).copy()


def test_measures_against_what_they_say() -> None:
    """A dark square of stain on white, large enough to need no change of size."""
    image = flat(250, 250, 250, 224, 224)
    image[50:150, 50:150] = (120, 40, 200)
    found = measure(image)
    grey = np.full((224, 224), 250.0)
    grey[50:150, 50:150] = round(0.299 * 120 + 0.587 * 40 + 0.114 * 200)
    assert found.brightness == pytest.approx(grey.mean())
    assert found.contrast == pytest.approx(grey.std())
    mirrored = np.pad(grey, 1, mode="reflect")
    laplacian = (
        mirrored[:-2, 1:-1]
        + mirrored[2:, 1:-1]
        + mirrored[1:-1, :-2]
        + mirrored[1:-1, 2:]
        - 4 * grey
    )
    assert found.detail == pytest.approx(math.log(0.1 + 100 * laplacian.std() / grey.mean()))
    assert found.red_green == pytest.approx((120 - 40) / 360)
    assert found.blue_yellow == pytest.approx((200 - 80) / 360)
    assert found.saturation == pytest.approx(math.hypot(80, 120) / 360)
    assert (found.aspect, found.side) == (1.0, 224.0)


def test_shape_and_size_are_those_of_the_image_itself() -> None:
    found = measure(flat(200, 100, 100, height=400, width=900))
    assert (found.aspect, found.side) == (2.25, 600.0)
    assert measure(flat(9, 9, 9, height=8, width=3000)).aspect == 375


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_the_size_of_an_image_changes_little_of_what_is_measured(
    smears: list[Image], factor: int
) -> None:
    small = cv2.resize(smears[0], (224, 224), interpolation=cv2.INTER_LINEAR)
    large = cv2.resize(small, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    one, other = measure(np.asarray(small)), measure(np.asarray(large))
    assert other.brightness == pytest.approx(one.brightness, abs=1)
    assert other.contrast == pytest.approx(one.contrast, rel=0.05)
    assert other.detail == pytest.approx(one.detail, abs=0.35)
    assert other.red_green == pytest.approx(one.red_green, abs=0.01)


def test_exposure_is_not_taken_for_blur() -> None:
    image = flat(240, 230, 240, 224, 224)
    image[20:200:2, 30:180] = (120, 60, 160)
    dark = np.asarray(image * 0.4, np.uint8)
    assert measure(dark).detail == pytest.approx(measure(image).detail, abs=0.01)
    assert measure(dark).red_green == pytest.approx(measure(image).red_green, abs=0.01)


def test_own_images_pass(checks: Checks, smears: list[Image]) -> None:
    assert [p for image in smears[:40] for p in checks.problems(image)] == []
    assert sum(bool(checks.problems(image)) for image in smears[40:]) == 0


def test_sentences(checks: Checks, smears: list[Image]) -> None:
    own = smears[0]
    dark, bright = (own * 0.3).astype(np.uint8), (190 + own * 0.25).astype(np.uint8)
    noise = np.clip(own + rng(0, "noise").normal(0, 60, own.shape), 0, 255).astype(np.uint8)
    grey = np.repeat(cv2.cvtColor(own, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    wide = np.asarray(cv2.resize(own, (224, 112)))
    large = np.asarray(cv2.resize(own, (340, 340)))

    def said(image: Image) -> str:
        return "\n".join(checks.problems(image))

    usual = checks.brightness
    assert (
        f"the image is darker than those of training (mean grey level "
        f"{measure(dark).brightness:.0f}, usual {usual.low:.0f} to {usual.high:.0f})"
    ) in said(dark)
    assert "the image is brighter than those of training (mean grey level" in said(bright)
    assert "the image has less contrast than those of training" in said(bright)
    assert "the image is blurred, or its magnification" in said(
        np.asarray(cv2.GaussianBlur(own, (0, 0), 4))
    )
    assert "the image is noisy, or its magnification" in said(noise)
    assert "grey" in said(grey) or "no colour of a stain" in said(grey)
    assert (
        "another shape than those of training (224 × 112 px, width to height 2.00, usual 1.00)"
        in (said(wide))
    )
    assert (
        "the image is much larger than those of training, so its magnification may be another "
        "(340 × 340 px, usual 112 px a side)"
    ) in said(large)
    assert "much smaller" in said(np.ascontiguousarray(own[20:50, 20:50]))


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (225, 205, 220)])
@pytest.mark.parametrize("noise", [0, 3])
def test_an_empty_field(checks: Checks, colour: tuple[int, int, int], noise: float) -> None:
    image = flat(*colour) + rng(0, "grain").normal(0, noise, (60, 60, 3))
    [problem] = checks.problems(np.clip(image, 0, 255).astype(np.uint8))
    assert problem.startswith(
        "the field is empty: there is almost nothing to be seen (spread of grey levels "
    ), "and nothing is said of the colour or sharpness of nothing"


def test_strange_images_are_refused(checks: Checks, smears: list[Image]) -> None:
    noise = rng(0, "static").integers(0, 256, (112, 112, 3)).astype(np.uint8)
    for strange in [noise, *(255 - image for image in smears[:10])]:
        assert checks.problems(strange)


def test_the_colours_are_named() -> None:
    def smear(colour: tuple[int, int, int]) -> Image:
        image = flat(240, 240, 240)
        image[20:40, 10:50] = colour
        return image

    def problem(usual: tuple[int, int, int], seen: tuple[int, int, int]) -> list[str]:
        checks = fit_checks([smear(usual)] * 20)
        return [p for p in checks.problems(smear(seen)) if "stain" in p]

    violet, pink = (110, 80, 190), (215, 110, 160)
    assert problem(violet, violet) == []
    assert problem(violet, pink) == ["the stained parts are pink, those of training violet"]
    assert problem(pink, (60, 120, 60)) == ["the stained parts are green, those of training pink"]
    assert problem(violet, (60, 60, 200)) == [
        "the stained parts are blue, those of training violet"
    ]
    assert problem(violet, (150, 105, 60)) == [
        "the stained parts are brown, those of training violet"
    ]
    [same] = problem(violet, (100, 40, 220))
    assert same.startswith("the stained parts are of another violet than those of training (colour")


def test_the_margin_stops_halfway_to_the_end_of_a_scale() -> None:
    """All training images are stained weakly: grey ones are refused all the same."""
    images = []
    for strength in np.linspace(6, 60, 40):
        image = flat(230, 230, 230)
        image[:30] = np.array([100 + strength, 100, 100 + strength]).astype(np.uint8)
        images.append(image)
    checks = fit_checks(images)
    usual, middle = checks.saturation, np.median([measure(i).saturation for i in images])
    assert 0 < usual.least == pytest.approx(usual.low / 2)
    assert usual.most - usual.high == pytest.approx((0.5 + 20 / 40) * (usual.high - middle))
    grey = flat(230, 230, 230)
    grey[:30] = 100
    only = replace(checks, red_green=Range(-1, -1, 1, 1), blue_yellow=Range(-1, -1, 1, 1))
    [problem] = only.problems(grey)
    assert problem.startswith("the image has no colour of a stain (colour strength 0 %, usual")


def test_training_that_holds_empty_fields_lets_them_pass(smears: list[Image]) -> None:
    empty = flat(240, 235, 240, 112, 112)
    checks = fit_checks([*smears[:20], *[empty] * 20])
    assert not [p for p in checks.problems(empty) if "empty" in p]


def test_what_is_written_is_what_is_read(checks: Checks) -> None:
    text = json.dumps(to_dict(checks), allow_nan=False)
    assert from_dict(Checks, json.loads(text), "checks") == checks
    assert checks.images == 40


def test_too_few_images(smears: list[Image]) -> None:
    with pytest.raises(InputError) as caught:
        fit_checks(iter(smears[:19]))
    assert str(caught.value) == (
        "19 training images are too few to say what a usual image looks like.\n"
        "Expected: at least 20"
    )


def test_a_range() -> None:
    usual = Range(1, 2, 3, 4)
    assert [usual.side(v) for v in (0.9, 1, 2.5, 4, 4.1)] == [-1, 0, 0, 0, 1]


def test_without_torch(tmp_path: Path) -> None:
    program = """
import importlib.util, sys
from pathlib import Path
sys.modules["torch"] = None
[folder] = importlib.util.find_spec("cytolens.bundle").submodule_search_locations
spec = importlib.util.spec_from_file_location("checks", Path(folder) / "checks.py")
checks = sys.modules["checks"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(checks)
import numpy as np
images = [np.full((9, 9, 3), v, np.uint8) for v in range(20)]
print(checks.fit_checks(images).problems(images[3]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "[]\n"
