"""Workers with a real bundle: findings are those of the bundle, explanations lie over the image."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from sqlalchemy import select

from cytolens.bundle import bundle_id, load_bundle
from cytolens.clinic.errors import Conflict, NotAllowed, NotFound
from cytolens.clinic.inference import explanations, queue
from cytolens.clinic.inference.analysis import Analyst
from cytolens.clinic.inference.explainer import NOTHING, Explainer, over_image, overlay_png
from cytolens.clinic.inference.loop import Loop
from cytolens.clinic.inference.uploads import take
from cytolens.clinic.inference.worker import Start
from cytolens.clinic.installation import Installation
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import Case, Entry, Finding, Image, Job, Model, Overlay, Reading
from cytolens.pixels.config import PixelsConfig
from cytolens.pixels.resize import letterbox


def picture(seed: int, width: int = 60, height: int = 40) -> Any:
    drawn = np.random.default_rng(seed)
    base, spread = drawn.uniform(40, 220, 3), drawn.uniform(2, 60)
    noise = spread * drawn.normal(0, 1, (height, width, 3))
    return np.clip(base + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def upload(
    clinic: Installation, people: Any, make: Any, tmp_path: Path
) -> Callable[..., tuple[int, list[int]]]:
    """Return what uploads some pictures to a new case: its id, and the images'."""

    def uploaded(count: int, **case: Any) -> tuple[int, list[int]]:
        case_id, given = make.case(**case), []
        for number in range(count):
            path = tmp_path / f"{case_id}-{number}.png"
            Pillow.fromarray(picture(number)).save(path)
            given.append((path.name, path))
        return case_id, take(clinic, people.actors["doctor"], case_id, given).added

    return uploaded


def loop_of(clinic: Installation, name: str = "w") -> Loop:
    return Loop(clinic, name, threading.Event())


def test_findings_are_what_the_bundle_says(
    clinic: Installation, upload: Any, active_bundle: int, tiny_bundle: Path
) -> None:
    case, images = upload(40)
    analyst = Analyst(loop_of(clinic))
    assert analyst.step() and not analyst.step()
    expected = load_bundle(tiny_bundle).predict_arrays([picture(n) for n in range(40)])
    assert {one.decision for one in expected} == {"clear", "refer", "abnormal"}
    with clinic.reading() as db:
        found = db.scalars(select(Finding).order_by(Finding.image_id)).all()
        assert [one.image_id for one in found] == images
        for one, said in zip(found, expected, strict=True):
            assert (one.label, one.decision) == (said.label, said.decision)
            assert (one.reasons, one.inside) == (list(said.reasons), list(said.classes_in_set))
            assert one.probabilities == pytest.approx(said.probabilities, abs=1e-5)
            abnormal = said.probabilities["b"] + said.probabilities["c"]
            assert one.risk == pytest.approx(1 if said.decision == "refer" else abnormal, abs=1e-5)
            assert one.model_id == active_bundle
        row = db.get_one(Case, case)
        assert row.pending == 0 and row.risk == max(one.risk for one in found)


def test_without_an_active_bundle_jobs_wait(
    clinic: Installation, upload: Any, active_bundle: int
) -> None:
    with clinic.writing() as db:
        db.get_one(Model, active_bundle).status = "retired"
    case, _ = upload(2)
    analyst = Analyst(loop_of(clinic))
    assert not analyst.step()
    with clinic.writing() as db:
        db.get_one(Model, active_bundle).status = "active"
    assert analyst.step()
    with clinic.reading() as db:
        assert db.get_one(Case, case).pending == 0


def test_another_bundle_becomes_active(
    clinic: Installation, upload: Any, active_bundle: int, tiny_bundle: Path
) -> None:
    loaded: list[Path] = []

    def load(folder: Path) -> Any:
        loaded.append(folder)
        return load_bundle(tiny_bundle)

    analyst = Analyst(loop_of(clinic), load)
    for count in (1, 2):
        upload(count)
        assert analyst.step()
    assert len(loaded) == 1
    with clinic.writing() as db:
        old = db.get_one(Model, active_bundle)
        old.status = "retired"
        db.flush()
        values = {key: getattr(old, key) for key in ("name", "version", "specimen", "card")}
        new = Model(bundle="ffffffffffff", status="active", uploaded_at=old.uploaded_at, **values)
        db.add(new)
        db.flush()
    _, images = upload(1)
    assert analyst.step()
    assert [folder.name for folder in loaded][1:] == ["ffffffffffff"]
    with clinic.reading() as db:
        finding = db.scalar(select(Finding).where(Finding.image_id == images[0]))
        assert finding is not None and finding.model_id == new.id


@pytest.mark.usefixtures("active_bundle")
def test_a_bundle_that_cannot_be_loaded_leaves_the_others_at_work(
    clinic: Installation, upload: Any, make: Any
) -> None:
    make.model("blood-smear", "ba9876543210")  # its folder is not there
    blood, _ = upload(1, specimen="blood-smear")
    liquid, _ = upload(1)
    analyst = Analyst(loop_of(clinic))
    assert analyst.step() and not analyst.step()
    with clinic.reading() as db:
        assert (db.get_one(Case, blood).pending, db.get_one(Case, liquid).pending) == (1, 0)


