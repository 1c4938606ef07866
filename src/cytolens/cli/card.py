"""`cytolens card`: the model card of a bundle."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from cytolens.cli.console import out


def card(
    bundle: Path = typer.Argument(..., help="A bundle, or a run that holds one."),
    target: Path = typer.Option(
        None, "--out", help="Folder for MODEL_CARD.md and model_card.html; without it, printed."
    ),
) -> None:
    """Print the model card of a bundle as Markdown, or write it anew as Markdown and HTML."""
    from cytolens.bundle.model_card import model_card, write_model_card

    if target is None:
        sys.stdout.write(model_card(bundle).to_markdown())
        return
    for path in write_model_card(bundle, target):
        out.print(f"model card         {path}", markup=False)
