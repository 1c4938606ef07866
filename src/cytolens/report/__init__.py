"""Figures and pages of a finished run. Reads a run folder; no torch, no training."""
