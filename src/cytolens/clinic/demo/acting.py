"""Acts the stories through the clinic's services, each step at its time; nothing is done twice."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from cytolens.clinic import clock
from cytolens.clinic.demo.people import PASSWORD, Cast
from cytolens.clinic.demo.specimens import SPECIMEN, smear
from cytolens.clinic.demo.stories import Story, patient_of
from cytolens.clinic.desk import cases, patients, readings, signing
from cytolens.clinic.inference.analysis import Analyst
from cytolens.clinic.inference.loop import Loop
from cytolens.clinic.inference.uploads import take
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Case, Patient
from cytolens.clinic.tables.cases import SIGNED
from cytolens.core.errors import CytolensError
from cytolens.core.progress import Progress

_UPLOADED = timedelta(minutes=10)  # after the specimen was received
_ANALYSED = timedelta(minutes=11)
_SIGNED = timedelta(minutes=6)  # after the reading
_AMENDED = timedelta(hours=26)
_REASON = "The colposcopist asked for the extent: it is added to the comment."

Draw = Callable[[Path, int, Sequence[str]], list[Path]]


class Acting:
    """Acts stories.

    Args:
        present: the moment that the stories' ages count from.
        draw: draws the images of a specimen into a folder.
    """

    def __init__(
        self, clinic: Installation, cast: Cast, present: datetime, draw: Draw = smear
    ) -> None:
        self._clinic, self._cast, self._present, self._draw = clinic, cast, present, draw
        self._analyst = Analyst(Loop(clinic, "demonstration", threading.Event()))

    def act(self, stories: Sequence[Story], progress: Progress) -> None:
        """Do every step of the stories, the earliest first, as if it were its time."""
        steps = sorted(
            (step for story in stories for step in self._steps(story)), key=lambda step: step[0]
        )
        with progress.task("the demonstration's past", len(steps)) as done:
            for moment, step, story in steps:
                with clock.at(min(moment, self._present)):
                    step(story)
                done()

    def _steps(self, story: Story) -> list[tuple[datetime, Callable[[Story], None], Story]]:
        received = self._present - story.age
        read = received + max(story.turnaround, 2 * _ANALYSED)
        planned = (
            ("received", received, self._receive),
            ("uploaded", received + _UPLOADED, self._upload),
            ("analysed", received + _ANALYSED, self._analyse),
            ("read", read, self._read),
            ("signed", read + _SIGNED, self._sign),
            ("amended", read + _AMENDED, self._amend),
        )
        return [(moment, step, story) for stage, moment, step in planned if story.reached(stage)]

    def _case(self, story: Story) -> Case | None:
        with self._clinic.reading() as db:
            site = self._cast.sites[story.site]
            return db.scalar(
                select(Case).where(Case.site_id == site, Case.accession == story.accession)
            )

    def _known(self, story: Story) -> Case:
        case = self._case(story)
        assert case is not None  # it was received
        return case

    def _receive(self, story: Story) -> None:
        if self._case(story) is not None:
            return
        actor, site = self._cast.actors[story.doctor], self._cast.sites[story.site]
        identity = patient_of(story)
        with self._clinic.writing() as db:
            patient = db.scalar(
                select(Patient).where(Patient.site_id == site, Patient.number == identity.number)
            ) or patients.create(db, actor, site, identity)
            cases.open_case(
                db,
                actor,
                patient.id,
                SPECIMEN,
                accession=story.accession,
                assigned_id=actor.user if story.assigned else None,
                details=cases.Details(
                    collected_on=(clock.now() - timedelta(days=1)).date(),
                    clinical=story.clinical,
                    adequacy="satisfactory" if story.indicators else "",
                    indicators=story.indicators,
                    blind=story.blind,
                ),
            )

    def _upload(self, story: Story) -> None:
        case = self._known(story)
        if case.images_count >= len(story.truth):
            return
        with tempfile.TemporaryDirectory() as place:
            drawn = self._draw(Path(place), story.patient, story.truth)
            take(
                self._clinic,
                self._cast.actors[story.doctor],
                case.id,
                [(path.name, path) for path in drawn],
            )

    def _analyse(self, story: Story) -> None:
        while self._known(story).pending:
            if not self._analyst.step():
                raise CytolensError("The bundle of the demonstration makes no findings.")

    def _read(self, story: Story) -> None:
        case = self._known(story)
        if case.status != "open":
            return
        actor = self._cast.actors[story.doctor]
        with self._clinic.writing() as db:
            readings.enter(
                db, actor, case.id, "primary", story.category, "", story.comment, case.revision
            )

    def _sign(self, story: Story) -> None:
        case = self._known(story)
        if case.status not in SIGNED:
            actor = self._cast.actors[story.doctor]
            signing.sign(self._clinic, actor, case.id, PASSWORD, case.revision)

    def _amend(self, story: Story) -> None:
        case = self._known(story)
        if case.status != "amended":
            actor = self._cast.actors[story.doctor]
            signing.amend(self._clinic, actor, case.id, _REASON, PASSWORD, case.revision)
