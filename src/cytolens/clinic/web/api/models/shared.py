"""What all models share: limits of what is sent, and the one form of every refusal."""

from __future__ import annotations

from datetime import UTC, date
from typing import Annotated, Any

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from cytolens.clinic import days
from cytolens.clinic.vocabulary import vocabularies

_NO_NUL = r"^[^\x00]*$"  # databases cannot keep one


class Asked(BaseModel):
    """What is sent; a field that is not known is refused, so that none is without effect."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """What is answered, made from what a service returns."""

    model_config = ConfigDict(from_attributes=True)


class Problem(BaseModel):
    """Why something was refused; nothing was changed."""

    what: str = Field(description="One sentence.")
    rows: list[str] = Field(description="The fields, files or lines concerned.")
    expected: str = Field(description='What would be taken, or "".')
    fix: str = Field(description='What to do, or "".')


Word = Annotated[str, StringConstraints(max_length=40, pattern=_NO_NUL)]
Line = Annotated[str, StringConstraints(max_length=200, pattern=_NO_NUL)]
Specimen = Annotated[Word, Field(json_schema_extra={"enum": list(vocabularies())})]
AnySpecimen = Annotated[Word, Field(json_schema_extra={"enum": ["", *vocabularies()]})]
Prose = Annotated[str, StringConstraints(max_length=10_000, pattern=_NO_NUL)]
Secret = Annotated[str, StringConstraints(max_length=256)]
Key = Annotated[int, Field(ge=1, le=2**31 - 1)]
Revision = Annotated[int, Field(ge=0, le=2**31 - 1)]
Day = Annotated[date, Field(ge=days.FIRST, le=days.LAST)]
Moment = Annotated[
    AwareDatetime,
    Field(ge=days.start(days.FIRST, UTC), le=days.start(days.LAST, UTC)),
]
Month = Annotated[str, StringConstraints(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", max_length=7)]
PageNumber = Annotated[
    int, Query(alias="page", ge=1, le=10**6, description="From 1; past the end: the last page.")
]

HIDDEN = "Findings are hidden from this account: what could tell of them is empty."
RISK = "0…1, the largest of the images' risks; null: no finding yet, or hidden."
DECISION = "Of the system: clear, abnormal or refer. Never a diagnosis."

_WHY = {
    400: "The host or the body is not what it should be.",
    401: "Nobody is signed in, or the token is unknown, revoked or past its end.",
    403: "The role, or the token, does not include the action; or a password is wrong.",
    404: "There is no such thing, or it lies at a site that is not the account's.",
    409: "Somebody else was faster, or the state does not allow it.",
    413: "The body is too large.",
    422: "What was sent cannot be; `rows` names the fields.",
    429: "Too many requests; `Retry-After` says when to try again.",
}
Responses = dict[int | str, dict[str, Any]]


def refusals(*statuses: int) -> Responses:
    """Return the `responses=` of refusals."""
    return {status: {"model": Problem, "description": _WHY[status]} for status in statuses}


ASKED = refusals(400, 401, 403, 404, 413, 422, 429)
CHANGES = ASKED | refusals(409)


def content(what: str, **kinds: str) -> Responses:
    """Return the `responses=` of a route that answers 200 with a file.

    Args:
        kinds: media types, by any name.
    """
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": what, "content": dict.fromkeys(kinds.values(), binary)}}
