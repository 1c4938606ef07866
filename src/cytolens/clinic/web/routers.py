"""All routers: one a group of pages, one a group of the interface for machines."""

from __future__ import annotations

from fastapi import APIRouter

PAGES: tuple[APIRouter, ...] = ()
API: tuple[APIRouter, ...] = ()
