"""`cytolens store`: see and clear what is kept of frozen features."""

from __future__ import annotations

import time

import typer

from cytolens.cli.console import out, print_json

app = typer.Typer(help="The feature store: see it, clear it.", no_args_is_help=True)


@app.command()
def info(as_json: bool = typer.Option(False, "--json", help="Print as JSON.")) -> None:
    """List what the store holds, most recently used first."""
    from cytolens.features.store import Store

    store = Store()
    spaces = store.spaces()
    if as_json:
        print_json([vars(space) for space in spaces])
        return
    total = sum(space.bytes for space in spaces) / 2**20
    out.print(f"{store.folder}: {total:.1f} MiB of {store.limit / 2**30:.0f} GiB", markup=False)
    for space in spaces:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(space.last_used))
        size = f"{space.rows:>8} rows {space.bytes / 2**20:>9.1f} MiB"
        out.print(f"{space.space}  {size}  {used}  {space.about}", markup=False)


@app.command()
def clear(
    space: str = typer.Argument(None, help="One space of `store info`; all without it."),
) -> None:
    """Remove one space, or everything."""
    from cytolens.core.errors import InputError
    from cytolens.core.registry import did_you_mean
    from cytolens.features.store import Store

    store = Store()
    names = [known.space for known in store.spaces()]
    if space is not None and space not in names:
        raise InputError(f"The store has no space {space!r}{did_you_mean(space, names)}.")
    freed = store.clear(space)
    out.print(f"{freed / 2**20:.1f} MiB freed.", markup=False)
