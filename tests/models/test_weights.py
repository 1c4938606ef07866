"""Weights: where they are looked for, in which order, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cytolens.core.errors import InputError
from cytolens.models import weights as weights_module
from cytolens.models.backbones import create_backbone
from cytolens.models.cards import Card, shipped_card
from cytolens.models.config import ModelConfig
from cytolens.models.network import build_backbone
from cytolens.models.tiny import TinyNet
from cytolens.models.weights import Weights, load_state, resolve_weights

NAME = "some_net"
Write = Callable[..., Path]
REAL = Path(__file__).parents[3] / "shared" / "weights"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a state dict of the small network and its card, changed as told."""

    def make(folder: str, state: dict[str, Any] | None = None, **card: Any) -> Path:
        path = tmp_path / folder / f"{NAME}.safetensors"
        path.parent.mkdir(exist_ok=True)
        save_file(state or TinyNet().state_dict(), path)
        content = {
            "backbone": NAME, "input_size": [32, 32], "mean": [0.5] * 3, "std": [0.5] * 3,
        } | card  # fmt: skip
        path.with_suffix(".json").write_text(json.dumps(content))
        return path

    return make


def _error(*arguments: str) -> str:
    with pytest.raises(InputError) as caught:
        resolve_weights(*arguments)
    return str(caught.value)


def test_a_path_comes_before_the_folder(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    given, folder = write("given"), write("folder")
    monkeypatch.setenv("CYTOLENS_WEIGHTS", str(folder.parent))
    found = resolve_weights(NAME, str(given))
    assert found.path == given
    assert found.identity == hashlib.sha256(given.read_bytes()).hexdigest()
    assert found.card.input_size == (32, 32)
    assert found.note == ""
    for weights in ("imagenet", "auto"):
        assert resolve_weights(NAME, weights).path == folder


def test_the_hub_comes_after_the_folder(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cached = Weights(NAME, tmp_path, Card(NAME, (1, 1), (0.5,) * 3, (0.5,) * 3), "x")
    monkeypatch.setattr(weights_module, "_from_hub", lambda *_: cached)
    assert resolve_weights(NAME, "imagenet") is cached
    monkeypatch.setenv("CYTOLENS_WEIGHTS", str(write("folder").parent))
    assert resolve_weights(NAME, "imagenet") is not cached


def test_nothing_reachable_names_all_four_places(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(weights_module, "_hub_answers", lambda: False)
    rest = (
        "  - hub cache: timm/resnet50.a1_in1k is not in it\n"
        "  - hub: huggingface.co is not reachable\n"
        "Expected: a file resnet50.safetensors with its card in one of these places\n"
        "Way out: set model.weights to a file, or CYTOLENS_WEIGHTS to a folder of weights, or "
        'model.weights = "auto" to fall back to cytolens_tiny.'
    )
    start = "No ImageNet weights of resnet50 are reachable.\n  - explicit path: none given\n"
    assert _error("resnet50", "imagenet") == start + "  - CYTOLENS_WEIGHTS: not set\n" + rest
    monkeypatch.setenv("CYTOLENS_WEIGHTS", str(tmp_path))
    tried = f"  - CYTOLENS_WEIGHTS: {tmp_path / 'resnet50.safetensors'} does not exist\n"
    assert _error("resnet50", "imagenet") == start + tried + rest


def test_a_network_no_hub_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_module, "_hub_answers", lambda: False)
    message = _error("nobody_s_net", "imagenet")
    assert "  - hub: timm knows no pretrained weights of this name\n" in message


def test_the_hub_s_cache_is_used_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, file)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(file))
    found = resolve_weights("resnet50", "imagenet")
    assert found.path == file
    assert found.card.mean == (0.485, 0.456, 0.406)


def test_auto_falls_back_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_module, "_hub_answers", lambda: False)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    said: list[str] = []
    marker = Weights("cytolens_tiny", None, Card("t", (1, 1), (0.5,) * 3, (0.5,) * 3), "x")
    monkeypatch.setattr(weights_module, "_tiny", lambda note: (said.append(note), marker)[1])
    assert resolve_weights("resnet50", "auto") is marker
    assert said == ["no ImageNet weights of resnet50 are reachable: cytolens_tiny stands in"]
    assert resolve_weights("cytolens_tiny", "imagenet") is marker
    assert said[1:] == [""]  # asked for by name: no fallback


def test_random_weights_say_so() -> None:
    found = resolve_weights("resnet50", "random", 7)
    assert (found.path, found.identity) == (None, "random-7")
    assert found.note == "random weights (seed 7): nothing is transferred"


def test_the_hub_is_asked_once_and_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []

    def refuse(_: object, timeout: float) -> None:
        calls.append(timeout)
        raise OSError("unreachable")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(weights_module.socket, "create_connection", refuse)
    weights_module._hub_answers.cache_clear()
    try:
        assert [weights_module._hub_answers() for _ in range(3)] == [False] * 3
    finally:
        weights_module._hub_answers.cache_clear()
    assert len(calls) == 1
    assert calls[0] <= 5


# ------------------------------------------------------------------ refused


