"""The catalog of public sets: one adapter a set, registered by hand."""

from __future__ import annotations

from pathlib import Path

from cytolens.core.registry import Registry
from cytolens.data.catalog.all_idb import ALL_IDB1, ALL_IDB2
from cytolens.data.catalog.breakhis import BREAKHIS
from cytolens.data.catalog.cnmc2019 import CNMC2019
from cytolens.data.catalog.contours import contours_to_mask
from cytolens.data.catalog.dataset import Dataset, Variant
from cytolens.data.catalog.generic import GENERIC
from cytolens.data.catalog.herlev import HERLEV
from cytolens.data.catalog.importing import import_from
from cytolens.data.catalog.mendeley_lbc import MENDELEY_LBC
from cytolens.data.catalog.report import ImportReport
from cytolens.data.catalog.sipakmed import SIPAKMED
from cytolens.data.catalog.taleghani_all import TALEGHANI_ALL

__all__ = ["CATALOG", "Dataset", "ImportReport", "Variant", "contours_to_mask", "import_dataset"]

CATALOG: Registry[Dataset] = Registry("data set")
for _dataset in (
    SIPAKMED,
    HERLEV,
    MENDELEY_LBC,
    BREAKHIS,
    TALEGHANI_ALL,
    ALL_IDB1,
    ALL_IDB2,
    CNMC2019,
    GENERIC,
):
    CATALOG.register(_dataset.name, _dataset)


def import_dataset(
    name: str,
    source: Path,
    out: Path,
    *,
    variant: str | None = None,
    masks: bool = True,
    overwrite: bool = False,
) -> ImportReport:
    """Import the set called `name`; see `importing.import_from`.

    Raises:
        InputError: unknown set or variant, unrecognised tree, or `out` holds an import already.
    """
    dataset = CATALOG.get(name)
    return import_from(dataset, source, out, variant=variant, masks=masks, overwrite=overwrite)
