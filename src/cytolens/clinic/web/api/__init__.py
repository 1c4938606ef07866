"""The interface for machines, a file a group: the services of the pages, as JSON."""

from cytolens.clinic.web.api import (
    bundles,
    cases,
    description,
    figures,
    images,
    me,
    patients,
    readings,
    reports,
    sites,
    upkeep,
    users,
)

__all__ = [
    "bundles",
    "cases",
    "description",
    "figures",
    "images",
    "me",
    "patients",
    "readings",
    "reports",
    "sites",
    "upkeep",
    "users",
]
