"""Content of a `doubt.json`, hand-made, over the four classes of the fake runs."""

from __future__ import annotations

from typing import Any

from fake_run import CLASSES


def score(value: float | None, spread: float = 0.03) -> dict[str, float | None]:
    if value is None:
        return {"value": None, "low": None, "high": None}
    return {"value": value, "low": max(value - spread, 0.0), "high": min(value + spread, 1.0)}


def bins(surplus: float) -> list[dict[str, Any]]:
    """Five bins, the first empty; confidence lies `surplus` above accuracy."""
    rows: list[dict[str, Any]] = [
        {"low": 0.0, "high": 0.2, "confidence": None, "accuracy": None, "n": 0}
    ]
    for index in range(1, 5):
        low = 0.2 * index
        rows.append(
            {
                "low": low,
                "high": low + 0.2,
                "confidence": low + 0.1,
                "accuracy": low + 0.1 - surplus,
                "n": 10 * index,
            }
        )
    return rows


def left(wanted: float, share: float, risk: float | None) -> dict[str, Any]:
    return {
        "wanted": wanted,
        "confidence": 0.9 - wanted if share else None,
        "share": score(share),
        "risk": score(risk, 0.01),
    }


def decision() -> dict[str, Any]:
    shares = {
        "clear": 0.5, "refer": 0.2, "abnormal": 0.3, "missed": 0.04, "false_alarms": 0.03,
        "clear_right": 0.97, "abnormal_right": 0.91,
    }  # fmt: skip
    return {
        "abnormal": ["HSIL", "SCC"],
        "wanted": {"sensitivity": 0.95, "specificity": 0.95},
        "threshold": 0.125,
        "refer": [0.125, 0.625],
        "results": {
            "n": 120, "abnormal": 48, "sensitivity": score(0.96), "specificity": score(0.71),
            "ppv": score(0.68), "npv": score(0.965),
            "triage": {name: score(value) for name, value in shares.items()},
        },
    }  # fmt: skip


def curve() -> list[dict[str, Any]]:
    """A model that helps from .2 to .6."""
    rows = []
    for step in range(1, 10):
        threshold = round(0.1 * step, 1)
        gain = 0.12 if 0.2 <= threshold <= 0.6 else 0.01
        rows.append(
            {
                "threshold": threshold,
                "model": score(0.4 - 0.3 * threshold),
                "all": score((0.4 - threshold) / (1 - threshold)),
                "none": 0.0,
                "gain": {"value": gain, "low": gain - 0.05, "high": gain + 0.05},
            }
        )
    rows[3]["gain"] = {"value": 0.2, "low": 0.1, "high": 0.3}
    return rows


def fake_doubt(**changes: Any) -> dict[str, Any]:
    """Return the content, `changes` in place of its parts."""
    before = {"ece": score(0.083), "brier": score(0.301), "log_loss": score(0.612)}
    after = {"ece": score(0.021, 0.01), "brier": score(0.288), "log_loss": score(0.571)}
    content = {
        "calibration": {
            "method": "temperature", "parameters": {"temperature": 1.634}, "n": 120,
            "before": before, "after": after, "how": "3 folds",
            "candidates": {
                "none": 0.612, "temperature": 0.571, "vector": 0.569, "isotonic": 0.64
            },
        },
        "reliability": {"before": bins(0.1), "after": bins(0.0)},
        "conformal": {
            "level": 0.9, "method": "aps", "class_conditional": False, "n": 120,
            "parameters": {"quantiles": [0.8] * 4},
            "results": {
                "n": 120, "coverage": score(0.892), "size": {"value": 1.4, "low": 1.3, "high": 1.5},
                "single": score(0.66), "single_right": score(0.94),
                "per_class": {
                    name: {"n": 30, "coverage": score(0.91 if name != "SCC" else 0.71, 0.05)}
                    for name in CLASSES
                },
            },
        },
        "risk": {
            "n": 120, "error": score(0.142), "aurc": score(0.05), "best_aurc": 0.01,
            "curve": [
                {"confidence": 1 - 0.05 * i, "coverage": i / 10, "risk": score(0.0142 * i)}
                for i in range(1, 11)
            ],
            "left": [
                left(0.01, 0.0, None), left(0.02, 0.0, None), left(0.05, 0.62, 0.039),
                left(0.1, 0.81, 0.124),
            ],
        },
        "decision": decision(),
        "decision_curve": curve(),
        "fitted_on": "3 folds",
        "notes": [],
    }  # fmt: skip
    return content | changes
