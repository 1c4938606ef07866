"""Feature extraction, from JPEG files to stored features."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cytolens.bench.keras_ways import Keras, keras, keras_missing
from cytolens.bench.machine import has_flag
from cytolens.bench.measure import Line, Took, in_turns, not_measured, rate_line
from cytolens.bench.pictures import write_pictures
from cytolens.bench.plain import extract
from cytolens.bench.suite import SUITES, Options
from cytolens.core.files import sha256_file
from cytolens.experiments.network import Network
from cytolens.experiments.recipe import load_recipe
from cytolens.features.store import Store
from cytolens.features.table import Source
from cytolens.models.complexity import complexity

_SIDE = 224  # of the network's input, in pixels
_FILE_SIDE = 256
_MARK = 0.9  # of what OpenVINO's own tool reaches, which decodes and stores nothing
_TOOL = "from openvino.tools.benchmark.main import main; main()"
_PRODUCT = 1536  # side of the matrices that the machine's limit is measured with


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        images: of each backbone, through the plain ways.
        ours: images through ours: enough for some seconds, as long as a run of the tool takes; in
            half a second the making of a store would count for a twentieth.
        repeats: of each way.
        tool_seconds: a run of the tool.
        compiled: backbones that torch.compile is tried on.
    """

    images: dict[str, int]
    ours: dict[str, int]
    repeats: int
    tool_seconds: int
    compiled: tuple[str, ...]


FULL = Sizes(
    {"mobilenetv2_100": 128, "resnetv2_50": 24},
    {"mobilenetv2_100": 768, "resnetv2_50": 72},
    repeats=2,
    tool_seconds=3,
    compiled=("mobilenetv2_100",),
)
QUICK = Sizes({"mobilenetv2_100": 64}, {"mobilenetv2_100": 128}, 1, 2, ())
_KERAS = {"mobilenetv2_100": "MobileNetV2", "resnetv2_50": "ResNet50V2"}
_TITLES = {"mobilenetv2_100": "MobileNetV2", "resnetv2_50": "ResNetV2-50"}

Way = Callable[[], object]


def extraction(options: Options) -> list[Line]:
    """Extraction of features: JPEG files, decoded, through a network, into the store."""
    sizes = QUICK if options.quick else FULL
    files = write_pictures(options.folder / "files", max(sizes.ours.values()), _FILE_SIDE)
    lines: list[Line] = []
    process = keras(options.device == "cpu")
    for backbone, count in sizes.images.items():
        many = files[: sizes.ours[backbone]]
        lines += _backbone(backbone, files[:count], many, sizes, options, process)
    return lines


SUITES.register("extraction", extraction)


def _backbone(
    backbone: str,
    files: Sequence[Path],
    many: Sequence[Path],
    sizes: Sizes,
    options: Options,
    process: Keras | None,
) -> list[Line]:
    options.say(f"  {_TITLES.get(backbone, backbone)}, {len(files)} images, ours {len(many)}")
    network = _network(backbone, options)
    body = network.backbone.body
    plain, last = network.fresh().body.to(options.device), network.fresh().body
    last = last.to(options.device).to(memory_format=torch.channels_last)
    ways: dict[str, Way] = {
        "ours": _ours(network, many, len(files), options),
        "torch eager, NCHW": lambda: extract(plain, files, _SIDE, options.device),
        "torch eager, channels last": lambda: extract(last, files, _SIDE, options.device),
    }
    why = {"torch.compile": "left out: a minute of compiling", "Keras": keras_missing()}
    if backbone in sizes.compiled:
        why["torch.compile"] = _compiled(body, files, options, ways)
    if process is not None:
        name, paths = _KERAS.get(backbone, "MobileNetV2"), [str(path) for path in files]
        ways["Keras"] = lambda: process.ask("extract", network=name, files=paths)
    elif options.device != "cpu":
        why["Keras"] = "measured on the processor alone"
    if options.device == "cpu":
        ways |= _tool(body, len(files), sizes.tool_seconds, options.folder / backbone)
    operations = complexity(network.recipe.model, network.weights, network.size, 2, repeats=1)
    ways |= _limits(2 * operations.multiply_adds * len(files), options.device)
    half = options.device == "cuda" or has_flag("avx512_bf16") or has_flag("amx_bf16")
    if half:
        reduced = _network(backbone, options, "features.precision=bf16")
        ways["ours, bf16"] = _ours(reduced, many, len(files), options)
    times = in_turns(ways, sizes.repeats)
    return _lines(_TITLES.get(backbone, backbone), len(files), times, why)


