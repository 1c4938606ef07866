"""Phantoms: synthetic microscope images of known truth. No real patient is in them."""

from cytolens.data.phantom.config import PhantomConfig
from cytolens.data.phantom.generate import PhantomImage, generate_one
from cytolens.data.phantom.kinds import KINDS
from cytolens.data.phantom.write import write_phantoms

__all__ = ["KINDS", "PhantomConfig", "PhantomImage", "generate_one", "write_phantoms"]
