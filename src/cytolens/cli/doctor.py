"""`cytolens doctor`: what works on this machine, what is missing, what to do."""

from __future__ import annotations

import typer

from cytolens.cli.console import out, print_json


def doctor(as_json: bool = typer.Option(False, "--json", help="Print as JSON.")) -> None:
    """Check libraries, device, engine, weights, caches."""
    from cytolens.experiments.doctor import examine

    checks = examine()
    if as_json:
        print_json([vars(check) for check in checks])
    else:
        for check in checks:
            mark = {"ok": "ok     ", "note": "note   ", "missing": "MISSING"}[check.state]
            out.print(f"{mark}  {check.what}: {check.found}", markup=False)
            if check.advice:
                out.print(f"         {check.advice}", markup=False)
    if any(check.state == "missing" for check in checks):
        raise typer.Exit(1)
