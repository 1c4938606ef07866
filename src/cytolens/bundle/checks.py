"""What can be seen of an image without a network: is it a sharp, well lit, stained field at all.

Each image is measured on a small copy; what is usual is learned from the training images, with a
margin: half the distance from the median to the 1 % and to the 99 % quantile, more where training
images are few. On real smears and sections 99 in a hundred held-out images of the same set pass
all checks together, if there were at least about a hundred to learn from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np

from cytolens.core.errors import InputError
from cytolens.pixels.image import Image, assert_image

LEAST_IMAGES = 20
_SIDE = 224  # px, longest side of the copy that is measured, at most
_QUANTILES = (0.01, 0.5, 0.99)
_MARGIN = 0.5
_MARGIN_OF_FEW = 20.0  # over the number of images: the extremes of few images are less extreme
_BLANK = 3.0  # spread of grey levels below which nothing is to be seen
_GREY = 0.03  # saturation below which a colour has no name
_ASPECT_FACTOR = 1.25  # by which width to height may differ from training
_SIDE_FACTOR = 3.0  # by which the size may: it is stretched to the network's anyway
# From which hue on, in degrees, a colour is called so.
_HUES = {
    0: "red", 15: "brown", 45: "yellow", 70: "green", 160: "blue-green", 195: "blue",
    255: "violet", 290: "purple", 325: "pink", 345: "red",
}  # fmt: skip


@dataclass(frozen=True)
class Range:
    """What was usual in training (1 % to 99 %), and what is still accepted.

    Attributes:
        least, most: accepted.
        low, high: usual.
    """

    least: float
    low: float
    high: float
    most: float

    def side(self, value: float) -> int:
        """Return -1 below what is accepted, 1 above, 0 within."""
        return int(value > self.most) - int(value < self.least)


@dataclass(frozen=True)
class Measures:
    """What is measured of one image.

    Attributes:
        brightness: mean grey level, 0 to 255.
        contrast: standard deviation of the grey levels.
        detail: natural logarithm of 0.1 + the standard deviation of the Laplacian of the grey
            levels in % of their mean; low when out of focus (variance of the Laplacian:
            Pech-Pacheco et al. 2000), and the same whatever the exposure.
        red_green: (R - G) / (R + G + B) of the mean colour of the stained pixels, those below
            Otsu's threshold of grey.
        blue_yellow: (B - (R + G) / 2) / (R + G + B) of the same.
        saturation: length of both.
        aspect: width / height.
        side: square root of width times height, px.
    """

    brightness: float
    contrast: float
    detail: float
    red_green: float
    blue_yellow: float
    saturation: float
    aspect: float
    side: float


def measure(image: Image) -> Measures:
    """Measure a uint8 RGB image [H, W, 3]; about a millisecond."""
    assert_image(image)
    height, width = image.shape[:2]
    copy = _small(image)
    grey = cv2.cvtColor(copy, cv2.COLOR_RGB2GRAY)
    mean, spread = (float(v[0, 0]) for v in cv2.meanStdDev(grey))
    edges = float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))[1][0, 0])
    _, stained = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    r, g, b = cv2.mean(copy, stained)[:3]
    total = max(r + g + b, 1.0)
    red_green, blue_yellow = (r - g) / total, (b - (r + g) / 2) / total
    return Measures(
        brightness=mean,
        contrast=spread,
        detail=math.log(0.1 + 100 * edges / max(mean, 1.0)),
        red_green=red_green,
        blue_yellow=blue_yellow,
        saturation=math.hypot(red_green, blue_yellow),
        aspect=width / height,
        side=math.sqrt(width * height),
    )


@dataclass(frozen=True)
class Checks:
    """What was measured of the training images; plain data for JSON.

    Attributes:
        images: number of training images.
        brightness … side: the range of each of `Measures`.
    """

    images: int
    brightness: Range
    contrast: Range
    detail: Range
    red_green: Range
    blue_yellow: Range
    saturation: Range
    aspect: Range
    side: Range

    def problems(self, image: Image) -> list[str]:
        """Return a sentence for each way in which a uint8 RGB image [H, W, 3] is unusual."""
        found = measure(image)
        sentences = self._shape(found, image)
        if self.contrast.side(found.contrast) < 0 and found.contrast < _BLANK:
            seen = _numbers("spread of grey levels", found.contrast, self.contrast)
            return [*sentences, f"the field is empty: there is almost nothing to be seen {seen}"]
        return [*sentences, *self._light(found), *self._focus(found), *self._stain(found)]

    def _shape(self, found: Measures, image: Image) -> list[str]:
        size, sentences = f"{image.shape[1]} × {image.shape[0]} px", []
        if self.aspect.side(found.aspect):
            usual = _span(self.aspect.low, self.aspect.high, ".2f")
            sentences.append(
                f"the image has another shape than those of training ({size}, "
                f"width to height {found.aspect:.2f}, usual {usual})"
            )
        if side := self.side.side(found.side):
            usual = _span(self.side.low, self.side.high, ".0f")
            sentences.append(
                f"the image is much {'larger' if side > 0 else 'smaller'} than those of training, "
                f"so its magnification may be another ({size}, usual {usual} px a side)"
            )
        return sentences

    def _light(self, found: Measures) -> list[str]:
        sentences = []
        if side := self.brightness.side(found.brightness):
            seen = _numbers("mean grey level", found.brightness, self.brightness)
            word = "brighter" if side > 0 else "darker"
            sentences.append(f"the image is {word} than those of training {seen}")
        if side := self.contrast.side(found.contrast):
            seen = _numbers("spread of grey levels", found.contrast, self.contrast)
            word = "more" if side > 0 else "less"
            sentences.append(f"the image has {word} contrast than those of training {seen}")
        return sentences

    def _focus(self, found: Measures) -> list[str]:
        side = self.detail.side(found.detail)
        if not side:
            return []
        edges, low, high = (math.exp(v) for v in (found.detail, self.detail.low, self.detail.high))
        seen = f"(strength of edges {edges:.1f} %, usual {_span(low, high, '.1f')} %)"
        if side < 0:
            return [f"the image is blurred, or its magnification is higher than in training {seen}"]
        return [f"the image is noisy, or its magnification is lower than in training {seen}"]

    def _stain(self, found: Measures) -> list[str]:
        here = _colour(found.red_green, found.blue_yellow)
        usual = _colour(_middle(self.red_green), _middle(self.blue_yellow))
        seen = (
            f"(colour strength {100 * found.saturation:.0f} %, "
            f"usual {_span(100 * self.saturation.low, 100 * self.saturation.high, '.0f')} %)"
        )
        if self.red_green.side(found.red_green) or self.blue_yellow.side(found.blue_yellow):
            if here != usual:
                return [f"the stained parts are {here}, those of training {usual}"]
            return [f"the stained parts are of another {here} than those of training {seen}"]
        side = self.saturation.side(found.saturation)
        if not side:
            return []
        if here == "grey":
            return [f"the image has no colour of a stain {seen}"]
        word = "stronger" if side > 0 else "paler"
        return [f"the stain is {word} than that of training {seen}"]


def fit_checks(images: Iterable[Image]) -> Checks:
    """Learn what is usual from training images, uint8 RGB [H, W, 3], read one after the other.

    Raises:
        InputError: fewer than 20 images.
    """
    return checks_of([measure(image) for image in images])


def checks_of(found: Sequence[Measures]) -> Checks:
    """Learn what is usual from what was measured of training images.

    Raises:
        InputError: fewer than 20 images.
    """
    if len(found) < LEAST_IMAGES:
        raise InputError(
            f"{len(found)} training images are too few to say what a usual image looks like.",
            expected=f"at least {LEAST_IMAGES}",
        )
    columns = {
        field.name: np.array([getattr(one, field.name) for one in found])
        for field in fields(Measures)
    }
    quantiles = {name: np.quantile(values, _QUANTILES) for name, values in columns.items()}
    margin = _MARGIN + _MARGIN_OF_FEW / len(found)
    contrast = _range(quantiles["contrast"], margin, 2.0, lowest=0.0)
    # The margin never reaches down to an empty field, unless training held such fields.
    least = max(contrast.least, min(_BLANK, contrast.low))
    return Checks(
        images=len(found),
        brightness=_range(quantiles["brightness"], margin, 5.0, lowest=0.0, highest=255.0),
        contrast=Range(least, contrast.low, contrast.high, contrast.most),
        detail=_range(quantiles["detail"], margin, 0.2),
        red_green=_range(quantiles["red_green"], margin, 0.02),
        blue_yellow=_range(quantiles["blue_yellow"], margin, 0.02),
        saturation=_range(quantiles["saturation"], margin, 0.02, lowest=0.0),
        aspect=_scaled(quantiles["aspect"], _ASPECT_FACTOR),
        side=_scaled(quantiles["side"], _SIDE_FACTOR),
    )


def _range(
    quantiles: np.ndarray[tuple[int], np.dtype[np.float64]],
    margin: float,
    least_spread: float,
    *,
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> Range:
    """Return the range of one measure, given its quantiles.

    The margin is `margin` times the distance from the median, which is taken as at least
    `least_spread`. It takes at most half of what is left to the end of the scale (`lowest`,
    `highest`): grey images are refused where all were coloured, white ones where all showed
    something.
    """
    low, median, high = (float(q) for q in quantiles)
    below = margin * max(median - low, least_spread)
    above = margin * max(high - median, least_spread)
    return Range(
        low - min(below, (low - lowest) / 2), low, high, high + min(above, (highest - high) / 2)
    )


def _scaled(quantiles: np.ndarray[tuple[int], np.dtype[np.float64]], factor: float) -> Range:
    low, _, high = (float(q) for q in quantiles)
    return Range(low / factor, low, high, high * factor)


def _small(image: Image) -> Image:
    """Return a copy whose longest side has at most 224 px, uint8 [h, w, 3].

    A large image is halved by averages first, which is several times faster than one step. A
    small one stays as it is: enlarged, its grain would be gone, and with it what blur changes.
    """
    height, width = image.shape[:2]
    while max(height, width) >= 2 * _SIDE and min(height, width) >= 2:
        height, width = height // 2, width // 2
        even = image[: 2 * height, : 2 * width]
        image = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA))
    scale = _SIDE / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _colour(red_green: float, blue_yellow: float) -> str:
    """Return the name of a colour given as in `Measures`."""
    if math.hypot(red_green, blue_yellow) < _GREY:
        return "grey"
    b = (1 + 2 * blue_yellow) / 3
    r, g = (1 - b + red_green) / 2, (1 - b - red_green) / 2
    hue = math.degrees(math.atan2(math.sqrt(3) * (g - b), 2 * r - g - b)) % 360
    return next(name for start, name in reversed(_HUES.items()) if hue >= start)


def _middle(usual: Range) -> float:
    return (usual.low + usual.high) / 2


def _numbers(what: str, value: float, usual: Range) -> str:
    return f"({what} {value:.0f}, usual {_span(usual.low, usual.high, '.0f')})"


def _span(low: float, high: float, form: str) -> str:
    first, last = format(low, form), format(high, form)
    return first if first == last else f"{first} to {last}"
