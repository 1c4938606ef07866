"""What the study rests on: the paper, the data, the store of features, the command."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cytolens.report.study.lines import Line
from cytolens.report.study.study import Study
from cytolens.report.text import counted, defined, seconds, thousands


@dataclass(frozen=True)
class PrintedTable:
    """A table of the paper, cell by cell."""

    title: str
    columns: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Facts:
    """Pairs of (what, value) and sentences."""

    source: str
    system: list[str]
    protocol: list[str]
    tables: list[PrintedTable]
    data: list[tuple[str, str]]
    data_notes: list[str]
    command: str
    machine: list[tuple[str, str]]
    features: str
    times: list[tuple[str, str]]


def facts(study: Study, found: list[Line]) -> Facts:
    """Gather them."""
    return Facts(
        source=". ".join(
            str(study.paper[key]).rstrip(".")
            for key in ("authors", "source")
            if study.paper.get(key)
        ),
        system=[str(text) for text in study.paper.get("system") or []],
        protocol=[str(text) for text in study.paper.get("published_protocol") or []],
        tables=[
            PrintedTable(
                str(table.get("title") or "Table"),
                [str(column) for column in table.get("columns") or []],
                [[str(cell) for cell in row] for row in table.get("rows") or []],
            )
            for table in study.tables
        ],
        data=list(_data(study)),
        data_notes=[str(text) for text in study.data.get("notes") or []],
        command=study.command,
        machine=list(_machine(study)),
        features=_features(study),
        times=list(_times(found)),
    )


def _data(study: Study) -> Iterator[tuple[str, str]]:
    if study.paper.get("data"):
        yield "The paper’s", str(study.paper["data"])
    if study.data.get("name"):
        yield "Ours", str(study.data["name"])
    if defined(study.data.get("images")) is not None:
        yield "Images", thousands(study.data["images"])
    if counts := study.data.get("classes"):
        yield "Classes", ", ".join(f"{name} {thousands(count)}" for name, count in counts.items())
    groups = defined(study.data.get("groups"))
    yield (
        "Patients or other groups",
        thousands(groups) if groups else "not known: near duplicates are kept together instead",
    )


def _machine(study: Study) -> Iterator[tuple[str, str]]:
    """Yield versions and engine as the first cell that was run recorded them."""
    environment = next((c.run.environment for c in study.cells if c.run and c.run.environment), {})
    if study.version:
        yield "cytolens", study.version
    for key, title in (
        ("python", "Python"), ("torch", "torch"), ("engine", "Engine"),
        ("device", "Device"), ("platform", "Platform"), ("cores", "Cores"),
    ):  # fmt: skip
        if environment.get(key):
            yield title, str(environment[key])
    for name, version in (environment.get("packages") or {}).items():
        yield str(name), str(version)
    if defined(study.seconds) is not None:
        yield "Time in all", seconds(study.seconds)


def _features(study: Study) -> str:
    computed = defined(study.features.get("computed"))
    reused = defined(study.features.get("reused"))
    if computed is None or reused is None:
        return ""
    said = (
        "All cells share one store of what the frozen parts of the networks give: "
        f"{counted(round(computed), 'feature')} of an image or view computed, "
        f"{thousands(reused)} taken from the store."
    )
    if computed > 0 and reused > 0:
        times = (computed + reused) / computed
        said += f" Each was computed once and used {times:.1f} times on average."
    return said


def _times(found: list[Line]) -> Iterator[tuple[str, str]]:
    for line in found:
        for cell in line.cells:
            if defined(cell.seconds) is not None:
                yield f"{line.label}, {cell.protocol}", seconds(cell.seconds)
