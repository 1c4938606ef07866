"""The program starts quickly, explains itself, and tells usage from input."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

import cytolens
from cytolens.cli.main import app

VERBS = (
    *(("demo",), ("split",), ("run",), ("recipes",), ("predict",), ("doctor",)),
    *(("data", verb) for verb in ("list", "import", "phantom", "audit")),
    *(("plan",), ("explain",), ("card",), ("export",), ("bench",)),
    *(("compare",), ("fuse",), ("reproduce",), ("ledger",), ("features",)),
    *(("store", verb) for verb in ("info", "clear")),
    ("serve",),
    *(("clinic", verb) for verb in ("verify", "backup", "restore", "upgrade", "unlock", "sweep")),
)


def test_the_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from cytolens.cli.main import main\n"
        "sys.argv = ['cytolens', '--help']\n"
        "try: main()\n"
        "finally:\n"
        "    heavy = {'torch', 'numpy', 'cv2', 'timm', 'sklearn', 'scipy', 'pyarrow', 'openvino',"
        " 'matplotlib', 'PIL', 'torchvision', 'jinja2', 'huggingface_hub', 'fastapi',"
        " 'sqlalchemy', 'ray'}\n"
        "    print('loaded', sorted(heavy & set(sys.modules)))"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    seconds = time.perf_counter() - started
    assert done.returncode == 0 and done.stdout.endswith("loaded []\n")
    assert seconds < 3, "0.2 s on a quiet machine"


def test_every_verb_is_listed_here() -> None:
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    found = {(command.name,) for command in app.registered_commands}
    for name, group in groups.items():
        for command in group.registered_commands:
            assert group and command.callback
            found.add((name, command.name or command.callback.__name__))
    assert found == set(VERBS)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_has_help(cli, verb: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    ended = cli(*verb, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert "Usage:" in ended.out and "--help" in ended.out


def test_the_version(cli) -> None:  # type: ignore[no-untyped-def]
    assert cli("--version")[:2] == (0, f"cytolens {cytolens.__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["run", "frozen"],
        ["run", "frozen", "--data", "x", "--nonsense"],
        ["data", "phantom", "--out", "x", "--images", "many"],
        ["data", "import", "herlev"],
        ["predict", "bundle", "image.png", "--format", "xml"],
        ["split", "x", "--protocol", "hones"],
        [],
    ],
)
def test_wrong_usage_is_status_2(cli, arguments: list[str]) -> None:  # type: ignore[no-untyped-def]
    ended = cli(*arguments)
    assert ended.code == 2 and "Usage: " in ended.err + ended.out
    assert "Traceback" not in ended.err
