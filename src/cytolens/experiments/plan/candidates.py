"""The candidates of a plan, as data: a shipped recipe and what is changed in it, with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cytolens.core.errors import InputError
from cytolens.experiments.plan.backbones import PREFERRED
from cytolens.experiments.plan.fingerprint import Fingerprint
from cytolens.experiments.recipe import Recipe, load_recipe
from cytolens.models.weights import TINY

FLIPS = 'evaluation.test_views=["identity", "hflip", "vflip", "rot180"]'
SCREENED_SIZES = (128, 192, 299)  # pixels
ENLARGED = 1.5  # times the median side, beyond which a larger input adds nothing but work
IMBALANCED = 2.0  # largest / smallest class, from which class weights are tried
STAIN_BETWEEN = 0.3  # share of the colour's variance between datasets, from which jitter is tried
FEW_IMAGES = 1500  # below which a longer training is tried

FROZEN, FINETUNE = "frozen", "finetune"


@dataclass(frozen=True)
class Candidate:
    """Settings to try.

    Attributes:
        base: the shipped recipe it starts from.
        changes: `--set` texts, applied in order.
        why: the reason to try it.
    """

    name: str
    base: str
    changes: tuple[str, ...]
    why: str
    recipe: Recipe

    @property
    def frozen(self) -> bool:
        """Whether nothing but a head is trained, which takes seconds."""
        return self.recipe.model.freeze == "all"


@dataclass(frozen=True)
class Draft:
    """A candidate before it is built."""

    name: str
    base: str
    changes: tuple[str, ...]
    why: str


def presets(found: Fingerprint) -> list[Draft]:
    """Return the two shipped recipes that a plan always measures itself against."""
    lead = _backbone(found.backbones[0])
    return [
        Draft(FROZEN, FROZEN, lead, "shipped recipe: a linear classifier on the frozen backbone"),
        Draft(FINETUNE, FINETUNE, lead, "shipped recipe: fine-tuning with augmentation"),
    ]


def screened(found: Fingerprint) -> list[Draft]:
    """Return variants of the frozen recipe: input size, test views, backbone. Seconds each."""
    lead, *others = found.backbones
    start = _backbone(lead)
    drafts = [Draft("frozen-flips", FROZEN, (*start, FLIPS), "flipped test images as well")]
    largest = ENLARGED * found.side["median"]
    drafts += [
        Draft(
            f"frozen-{size}-flips",
            FROZEN,
            (*start, f"pixels.size={size}", FLIPS),
            f"input of {size} pixels; the images' median is {found.side['median']}",
        )
        for size in SCREENED_SIZES
        if size <= largest
    ]
    drafts += [
        Draft(f"frozen-{name}-flips", FROZEN, (*_backbone(name), FLIPS), f"backbone {name}")
        for name in others
    ]
    return drafts


def trained(found: Fingerprint, better_backbones: Sequence[str]) -> list[Draft]:
    """Return variants of the fine-tuning recipe, the most promising first.

    Args:
        better_backbones: whose frozen features did better than the leading backbone's.
    """
    start = _backbone(found.backbones[0])
    drafts = []
    if found.imbalance >= IMBALANCED:
        drafts.append(
            Draft(
                "finetune-balanced",
                FINETUNE,
                (*start, "training.regime=cost_sensitive"),
                f"class weights: the largest class has {found.imbalance:g} times the images of the "
                "smallest",
            )
        )
    drafts += [
        Draft(
            f"finetune-{name}",
            FINETUNE,
            (*start, *_backbone(name)),
            f"backbone {name}: better than {found.backbones[0]} as it stands",
        )
        for name in better_backbones
    ]
    drafts.append(
        Draft("finetune-224", FINETUNE, (*start, "pixels.size=224"), "input of 224 pixels, not 192")
    )
    drafts.append(
        Draft(
            "finetune-half",
            FINETUNE,
            (*start, "model.freeze=0.5"),
            "half of the backbone frozen: fewer weights to fit",
        )
    )
    colour = found.colour
    if colour and colour["by"] == "dataset" and colour["between"] >= STAIN_BETWEEN:
        share = f"{colour['between']:.0%} of the variance"
        drafts.append(
            Draft(
                "finetune-stain",
                FINETUNE,
                (*start, "augment.stain=0.05"),
                f"stain jitter: datasets differ in colour ({share})",
            )
        )
    if found.images < FEW_IMAGES:
        drafts.append(
            Draft(
                "finetune-long",
                FINETUNE,
                (*start, "training.epochs=24"),
                f"twice the epochs: only {found.images} images",
            )
        )
    return drafts


def build(
    drafts: Iterable[Draft], settings: Sequence[str], known: Sequence[Candidate] = ()
) -> tuple[list[Candidate], list[str]]:
    """Build candidates; the user's settings win over each candidate's.

    Args:
        settings: `--set` texts.
        known: candidates there are already; settings may make others equal to them.

    Returns:
        The candidates that differ from one another, and notes about those that the settings
        leave no room for.
    """
    built: list[Candidate] = []
    notes: list[str] = []
    taken = [_anonymous(candidate.recipe) for candidate in known]
    for draft in drafts:
        try:
            recipe = load_recipe(draft.base, [*draft.changes, *settings])
        except InputError as error:
            why = "; ".join(error.rows) or error.what
            notes.append(f"{draft.name} does not go with the settings: {why}".splitlines()[0])
            continue
        if _anonymous(recipe) in taken:
            continue
        taken.append(_anonymous(recipe))
        built.append(Candidate(draft.name, draft.base, draft.changes, draft.why, recipe))
    return built, notes


def _anonymous(recipe: Recipe) -> Recipe:
    return replace(recipe, name="", about="")


def _backbone(name: str) -> tuple[str, ...]:
    """Return the changes that put another backbone into a shipped recipe."""
    if name == PREFERRED:
        return ()
    size = ("pixels.size=0",) if name == TINY else ()  # its own, 96 pixels
    return (f"model.backbone={name}", *size)
