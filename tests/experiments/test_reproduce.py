"""A paper reproduced: what a study holds, repeated and cut-off commands, cells that cannot run."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.core.files import read_json
from cytolens.core.progress import Silent, Step
from cytolens.data.loading import read_manifest
from cytolens.data.manifest import Manifest
from cytolens.evaluation import Predictions
from cytolens.experiments.reproduce import reproduce
from cytolens.experiments.reproduction.numbers import gap_sentence, mix_sentence

SMALL = ("pixels.size=32", "evaluation.resamples=20")


@pytest.fixture(autouse=True)
def quickly(shared_cache: None, no_report: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the reports of the single runs, which other tests read."""
    del shared_cache, no_report

    def skip(run: Path) -> None:
        (run / "report.html").write_text("")

    monkeypatch.setattr("cytolens.experiments.fuse.write_run_report", skip)


@pytest.fixture
def manifest(phantoms: Path) -> Manifest:
    return read_manifest(phantoms)


def study(
    paper: str, manifest: Manifest, out: Path, *settings: str, **wishes: Any
) -> dict[str, Any]:
    wishes = {"quick": True, "ledger": False} | wishes
    folder = reproduce(paper, manifest, out, settings=(*SMALL, *settings), **wishes)
    assert folder == out
    return read_json(out / "study.json", "study")  # type: ignore[no-any-return]


def test_a_study_of_both_protocols(manifest: Manifest, tmp_path: Path) -> None:
    out = tmp_path / "study"
    found = study("contrastive2023", manifest, out, only=["finetune", "probe", "fusion"])
    assert (out / "report.html").stat().st_size > 10_000
    assert found["paper"]["name"] == "contrastive2023" and found["quick"] is True
    assert len(found["published"]["rows"]) == 15 and len(found["paper"]["comparison"]) == 6
    assert found["data"]["images"] == 36 and found["data"]["groups"] == 12
    assert sum(found["data"]["classes"].values()) == 36
    said = " ".join(found["substitutions"])
    for text in (
        "A quick run",
        "The classes are those of phantoms (HSIL, LSIL, NILM, SCC), not the paper's",
        "No weights are at hand of VGG16, VGG19, DenseNet169, MobileNetV2, ResNet50",
        "cytolens_tiny stands in for DenseNet169 with the same share of frozen layers (0.417).",
        "knows synthetic smears alone",
        "epoch e trains on copy e mod 7",
        "run when asked for: contrastive_ntxent, contrastive_triplet, contrastive_supcon",
    ):
        assert text in said, text
    cells = {(c["protocol"], c["name"]): c for c in found["cells"]}
    own = cells["honest", "vgg16-finetune"]
    assert own["run"] is None and own["paper_accuracy"] == 0.9557
    assert own["why_not"] == "No ImageNet weights of vgg16 are reachable."
    for protocol in ("published", "honest"):
        one = cells[protocol, "cytolens_tiny-finetune"]
        assert one["stands_in_for"] == "DenseNet169" and one["paper_accuracy"] == 0.9717
        metrics = read_json(out / one["run"] / "metrics.json", "metrics")
        assert metrics["protocol"] == protocol and bool(metrics["leaks"]) == (
            protocol == "published"
        )
        assert one["metrics"]["accuracy"] == metrics["accuracy"] and one["seconds"] > 0
        fusion = cells[protocol, "fusion-fuzzy_rank"]
        assert fusion["why_not"] == "an ensemble takes two networks or more; 1 ran"
    (gap,) = found["gaps"]
    assert gap["name"] == "cytolens_tiny-finetune" and gap["paper_accuracy"] == 0.9717
    honest, published = (gap[p]["value"] for p in ("honest", "published"))
    assert gap["gap"]["value"] == pytest.approx(published - honest)
    assert gap["sentence"].startswith("Of the 0.9717 that the paper reports for DenseNet169")
    names = [run["name"] for run in found["comparisons"]["honest"]["runs"]]
    assert names == ["cytolens_tiny-finetune", "probe"]
    assert found["comparisons"]["published"] is None, "one cell ran"
    assert {row["model"] for row in found["complexity"]} == {
        "cytolens_tiny",
        "Linear probe (not in the paper)",
    }
    assert all(row["parameters"] > row["trained_parameters"] for row in found["complexity"])
    assert found["features"]["computed"] > 0
    json.dumps(found, allow_nan=False)