@pytest.mark.usefixtures("active_bundle")
def test_a_changed_blob_fails_alone(clinic: Installation, upload: Any) -> None:
    case, images = upload(3)
    with clinic.reading() as db:
        sha256 = db.get_one(Image, images[1]).sha256
    path = clinic.settings.data / "blobs" / sha256[:2] / sha256[2:4] / sha256
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    Analyst(loop_of(clinic)).step()
    with clinic.reading() as db:
        problems = db.scalars(select(Finding.problem).order_by(Finding.image_id)).all()
        assert "was changed after it was stored" in problems[1] and problems[::2] == ["", ""]
        assert db.scalars(select(Job.state).order_by(Job.id)).all() == ["done", "failed", "done"]
        assert db.get_one(Case, case).pending == 0


class Breaking:
    """A bundle whose network breaks at one picture."""

    def __init__(self, whole: Any, poison: int) -> None:
        self.whole, self.poison = whole, picture(poison)

    def predict_sources(self, sources: Any) -> Any:
        named = list(sources)
        if any(np.array_equal(read(), self.poison) for _, read in named):
            raise RuntimeError("the network broke")
        yield from self.whole.predict_sources(named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)


@pytest.mark.usefixtures("active_bundle")
def test_an_image_that_breaks_the_network_is_given_up_and_no_other(
    clinic: Installation,
    upload: Any,
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cytolens.clinic.inference.loop._AFTER_ERROR", 0.01)
    monkeypatch.setattr("cytolens.clinic.inference.analysis._SWEEP", 0.0)
    case, _ = upload(5)
    loop = loop_of(clinic)
    analyst = Analyst(loop, lambda _: Breaking(load_bundle(tiny_bundle), 2))  # type: ignore[arg-type]

    def step() -> bool:
        with clinic.reading() as db:
            if db.get_one(Case, case).pending == 0:
                loop.stop.set()
        return analyst.step()

    loop.run(step)
    with clinic.reading() as db:
        problems = db.scalars(select(Finding.problem).order_by(Finding.image_id)).all()
        assert problems == ["", "", queue.GAVE_UP, "", ""]
        assert db.scalars(select(Job.tries).order_by(Job.id)).all() == [2, 2, 3, 2, 2]


def test_a_start_survives_its_line() -> None:
    start = Start("n", "finding", Settings(Path("/data"), "postgresql://u:p@h/d", workers=3))
    assert start.to_line().count(b"\n") == 1
    assert Start.from_line(start.to_line()) == start


@pytest.fixture
def explained(clinic: Installation, upload: Any, active_bundle: int) -> tuple[int, int]:
    """A case with one image and its finding: both ids."""
    assert active_bundle
    case, [image] = upload(1)
    Analyst(loop_of(clinic)).step()
    return case, image


def ask(clinic: Installation, actor: Any, image: int, method: str) -> Overlay | None:
    with clinic.writing() as db:
        return explanations.ask(db, actor, image, method)


@pytest.mark.parametrize("method", ["grad_cam", "occlusion"])
def test_an_explanation_is_made_once_and_kept(
    clinic: Installation,
    people: Any,
    explained: tuple[int, int],
    method: str,
    tiny_bundle: Path,
) -> None:
    doctor, (_, image) = people.actors["doctor"], explained
    assert ask(clinic, doctor, image, method) is None
    assert ask(clinic, doctor, image, method) is None
    explainer = Explainer(loop_of(clinic))
    assert explainer.step() and not explainer.step()
    made = ask(clinic, doctor, image, method)
    assert made is not None and made.method == method
    layer = np.asarray(Pillow.open(io.BytesIO(clinic.blobs.get(made.overlay))).convert("RGBA"))
    assert layer.shape == (40, 60, 4)  # of the image, not of the network
    raw = np.load(io.BytesIO(clinic.blobs.get(made.raw)), allow_pickle=False)
    assert raw.shape == (48, 48) and raw.dtype == np.float32
    with clinic.reading() as db:
        label = db.scalars(select(Finding.label)).one()
    assert made.target == label
    from cytolens.clinic.inference.explainer import explain

    again = explain(load_bundle(tiny_bundle).subject(), picture(0), method, label or "")
    assert np.allclose(again.map, raw, atol=1e-6)


def test_who_asks_for_an_explanation_stands_in_the_audit_log(
    clinic: Installation, people: Any, explained: tuple[int, int], tiny_bundle: Path
) -> None:
    doctor, (case, image) = people.actors["doctor"], explained

    def lines() -> list[Entry]:
        with clinic.reading() as db:
            asked = select(Entry).where(Entry.action == "explanation.asked").order_by(Entry.id)
            return list(db.scalars(asked))

    with pytest.raises(ZeroDivisionError), clinic.writing() as db:
        explanations.ask(db, doctor, image, "grad_cam")
        raise ZeroDivisionError  # the line goes with the job
    assert lines() == []
    for _ in range(3):  # a page asks again until it is there
        assert ask(clinic, doctor, image, "grad_cam") is None
    [line] = lines()
    assert (line.user_id, line.kind, line.key) == (doctor.user, "image", str(image))
    assert (line.site_id, line.bundle) == (people.sites["one"], bundle_id(tiny_bundle))
    assert line.details == {"case": case, "method": "grad_cam"}
    ask(clinic, people.actors["second_doctor"], image, "occlusion")
    assert [line.details["method"] for line in lines()] == ["grad_cam", "occlusion"]
    with pytest.raises(NotFound):
        ask(clinic, people.actors["doctor_two"], image, "rise")
    assert len(lines()) == 2
    explainer = Explainer(loop_of(clinic))
    while explainer.step():
        pass
    assert ask(clinic, doctor, image, "grad_cam") is not None and len(lines()) == 2


def test_offered_methods_are_registered_under_their_titles() -> None:
    from cytolens.explain import METHODS

    for name, title in explanations.OFFERED.items():
        assert METHODS.get(name).title == title
    assert "eigen_cam" not in explanations.OFFERED


def test_who_may_not_see_findings_gets_no_explanation(
    clinic: Installation, people: Any, explained: tuple[int, int]
) -> None:
    case, image = explained
    with clinic.writing() as db:
        db.get_one(Case, case).blind = True
    with pytest.raises(NotAllowed, match="hidden until your own reading"):
        ask(clinic, people.actors["doctor"], image, "grad_cam")
    with clinic.writing() as db:
        db.add(
            Reading(
                case_id=case,
                doctor_id=people.users["doctor"],
                category="NILM",
                verdict="agree",
                blind=True,
                created_at=db.get_one(Case, case).created_at,
            )
        )
    assert ask(clinic, people.actors["doctor"], image, "grad_cam") is None
    with pytest.raises(NotFound):
        ask(clinic, people.actors["doctor_two"], image, "grad_cam")
    with pytest.raises(NotAllowed):
        ask(clinic, people.actors["director"], image, "grad_cam")
    with pytest.raises(NotFound, match="no explanation by 'eigen_cam'"):
        ask(clinic, people.actors["doctor"], image, "eigen_cam")


def test_an_explanation_that_fails_says_why(
    clinic: Installation, people: Any, explained: tuple[int, int]
) -> None:
    _, image = explained
    doctor = people.actors["doctor"]
    ask(clinic, doctor, image, "grad_cam")
    with clinic.reading() as db:
        clinic.blobs.delete(db.get_one(Image, image).sha256)
    Explainer(loop_of(clinic)).step()
    with pytest.raises(Conflict, match="could not be made of this image: the image cannot be read"):
        ask(clinic, doctor, image, "grad_cam")


@pytest.mark.usefixtures("active_bundle")
def test_what_has_no_finding_is_not_explained(
    clinic: Installation, people: Any, upload: Any
) -> None:
    _, [image] = upload(1)
    assert ask(clinic, people.actors["doctor"], image, "grad_cam") is None
    with clinic.reading() as db:
        assert not queue.waits(db, "explanation")


def test_an_empty_map_is_not_painted_hot() -> None:
    content = overlay_png(np.zeros((8, 8), np.float32), (20, 30), PixelsConfig())
    layer = np.asarray(Pillow.open(io.BytesIO(content)).convert("RGBA"))
    assert layer.shape == (20, 30, 4) and not layer[..., 3].any()
    assert "empty" in NOTHING


def test_the_strongest_place_is_opaque_and_zero_is_transparent() -> None:
    map = np.zeros((8, 8), np.float32)
    map[2:4, 4:6] = 1e-6  # its own maximum counts, however small
    layer = np.asarray(
        Pillow.open(io.BytesIO(overlay_png(map, (80, 80), PixelsConfig()))).convert("RGBA")
    )
    assert layer[30, 50, 3] == 217 and layer[70, 10, 3] == 0


@pytest.mark.parametrize(("height", "width"), [(40, 100), (100, 40), (33, 64)])
def test_a_map_lies_over_its_image_where_a_letterbox_had_put_it(height: int, width: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    y, x = height // 3, 2 * width // 3
    image[y - 4 : y + 4, x - 4 : x + 4] = 255
    seen = letterbox(image, 64, 64, "black")
    map = seen[..., 0].astype(np.float32)
    laid = over_image(map, (height, width), PixelsConfig(fit="letterbox", border="black"))
    assert laid.shape == (height, width)
    rows, columns = np.nonzero(laid > 127)
    assert abs(rows.mean() - (y - 0.5)) < 1 and abs(columns.mean() - (x - 0.5)) < 1


def test_a_large_image_has_a_smaller_overlay_of_its_proportions() -> None:
    assert over_image(np.ones((8, 8), np.float32), (3000, 1500), PixelsConfig()).shape == (
        1024,
        512,
    )
