"""Costs of errors between the classes of the Bethesda system."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError

# Rows true, columns called; the reasons stand in `bethesda`.
NAMES = ("NILM", "ASC-US", "LSIL", "ASC-H", "AGC", "HSIL", "SCC")
COSTS = (
    (0.0, 0.5, 1.0, 2.0, 2.0, 3.0, 5.0),  # NILM
    (1.0, 0.0, 0.5, 1.5, 1.5, 2.5, 4.5),  # ASC-US
    (2.0, 1.0, 0.0, 1.0, 1.5, 2.0, 4.0),  # LSIL
    (6.0, 3.0, 2.0, 0.0, 1.0, 0.5, 3.0),  # ASC-H
    (8.0, 4.0, 3.0, 1.0, 0.0, 1.0, 3.0),  # AGC
    (10.0, 5.0, 4.0, 1.0, 2.0, 0.0, 1.0),  # HSIL
    (25.0, 12.0, 10.0, 5.0, 4.0, 3.0, 0.0),  # SCC
)
_PLACE = {re.sub(r"[^a-z]", "", name.lower()): i for i, name in enumerate(NAMES)}


def bethesda(classes: Sequence[str]) -> NDArray[np.float64]:
    """Costs between NILM, LSIL, HSIL and SCC (also ASC-US, ASC-H, AGC), or some of them.

    The unit is one visit too many: 1 is what it costs to call a woman back once for nothing
    (NILM called LSIL). The numbers are a judgement to start from, not a measurement: a laboratory
    that knows its own costs writes them into `cost.matrix`. The reasoning:

    - An error costs what follows from it. A call decides the next step: NILM sends home for
      years, LSIL asks for a control, HSIL for colposcopy and biopsy and often for an excision,
      SCC for urgent work-up.
    - Calling too much costs the steps in excess: NILM called LSIL 1, HSIL 3, SCC 5. A biopsy
      corrects it, so it never costs more than 5.
    - Missing costs the disease that goes on: SCC called NILM 25 (an invasive cancer without
      treatment), called LSIL 10 (months lost), called HSIL 3 (she is biopsied all the same, a
      little later). HSIL called NILM 10 (of untreated CIN 3 about a third became cancer in thirty
      years: McCredie et al. 2008), called LSIL 4 (she is seen again). LSIL called NILM 2: most
      of it regresses by itself.
    - So a missed disease costs more than the same confusion the other way, and no error costs
      more than a missed SCC.
    - The uncertain classes stand between: ASC-US below LSIL; ASC-H and AGC, of one rank, below
      HSIL.

    Names are matched without regard to case, hyphens and blanks.

    Raises:
        InputError: other classes.
    """
    plain = [re.sub(r"[^a-z]", "", name.lower()) for name in classes]
    unknown = [name for name, word in zip(classes, plain, strict=True) if word not in _PLACE]
    if unknown or len(set(plain)) < len(plain):
        raise InputError(
            'cost.matrix = "bethesda" does not know these classes.',
            rows=unknown or list(classes),
            expected=f"classes among {', '.join(NAMES)}, each once",
            fix="map the labels with data.label_map, or write the costs as "
            "{true class: {predicted class: cost}}.",
        )
    places = [_PLACE[word] for word in plain]
    return np.array(COSTS, dtype=np.float64)[np.ix_(places, places)]  # [k, k]
