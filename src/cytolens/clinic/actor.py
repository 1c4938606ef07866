"""Who acts: the account behind a request, and what it may do and see."""

from __future__ import annotations

from dataclasses import dataclass, field

from cytolens.clinic.errors import NotAllowed
from cytolens.clinic.rights import RIGHTS, Action, Role, allowed


@dataclass(frozen=True)
class Actor:
    """An account that is signed in, a machine with its token, or the system itself.

    Attributes:
        user: id of the account; None: the system (a worker, the command line).
        username: of the audit log.
        role: None: the system, which may do everything.
        sites: ids of the sites it belongs to.
        address: where the request came from, or "local".
        language: "en" or "es".
        only: actions a machine's token is limited to; None: all of the role.
        session, token: id of what it acts by; both None: the program itself acts.
    """

    user: int | None
    username: str
    role: Role | None
    sites: frozenset[int] = frozenset()
    address: str = "local"
    language: str = "en"
    name: str = ""
    only: frozenset[Action] | None = field(default=None)
    session: int | None = None
    token: int | None = None

    def may(self, action: Action) -> bool:
        """Tell whether this account may do something somewhere."""
        if self.role is None:
            return True
        if self.only is not None and action not in self.only:
            return False
        return allowed(self.role, action)

    def must(self, action: Action) -> None:
        """Raise `NotAllowed` unless this account may do it."""
        if self.role is not None and allowed(self.role, action) and not self.may(action):
            raise NotAllowed(
                f"This token does not include: {RIGHTS[action].what}.",
                fix="make one that does, on the page of the account.",
            )
        if not self.may(action):
            raise NotAllowed(
                f"The role {self.role} does not include: {RIGHTS[action].what}.",
                fix="ask the administrator for the role that does.",
            )

    def sees(self, site: int) -> bool:
        """Tell whether what lies at a site exists for this account."""
        return self.role is None or site in self.sites


def system(username: str = "system") -> Actor:
    """Return the actor of workers and of the command line."""
    return Actor(None, username, None)
