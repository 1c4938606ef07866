"""Copies of a whole installation, from one database to any other, and whether one is whole."""

from cytolens.clinic.backup.make import Made, back_up
from cytolens.clinic.backup.restore import Restored, restore
from cytolens.clinic.backup.whole import Whole, examine

__all__ = ["Made", "Restored", "Whole", "back_up", "examine", "restore"]
