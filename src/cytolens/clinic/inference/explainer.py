"""Making explanations; torch is loaded when the first one is asked for."""

from __future__ import annotations

import io
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from cytolens.bundle import load_bundle
from cytolens.clinic import clock
from cytolens.clinic.blobs import StoreAway
from cytolens.clinic.inference import queue
from cytolens.clinic.inference.loop import Loop
from cytolens.clinic.inference.pictures import read_picture
from cytolens.clinic.inference.queue import Taken
from cytolens.clinic.tables import Finding, Overlay
from cytolens.core.errors import CytolensError
from cytolens.data.reading import ImageProblem
from cytolens.pixels.config import PixelsConfig
from cytolens.pixels.resize import inner_box

if TYPE_CHECKING:
    from cytolens.explain import Explanation, Subject

_KEPT = 2  # networks in memory
_SIDE = 1024  # longest side of an overlay in pixels; the page stretches it over the image
_SETTINGS: dict[str, dict[str, Any]] = {"rise": {"masks": 300}, "lime": {"samples": 300}}
NOTHING = "nothing in this image speaks for the class: the map is empty"


@dataclass(frozen=True)
class _Asked:
    """The finding that is to be explained."""

    model: int
    bundle: str
    label: str


class Explainer:
    """Makes explanations of findings, one at a time, with the bundle that made the finding."""

    def __init__(self, loop: Loop) -> None:
        self._loop, self._clinic = loop, loop.clinic
        self._subjects: OrderedDict[str, Subject] = OrderedDict()

    def step(self) -> bool:
        """Make one explanation; tell whether one was asked for."""
        with self._clinic.reading() as db:
            if not queue.waits(db, queue.EXPLANATION):
                return False
        with self._clinic.writing() as db:
            jobs = queue.claim(db, self._loop.worker, queue.EXPLANATION)
        for job in jobs:
            self._loop.progress()
            self._explain(job)
        return bool(jobs)

    def _explain(self, job: Taken) -> None:
        try:
            asked = self._asked(job)
            image = read_picture(self._clinic.blobs, job.sha256)
            subject = self._subject(asked.bundle)
            made = explain(subject, image, job.method, asked.label)
        except StoreAway:
            raise
        except ImageProblem as problem:
            self._fail(job, f"the image {problem.reason}")
            return
        except CytolensError as error:  # what a method or a bundle refuses stays so
            self._fail(job, str(error).partition("\n")[0].rstrip("."))
            return
        overlay = self._clinic.blobs.put(
            overlay_png(made.positive, image.shape[:2], subject.pixels)
        )
        raw = self._clinic.blobs.put(npy(made.map))
        with self._clinic.writing() as db:
            if not queue.own(db, self._loop.worker, [job.id]):
                return
            db.add(
                Overlay(
                    image_id=job.image_id,
                    model_id=asked.model,
                    method=job.method,
                    target=asked.label,
                    overlay=overlay,
                    raw=raw,
                    notes=[] if made.positive.any() else [NOTHING],
                    created_at=clock.now(),
                )
            )
            queue.done(db, [job.id])

    def _asked(self, job: Taken) -> _Asked:
        with self._clinic.reading() as db:
            finding = db.scalar(select(Finding).where(Finding.image_id == job.image_id))
            if finding is None or finding.label is None:
                raise CytolensError("The image has no finding.")
            return _Asked(finding.model_id, finding.model.bundle, finding.label)

    def _fail(self, job: Taken, problem: str) -> None:
        with self._clinic.writing() as db:
            queue.failed(db, queue.own(db, self._loop.worker, [job.id]), problem)

    def _subject(self, bundle: str) -> Subject:
        if bundle not in self._subjects:
            loaded = load_bundle(self._clinic.settings.bundles / bundle)
            self._subjects[bundle] = loaded.subject()
        self._subjects.move_to_end(bundle)
        while len(self._subjects) > _KEPT:
            self._subjects.popitem(last=False)
        return self._subjects[bundle]


def explain(subject: Subject, image: NDArray[np.uint8], method: str, label: str) -> Explanation:
    """Return what a method says of an image of any size, uint8 RGB [h, w, 3], for one class."""
    from cytolens.explain import METHODS, class_target

    made = METHODS.get(method)(**_SETTINGS.get(method, {}))
    seen = subject.prepare(image)[None]  # [1, H, W, 3]
    return made.explain(subject, seen, [class_target(subject.classes, label)])[0]


def overlay_png(
    positive: NDArray[np.float32], shape: tuple[int, ...], pixels: PixelsConfig
) -> bytes:
    """Return a map as a transparent PNG that covers its image exactly.

    Colours and opacity grow with the share of the map's own maximum; an empty map is transparent.

    Args:
        positive: what speaks for the class, float32 [H, W] at the network's input.
        shape: height and width of the image, whose proportions the PNG has.
        pixels: how the image was brought to the network's size.
    """
    from cytolens.report.explanations import Map
    from cytolens.report.overlay import heat, png

    laid = over_image(positive, (shape[0], shape[1]), pixels)
    largest = float(positive.max())
    return png(heat(Map(laid, None), signed=False, largest=largest or 1.0))


def over_image(
    map: NDArray[np.float32], shape: tuple[int, int], pixels: PixelsConfig
) -> NDArray[np.float32]:
    """Bring a map [H, W] at the network's input into the proportions of its image.

    What a letterbox added is cut off. The longer side has the image's pixels, at most 1024.
    """
    if pixels.fit == "letterbox":
        top, left, height, width = inner_box(shape, map.shape[0], map.shape[1])
        map = map[top : top + height, left : left + width]
    scale = min(1.0, _SIDE / max(shape))
    size = max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))
    laid = cv2.resize(np.ascontiguousarray(map), size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(laid, np.float32)


def npy(map: NDArray[np.float32]) -> bytes:
    """Return an array as the bytes of a .npy file, without pickle."""
    content = io.BytesIO()
    np.save(content, map, allow_pickle=False)
    return content.getvalue()