def test_no_file(tmp_path: Path) -> None:
    assert _error("resnet50", str(tmp_path / "x.safetensors")) == (
        f"There is no weight file at {tmp_path / 'x.safetensors'}.\n"
        'Expected: a safetensors file, or "imagenet", "auto" or "random"'
    )


def test_no_card(write: Write) -> None:
    path = write("a")
    path.with_suffix(".json").unlink()
    assert _error(NAME, str(path)) == (
        f"No card says how {path} wants its input.\n"
        f"Expected: {NAME}.json beside it: backbone, input_size, mean, std, batch_norm, create, "
        "sha256, licence, source\nWay out: write the card; docs/how-to/weights.md shows one."
    )
    other = path.with_name("mobilenetv2_100.safetensors")
    path.rename(other)  # the shipped card of that name is of another file
    assert _error("mobilenetv2_100", str(other)).startswith("No card says how")


def test_another_sha256(write: Write) -> None:
    path = write("a", sha256="0" * 64)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert _error(NAME, str(path)) == (
        f"{path} is not the file its card describes (SHA-256 {digest[:12]}…).\n"
        "Expected: SHA-256 000000000000…\nWay out: fetch the file again; it may be damaged."
    )
    right = json.loads(path.with_suffix(".json").read_text()) | {"sha256": digest}
    path.with_suffix(".json").write_text(json.dumps(right))
    assert resolve_weights(NAME, str(path)).identity == digest


def test_another_backbone(write: Write) -> None:
    path = write("a", backbone="resnet50")
    assert _error(NAME, str(path)) == (
        f"{path} holds weights of resnet50, not of {NAME}.\n"
        "Way out: set model.backbone = 'resnet50'."
    )


def test_a_wrong_card(write: Write) -> None:
    path = write("a", means=[1], batch_norm="froze")
    message = _error(NAME, str(path))
    assert "json has 2 wrong settings." in message
    assert "means: unknown key (did you mean 'mean'?)" in message
    assert "'froze' is not one of frozen, trainable (did you mean 'frozen'?)" in message


def _of_tiny(path: Path) -> Weights:
    card = Card("cytolens_tiny", (32, 32), (0.5,) * 3, (0.5,) * 3)
    return Weights("cytolens_tiny", path, card, "x")


def test_names_and_shapes_must_match(write: Write) -> None:
    state = TinyNet().state_dict()
    first, second = list(state)[:2]
    state["extra.weight"] = torch.zeros(2)
    del state[first]
    state[second] = torch.zeros(5, 5)
    path = write("a", state)
    with pytest.raises(InputError) as caught:
        create_backbone(_of_tiny(path))
    own = tuple(TinyNet().state_dict()[second].shape)
    assert str(caught.value) == (
        f"{path} does not fit cytolens_tiny.\n"
        f"  - {first}: missing in the file\n"
        "  - extra.weight: not in the network\n"
        f"  - {second}: (5, 5) in the file, {own} in the network\n"
        "Expected: the same names and shapes\n"
        "Way out: correct the card's backbone or its `create` arguments."
    )


def test_the_weights_of_the_file_are_in_the_network(write: Write) -> None:
    torch.manual_seed(3)
    net = TinyNet()
    half = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    built = create_backbone(_of_tiny(write("a", half)))
    for name, value in built.state_dict().items():
        assert value.dtype == net.state_dict()[name].dtype
        assert torch.equal(value, half[name].to(value.dtype)), name


def test_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(100)}, path)
    content = path.read_bytes()
    for damaged in (content[:-7], content[:5], b"", b"x" * 99):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.safetensors is not a whole safetensors file: "):
            load_state(path)


# ------------------------------------------------------------------ the real ones


def _real(name: str, monkeypatch: pytest.MonkeyPatch) -> Weights:
    folder = Path(os.environ.get("CYTOLENS_WEIGHTS", REAL))
    if not (folder / f"{name}.safetensors").is_file():
        pytest.skip(f"no {name}.safetensors in {folder}")
    monkeypatch.setenv("CYTOLENS_WEIGHTS", str(folder))
    return resolve_weights(name, "imagenet")


@pytest.mark.real
@pytest.mark.parametrize("name", ["mobilenetv2_100", "squeezenet1_1"])
def test_real_weights_fit_their_shipped_cards(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = _real(name, monkeypatch)
    card = shipped_card(name)
    assert card is not None
    assert weights.identity == card.sha256
    create_backbone(weights)  # strictly: any name or shape that differs is an error


@pytest.mark.real
def test_openvino_agrees_with_torch_on_real_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    from cytolens.features.engines import ENGINES

    weights = _real("mobilenetv2_100", monkeypatch)
    built = build_backbone(ModelConfig(freeze="keras:100"), weights)
    assert built.lower is not None
    random = np.random.default_rng(0)
    pixels = np.kron(random.integers(0, 256, (10, 7, 7, 3)), np.ones((1, 32, 32, 1)))
    batches = [pixels[:9].astype(np.uint8), pixels[9:].astype(np.uint8)]
    found = {
        name: np.concatenate(list(ENGINES.get(name)(built.lower, (224, 224), "f32").run(batches)))
        for name in ("torch", "openvino")
    }
    scale = np.abs(found["torch"]).max()
    assert scale > 0.1
    assert np.abs(found["torch"] - found["openvino"]).max() <= 1e-4 * scale
