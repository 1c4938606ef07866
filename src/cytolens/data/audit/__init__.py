"""The audit of a set (balance, sizes, copies, artefacts, leaks) as data, text and page."""

from cytolens.data.audit.page import write_page
from cytolens.data.audit.report import audit
from cytolens.data.audit.text import render_text

__all__ = ["audit", "render_text", "write_page"]
