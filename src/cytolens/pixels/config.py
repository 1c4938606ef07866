"""Settings of this room: what is done to every image, and what is drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from cytolens.core.config import from_dict, to_dict
from cytolens.core.errors import InputError
from cytolens.pixels.check import Rule, between, require
from cytolens.pixels.steps import STEPS, Step

Fit = Literal["stretch", "letterbox"]
Border = Literal["reflect", "replicate", "black", "white", "median"]
Fill = Literal["reflect", "nearest", "constant", "wrap"]
Semantics = Literal["stated", "keras"]
StepTable = dict[str, bool | int | float | str | tuple[float, ...]]


@dataclass(frozen=True)
class PixelsConfig:
    """Preprocessing: the steps in order at the image's own size, then the change of size.

    A step is a table of its name and its parameters, `{name = "median", size = 5}`; what is left
    out is filled in with the default, so that a written recipe says everything.
    """

    size: int | tuple[int, int] = 0  # 0: the weight card decides; a side; or [height, width]
    fit: Fit = "stretch"  # letterbox keeps the aspect ratio and pads
    border: Border = "reflect"  # of the letterbox; median: the median colour of the rim
    steps: tuple[StepTable, ...] = ()  # tables of a registered step's name and parameters

    def __post_init__(self) -> None:
        sides = self.size if isinstance(self.size, tuple) else (self.size,)
        least = 1 if isinstance(self.size, tuple) else 0
        unused = self.fit == "stretch" and self.border != "reflect"
        rules = [between("size", side, least, 16384) for side in sides]
        rules += [(not unused, "border has no effect with fit = 'stretch'")]
        require("pixels", rules)
        object.__setattr__(self, "steps", tuple(_full(step) for step in self.built))

    @cached_property
    def built(self) -> tuple[Step, ...]:
        """The steps, ready to be called with an image."""
        return _build(self.steps)

    def resolve(self, default: tuple[int, int]) -> tuple[int, int]:
        """Return (height, width) in pixels: `size`, or `default` (the weight card's) if it is 0."""
        if isinstance(self.size, tuple):
            return self.size
        return (self.size, self.size) if self.size else default


def _build(tables: tuple[StepTable, ...]) -> tuple[Step, ...]:
    """Build every step from its table.

    Raises:
        InputError: unknown names, unknown parameters and wrong values of all steps, at once.
    """
    steps: list[Step] = []
    problems: list[str] = []
    for i, table in enumerate(tables):
        parameters: dict[str, Any] = {k: v for k, v in table.items() if k != "name"}
        where = f"steps[{i}]"
        if "name" not in table:
            problems.append(f"{where}.name: missing; one of {', '.join(STEPS)}")
            continue
        try:
            steps.append(from_dict(STEPS.get(str(table["name"])), parameters, where))
        except InputError as error:
            problems += [f"{where}: {row}" for row in error.rows or (error.what,)]
    if problems:
        count = f"{len(problems)} wrong setting{'s' if len(problems) > 1 else ''}"
        raise InputError(f"The preprocessing steps have {count}.", rows=problems)
    return tuple(steps)


def _full(step: Step) -> StepTable:
    name = next(name for name in STEPS if STEPS.get(name) is type(step))
    values = to_dict(step).items()
    return {"name": name, **{k: tuple(v) if isinstance(v, list) else v for k, v in values}}


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes. The default changes nothing; a number r is drawn from -r … r.

    `semantics` says what the geometry means. "stated": shear is a fraction (0.2 moves a row by
    20 % of its distance from the centre), width_shift moves along the width, and everything turns
    about the centre. "keras": exactly what Keras' ImageDataGenerator computes, with its
    habits: shear is an angle in *degrees* (0.2 is hardly a shear), the width's shift moves rows
    and the height's columns, and an image that is not square turns about a point off its centre.
    """

    rotation: float = 0.0  # degrees
    width_shift: float = 0.0  # fraction of the width
    height_shift: float = 0.0  # fraction of the height
    shear: float = 0.0  # a fraction ("stated") or degrees ("keras")
    zoom: float = 0.0  # each axis its own factor from 1-z … 1+z; below 1 enlarges, as in Keras
    horizontal_flip: bool = False  # with probability one half
    vertical_flip: bool = False  # with probability one half
    quarter_turns: bool = False  # 0, 90, 180 or 270°: a cell has no up
    fill: Fill = "reflect"  # what is seen outside the image
    fill_value: int = 0  # grey level of fill = "constant"
    brightness: float = 0.0  # factor 1-b … 1+b on all values
    contrast: float = 0.0  # factor 1-c … 1+c on the distance from the mean grey level
    saturation: float = 0.0  # factor 1-s … 1+s on the distance from each pixel's grey level
    hue: float = 0.0  # turn of the colour circle, as a fraction of it
    stain: float = 0.0  # sigma of the HED jitter (Tellez et al. 2018); 0.05 light, 0.2 strong
    noise: float = 0.0  # standard deviation of Gaussian noise, as a fraction of 255
    semantics: Semantics = "stated"  # what the geometry means: as stated, or as Keras computes it

    def __post_init__(self) -> None:
        stated = self.semantics == "stated"
        fractions = ("width_shift", "height_shift", "zoom")
        parts = ("brightness", "contrast", "saturation", "stain", "noise")
        rules: list[Rule] = [between("rotation", self.rotation, 0, 180)]
        rules += [between(n, getattr(self, n), 0, 1, below=True) for n in fractions]
        rules += [between("shear", self.shear, 0, 1 if stated else 90, below=True)]
        rules += [between(n, getattr(self, n), 0, 1) for n in parts]
        rules += [between("hue", self.hue, 0, 0.5), between("fill_value", self.fill_value, 0, 255)]
        unused = self.fill_value != 0 and self.fill != "constant"
        rules += [(not unused, f"fill_value has no effect with fill = {self.fill!r}")]
        require("augmentation", rules)

    @property
    def moves(self) -> bool:
        """Whether pixels change their place."""
        amounts = self.rotation + self.width_shift + self.height_shift + self.shear + self.zoom
        return amounts > 0 or self.horizontal_flip or self.vertical_flip or self.quarter_turns

    @property
    def recolours(self) -> bool:
        """Whether brightness, contrast, saturation or hue change."""
        return self.brightness + self.contrast + self.saturation + self.hue > 0

    @property
    def identity(self) -> bool:
        """Whether nothing at all changes."""
        return not (self.moves or self.recolours or self.stain > 0 or self.noise > 0)
