"""What the groups of the interface have in common: how they are named, how files are handed out."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse
from fastapi.routing import APIRoute


def group(tag: str) -> APIRouter:
    """Return the router of a group; its operations are called TAG_FUNCTION."""
    return APIRouter(tags=[tag], generate_unique_id_function=_operation_id)


def attachment(content: bytes | Iterator[str], media_type: str, name: str) -> Response:
    """Return a file to be kept under its name."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if isinstance(content, bytes):
        return Response(content, media_type=media_type, headers=headers)
    return StreamingResponse(content, media_type=media_type, headers=headers)


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0]}_{route.name}".replace("-", "_")