def test_a_repeated_command_keeps_what_is_finished(manifest: Manifest, tmp_path: Path) -> None:
    out = tmp_path / "study"

    def honest(*settings: str, **wishes: Any) -> dict[str, Any]:
        return study(
            "wong2023", manifest, out, *settings, protocol="honest", only=["frozen"], **wishes
        )

    first = honest()
    run = out / "honest" / "cytolens_tiny-frozen"
    made = (run / "metrics.json").stat().st_mtime_ns
    again = honest()
    assert (run / "metrics.json").stat().st_mtime_ns == made
    assert {**again, "complexity": None} == {**first, "complexity": None}
    with pytest.raises(InputError) as caught:
        honest("training.epochs=2")
    assert str(caught.value) == (
        f"{out} holds runs of other settings, data or weights.\n"
        "  - honest/cytolens_tiny-frozen\n"
        "Way out: choose another --out, or pass --overwrite to replace them."
    )
    honest("training.epochs=2", overwrite=True)
    assert (run / "metrics.json").stat().st_mtime_ns != made
    grown = "The classes grow by the paper's ratios (NILM 1.06, LSIL 3.47, HSIL 5.42, SCC 7.43)"
    assert any(text.startswith(grown) for text in first["substitutions"])


class CutOff(Silent):
    """Interrupts when a cell is about to start."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.started: list[str] = []

    def say(self, text: str) -> None:
        self.started.append(text)
        if text == self.at:
            raise KeyboardInterrupt

    def task(self, name: str, total: int) -> AbstractContextManager[Step]:
        return super().task(name, total)


def test_a_study_that_was_cut_off_goes_on(manifest: Manifest, tmp_path: Path) -> None:
    out, wishes = tmp_path / "study", {"protocol": "honest", "only": ["raw", "segmented", "fusion"]}
    raw, segmented = "honest/cytolens_tiny-raw", "honest/cytolens_tiny-segmented"
    with pytest.raises(KeyboardInterrupt):
        study("murtoza", manifest, out, progress=CutOff(segmented), **wishes)
    assert not (out / "study.json").exists()
    made = (out / raw / "metrics.json").stat().st_mtime_ns
    listener = CutOff("")
    found = study("murtoza", manifest, out, progress=listener, **wishes)
    assert (out / raw / "metrics.json").stat().st_mtime_ns == made
    assert raw not in listener.started and segmented in listener.started
    ensembles = [c for c in found["cells"] if c["regime"] == "fusion"]
    assert [c["name"] for c in ensembles] == [
        *("fusion-mean", "fusion-majority", "fusion-fuzzy_rank")
    ]
    assert all((out / c["run"] / "metrics.json").exists() for c in ensembles)
    assert len(found["comparisons"]["honest"]["pairs"]) == 10
    assert found["comparisons"]["published"] is None
    assert len(found["complexity"]) == 1, "an ensemble has no network of its own"


def test_a_cell_that_fails_does_not_stop_the_others(manifest: Manifest, tmp_path: Path) -> None:
    found = study(
        "contrastive2023",
        manifest,
        tmp_path / "study",
        "model.freeze=all",
        protocol="honest",
        only=["finetune", "contrastive"],
        models=["DenseNet169"],
    )
    cells = {c["name"]: c for c in found["cells"]}
    assert cells["cytolens_tiny-finetune"]["run"]
    failed = cells["cytolens_tiny-contrastive"]
    assert failed["run"] is None and "all of it is frozen" in failed["why_not"]


def test_data_that_cannot_do(manifest: Manifest, tmp_path: Path) -> None:
    out = tmp_path / "study"
    binary = 'data.label_map={NILM="benign", LSIL="benign", HSIL="malignant", SCC="malignant"}'
    with pytest.raises(InputError) as caught:
        reproduce("abualhaija2020", manifest, out, settings=[binary], ledger=False)
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        "abualhaija2020 tests on images at 40X; 36 of 36 images of phantoms have no magnification."
    )
    assert lines[-1] == "Expected: a column 'magnification' with a value for each image"
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else than a study"):
        reproduce("wong2023", manifest, out, ledger=False)


def test_a_negative_number_of_jobs_is_told_before_anything_else(
    manifest: Manifest, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:  # this data cannot do, either
        reproduce("abualhaija2020", manifest, tmp_path / "study", jobs=-2)
    assert caught.value.what == "--jobs -2 is negative."
    assert not (tmp_path / "study").exists()


def test_when_no_cell_can_run(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        study("prasuna2023", manifest, tmp_path / "s", "split.folds=30", _map(), protocol="honest")
    text = str(caught.value)
    assert text.startswith("No cell of the paper could run.\n")
    assert "honest/cytolens_tiny-frozen: 12 groups cannot be cut into 30 parts." in text


def test_ensembles_alone_have_nothing_to_be_made_of(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="but ensembles.*\nWay out: name the regimes"):
        reproduce("contrastive2023", manifest, tmp_path / "s", only=["fusion"], quick=True)


def _map() -> str:
    return 'data.label_map={NILM="benign", LSIL="benign", HSIL="malignant", SCC="malignant"}'


def test_the_sentence_of_a_gap() -> None:
    def cell(accuracy: float, stood: str | None = None, paper: float | None = 0.97) -> Any:
        metrics = {"accuracy": {"value": accuracy}}
        base = {"model": "MobileNetV2", "stands_in_for": stood, "paper_accuracy": paper}
        return base | {"metrics": metrics}

    apart = {"value": 0.05, "low": 0.01, "high": 0.09}
    assert gap_sentence(cell(0.95, "VGG16"), cell(0.9, "VGG16"), apart) == (
        "Of the 0.97 that the paper reports for VGG16 on its data, the leaking protocol is worth "
        "+5.0 points (+1.0 to +9.0) on this data: MobileNetV2, which stands in for VGG16, reaches "
        "0.950 under the published protocol and 0.900 under the honest one."
    )
    none = {"value": -0.01, "low": -0.04, "high": 0.02}
    assert gap_sentence(cell(0.9, paper=None), cell(0.91, paper=None), none) == (
        "The leaking protocol is worth −1.0 points (−4.0 to +2.0) on this data: MobileNetV2 "
        "reaches 0.900 under the published protocol and 0.910 under the honest one. The interval "
        "holds 0: no gain by leaking is shown here."
    )
    few = {"value": 0.0, "low": None, "high": None}
    assert "is worth 0.0 points on this data" in gap_sentence(cell(0.9), cell(0.9), few)


def test_other_shares_of_the_classes_are_told() -> None:
    def of(labels: list[int]) -> Predictions:
        ids = [str(place) for place in range(len(labels))]
        folds = np.zeros(len(labels), np.int64)
        even = np.full((len(labels), 2), 0.5)
        return Predictions(ids, np.array(labels), even, ("NILM", "HSIL"), folds, folds, ids)

    leaky, honest = ({"metrics": {"balanced_accuracy": {"value": v}}} for v in (0.68, 0.65))
    assert mix_sentence(of([0, 1, 1, 1]), of([1, 1, 0, 0]), leaky, honest) == (
        "The two test parts hold the classes in other shares (NILM: 25\u202f% and 50\u202f%), "
        "which moves accuracy by itself; balanced accuracy is 0.680 and 0.650."
    )
    assert mix_sentence(of([0, 1]), of([1, 1, 0, 0]), leaky, honest) == ""
