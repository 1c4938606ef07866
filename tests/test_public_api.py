"""What `import cytolens` offers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cytolens
from cytolens.data.loading import read_manifest
from cytolens.experiments.recipe import Recipe


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import cytolens, sys; cytolens.run, cytolens.load_bundle;"
        "print(sorted({'torch', 'numpy', 'cv2', 'timm', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_run_takes_objects_and_has_a_default_place(
    tiny: Recipe, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = cytolens.run(tiny, read_manifest(phantoms))
    assert folder == Path("runs/tiny-phantoms") and (folder / "report.html").is_file()
    with pytest.raises(TypeError, match=r"settings are for a recipe that is read"):
        cytolens.run(tiny, phantoms, settings=["seed=1"])


def test_a_run_holds_a_bundle_that_predicts(tiny_run: Path, phantoms: Path) -> None:
    bundle = cytolens.load_bundle(str(tiny_run))
    [first, *_] = sorted((phantoms / "images" / "NILM").iterdir())
    prediction = bundle.predict(first)
    assert prediction.label in bundle.classes == ("HSIL", "LSIL", "NILM", "SCC")
    assert np.isclose(sum(prediction.probabilities.values()), 1)
