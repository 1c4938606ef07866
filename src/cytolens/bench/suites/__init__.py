"""All suites, in the order in which they run."""

# isort: off
from cytolens.bench.suites import extraction
from cytolens.bench.suites import frozen
from cytolens.bench.suites import finetune
from cytolens.bench.suites import grid
from cytolens.bench.suites import reading
from cytolens.bench.suites import augmentation
from cytolens.bench.suites import explanations
from cytolens.bench.suites import prediction
from cytolens.bench.suites import start
from cytolens.bench.suites import growth
# isort: on

__all__ = [
    "augmentation",
    "explanations",
    "extraction",
    "finetune",
    "frozen",
    "grid",
    "growth",
    "prediction",
    "reading",
    "start",
]
