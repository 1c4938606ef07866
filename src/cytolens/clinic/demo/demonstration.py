"""Puts the demonstration into an empty installation, once; a start that was cut off goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.clinic import clock
from cytolens.clinic.demo import people, stories
from cytolens.clinic.demo.acting import Acting, Draw
from cytolens.clinic.demo.people import Cast, cast_of
from cytolens.clinic.demo.rereading import draw_and_read
from cytolens.clinic.demo.specimens import ABNORMAL, SPECIMEN, TRAINED_ON, smear
from cytolens.clinic.demo.stories import Story
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import bundles
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import Choice, Model, User
from cytolens.core.errors import InputError
from cytolens.core.progress import Progress, Silent
from cytolens.data.phantom import PhantomConfig

MARK = "demonstration"  # name of the `Choice`: {"began": ISO time, "whole": bool}

_SET_UP = timedelta(weeks=stories.WEEKS, days=1)  # before the present: when the clinic was set up

MakeBundle = Callable[[Path, PhantomConfig, Sequence[str]], Path]


class Demonstration:
    """What `cytolens serve --demo` shows.

    Args:
        make_bundle: trains a bundle on phantoms in a folder, given the classes that count as
            abnormal, and returns it; not called where one is active.
        told: the stories; None: all.
        draw: draws a specimen's images.
    """

    def __init__(
        self,
        make_bundle: MakeBundle,
        *,
        say: Callable[[str], None],
        progress: Progress | None = None,
        told: Sequence[Story] | None = None,
        draw: Draw = smear,
    ) -> None:
        self._make_bundle = make_bundle
        self._say = say
        self._progress = progress or Silent()
        self._told = [*stories.past(), *stories.present()] if told is None else told
        self._draw = draw

    def prepare(self, clinic: Installation) -> None:
        """Make whatever of the demonstration is missing.

        Raises:
            InputError: the installation is not a demonstration; see `refuse_mixing`.
        """
        with clinic.writing() as db:
            began, whole = _begin(db)
        if not whole:
            cast = cast_of(clinic)
            with clock.at(began - _SET_UP):
                self._activate(clinic, cast)
            acting = Acting(clinic, cast, began, self._draw)
            acting.act(self._told, self._progress)
            draw_and_read(clinic, cast, began)
            with clinic.writing() as db:
                db.get_one(Choice, MARK).value = {"began": began.isoformat(), "whole": True}
        self._say("Demonstration: all patients are invented, and these passwords are public.")
        for line in people.lines():
            self._say(line)

    def _activate(self, clinic: Installation, cast: Cast) -> None:
        actor = cast.actors["admin"]
        with clinic.reading() as db:
            known = db.scalar(
                select(Model).where(Model.specimen == SPECIMEN, Model.status != "retired")
            )
        if known is None:
            folder = clinic.settings.data / "demo-run"
            self._say("The first start trains the demonstration's bundle: about two minutes.")
            made = self._make_bundle(folder, TRAINED_ON, ABNORMAL)
            known, _ = bundles.install(clinic, actor, made, SPECIMEN)
            shutil.rmtree(folder, ignore_errors=True)
        if known.status != "active":
            with clinic.writing() as db:
                bundles.activate(db, actor, known.id)


def refuse_mixing(db: Session, settings: Settings) -> None:
    """Keep patients and public passwords apart.

    Raises:
        InputError: `--demo` on an installation with accounts of its own, or a demonstration that
            is to be served without `--demo`.
    """
    marked = db.get(Choice, MARK) is not None
    if marked and not settings.demo:
        raise InputError(
            f"{settings.data} holds a demonstration, whose passwords are public.",
            fix="pass --demo, or another --data.",
        )
    if settings.demo and not marked and db.scalar(select(User.id).limit(1)) is not None:
        raise InputError(
            f"{settings.data} holds a clinic with accounts of its own; no demonstration is put "
            "into it.",
            fix="leave --demo out, or pass another --data.",
        )


def _begin(db: Session) -> tuple[datetime, bool]:
    """Add mark and accounts where there are none; return when it began, and whether it is whole."""
    mark = db.get(Choice, MARK)
    if mark is None:
        began = clock.now()
        mark = Choice(name=MARK, value={"began": began.isoformat(), "whole": False})
        db.add(mark)
        with clock.at(began - _SET_UP):
            people.make_accounts(db)
    return datetime.fromisoformat(mark.value["began"]), bool(mark.value["whole"])
