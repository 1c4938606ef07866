"""`cytolens clinic`: verify, back up, restore, upgrade an installation; unlock an account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cytolens.cli.console import Bars, err, out

if TYPE_CHECKING:
    from cytolens.clinic.installation import Installation
    from cytolens.clinic.settings import Settings

app = typer.Typer(
    help="Verify, back up, restore and upgrade an installation of the clinic.",
    no_args_is_help=True,
)
_FAILED = 3

_DATA = typer.Option(
    None,
    "--data",
    envvar="CYTOLENS_CLINIC_DATA",
    help="Folder of the installation [default: ~/.local/share/cytolens/clinic].",
    show_default=False,
)
_DATABASE = typer.Option(
    "",
    "--database-url",
    envvar="CYTOLENS_DATABASE_URL",
    help="postgresql://USER@HOST/NAME [default: SQLite in the data folder].",
    show_default=False,
)
_BLOBS = typer.Option(
    "",
    "--store",
    envvar="CYTOLENS_BLOBS",
    help="Folder or s3://BUCKET/PREFIX of images and documents [default: in the data folder].",
    show_default=False,
)


@app.command("verify")
def verify(
    data: Path | None = _DATA,
    database_url: str = _DATABASE,
    store: str = _BLOBS,
    blobs: bool = typer.Option(False, "--blobs", help="Read every image, document and bundle too."),
) -> None:
    """Find any change, deletion or reordering in the audit log; exit status 3 if there is one.

    Also whether the database still refuses to change what is never changed.
    """
    from cytolens.clinic.backup import examine

    with _opened(_settings(data, database_url, store)) as installation:
        found = examine(installation, blobs=blobs, progress=Bars())
    if found.flaw is not None:
        err.print(f"audit log          line {found.flaw.line}: {found.flaw.what}", style="red")
    else:
        out.print(f"audit log          {found.lines} lines, whole")
    for flaw in found.unguarded:
        err.print(f"database           {flaw}; cytolens clinic upgrade makes it", style="red")
    if not found.unguarded:
        out.print("database           refuses changes of what is never changed")
    if found.blobs is not None:
        for problem in found.problems:
            err.print(problem, style="red", markup=False)
        out.print(f"blobs              {found.blobs} read, {len(found.problems)} problems")
    if not found.whole:
        raise typer.Exit(_FAILED)


@app.command("backup")
def backup(
    target: Path = typer.Argument(..., help="A file ….tar, or a folder; not there yet."),
    data: Path | None = _DATA,
    database_url: str = _DATABASE,
    store: str = _BLOBS,
    with_secret: bool = typer.Option(
        False, "--with-secret", help="Put the secret in; whoever has the backup then has it too."
    ),
) -> None:
    """Back up a running installation: database, images, documents, bundles, audit log."""
    from cytolens.clinic.backup import back_up

    settings = _settings(data, database_url, store)
    with _opened(settings) as installation:
        made = back_up(installation, target, with_secret=with_secret, progress=Bars())
    out.print(f"backup             {made.path}", markup=False)
    out.print(
        f"rows {made.rows}, blobs {made.blobs}, bundles {made.bundles}, "
        f"lines of the audit log {made.lines}, {made.bytes / 1e6:.1f} MB"
    )
    if not made.with_secret:
        where = settings.data / "secret.key"
        err.print(
            f"The secret is not in it; keep {where} (or the value of CYTOLENS_SECRET) elsewhere: "
            "without it the backup cannot be verified or restored.",
            style="yellow",
            markup=False,
        )
    for problem in made.problems:
        err.print(problem, style="red", markup=False)
    if made.problems:
        raise typer.Exit(_FAILED)


@app.command("restore")
def restore(
    source: Path = typer.Argument(..., help="A backup: a file or a folder."),
    data: Path = typer.Option(..., "--data", help="A new folder for the installation."),
    database_url: str = _DATABASE,
    store: str = _BLOBS,
) -> None:
    """Restore a backup into an empty place, all of it checked; everybody signs in anew."""
    from cytolens.clinic.backup import restore as restore_backup

    settings = _settings(data, database_url, store, new=True)
    restored = restore_backup(source, settings, progress=Bars())
    out.print(f"restored           {settings.data}", markup=False)
    out.print(
        f"rows {restored.rows}, blobs {restored.blobs}, "
        f"lines of the audit log {restored.lines}, as of {restored.made_at}"
    )
    ended = restored.ended
    out.print(
        f"ended              {ended.sessions} sessions, {ended.tokens} tokens of machines, "
        f"{ended.links} links: everybody signs in anew"
    )
    err.print(
        "Passwords, second factors and roles are those of then; who was disabled since is open "
        "again. Open accounts:",
        style="yellow",
    )
    for account in restored.accounts:
        waits = " (no password yet: needs a new link)" if account.waits else ""
        told = f"  {account.username:<20} {account.role:<14} {account.name}{waits}"
        err.print(told, markup=False, highlight=False, soft_wrap=True)
    for problem in restored.problems:
        err.print(f"{problem} (when it was backed up already)", style="yellow", markup=False)


@app.command("sweep")
def sweep(
    data: Path | None = _DATA,
    database_url: str = _DATABASE,
    store: str = _BLOBS,
    remove: bool = typer.Option(False, "--remove", help="Remove them; else they are counted."),
    older_than: float = typer.Option(
        24.0, "--older-than", metavar="HOURS", help="Leave what was stored since; 1 at least."
    ),
    adopt: bool = typer.Option(
        False, "--adopt", help="Take over a store of an installation that is no more."
    ),
    many: bool = typer.Option(
        False, "--many", help="Remove them although they are a large part of the store."
    ),
) -> None:
    """Find images and documents that nothing refers to, as a killed upload leaves them."""
    from datetime import timedelta

    from cytolens.clinic.actor import system
    from cytolens.clinic.management import sweep as sweeping
    from cytolens.core.errors import InputError

    if not 1 <= older_than <= 24 * 366:
        raise InputError(f"{older_than:g} hours cannot be.", expected="1 hour to a year")
    for name, given in (("adopt", adopt), ("many", many)):
        if given and not remove:
            raise InputError(f"--{name} has no effect without --remove.", fix="pass both, or none.")
    with _opened(_settings(data, database_url, store)) as installation:
        found = sweeping.sweep(
            installation,
            system("command line"),
            older=timedelta(hours=older_than),
            remove=remove,
            adopt=adopt,
            many=many,
        )
    out.print(
        f"{'removed' if remove else 'would remove':18} {found.orphans} of {found.looked} blobs "
        f"({found.bytes / 1e6:.1f} MB) and {found.unfinished} unfinished files"
    )


@app.command("upgrade")
def upgrade(data: Path | None = _DATA, database_url: str = _DATABASE) -> None:
    """Bring the database to the version of this program; back it up first."""
    from cytolens.clinic import migrations
    from cytolens.clinic.database import Database
    from cytolens.clinic.installation import private_files

    settings = _settings(data, database_url, "", new=True)
    with private_files():
        if not database_url:
            settings.data.mkdir(parents=True, exist_ok=True)
        database = Database(settings.database)
        try:
            before, now = migrations.upgrade(database)
            made = migrations.protect(database)
        finally:
            database.close()
    done = "was there already" if before == now else f"was {before or 'empty'} before"
    out.print(f"database           version {now}, {done}")
    for flaw in made:
        out.print(f"made again         {flaw}")


@app.command("unlock")
def unlock(
    username: str = typer.Argument(..., help="Of the account."),
    data: Path | None = _DATA,
    database_url: str = _DATABASE,
) -> None:
    """Unlock an account that too many wrong passwords locked, such as the only administrator's."""
    from sqlalchemy import select

    from cytolens.clinic import trail
    from cytolens.clinic.accounts import lockout
    from cytolens.clinic.actor import system
    from cytolens.clinic.tables import User
    from cytolens.core.errors import InputError

    with _opened(_settings(data, database_url, "")) as installation, installation.writing() as db:
        trail.take_turn(db)
        user = db.scalar(select(User).where(User.username == username.lower()))
        if user is None:
            raise InputError(f"There is no account {username!r}.")
        lockout.open_again(db, user)
        trail.record(db, system("command line"), "user.unlocked", "user", user.id)
    out.print(f"unlocked           {username.lower()}", markup=False)


def _settings(data: Path | None, database_url: str, store: str, *, new: bool = False) -> Settings:
    from cytolens.clinic.settings import Settings, default_data
    from cytolens.core.errors import InputError

    folder = (data or default_data()).expanduser().absolute()
    if not new and not folder.is_dir():
        raise InputError(f"There is no installation at {folder}.", fix="name its folder: --data.")
    return Settings(folder, database_url=database_url, blobs=store)


@contextmanager
def _opened(settings: Settings) -> Iterator[Installation]:
    from cytolens.clinic.installation import open_installation, private_files

    with private_files():
        installation = open_installation(settings)
        try:
            yield installation
        finally:
            installation.close()
