"""The demo: both protocols beside each other, and it goes on where it was cut off."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cytolens.core.errors import InputError
from cytolens.experiments import demo
from cytolens.experiments.recipe import Recipe, load_recipe

SMALL = (
    *("model.backbone=cytolens_tiny", "model.weights=random", "pixels.size=48"),
    *(
        "split.folds=2",
        "split.validation=0.5",
        "training.epochs=2",
        "training.views=1",
        "evaluation.resamples=20",
    ),
    "features.engine=torch",
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the demo small."""
    phantoms = replace(demo.PHANTOMS, images=36, size=48, patients=8)
    monkeypatch.setattr(demo, "PHANTOMS", phantoms)
    monkeypatch.setattr(demo, "EXPLAINING", ("lime.samples=10",))
    monkeypatch.setattr(demo, "load_recipe", lambda name: load_recipe(name, SMALL))


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_the_demo_from_a_cut_to_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "demo"
    ran: list[str] = []
    real = demo.run_recipe

    def cut(recipe: Recipe, *rest: Any, **options: Any) -> Path:
        ran.append(recipe.protocol)
        if ran == ["honest", "published"]:
            raise KeyboardInterrupt
        return real(recipe, *rest, **options)

    monkeypatch.setattr(demo, "run_recipe", cut)
    with pytest.raises(KeyboardInterrupt):
        demo.run_demo(folder)
    first = (folder / "honest" / "metrics.json").stat().st_mtime_ns
    result = demo.run_demo(folder)
    assert ran == ["honest", "published", "published"]
    assert (folder / "honest" / "metrics.json").stat().st_mtime_ns == first

    assert {path.name for path in folder.iterdir()} == {
        *("phantoms", "audit.html", "honest", "published"),
        *("gap.json", "report.html", "figures"),
    }
    honest, published = (_json(folder / n / "metrics.json") for n in ("honest", "published"))
    assert (honest["protocol"], honest["leaks"], honest["n"]) == ("honest", [], 36)
    assert published["protocol"] == "published" and published["n"] == 108
    assert any("augmented sibling" in reason for reason in published["leaks"])
    gap = _json(folder / "gap.json")
    assert set(gap) == {"accuracy", "auc", "macro_f1"}
    difference = published["accuracy"]["value"] - honest["accuracy"]["value"]
    assert gap["accuracy"]["value"] == pytest.approx(difference)
    assert (folder / "honest" / "bundle" / "model.safetensors").is_file()
    explained = _json(folder / "honest" / "explanations" / "explanations.json")
    assert [method["name"] for method in explained["methods"]] == list(demo.EXPLAINED_BY)
    text = "\n".join(result.lines())
    assert "LEAKS" in text and str(folder / "report.html") in text

    with pytest.raises(InputError) as caught:
        demo.run_demo(folder)
    assert str(caught.value) == (
        f"{folder} already holds a finished demo.\n"
        f"Way out: open {folder / 'report.html'}, choose another --out, or pass --overwrite."
    )
    phantoms = (folder / "phantoms" / "phantom.json").read_bytes()
    again = demo.run_demo(folder, seed=1, overwrite=True)
    assert (folder / "phantoms" / "phantom.json").read_bytes() != phantoms
    assert again.honest == _json(folder / "honest" / "metrics.json") != honest


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda place: place.touch(), "{} is a file."),
        (lambda place: (place / "mine").mkdir(parents=True), "{} holds something else than a demo"),
    ],
)
def test_a_place_that_is_taken(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / "x")
    with pytest.raises(InputError) as caught:
        demo.run_demo(tmp_path / "x")
    assert message.format(tmp_path / "x") in str(caught.value)


@pytest.mark.usefixtures("small")
def test_the_bundle_of_the_clinics_demonstration(tmp_path: Path) -> None:
    phantoms = replace(demo.PHANTOMS, class_separation=2.0, seed=5)
    abnormal = ("LSIL", "HSIL", "SCC")
    bundle = demo.make_demo_bundle(tmp_path / "run", phantoms, abnormal)
    assert bundle == tmp_path / "run" / "honest" / "bundle"
    assert load_recipe(str(tmp_path / "run" / "honest" / "recipe.toml")).bundle.abnormal == abnormal
    assert _json(tmp_path / "run" / "honest" / "metrics.json")["protocol"] == "honest"
    assert not (tmp_path / "run" / "published").exists()
    made = (bundle / "bundle.json").stat().st_mtime_ns
    assert demo.make_demo_bundle(tmp_path / "run", phantoms, abnormal) == bundle
    assert (bundle / "bundle.json").stat().st_mtime_ns == made
    (tmp_path / "other" / "mine").mkdir(parents=True)
    with pytest.raises(InputError, match="holds something else than a demo"):
        demo.make_demo_bundle(tmp_path / "other", phantoms, abnormal)
