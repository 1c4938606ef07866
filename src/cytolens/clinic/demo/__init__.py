"""A demonstration: invented accounts, patients and a past, made through the clinic's services."""

from cytolens.clinic.demo.demonstration import Demonstration, refuse_mixing

__all__ = ["Demonstration", "refuse_mixing"]
