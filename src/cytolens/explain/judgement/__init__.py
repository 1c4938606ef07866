"""Explanations put to the test: by the network, by where the cell is, by random networks."""

from cytolens.explain.judgement.cases import Case
from cytolens.explain.judgement.faithfulness import (
    Curves,
    average_drop,
    deletion_insertion,
    increase,
    shown_by_the_map,
)
from cytolens.explain.judgement.judge import judge
from cytolens.explain.judgement.measure import SCORES, JudgeConfig
from cytolens.explain.judgement.plausibility import Plausibility, plausibility
from cytolens.explain.judgement.regions import REGIONS, region, region_codes
from cytolens.explain.judgement.sanity import Sanity, sanity, similarity

__all__ = [
    "REGIONS",
    "SCORES",
    "Case",
    "Curves",
    "JudgeConfig",
    "Plausibility",
    "Sanity",
    "average_drop",
    "deletion_insertion",
    "increase",
    "judge",
    "plausibility",
    "region",
    "region_codes",
    "sanity",
    "shown_by_the_map",
    "similarity",
]
