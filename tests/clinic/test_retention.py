"""Images of signed cases are removed after so long, and nothing else is."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from cytolens.clinic import clock
from cytolens.clinic.blobs import FolderBlobs
from cytolens.clinic.errors import NotAllowed, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import retention
from cytolens.clinic.management.retention import earlier
from cytolens.clinic.tables import (
    Case,
    Entry,
    Finding,
    Image,
    Overlay,
    QualityDraw,
    Reading,
    Report,
)


def _sign(
    clinic: Installation, people: Any, case: int, months_ago: int, status: str = "final"
) -> str:
    """Sign a case so long ago; return the blob of its PDF."""
    at = earlier(clock.now(), months_ago) - timedelta(minutes=1)
    pdf = clinic.blobs.put(f"PDF of {case}".encode())
    with clinic.writing() as db:
        row = db.get_one(Case, case)
        row.status, row.signed_at = status, at
        reading = Reading(
            case_id=case, doctor_id=people.users["doctor"], category="NILM", verdict="agree",
            blind=False, created_at=at,
        )  # fmt: skip
        db.add(reading)
        db.flush()
        db.add(
            Report(
                case_id=case,
                version=1,
                status=status,
                reading_id=reading.id,
                content={},
                content_sha256="0" * 64,
                pdf=pdf,
                bundles=[],
                created_at=at,
            )
        )
    return pdf


def _age_blobs(clinic: Installation) -> None:
    """Let all blobs have been put two days ago."""
    assert isinstance(clinic.blobs, FolderBlobs)
    old = clock.now().timestamp() - 2 * 86400
    for sha256 in clinic.blobs.names():
        path = clinic.blobs.folder / sha256[:2] / sha256[2:4] / sha256
        os.utime(path, (old, old))


def _choose(clinic: Installation, people: Any, months: int | None) -> None:
    with clinic.writing() as db:
        retention.choose(db, people.actors["administrator"], months)


def _image(clinic: Installation, image: int) -> Image:
    with clinic.reading() as db:
        return db.get_one(Image, image)


@pytest.mark.parametrize(
    "moment, by, expected",
    [
        ((2026, 11, 21), 12, (2025, 11, 21)),
        ((2026, 3, 31), 1, (2026, 2, 28)),
        ((2024, 3, 31), 1, (2024, 2, 29)),
        ((2026, 1, 15), 1, (2025, 12, 15)),
        ((2024, 2, 29), 12, (2023, 2, 28)),
    ],
)
def test_months_before(
    moment: tuple[int, int, int], by: int, expected: tuple[int, int, int]
) -> None:
    assert earlier(datetime(*moment, 7, 30, tzinfo=UTC), by) == datetime(
        *expected, 7, 30, tzinfo=UTC
    )


def test_only_old_signed_cases_lose_their_images(
    clinic: Installation, people: Any, make: Any
) -> None:
    model = make.model()
    old, recent, open_case = make.case(), make.case(), make.case()
    images = {case: make.image(case, model) for case in (old, recent, open_case)}
    pdf = _sign(clinic, people, old, 13)
    _sign(clinic, people, recent, 11)
    with clinic.writing() as db:
        db.add(
            Overlay(
                image_id=images[old],
                model_id=model,
                method="grad_cam",
                target="abnormal",
                overlay=clinic.blobs.put(b"overlay"),
                raw=clinic.blobs.put(b"raw"),
                notes=[],
                created_at=clock.now(),
            )
        )
    _choose(clinic, people, 12)
    _age_blobs(clinic)
    actor = people.actors["administrator"]
    with clinic.reading() as db:
        due = retention.due(db, actor)
    assert (due.cases, due.images, due.waiting, due.removed) == (1, 1, 0, 0)
    removed = retention.apply(clinic, actor)
    assert (removed.cases, removed.images, removed.blobs) == (1, 1, 4)
    gone = _image(clinic, images[old])
    assert gone.removed_at is not None
    assert not clinic.blobs.holds(gone.sha256) and not clinic.blobs.holds(gone.thumbnail)
    for case in (recent, open_case):
        kept = _image(clinic, images[case])
        assert kept.removed_at is None and clinic.blobs.holds(kept.sha256)
    assert clinic.blobs.get(pdf)
    with clinic.reading() as db:
        assert db.scalar(select(func.count()).select_from(Finding)) == 3
        told = db.scalars(select(Entry).order_by(Entry.id)).all()
        after = retention.due(db, actor)
    assert [e.action for e in told] == [
        "retention.chosen", "case.images_removed", "retention.applied",
    ]  # fmt: skip
    assert (told[1].key, told[1].site_id) == (str(old), people.sites["one"])
    assert (after.images, after.removed) == (0, 1)
    assert retention.apply(clinic, actor).images == 0


def test_a_blob_that_another_case_shows_is_kept(
    clinic: Installation, people: Any, make: Any
) -> None:
    model, old, other = make.model(), make.case(), make.case()
    image = _image(clinic, make.image(old, model))
    with clinic.writing() as db:
        db.add(
            Image(
                case_id=other,
                sha256=image.sha256,
                thumbnail=image.thumbnail,
                name="same.png",
                width=64,
                height=48,
                uploaded_at=clock.now(),
            )
        )
    _sign(clinic, people, old, 2)
    _choose(clinic, people, 1)
    _age_blobs(clinic)
    assert retention.apply(clinic, people.actors["administrator"]).blobs == 0
    assert clinic.blobs.get(image.sha256)


def test_a_blob_that_was_just_put_again_is_kept(
    clinic: Installation, people: Any, make: Any
) -> None:
    case = make.case()
    image = _image(clinic, make.image(case, make.model()))
    _sign(clinic, people, case, 2)
    _choose(clinic, people, 1)
    _age_blobs(clinic)
    clinic.blobs.put(clinic.blobs.get(image.sha256))  # an upload that is about to say so
    assert retention.apply(clinic, people.actors["administrator"]).blobs == 1  # the thumbnail
    assert clinic.blobs.holds(image.sha256)
    _age_blobs(clinic)
    assert (
        retention.apply(clinic, people.actors["administrator"]).blobs == 1
    )  # a later call ends it
    assert not clinic.blobs.holds(image.sha256)


def test_a_case_that_waits_for_its_second_reading_keeps_its_images(
    clinic: Installation, people: Any, make: Any
) -> None:
    case = make.case()
    make.image(case, make.model())
    _sign(clinic, people, case, 2)
    with clinic.writing() as db:
        db.add(QualityDraw(case_id=case, period="2026-01", drawn_at=clock.now()))
    _choose(clinic, people, 1)
    actor = people.actors["administrator"]
    with clinic.reading() as db:
        assert (retention.due(db, actor).images, retention.due(db, actor).waiting) == (0, 1)
    assert retention.apply(clinic, actor).images == 0


def test_an_amendment_starts_the_time_again(clinic: Installation, people: Any, make: Any) -> None:
    case = make.case()
    make.image(case, make.model())
    _sign(clinic, people, case, 13, "amended")
    with clinic.writing() as db:
        first = db.scalars(select(Report)).one()
        db.add(
            Report(
                case_id=case,
                version=2,
                status="amended",
                reading_id=first.reading_id,
                content={},
                content_sha256="1" * 64,
                pdf=first.pdf,
                bundles=[],
                created_at=clock.now(),
            )
        )
    _choose(clinic, people, 12)
    assert retention.apply(clinic, people.actors["administrator"]).images == 0


@pytest.mark.parametrize("months", [0, -1, 1201])
def test_months_out_of_range_are_refused(clinic: Installation, people: Any, months: int) -> None:
    with pytest.raises(Refused, match="cannot be set"):
        _choose(clinic, people, months)


def test_for_good_is_the_default(clinic: Installation, people: Any) -> None:
    with pytest.raises(Refused, match="kept for good"):
        retention.apply(clinic, people.actors["administrator"])
    with clinic.reading() as db, pytest.raises(NotAllowed):
        retention.due(db, people.actors["doctor"])


def test_the_page(
    clinic: Installation, people: Any, make: Any, browser: Callable[[str | None], TestClient]
) -> None:
    case = make.case()
    make.image(case, make.model())
    _sign(clinic, people, case, 13)
    client = browser("administrator")
    assert "42 CFR 493.1105" in client.get("/retention").text
    assert client.post("/retention", data={"months": "twelve"}).status_code == 422
    assert client.post("/retention", data={"months": "12"}).status_code == 303
    assert "12 months are less than those five years" in client.get("/retention").text
    refused = client.post("/retention/apply")
    assert refused.status_code == 422 and "the box was not ticked" in refused.text
    assert client.post("/retention/apply", data={"sure": "1"}).status_code == 303
    assert "Nothing is due" not in client.get("/retention").text  # blobs of today still to go
    assert client.post("/retention", data={"months": ""}).status_code == 303
    assert "Images are kept for good." in client.get("/retention").text
