"""Cells in several processes: the same runs, computed once, and mistakes told of."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cytolens.core.errors import InputError
from cytolens.core.files import read_json
from cytolens.data.loading import read_manifest
from cytolens.data.manifest import Manifest
from cytolens.experiments.cluster.local import LocalProcesses
from cytolens.experiments.recipe import load_recipe
from cytolens.experiments.reproduce import reproduce
from cytolens.experiments.reproduction import parallel
from cytolens.experiments.reproduction.parallel import Job, choose_jobs, effort, run_jobs

SETTINGS = ("pixels.size=32", "evaluation.resamples=20")


@pytest.mark.slow
def test_two_processes_give_what_one_gives(
    phantoms: Path, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del own_cache
    manifest = read_manifest(phantoms)
    studies = []
    for jobs in (1, 2):
        monkeypatch.setenv("CYTOLENS_CACHE", str(tmp_path / f"cache{jobs}"))
        out = tmp_path / f"study{jobs}"
        reproduce(
            "contrastive2023",
            manifest,
            out,
            protocol="honest",
            only=["finetune", "contrastive"],
            quick=True,
            settings=SETTINGS,
            ledger=False,
            jobs=jobs,
        )
        studies.append((out, read_json(out / "study.json", "study")))
    (first, one), (second, two) = studies
    runs = [cell["run"] for cell in one["cells"] if cell["run"]]
    assert len(runs) == 2 and [c["run"] for c in two["cells"] if c["run"]] == runs
    for run in runs:
        expected = read_json(first / run / "metrics.json", "metrics")
        # Equal to the digit on one core each; elsewhere sums may be taken in another order.
        found = read_json(second / run / "metrics.json", "metrics")
        assert found["n"] == expected["n"]
        assert found["log_loss"]["value"] == pytest.approx(expected["log_loss"]["value"], rel=1e-3)
    assert two["features"] == one["features"], "computed once, whoever came first"


def _act(job: Job, manifest: Manifest) -> None:
    """Stand in for a run: do what the name of its folder says."""
    del manifest
    if job.out.name == "long":
        time.sleep(600)
    if job.out.name == "wrong":
        raise ZeroDivisionError("a mistake in the program")
    if job.out.name == "killed":
        os._exit(9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("wrong", ZeroDivisionError, "a mistake in the program"),
        ("killed", InputError, "ended from outside"),
        ("interrupted", KeyboardInterrupt, "^$"),
    ],
)
def test_nothing_goes_on_after_a_failure_or_an_interrupt(
    phantoms: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: type[BaseException],
    message: str,
) -> None:
    monkeypatch.setattr(parallel, "_make", _act)

    def done(job: Job, why_not: str | None) -> None:
        del job, why_not
        raise KeyboardInterrupt

    recipe = load_recipe("frozen")
    jobs = [Job(recipe, Path(folder)) for folder in (name, "long", "long", "long")]
    started = time.monotonic()
    with pytest.raises(error, match=message):
        run_jobs(jobs, read_manifest(phantoms), LocalProcesses(2), done)
    assert time.monotonic() - started < 120, "the long ones were ended"


def test_a_negative_number_of_jobs_is_refused() -> None:
    with pytest.raises(InputError, match="--jobs -1 is negative"):
        choose_jobs(-1, 3)


def test_no_more_processes_than_cells() -> None:
    assert choose_jobs(4, 2) == 2
    assert choose_jobs(3, 0) == 1
    assert 1 <= choose_jobs(0, 100) <= max(1, os.cpu_count() or 1)


def test_the_longest_runs_are_started_first() -> None:
    tune = load_recipe("contrastive2023/mobilenetv2-finetune")
    contrastive = load_recipe("contrastive2023/mobilenetv2-contrastive")
    frozen = replace(tune, model=replace(tune.model, freeze="all"))
    assert (effort(tune), effort(contrastive), effort(frozen)) == (250, 500, 0)
