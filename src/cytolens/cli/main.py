"""The program `cytolens`: its verbs, and how it ends."""

from __future__ import annotations

import os
import sys

import typer

from cytolens import __version__
from cytolens.cli import (
    bench,
    card,
    clinic,
    compare,
    data,
    demo,
    doctor,
    explain,
    export,
    features,
    fuse,
    ledger,
    plan,
    predict,
    recipes,
    reproduce,
    run,
    serve,
    split,
    store,
)
from cytolens.cli.console import err
from cytolens.core.errors import CytolensError

app = typer.Typer(
    name="cytolens",
    help="Transfer-learned diagnosis from microscope images, with numbers one can believe.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.add_typer(data.app, name="data")
app.command("split")(split.split)
app.command("plan")(plan.plan)
app.command("features")(features.features)
app.command("run")(run.run)
app.command("reproduce")(reproduce.reproduce)
app.command("compare")(compare.compare)
app.command("fuse")(fuse.fuse)
app.command("ledger")(ledger.ledger)
app.command("recipes")(recipes.recipes)
app.command("predict")(predict.predict)
app.command("card")(card.card)
app.command("export")(export.export)
app.command("explain")(explain.explain)
app.add_typer(store.app, name="store")
app.command("serve")(serve.serve)
app.add_typer(clinic.app, name="clinic")
app.command("doctor")(doctor.doctor)
app.command("bench")(bench.bench)

INTERRUPTED = 130


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cytolens {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    del version


def main() -> None:
    """Run the program; a user's mistake is one message, never a traceback."""
    # Telemetry of the libraries underneath stays off.
    for variable in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "NO_ALBUMENTATIONS_UPDATE"):
        os.environ.setdefault(variable, "1")
    try:
        app()
    except CytolensError as error:
        err.print(f"cytolens: {error}", markup=False, style="red")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _say_interrupted()
        sys.exit(INTERRUPTED)
    except SystemExit as end:  # typer turns an interrupt inside a command into this one
        if end.code == INTERRUPTED:
            _say_interrupted()
        raise


def _say_interrupted() -> None:
    err.print("Interrupted. The same command goes on where this one stopped.", style="yellow")


if __name__ == "__main__":
    main()
