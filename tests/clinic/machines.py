"""What tests of the interface for machines send and expect."""

from __future__ import annotations

import io
import threading
from typing import Any

import httpx
import numpy as np
from PIL import Image as Pillow

from cytolens.clinic.inference.analysis import Analyst
from cytolens.clinic.inference.loop import Loop
from cytolens.clinic.installation import Installation

V1 = "/api/v1"


def picture(seed: int) -> bytes:
    drawn = np.random.default_rng(seed)
    noise = drawn.uniform(40, 220, 3) + 30 * drawn.normal(0, 1, (40, 60, 3))
    content = io.BytesIO()
    Pillow.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


def make_findings(clinic: Installation) -> None:
    assert Analyst(Loop(clinic, "worker", threading.Event())).step()


def said(response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json()


def refused(response: httpx.Response, status: int) -> str:
    content = said(response, status)
    assert content.keys() == {"what", "rows", "expected", "fix"}
    return str(content["what"])
