"""`cytolens serve`: the expert system, with nothing else installed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import typer

from cytolens.cli.console import Bars, err


def serve(
    data: Path | None = typer.Option(
        None,
        envvar="CYTOLENS_CLINIC_DATA",
        help="Folder of all that is kept [default: ~/.local/share/cytolens/clinic; "
        "with --demo ~/.local/share/cytolens/clinic-demo].",
        show_default=False,
    ),
    host: str = typer.Option("127.0.0.1", envvar="CYTOLENS_HOST", help="Address to listen on."),
    port: int = typer.Option(8000, envvar="CYTOLENS_PORT", help="Port; 0 takes a free one."),
    database_url: str = typer.Option(
        "",
        envvar="CYTOLENS_DATABASE_URL",
        help="postgresql://USER@HOST/NAME; a password belongs into the variable, where other "
        "users of the machine cannot read it [default: SQLite in the data folder].",
        show_default=False,
        show_envvar=True,
    ),
    blobs: str = typer.Option(
        "",
        envvar="CYTOLENS_BLOBS",
        help="Folder or s3://BUCKET/PREFIX of images and documents [default: in the data folder].",
        show_default=False,
    ),
    public_url: str = typer.Option(
        "",
        envvar="CYTOLENS_PUBLIC_URL",
        help="How browsers reach it, such as https://clinic.example; needed beyond this machine.",
        show_default=False,
    ),
    workers: int = typer.Option(
        1, min=0, envvar="CYTOLENS_WORKERS", help="Processes that make findings."
    ),
    time_zone: str = typer.Option(
        "UTC",
        envvar="CYTOLENS_CLINIC_TIME_ZONE",
        metavar="NAME",
        help="Where the laboratory is, such as America/Lima: times are shown and days counted so.",
    ),
    region: str = typer.Option(
        "",
        envvar="CYTOLENS_CLINIC_REGION",
        metavar="CODE",
        help="Country whose way of writing numbers is taken, such as PE [default: the "
        "language's own].",
        show_default=False,
    ),
    behind_proxy: str = typer.Option(
        "",
        envvar="CYTOLENS_BEHIND_PROXY",
        metavar="ADDRESSES",
        help="Addresses or networks of proxies whose X-Forwarded headers are believed.",
        show_default=False,
    ),
    insecure_http: bool = typer.Option(
        False,
        "--insecure-http",
        help="Let passwords and patients' data cross the network in the clear.",
    ),
    demo: bool = typer.Option(
        False,
        "--demo",
        help="Invented accounts, patients and the demo's bundle; on this machine alone.",
    ),
) -> None:
    """Serve the clinic: worklist, findings, readings, signed reports; SQLite and local files."""
    from cytolens.clinic.serving import Exposure, check
    from cytolens.clinic.serving import serve as serve_clinic
    from cytolens.clinic.settings import Settings, default_data

    settings = Settings(
        data=(data or default_data(demo=demo)).expanduser().absolute(),
        database_url=database_url,
        blobs=blobs,
        host=host,
        port=port,
        public_url=public_url,
        workers=workers,
        demo=demo,
        time_zone=time_zone,
        region=region,
    )
    exposure = Exposure(behind_proxy, insecure_http)
    check(settings, exposure)  # before anything long begins
    if demo:
        from cytolens.clinic.demo import Demonstration
        from cytolens.experiments.demo import make_demo_bundle

        bars = Bars()
        shown = Demonstration(partial(make_demo_bundle, progress=bars), say=_say, progress=bars)
        serve_clinic(settings, exposure, say=_say, prepare=shown.prepare)
        return
    serve_clinic(settings, exposure, say=_say)


def _say(text: str) -> None:
    err.print(text, markup=False)
