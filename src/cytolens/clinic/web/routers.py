"""All routers: one a group of pages, one a group of the interface for machines."""

from __future__ import annotations

from fastapi import APIRouter

from cytolens.clinic.web import api
from cytolens.clinic.web.pages import (
    account,
    audit,
    bundles,
    cases,
    director,
    events,
    home,
    images,
    patients,
    quality,
    reports,
    retention,
    sign_in,
    sites,
    system,
    uploads,
    users,
    worklist,
)

PAGES: tuple[APIRouter, ...] = (
    home.router,
    sign_in.router,
    account.router,
    worklist.router,
    patients.router,
    cases.router,
    uploads.router,
    events.router,
    images.router,
    quality.router,
    reports.router,
    director.router,
    users.router,
    sites.router,
    bundles.router,
    retention.router,
    audit.router,
    system.router,
)
API: tuple[APIRouter, ...] = (
    api.description.router,
    api.me.router,
    api.patients.router,
    api.cases.router,
    api.images.router,
    api.readings.router,
    api.reports.router,
    api.figures.router,
    api.users.router,
    api.sites.router,
    api.bundles.router,
    api.upkeep.router,
)
