"""Uploads: files become images with jobs, all of it or nothing."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from sqlalchemy import select

from cytolens.clinic.errors import Conflict, NotAllowed, NotFound
from cytolens.clinic.inference.uploads import incoming, sweep_incoming, take
from cytolens.clinic.installation import Installation
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import Case, Entry, Image, Job


def picture(seed: int, kind: str = "PNG", side: int = 40) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    content = io.BytesIO()
    Pillow.fromarray(pixels).save(content, kind)
    return content.getvalue()


def files(folder: Path, contents: dict[str, bytes]) -> list[tuple[str, Path]]:
    made = []
    for number, (name, content) in enumerate(contents.items()):
        path = folder / f"given-{number}"
        path.write_bytes(content)
        made.append((name, path))
    return made


def rows(clinic: Installation, case_id: int) -> tuple[list[Image], list[Job], Case]:
    with clinic.reading() as db:
        images = list(db.scalars(select(Image).where(Image.case_id == case_id).order_by(Image.id)))
        jobs = list(db.scalars(select(Job).order_by(Job.image_id)))
        return images, jobs, db.get_one(Case, case_id)


def test_files_become_images_with_jobs(
    clinic: Installation, people: Any, make: Any, tmp_path: Path
) -> None:
    case = make.case()
    given = files(tmp_path, {"b.png": picture(1), "a/c.jpg": picture(2, "JPEG"), "x.png": b"no"})
    taken = take(clinic, people.actors["doctor"], case, given)
    assert taken.refused == [("x.png", "is not an image of a known format")]
    images, jobs, row = rows(clinic, case)
    assert [image.id for image in images] == taken.added
    assert [image.name for image in images] == ["b.png", "c.jpg"]
    assert [(job.image_id, job.kind, job.state, job.specimen) for job in jobs] == [
        (image, "finding", "waiting", "cervix-liquid") for image in taken.added
    ]
    assert (row.images_count, row.pending, row.revision) == (2, 2, 2)
    assert (images[0].width, images[0].height) == (40, 40)
    assert images[0].uploaded_by == people.users["doctor"]
    stored = Pillow.open(io.BytesIO(clinic.blobs.get(images[0].sha256)))
    assert np.array_equal(stored, Pillow.open(io.BytesIO(picture(1))))
    assert clinic.blobs.get(images[1].thumbnail)[:2] == b"\xff\xd8"
    with clinic.reading() as db:
        lines = [(e.action, e.key, e.details) for e in db.scalars(select(Entry).order_by(Entry.id))]
    assert lines == [
        ("images.added", str(case), {"count": 2}),
        ("images.refused", str(case), {"count": 1}),
    ]


def test_the_same_image_comes_once_a_case(
    clinic: Installation, people: Any, make: Any, tmp_path: Path
) -> None:
    doctor, first, second = people.actors["doctor"], make.case(), make.case()
    given = files(tmp_path, {"a.png": picture(1), "again.bmp": picture(1, "BMP")})
    assert take(clinic, doctor, first, given).known == ["again.bmp"]
    again = take(clinic, doctor, first, given)
    assert (again.added, again.known) == ([], ["a.png", "again.bmp"])
    assert len(take(clinic, doctor, second, given).added) == 1
    assert rows(clinic, first)[2].images_count == 1


def test_archives_give_their_members(
    clinic: Installation, people: Any, make: Any, tmp_path: Path
) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number in range(70):
            archive.writestr(f"folder/{number:02}.png", picture(number, side=12))
        archive.writestr("bad.png", b"bad")
    taken = take(
        clinic, people.actors["doctor"], make.case(), files(tmp_path, {"a.zip": content.getvalue()})
    )
    assert len(taken.added) == 70 and [name for name, _ in taken.refused] == ["bad.png"]


def test_a_case_of_another_site_is_not_found(
    clinic: Installation, people: Any, make: Any, tmp_path: Path
) -> None:
    case, given = make.case("two"), files(tmp_path, {"a.png": picture(1)})
    with pytest.raises(NotFound, match="no such case"):
        take(clinic, people.actors["doctor"], case, given)
    with pytest.raises(NotFound, match="no such case"):
        take(clinic, people.actors["doctor"], 999, given)
    with pytest.raises(NotAllowed):
        take(clinic, people.actors["director"], case, given)
    assert rows(clinic, case)[0] == [] and list(clinic.blobs.names()) == []
    assert len(take(clinic, people.actors["doctor_two"], case, given).added) == 1


@pytest.mark.parametrize("status", ["final", "amended"])
def test_a_signed_case_takes_no_images(
    clinic: Installation, people: Any, make: Any, tmp_path: Path, status: str
) -> None:
    case = make.case(status=status)
    with pytest.raises(Conflict, match="is signed; no images can be added"):
        take(clinic, people.actors["doctor"], case, files(tmp_path, {"a.png": picture(1)}))


class FailingBlobs:
    """A store that is full after some blobs."""

    def __init__(self, whole: Any, most: int) -> None:
        self.whole, self.most, self.lock = whole, most, threading.Lock()

    def put(self, content: bytes) -> str:
        with self.lock:
            self.most -= 1
            if self.most < 0:
                raise OSError(28, "No space left on device")
        sha256: str = self.whole.put(content)
        return sha256

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)


def test_a_store_that_fails_leaves_nothing_half(
    clinic: Installation,
    people: Any,
    make: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cytolens.clinic.inference.uploads._SOON", 600)  # whole batches alone
    case, whole = make.case(), clinic.blobs
    given = files(tmp_path, {f"{n}.png": picture(n, side=12) for n in range(50)})
    clinic.blobs = FailingBlobs(whole, 81)
    with pytest.raises(OSError, match="No space left"):
        take(clinic, people.actors["doctor"], case, given)
    images, jobs, row = rows(clinic, case)
    assert len(images) == len(jobs) == row.images_count == row.pending == 32  # a whole batch
    for image in images:
        assert whole.holds(image.sha256) and whole.holds(image.thumbnail)
    clinic.blobs = whole
    taken = take(clinic, people.actors["doctor"], case, given)
    assert (len(taken.added), len(taken.known)) == (18, 32)


def test_a_case_that_is_signed_meanwhile_takes_no_more(
    clinic: Installation,
    people: Any,
    make: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cytolens.clinic.inference.uploads._SOON", 600)
    case = make.case()
    given = files(tmp_path, {f"{n}.png": picture(n, side=12) for n in range(40)})

    def slowly() -> Iterable[tuple[str, Path]]:
        yield from given[:36]
        with clinic.writing() as db:
            db.get_one(Case, case).status = "final"
        yield from given[36:]

    with pytest.raises(Conflict, match="is signed"):
        take(clinic, people.actors["doctor"], case, slowly())
    assert len(rows(clinic, case)[0]) in (0, 32)


def test_several_uploads_to_one_case_at_once(
    clinic: Installation, people: Any, make: Any, tmp_path: Path
) -> None:
    case, given = make.case(), files(tmp_path, {f"{n}.png": picture(n, side=12) for n in range(30)})
    found: list[Any] = []

    def upload(part: list[tuple[str, Path]]) -> None:
        found.append(take(clinic, people.actors["doctor"], case, part))

    parts = [given[:20], given[10:], given[5:25]]
    threads = [threading.Thread(target=upload, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _images, jobs, row = rows(clinic, case)
    assert sum(len(one.added) for one in found) == len(jobs) == row.images_count == 30
    assert sum(len(one.known) for one in found) == 30


def test_what_an_earlier_server_left_is_swept(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    folder = incoming(settings)
    (folder / "0").write_bytes(b"half")
    assert folder.stat().st_mode & 0o077 == 0
    assert sweep_incoming(settings) == 1
    assert not folder.exists() and sweep_incoming(settings) == 0
