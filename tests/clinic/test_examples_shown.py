"""The training images nearest to an image: found by the worker, shown with its finding alone."""

from __future__ import annotations

import re
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from tests.clinic.conftest import Maker, People
from tests.clinic.machines import V1, picture, refused, said

from cytolens.bundle import bundle_id, load_bundle
from cytolens.bundle.card import EXAMPLES
from cytolens.bundle.save import amend_bundle
from cytolens.clinic import clock
from cytolens.clinic.desk import readings
from cytolens.clinic.errors import Refused
from cytolens.clinic.inference.analysis import Analyst
from cytolens.clinic.inference.examples import NEAREST, Shelf
from cytolens.clinic.inference.loop import Loop
from cytolens.clinic.inference.pictures import read_picture
from cytolens.clinic.inference.uploads import take
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import bundles
from cytolens.clinic.tables import Case, Finding, Image, Model
from cytolens.core.files import read_json

Browser = Callable[[str | None], TestClient]


@pytest.fixture(scope="session")
def carrying(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with 30 images of noise as its training images."""
    sys.path.append(str(Path(__file__).parent.parent / "bundle"))  # for random_bundle
    from random_bundle import noise_images, teach

    folder = tmp_path_factory.mktemp("carrying") / "bundle"
    shutil.copytree(tiny_bundle, folder)
    teach(folder, noise_images(60), "examples")
    return folder


@pytest.fixture
def found(clinic: Installation, people: People, make: Maker, carrying: Path, tmp_path: Path) -> Any:
    """Return what makes a case with an image and its finding by that bundle: both ids."""
    name = bundle_id(carrying)
    clinic.settings.bundles.mkdir()
    shutil.copytree(carrying, clinic.settings.bundles / name)
    with clinic.writing() as db:
        db.add(
            Model(
                bundle=name,
                name="tiny",
                version="1.0.0",
                specimen="cervix-liquid",
                status="active",
                card=read_json(carrying / "bundle.json", "bundle"),
                uploaded_at=clock.now(),
                activated_at=clock.now(),
            )
        )

    def made(seed: int = 0, doctor: str = "doctor", **case: Any) -> tuple[int, int]:
        case_id = make.case(**case)
        file = tmp_path / f"{seed}.png"
        file.write_bytes(picture(seed))
        [image] = take(clinic, people.actors[doctor], case_id, [(file.name, file)]).added
        assert Analyst(Loop(clinic, "worker", threading.Event())).step()
        return case_id, image

    return made


def nearest(clinic: Installation, image: int) -> list[dict[str, Any]]:
    with clinic.reading() as db:
        finding = db.scalars(select(Finding).where(Finding.image_id == image)).one()
        return list(finding.examples)


def test_the_worker_keeps_the_nearest_ones(
    clinic: Installation, found: Any, carrying: Path
) -> None:
    _, image = found()
    with clinic.reading() as db:
        pixels = read_picture(clinic.blobs, db.get_one(Image, image).sha256)
    expected = load_bundle(carrying).nearest_examples(pixels, NEAREST)
    kept = nearest(clinic, image)
    assert [(one["number"], one["label"]) for one in kept] == [
        (one.number, one.label) for one in expected
    ]
    far = [one["distance"] for one in kept]
    np.testing.assert_allclose(far, [one.distance for one in expected], atol=1e-5)
    assert len(kept) == NEAREST and far == sorted(far)


def test_the_case_shows_them_with_words(
    browser: Browser, clinic: Installation, found: Any, carrying: Path
) -> None:
    case, image = found()
    doctor = browser("doctor")
    page = doctor.get(f"/cases/{case}").text
    assert "Nearest training images" in page and "not a diagnosis" in page
    examples = load_bundle(carrying).examples
    assert examples is not None
    for one in nearest(clinic, image):
        address = f"/images/{image}/examples/{one['number']}"
        alt = f"Training image {one['number']}: {one['label']}"
        assert f'<img src="{address}" alt="{alt}"' in page
        assert f"distance {round(one['distance'], 3):g}" in page
        answer = doctor.get(address)
        assert answer.status_code == 200 and answer.content == examples.thumbnail(one["number"])
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert "private" in answer.headers["Cache-Control"]
        again = doctor.get(address, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304 and not again.content
    assert "Nearest training images" in doctor.get(f"/cases/{case}/images/{image}").text
    doctor.post("/account/language", data={"language": "es"})
    assert "Imágenes de entrenamiento más cercanas" in doctor.get(f"/cases/{case}").text


def test_only_those_that_the_finding_names_are_handed_out(
    browser: Browser, clinic: Installation, found: Any
) -> None:
    _, image = found()
    near = {one["number"] for one in nearest(clinic, image)}
    other = next(number for number in range(1, 31) if number not in near)
    first = f"/images/{image}/examples/{min(near)}"
    doctor = browser("doctor")
    assert doctor.get(f"/images/{image}/examples/{other}").status_code == 404
    assert doctor.get(f"/images/{image}/examples/0").status_code == 422
    assert doctor.get(f"/images/9999/examples/{min(near)}").status_code == 404
    assert browser("doctor_two").get(first).status_code == 404
    assert browser("director").get(first).status_code == 403
    assert browser("administrator").get(first).status_code == 403
    assert browser(None).get(first).status_code in (303, 401)


def test_a_case_that_is_read_blind_shows_none(
    browser: Browser, clinic: Installation, people: People, found: Any
) -> None:
    case, image = found(blind=True)
    first = f"/images/{image}/examples/{nearest(clinic, image)[0]['number']}"
    doctor = browser("doctor")
    for page in (f"/cases/{case}", f"/cases/{case}/images/{image}"):
        assert not re.search(r"training image|/examples/|distance \d", doctor.get(page).text)
    assert doctor.get(first).status_code == 403
    api = doctor.get(f"{V1}/cases/{case}/images/{image}").json()
    assert api["finding"] is None
    with clinic.writing() as db:
        revision = db.get_one(Case, case).revision
        readings.enter(db, people.actors["doctor"], case, "primary", "HSIL", "", "seen", revision)
    assert "Nearest training images" in doctor.get(f"/cases/{case}").text
    assert doctor.get(first).status_code == 200
    assert browser("second_doctor").get(first).status_code == 403


def test_they_outlive_the_bundles_work_and_the_picture(
    browser: Browser, clinic: Installation, found: Any
) -> None:
    case, image = found()
    first = f"/images/{image}/examples/{nearest(clinic, image)[0]['number']}"
    with clinic.writing() as db:
        db.execute(update(Model).values(status="retired", retired_at=clock.now()))
        db.get_one(Image, image).removed_at = clock.now()
    doctor = browser("doctor")
    assert doctor.get(f"/images/{image}").status_code == 404
    assert first in doctor.get(f"/cases/{case}").text
    assert doctor.get(first).status_code == 200


@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_a_file_that_was_changed_is_not_shown(
    browser: Browser, clinic: Installation, found: Any, carrying: Path, harm: str
) -> None:
    case, image = found()
    path = clinic.settings.bundles / bundle_id(carrying) / EXAMPLES
    if harm == "changed":
        content = bytearray(path.read_bytes())
        content[-3] ^= 1
        path.write_bytes(bytes(content))
    else:
        path.unlink()
    doctor = browser("doctor")
    number = nearest(clinic, image)[0]["number"]
    answer = doctor.get(
        f"/images/{image}/examples/{number}", headers={"Accept": "application/json"}
    )
    assert answer.status_code == 404 and str(clinic.settings.data) not in answer.text
    assert "cannot be read" in answer.json()["what"]
    page = doctor.get(f"/cases/{case}")
    assert page.status_code == 200 and f"Training image {number}: " in page.text


def test_a_bundle_without_any_shows_nothing(browser: Browser, make: Maker) -> None:
    case = make.case()
    image = make.image(case, make.model())
    doctor = browser("doctor")
    assert "training images" not in doctor.get(f"/cases/{case}").text
    assert doctor.get(f"/images/{image}/examples/1").status_code == 404
    assert doctor.get(f"{V1}/cases/{case}/images/{image}").json()["finding"]["examples"] == []


def test_programs_are_told_too(
    clinic: Installation, machine: Callable[..., TestClient], found: Any
) -> None:
    case, image = found()
    program = machine("doctor", "cases.read", "findings.read")
    told = said(program.get(f"{V1}/cases/{case}/images/{image}"))["finding"]["examples"]
    assert [one["number"] for one in told] == [one["number"] for one in nearest(clinic, image)]
    assert told[0].keys() == {"image", "number", "label", "distance", "picture"}
    answer = program.get(told[0]["picture"])
    assert answer.status_code == 200 and answer.content.startswith(b"\xff\xd8\xff")
    assert "no such training image" in refused(
        program.get(f"{V1}/images/{image}/examples/500"), 404
    )
    reader = machine("doctor", "cases.read")
    assert reader.get(told[0]["picture"]).status_code == 403


def test_the_shelf_keeps_the_last_ones(carrying: Path, tmp_path: Path) -> None:
    folders = [Path(shutil.copytree(carrying, tmp_path / str(n))) for n in range(6)]
    shelf = Shelf()
    first = shelf.of(folders[0])
    assert shelf.of(folders[0]) is first is not None
    for folder in folders[1:]:
        assert shelf.of(folder) is not None
    assert shelf.of(folders[0]) is not first
    shelf.close()


def test_a_bundle_whose_examples_do_not_fit_is_not_installed(
    clinic: Installation, people: People, carrying: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(carrying, tmp_path / "bundle"))
    (folder / EXAMPLES).write_bytes(b"something else")
    with pytest.raises(Refused, match="is not the file that bundle.json describes"):
        bundles.install(clinic, people.actors["administrator"], folder, "cervix-liquid")
    amend_bundle(folder, EXAMPLES)
    with pytest.raises(Refused, match="is no safetensors file"):
        bundles.install(clinic, people.actors["administrator"], folder, "cervix-liquid")
    amend_bundle(folder, examples={"images": 900, "classes": {}, "side": 128, "width": 8})
    (folder / EXAMPLES).write_bytes((carrying / EXAMPLES).read_bytes())
    amend_bundle(folder, EXAMPLES)
    with pytest.raises(Refused, match="examples of the bundle do not fit"):
        bundles.install(clinic, people.actors["administrator"], folder, "cervix-liquid")
