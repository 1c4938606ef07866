"""Whose a store of blobs is: one installation removes from it, a copy of it does not.

A backup that is restored for a trial may name the store of the installation it was made of, where
blobs lie that the copy's rows do not know. So the first installation that would remove something
writes its name into the store, and every other is refused. A store within the data folder is its
installation's alone.
"""

from __future__ import annotations

import secrets

from cytolens.clinic.errors import Refused
from cytolens.clinic.installation import Installation
from cytolens.core.files import lock, write_text

_FILE = "installation.id"


def check(installation: Installation, *, take: bool = True, adopt: bool = False) -> None:
    """Refuse to remove from a store that is another installation's.

    Args:
        take: write this installation's name into one that is nobody's.
        adopt: and into another's.

    Raises:
        Refused: it is another's.
        StoreAway: the store cannot be asked.
    """
    if not installation.settings.blobs:
        return
    name, owner = _name(installation), installation.blobs.owner()
    if owner == name:
        return
    if owner and not (take and adopt):
        raise Refused(
            f"The store {installation.settings.blobs} is another installation's: what nothing "
            "refers to here may be in use there.",
            fix="if that installation is no more: cytolens clinic sweep --remove --adopt",
        )
    if take:
        installation.blobs.set_owner(name)


def _name(installation: Installation) -> str:
    """Return the name of this installation, which no backup holds; made at its first use."""
    path = installation.settings.data / _FILE
    with lock(path.with_suffix(".lock"), "", wait=True):
        if not path.exists():
            write_text(path, secrets.token_hex(8))
        return path.read_text(encoding="utf-8")
