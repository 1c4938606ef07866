"""The options that say where the tasks of a command are done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from cytolens.experiments.cluster.where import Where

ENGINE: Any = typer.Option("local", "--engine", help="local, or ray: on a cluster.")
ADDRESS: Any = typer.Option(
    None, "--ray-address", help="auto or host:port. [default: a cluster of this machine's cores]"
)
DEVICES: Any = typer.Option(
    1, "--devices", min=1, help="GPUs that train a fold together; without GPUs, processes."
)
THREADS: Any = typer.Option(1, "--ray-threads", min=1, help="Threads, and cores, a task.")


def where(engine: str, address: str | None, threads: int, devices: int = 1) -> Where:
    """Return what the options say; those without effect are refused."""
    if engine not in ("local", "ray"):
        raise typer.BadParameter(f"{engine!r} is none of local, ray.", param_hint="--engine")
    if engine == "local":
        for option, idle in (("--ray-address", address is None), ("--ray-threads", threads == 1)):
            if not idle:
                raise typer.BadParameter(f"{option} has no effect without --engine ray.")
    elif devices != 1:
        raise typer.BadParameter("--devices has no effect with --engine ray.")
    from cytolens.experiments.cluster.where import Where

    return Where(engine, address, threads, devices)