def _lines(
    title: str, count: int, times: dict[str, list[float]], why: dict[str, str]
) -> list[Line]:
    notes = {
        "the limit in f32": "the machine's matrix products a second, divided by the network's "
        "operations: the ratio is the share of the physical limit that is reached",
        "the limit in bf16": "as above, ours in bf16 too",
        "benchmark_app, 1 image a request": "OpenVINO's tool, which reads and stores nothing",
    }
    lines = []
    for other in times:
        if other.startswith("ours"):
            continue
        ours = "ours, bf16" if other == "the limit in bf16" and "ours, bf16" in times else "ours"
        mark = _MARK if other.startswith("benchmark_app") else None
        lines.append(
            rate_line(title, count, times, other, ours=ours, mark=mark, note=notes.get(other, ""))
        )
    if "ours, bf16" in times:
        lines.append(rate_line(f"{title}, bf16", count, times, "ours", ours="ours, bf16"))
    rates = [count / spent for spent in times["ours"]]
    lines += [
        not_measured(title, other, rates, "images/s", reason)
        for other, reason in why.items()
        if reason and other not in times
    ]
    return lines


def _network(backbone: str, options: Options, *settings: str) -> Network:
    engine = "torch" if options.device == "cuda" else "openvino"
    always = [f"model.backbone={backbone}", "model.weights=random", f"features.engine={engine}"]
    return Network(load_recipe("frozen", [*always, f"pixels.size={_SIDE}", *settings]), 2)


def _ours(network: Network, files: Sequence[Path], count: int, options: Options) -> Way:
    """The way of a run: read, preprocess, compute, write to a store that is empty.

    What it takes is given for `count` of the files, as the other ways' is.
    """
    sources = [Source(path.name, path, sha256_file(path)) for path in files]
    engine = network.table_of(sources, Store(options.folder / "engine")).make_engine()
    made = iter(range(1_000_000))

    def work() -> Took:
        started = time.perf_counter()
        folder = options.folder / f"store-{id(engine)}-{next(made)}"
        table = network.table_of(sources, Store(folder))
        done = table.fill(table.todo({0: range(len(sources))}), engine)
        assert done == len(sources), "the store was empty"
        return Took((time.perf_counter() - started) * count / len(sources))

    return work


def _compiled(
    body: torch.nn.Module, files: Sequence[Path], options: Options, ways: dict[str, Way]
) -> str:
    """Add torch.compile to the ways; return why not."""
    from torch._dynamo.exc import TorchDynamoException

    whole = list(files)[: len(files) // 32 * 32]  # one shape, or it compiles twice
    compiled = torch.compile(body.to(options.device), dynamic=False)
    try:
        extract(compiled, whole[:32], _SIDE, options.device)
    except (TorchDynamoException, RuntimeError) as error:
        return f"does not compile here: {type(error).__name__}"
    share = len(files) / len(whole)

    def work() -> Took:
        started = time.perf_counter()
        extract(compiled, whole, _SIDE, options.device)
        return Took((time.perf_counter() - started) * share)

    ways["torch.compile"] = work
    return ""


def _tool(body: torch.nn.Module, count: int, seconds: int, folder: Path) -> dict[str, Way]:
    """OpenVINO's benchmark_app on the same network, one image and eight a request."""
    import warnings

    import openvino

    folder.mkdir()
    example = torch.zeros(1, _SIDE, _SIDE, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = openvino.convert_model(
            body.eval(), example_input=example, input=[([-1, _SIDE, _SIDE, 3], openvino.Type.u8)]
        )
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)

    words = ["-m", str(folder / "model.xml"), "-d", "CPU", "-hint", "throughput"]
    words += ["-t", str(seconds), "-infer_precision", "f32"]

    def run(images: int) -> Took:
        done = subprocess.run(
            [sys.executable, "-c", _TOOL, *words, "-shape", f"[{images},{_SIDE},{_SIDE},3]"],
            capture_output=True,
            text=True,
            check=True,
            cwd=folder,
            env={**os.environ, "OPENVINO_TELEMETRY": "0"},
        )
        found = re.search(r"Throughput:\s+([\d.]+) FPS", done.stdout)
        assert found, "benchmark_app says its throughput"
        return Took(count / float(found[1]))

    return {
        "benchmark_app, 1 image a request": lambda: run(1),
        "benchmark_app, 8 images a request": lambda: run(8),
    }


def _limits(operations: float, device: str) -> dict[str, Way]:
    """How long these operations take at the speed of large matrix products."""

    def product(dtype: torch.dtype) -> Took:
        first = torch.randn(_PRODUCT, _PRODUCT, device=device).to(dtype)
        times = []
        for _ in range(4):
            _wait(device)
            started = time.perf_counter()
            torch.mm(first, first)
            _wait(device)
            times.append(time.perf_counter() - started)
        return Took(operations / (2 * _PRODUCT**3 / min(times)))

    return {
        "the limit in f32": lambda: product(torch.float32),
        "the limit in bf16": lambda: product(torch.bfloat16),
    }


def _wait(device: str) -> Any:
    return torch.cuda.synchronize() if device == "cuda" else None
