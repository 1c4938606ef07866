"""Accounts and what they sign in with. Secrets are kept as hashes alone."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import Column, ForeignKey, String
from sqlalchemy import Table as Link
from sqlalchemy.orm import Mapped, mapped_column, relationship

from cytolens.clinic.tables.base import Table

user_site = Link(
    "user_site",
    Table.metadata,
    Column("user_id", ForeignKey("user.id"), primary_key=True),
    Column("site_id", ForeignKey("site.id"), primary_key=True),
)


def new_device_key() -> str:
    """Return what the browsers that an account signs in from will be known by."""
    return secrets.token_urlsafe(12)


class Site(Table):
    """A laboratory; what lies at one is seen by its accounts alone."""

    __tablename__ = "site"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(16), unique=True)  # in accession numbers
    name: Mapped[str] = mapped_column(String(200))
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]


class User(Table):
    """An account."""

    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(120), unique=True)  # lower case
    name: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(20))
    password_hash: Mapped[str | None] = mapped_column(String(200))  # None: not chosen yet
    totp_secret: Mapped[str | None] = mapped_column(String(400))  # encrypted
    totp_step: Mapped[int] = mapped_column(default=0)  # the last one used: a code works once
    active: Mapped[bool] = mapped_column(default=True)
    language: Mapped[str] = mapped_column(String(5), default="en")
    failures: Mapped[int] = mapped_column(default=0)  # in browsers that are new to it
    locked_until: Mapped[datetime | None]
    device_key: Mapped[str] = mapped_column(String(32), default=new_device_key)
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime | None]

    sites: Mapped[list[Site]] = relationship(secondary=user_site, lazy="selectin")


class Device(Table):
    """Wrong tries of a browser that signed in to an account before; no row, none."""

    __tablename__ = "device"

    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), primary_key=True)
    number: Mapped[str] = mapped_column(String(32), primary_key=True)  # of its cookie
    failures: Mapped[int]
    locked_until: Mapped[datetime | None]


class Invitation(Table):
    """A link that works once: a first password, or a new one."""

    __tablename__ = "invitation"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]

    user: Mapped[User] = relationship()


class RecoveryCode(Table):
    """Stands in once for a code of the second factor."""

    __tablename__ = "recovery_code"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    code_hash: Mapped[str] = mapped_column(String(64))
    used_at: Mapped[datetime | None]


class SignIn(Table):
    """A session: the browser holds a random token, the database its hash."""

    __tablename__ = "sign_in"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    csrf: Mapped[str] = mapped_column(String(64))
    second_factor: Mapped[bool]  # passed, or not asked for
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    address: Mapped[str] = mapped_column(String(64))
    agent: Mapped[str] = mapped_column(String(200))
    failures: Mapped[int] = mapped_column(default=0)  # to confirm who it is

    user: Mapped[User] = relationship(lazy="joined")


class Token(Table):
    """A machine's token; it acts for its account."""

    __tablename__ = "token"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    actions: Mapped[list[str]]  # what it may do; empty: all of the role
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)  # to confirm whom it acts for

    user: Mapped[User] = relationship(lazy="joined")
