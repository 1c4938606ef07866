"""`cytolens data`: the catalog, imports, phantoms and audits."""

from __future__ import annotations

from pathlib import Path

import typer

from cytolens.cli.console import Bars, out, print_json

app = typer.Typer(help="Images: list, import, make phantoms, audit.", no_args_is_help=True)


@app.command("list")
def list_sets(as_json: bool = typer.Option(False, "--json", help="Print as JSON.")) -> None:
    """List the public sets the catalog knows, and how to get them."""
    from cytolens.data.catalog import CATALOG

    sets = [CATALOG.get(name) for name in CATALOG]
    if as_json:
        print_json(
            [
                {
                    "name": known.name,
                    "title": known.title,
                    "variants": {v.name: dict(v.counts) for v in known.variants},
                    "group": known.group,
                    "licence": known.licence,
                    "citation": known.citation,
                    "obtain": known.obtain,
                    "tree": known.tree,
                    "notes": list(known.notes),
                }
                for known in sets
            ]
        )
        return
    for known in sets:
        images = sum(known.counts.values())
        size = f"{images:,} images, {len(known.classes)} classes" if images else "any"
        out.print(f"{known.name}: {known.title}", style="bold", markup=False)
        facts = (size, f"group: {known.group}", f"licence: {known.licence}", known.obtain)
        for fact in facts:
            out.print(f"    {fact}", markup=False)


@app.command("import")
def import_set(
    name: str = typer.Argument(..., help="A set of `cytolens data list`."),
    source: Path = typer.Argument(..., help="The folder you unpacked."),
    target: Path = typer.Option(..., "--out", help="Folder for manifest.csv and masks."),
    variant: str = typer.Option(None, help="Labels or part of the set, where there are several."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an earlier import."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """Write a manifest of a published tree and compare its counts with the published ones."""
    from cytolens.data.catalog import import_dataset

    report = import_dataset(name, source, target, variant=variant, overwrite=overwrite)
    if as_json:
        print_json(report.to_dict())
    else:
        out.print(report.text(), markup=False)


@app.command()
def phantom(
    target: Path = typer.Option(..., "--out", help="Folder for the images."),
    tissue: str = typer.Option("pap", help="pap, sipakmed, blood or histology."),
    images: int = typer.Option(400, help="Number of images."),
    size: int = typer.Option(128, help="Side in pixels."),
    patients: int = typer.Option(24, help="Number of patients."),
    sites: int = typer.Option(2, help="Number of laboratories."),
    seed: int = typer.Option(0, help="Seed."),
    patient_effect: float = typer.Option(0.5, help="0 … 1: how much patients differ."),
    site_effect: float = typer.Option(0.3, help="0 … 1: how much laboratories differ."),
    class_separation: float = typer.Option(1.0, help="0: classes alike; 1: learnable; 2: easy."),
    class_mix: float = typer.Option(0.6, help="0 … 1: how much a patient's classes are alike."),
    cause: list[str] = typer.Option(
        [], "--cause", help="A feature that alone carries the label (repeat for several); all."
    ),
) -> None:
    """Make synthetic smears with known truth, masks and patients."""
    from cytolens.data.phantom import PhantomConfig, write_phantoms

    config = PhantomConfig(
        tissue=tissue,
        images=images,
        size=size,
        patients=patients,
        sites=sites,
        seed=seed,
        patient_effect=patient_effect,
        site_effect=site_effect,
        class_separation=class_separation,
        label_patient_correlation=class_mix,
        cause=tuple(cause),
    )
    with Bars().task("drawing phantoms", images) as step:
        manifest = write_phantoms(config, target, progress=lambda *_: step())
    out.print(f"{manifest}: {images} images, {patients} patients, {sites} sites", markup=False)


@app.command()
def audit(
    manifest: Path = typer.Argument(..., help="Manifest, or folder of class folders."),
    page: Path = typer.Option(None, "--page", help="Also write a page with thumbnails."),
    split: Path = typer.Option(None, "--split", help="Check this split file for leaks."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """Report sizes, balance, duplicates, siblings, artefacts, unreadable files and leaks."""
    from cytolens.core.files import writing
    from cytolens.data.audit import audit as make_audit
    from cytolens.data.audit import render_text, write_page
    from cytolens.data.facts import scan
    from cytolens.data.loading import read_manifest
    from cytolens.splits.split import read_split

    images = read_manifest(manifest)
    with Bars().task("looking at the images", len(images)) as step:
        facts, problems = scan(images, step=step)
    folds = read_split(split, images).to_json() if split else None
    found = make_audit(images, facts, problems, folds)
    if page is not None:
        with writing(page, "the audit page"):
            write_page(found, images, page)
    if as_json:
        print_json(found)
    else:
        out.print(render_text(found), markup=False)
    if problems:
        raise typer.Exit(1)
    if found["leaks"]:
        raise typer.Exit(3)
