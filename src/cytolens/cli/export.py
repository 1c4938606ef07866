"""`cytolens export`: other forms of a bundle's network, and what they are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from cytolens.cli.console import Bars, out, print_json

_FORMATS = ("onnx", "openvino")
_PRECISIONS = ("f32", "bf16", "int8")


def export(
    bundle: Path = typer.Argument(..., help="A run with a bundle, or a bundle."),
    format: str = typer.Option("openvino", "--format", help="onnx or openvino."),
    precision: str = typer.Option("f32", "--precision", help="f32, bf16 or int8."),
    data: Path = typer.Option(
        None, "--data", help="Manifest of images: int8 and bf16 of a bundle without its run."
    ),
    seed: int = typer.Option(0, help="Seed of the images that are drawn."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Add an export to a bundle; for int8 and bf16, measure what it costs and gains."""
    for value, known, option in (
        (format, _FORMATS, "--format"),
        (precision, _PRECISIONS, "--precision"),
    ):
        if value not in known:
            text = f"{value!r} is none of {', '.join(known)}."
            raise typer.BadParameter(text, param_hint=option)
    if precision != "f32" and format != "openvino":
        raise typer.BadParameter(f"{precision} takes OpenVINO.", param_hint="--precision")
    if precision == "f32" and data is not None:
        raise typer.BadParameter("--data has no effect on f32.")
    from cytolens.experiments.exporting import export_plain, export_precision

    found: dict[str, Any]
    if precision == "f32":
        found = export_plain(bundle, format)
    else:
        found = export_precision(bundle, precision, data, seed=seed, progress=Bars())  # type: ignore[arg-type]  # checked above
    if as_json:
        print_json(found)
        return
    _show(found)


def _show(found: dict[str, Any]) -> None:
    files = ", ".join(found["files"])
    _line("bundle", found["bundle"])
    _line("wrote", files or "nothing: bf16 is chosen where the bundle is loaded")
    if "difference" in found:
        _line("differs", f"by {found['difference']:.1g} of the largest score from torch")
        return
    if found["training"]:
        _line("ranges from", f"{found['training']} training images")
    other, comparison, speed = found["precision"], found["comparison"], found["speed"]
    _show_accuracy(other, comparison)
    _line("same class", f"{100 * found['same_label']:.1f} % of the images")
    _line("probabilities", f"change by {found['largest_change']:.3f} at most")
    before, after = (100 * found["referred"][name] for name in ("f32", other))
    _line("referred", f"f32 {before:.1f} %, {other} {after:.1f} %")
    for name in ("f32", other):
        one = speed[name]
        rate = f"{one['median']:.0f} images a second ({one['least']:.0f} to {one['most']:.0f})"
        _line(f"speed {name}", rate)
    _line("gain", f"{speed['gain']:.2f} times")
    for note in found["notes"]:
        out.print(note, markup=False, style="yellow")


def _show_accuracy(other: str, comparison: dict[str, Any]) -> None:
    from cytolens.report.text import score_text, signed_text

    for row in comparison["runs"]:
        _line(f"accuracy {row['name']}", score_text(row))
    pair = comparison["pairs"][0]
    units = f"{comparison['n']} images, {comparison['units']} units ({comparison['unit']})"
    text = f"{signed_text(pair['difference'])}; {other} is {pair['verdict']} ({units})"
    _line("difference", text)


def _line(name: str, text: str) -> None:
    out.print(f"{name:<18} {text}", markup=False)
