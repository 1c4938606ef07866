"""Sites (laboratories): open, rename, close."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from cytolens.clinic.actor import Actor
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import sites
from cytolens.clinic.management.sites import SiteView
from cytolens.clinic.rights import Action
from cytolens.clinic.web.api.models.management import NewSite, SiteName, SiteWithUsers
from cytolens.clinic.web.api.models.shared import ASKED, CHANGES
from cytolens.clinic.web.api.routing import group
from cytolens.clinic.web.guard import Clinic, Id, May

router = group("sites")
Manager = Annotated[Actor, Depends(May(Action.MANAGE_SITES))]


@router.get("/sites", response_model=list[SiteWithUsers], responses=ASKED, summary="All sites")
def list_sites(clinic: Clinic, actor: Manager) -> list[SiteView]:
    """Return all sites, those that are open first."""
    with clinic.reading() as db:
        return sites.list_sites(db, actor)


@router.post(
    "/sites",
    response_model=SiteWithUsers,
    status_code=201,
    responses=CHANGES,
    summary="Open a site",
)
def open_site(clinic: Clinic, actor: Manager, given: NewSite) -> SiteView:
    """Open a site; its code stands in accession numbers and never changes."""
    with clinic.writing() as db:
        site_id = sites.open_site(db, actor, given.code, given.name)
    return _found(clinic, actor, site_id)


@router.get("/sites/{site_id}", response_model=SiteWithUsers, responses=ASKED, summary="A site")
def show(clinic: Clinic, actor: Manager, site_id: Id) -> SiteView:
    """Return a site."""
    return _found(clinic, actor, site_id)


@router.put(
    "/sites/{site_id}", response_model=SiteWithUsers, responses=CHANGES, summary="Rename a site"
)
def rename(clinic: Clinic, actor: Manager, site_id: Id, given: SiteName) -> SiteView:
    """Change a site's name."""
    with clinic.writing() as db:
        sites.rename(db, actor, site_id, given.name)
    return _found(clinic, actor, site_id)


@router.post(
    "/sites/{site_id}/close",
    response_model=SiteWithUsers,
    responses=CHANGES,
    summary="Close a site",
)
def close(clinic: Clinic, actor: Manager, site_id: Id) -> SiteView:
    """Close a site: nobody sees what lies there until it is opened again."""
    with clinic.writing() as db:
        sites.close(db, actor, site_id)
    return _found(clinic, actor, site_id)


@router.post(
    "/sites/{site_id}/reopen",
    response_model=SiteWithUsers,
    responses=CHANGES,
    summary="Open a site again",
)
def reopen(clinic: Clinic, actor: Manager, site_id: Id) -> SiteView:
    """Open a closed site again."""
    with clinic.writing() as db:
        sites.reopen(db, actor, site_id)
    return _found(clinic, actor, site_id)


def _found(clinic: Installation, actor: Actor, site_id: int) -> SiteView:
    with clinic.reading() as db:
        return sites.find(db, actor, site_id)
