"""The leak ledger: what each common mistake of measurement adds to a number."""

from cytolens.experiments.ledger.planted import planted_inflation
from cytolens.experiments.ledger.run import run_ledger

__all__ = ["planted_inflation", "run_ledger"]
