"""A model card as one HTML page: it loads nothing and runs no script; every text is escaped."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cytolens.bundle.model_card.document import Block, ModelCard

_TEMPLATES = Path(__file__).parent / "templates"


def page(card: ModelCard) -> str:
    """Return the HTML."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["kind"] = _kind
    style = (_TEMPLATES / "model_card.css").read_text(encoding="utf-8")
    return environment.get_template("model_card.html.j2").render(card=card, style=Markup(style))


def _kind(block: Block) -> str:
    return type(block).__name__.lower()
