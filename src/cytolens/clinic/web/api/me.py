"""The account that asks, and its tokens."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends

from cytolens.clinic.accounts import profile, tokens
from cytolens.clinic.accounts.tokens import TokenView
from cytolens.clinic.actor import Actor
from cytolens.clinic.rights import Action
from cytolens.clinic.web.api.models.management import Me, Token
from cytolens.clinic.web.api.models.shared import ASKED
from cytolens.clinic.web.api.routing import group
from cytolens.clinic.web.guard import Clinic, Id, May

router = group("me")
Own = Annotated[Actor, Depends(May(Action.OWN_ACCOUNT))]


@router.get("/me", response_model=Me, responses=ASKED, summary="Who asks")
def show(clinic: Clinic, actor: Own) -> dict[str, Any]:
    """Return the account, its laboratories, and what may be done with this token or session."""
    with clinic.reading() as db:
        sites = profile.sites(db, actor)
    return {
        "id": actor.user,
        "username": actor.username,
        "name": actor.name,
        "role": actor.role,
        "language": actor.language,
        "sites": sites,
        "actions": [action for action in Action if actor.may(action)],
    }


@router.get("/me/tokens", response_model=list[Token], responses=ASKED, summary="Its tokens")
def list_tokens(clinic: Clinic, actor: Own) -> list[TokenView]:
    """Return the tokens of the account that work."""
    with clinic.reading() as db:
        return tokens.list_tokens(db, actor)


@router.post(
    "/me/tokens/{token_id}/revoke", status_code=204, responses=ASKED, summary="End a token"
)
def revoke_token(clinic: Clinic, actor: Own, token_id: Id) -> None:
    """End one of the account's tokens; new ones are made on the page of the account."""
    with clinic.writing() as db:
        tokens.revoke(db, actor, token_id)
