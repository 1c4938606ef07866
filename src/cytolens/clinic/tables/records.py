"""The audit log, and what is set for the whole installation."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from cytolens.clinic.tables.base import Table


class Entry(Table):
    """One line of the audit log: who did what, when, to which object, from where.

    Attributes:
        id: 1, 2, 3 … without a gap.
        action: "case.signed", …: object and past participle.
        kind, key: the object: "case" and its id, as text.
        bundle: id of the bundle concerned, or "".
        details: more, plain data; never a password, a token or a patient's name.
        previous: the hash of the line before; sixty-four zeros before the first.
        hash: of this line with `previous`, keyed with the installation's secret.
    """

    __tablename__ = "entry"
    __table_args__ = (Index("ix_entry_of_late", "user_id", "at"),)  # `desk.traces`

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(index=True)
    user_id: Mapped[int | None]
    username: Mapped[str] = mapped_column(String(120))
    role: Mapped[str] = mapped_column(String(20))
    action: Mapped[str] = mapped_column(String(60), index=True)
    kind: Mapped[str] = mapped_column(String(40))
    key: Mapped[str] = mapped_column(String(64))
    site_id: Mapped[int | None]
    bundle: Mapped[str] = mapped_column(String(12), default="")
    address: Mapped[str] = mapped_column(String(64))
    details: Mapped[dict[str, Any]]
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class Choice(Table):
    """A setting that an administrator or director chose, as JSON."""

    __tablename__ = "choice"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    value: Mapped[dict[str, Any]]
