"""Any set in the form of a manifest or of class folders."""

from __future__ import annotations

from pathlib import Path

from cytolens.data.catalog.dataset import Dataset, Reading, Variant
from cytolens.data.loading import read_manifest


def _read(source: Path, variant: str) -> Reading:  # noqa: ARG001  one variant
    return Reading(read_manifest(source).rows)


GENERIC = Dataset(
    name="generic",
    title="any manifest or folder of class folders",
    tree="a manifest (CSV or Parquet with the columns image and label), or a folder of class "
    "folders",
    group="the column 'group', where there is one",
    licence="yours to know",
    citation="",
    obtain="write a manifest; docs/how-to/manifest.md shows one.",
    reader=_read,
    variants=(Variant("as_is", "labels as they stand", {}),),
    notes=("Class folders hold no group key: patient leakage cannot be excluded.",),
)
