"""A report's content with pictures, for the tests of documents."""

from __future__ import annotations

import hashlib
from typing import Any

import cv2
import numpy as np

from cytolens.clinic.documents.content import (
    Change,
    Diagnosis,
    Doctor,
    Explained,
    Laboratory,
    Model,
    Person,
    Picture,
    Quality,
    ReportContent,
    Sample,
    Score,
    System,
    Word,
)

BUNDLE = "0123456789ab"
NASTY = '#panic() $x$ \\ *b* _i_ @r <l> `c` = h [x] // q /* */ "]#{ } 😀 中文 שלום مرحبا ^= \ue000'


def png(pixels: Any) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def overlay_png(size: int = 8, alpha: int = 128) -> bytes:
    """Return a red overlay whose left half is opaque to a degree, its right half clear."""
    pixels = np.zeros((size, size, 4), np.uint8)
    pixels[:, : size // 2] = (0, 0, 255, alpha)  # BGRA
    return png(pixels)


def sample(
    status: str = "final", language: str = "en", **more: Any
) -> tuple[ReportContent, dict[str, bytes]]:
    """Return a content and its pictures by SHA-256; the first one has an explanation."""
    pictures: dict[str, bytes] = {}
    shown = []
    for place in range(2):
        image = png(np.full((40, 60 + 20 * place, 3), 200 - 20 * place, np.uint8))
        over = overlay_png()
        sha256, other = hashlib.sha256(image).hexdigest(), hashlib.sha256(over).hexdigest()
        pictures |= {sha256: image, other: over}
        explained = Explained(other, "grad_cam", "HSIL") if place == 0 else None
        shown.append(
            Picture(
                image=place + 1,
                sha256=sha256,
                name=f"field_{place}.png",
                width=60 + 20 * place,
                height=40,
                bundle=BUNDLE,
                risk=0.9 - 0.2 * place,
                label="HSIL",
                probability=0.875 - 0.25 * place,
                inside=("HSIL", "LSIL"),
                level=0.9,
                decision="refer" if place == 0 else "abnormal",
                reasons=("it may be normal or abnormal: NILM, HSIL",) if place == 0 else (),
                overlay=explained,
            )
        )
    model = Model(
        bundle=BUNDLE,
        name="a bundle",
        version="1.2.0",
        weights="a" * 64,
        classes=("NILM", "LSIL", "HSIL"),
        abnormal=("LSIL", "HSIL"),
        calibrated=True,
        level=0.9,
        data="phantoms",
        protocol="honest",
        images=600,
        groups=120,
        unit="group",
        level_scores=0.95,
        scores=(Score("Accuracy", 0.912, 0.88, 0.94), Score("Macro F1", 0.9)),
    )
    amended = status == "amended"
    values: dict[str, Any] = {
        "laboratory": Laboratory("ONE", "Laboratory one"),
        "patient": Person("P-1", "Núñez", "María José", "1980-02-03", "female"),
        "specimen": Sample(
            Word("cervix-liquid", "Cervix, liquid-based preparation"),
            "cervix",
            "ONE-0001",
            "2026-11-20T10:00:00+00:00",
            "2026-11-20T10:01:02.123456+00:00",
            "2026-11-19",
            "Bleeding",
        ),
        "quality": Quality(
            Word("satisfactory", "Satisfactory for evaluation"),
            (Word("blood", "Partially obscuring blood"),),
        ),
        "diagnosis": Diagnosis(
            1,
            Word("HSIL", "High-grade squamous intraepithelial lesion"),
            "agree",
            True,
            "2026-11-21T09:00:00+00:00",
            "Syncytial groups.\nColposcopy.",
            "refer",
        ),
        "system": System(57, "refer", 0.9, clear=40, abnormal=11, refer=5, pending=1),
        "doctor": Doctor(
            "soto", "Dr. Soto", "" if status == "preliminary" else "2026-11-21T09:30:00+00:00"
        ),
        "status": status,
        "version": 2 if amended else 1,
        "created_at": "2026-11-21T09:30:00+00:00",
        "language": language,
        "pictures": tuple(shown),
        "models": (model,),
        "reason": "The category was mistyped." if amended else "",
        "before": "b" * 64 if amended else "",
        "changes": (Change("Verdict", "downgrade", "agree"),) if amended else (),
    }
    return ReportContent(**values | more), pictures
