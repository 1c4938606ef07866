"""What a document says of the system: its finding, the pictures, the limits of its bundles."""

from __future__ import annotations

from typing import Any

from cytolens.clinic.documents.blocks import (
    DASH,
    DECISIONS,
    Block,
    Say,
    facts,
    heading,
    points,
    table,
    text,
)
from cytolens.clinic.documents.content import Model, Picture, ReportContent, Score
from cytolens.clinic.documents.translation import count, number, percent


def system(content: ReportContent, locale: str, say: Say) -> list[Block]:
    """Return the finding of the whole case, and which bundles made it."""
    found = content.system
    counts = [
        ("clear", found.clear),
        ("abnormal", found.abnormal),
        ("to be looked at by an expert", found.refer),
        ("with a finding that decides nothing", found.undecided),
        ("without a finding", found.pending),
    ]
    images = ", ".join(f"{count(n, locale)} {say(what)}" for what, n in counts if n)
    total = count(found.images, locale)
    return [
        heading(say("Finding of the system")),
        text(say(content.disclaimer), strong=True),
        facts(
            [
                (say("Decision"), say(DECISIONS.get(found.decision, found.decision))),
                (
                    say("Highest risk of an image"),
                    DASH if found.risk is None else percent(found.risk, locale),
                ),
                (say("Images"), f"{total}: {images}" if images else total),
                *((say("Bundle"), _bundle(model, say)) for model in content.models),
            ]
        ),
    ]


def _bundle(model: Model, say: Say) -> str:
    lines = [f"{model.name}, {say('version')} {model.version}", f"{say('id')} {model.bundle}"]
    if model.weights:
        lines.append(f"{say('SHA-256 of the model')} {model.weights}")
    return "\n".join(lines)


def pictures(content: ReportContent, locale: str, say: Say) -> list[Block]:
    """Return the images that are shown, each with its finding."""
    if not content.pictures:
        return []
    shown = [_picture(content, n, one, locale, say) for n, one in enumerate(content.pictures)]
    blocks = [heading(say("Images of the highest risk")), {"kind": "pictures", "pictures": shown}]
    if any(picture.overlay for picture in content.pictures):
        note = say("The colours of an explanation show what moved the network, not a lesion.")
        blocks.append(text(note))
    return blocks


def _picture(
    content: ReportContent, place: int, found: Picture, locale: str, say: Say
) -> dict[str, Any]:
    caption = [f"{place + 1}. {found.name} ({found.width} × {found.height} px)"]
    if found.problem:
        caption.append(say("Could not be used: {why}", why=found.problem))
    if found.label and found.probability is not None:
        calibrated = any(m.bundle == found.bundle and m.calibrated for m in content.models)
        kind = say("calibrated probability") if calibrated else say("probability")
        caption.append(f"{found.label}: {kind} {percent(found.probability, locale)}")
    if found.level is not None:
        level = percent(found.level, locale)
        inside = ", ".join(found.inside) or say("none")
        caption.append(say("Classes at {level}: {classes}", level=level, classes=inside))
    caption.append(f"{say('Decision')}: {say(DECISIONS.get(found.decision, found.decision))}")
    caption += [f"{DASH} {say(reason)}" for reason in found.reasons]
    over: list[str] = []
    if found.overlay is not None:
        method, what = found.overlay.method, found.overlay.target
        over.append(say("Explanation: {method}, of {what}", method=method, what=what))
        over += found.overlay.notes
    alternative = say("Image {n} of the specimen", n=place + 1)
    return {
        "image": f"image-{place}.jpg",
        "overlay": f"overlay-{place}.jpg" if found.overlay else "",
        "alternative": alternative,
        "alternative_overlay": f"{alternative}, {say('with explanation')}",
        "caption": caption,
        "over": over,
    }


def limits(content: ReportContent, locale: str, say: Say) -> list[Block]:
    """Return what each bundle's card says of its data and scores."""
    blocks = [heading(say("Limits of the system"))] if content.models else []
    for model in content.models:
        blocks.append(points(model.name, _limits(model, locale, say)))
        if model.scores:
            interval = say("Interval")
            if model.level_scores is not None:
                level = percent(model.level_scores, locale)
                interval = say("Interval ({level})", level=level)
            rows = [_score(score, locale, say) for score in model.scores]
            blocks.append(table([say("Score"), say("Value"), interval], rows))
    return blocks


def _score(score: Score, locale: str, say: Say) -> list[str]:
    span = DASH
    if score.low is not None and score.high is not None:
        span = f"{number(score.low, locale)} {DASH} {number(score.high, locale)}"
    return [say(score.name), number(score.value, locale), span]


def _limits(model: Model, locale: str, say: Say) -> list[str]:
    classes = ", ".join(model.classes) or DASH
    said = [say("It knows these classes and no others: {classes}.", classes=classes)]
    if model.abnormal:
        abnormal = ", ".join(model.abnormal)
        said.append(say("Classes that count as abnormal: {classes}.", classes=abnormal))
    said.append(say("Training data: {data}.", data=model.data or say("not named")))
    said.append(
        say("Its numbers hold for patients, stains and microscopes like those of these data.")
    )
    if model.images is None:
        said.append(say("Its card holds no scores: how good it is, is not known here."))
    else:
        said.append(
            say(
                "Scores of {n} images that it had not seen, in {groups} groups ({unit}).",
                n=count(model.images, locale),
                groups=DASH if model.groups is None else count(model.groups, locale),
                unit=say(model.unit) if model.unit else say("not named"),
            )
        )
    if not model.calibrated:
        said.append(say("Its probabilities are not calibrated."))
    said += [say("The scores are too good: {leak}", leak=leak) for leak in model.leaks]
    return [*said, *model.notes]
