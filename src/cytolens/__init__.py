"""Transfer-learned diagnosis of cancer from microscope images, with numbers one can believe."""

from __future__ import annotations

__version__ = "0.1.0"
