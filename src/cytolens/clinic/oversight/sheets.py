"""The figures as tables of plain values, in the words of a language; what exports are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from cytolens.clinic.days import here
from cytolens.clinic.oversight.agreement import Agreement, Kappa
from cytolens.clinic.oversight.drift import BundleDrift
from cytolens.clinic.oversight.figures import Figures
from cytolens.clinic.oversight.quality import Drawn
from cytolens.clinic.oversight.second_readings import Results
from cytolens.clinic.vocabulary import vocabularies

Words = Callable[[str], str]
Value = str | int | float | None


@dataclass(frozen=True)
class Told:
    """All that is exported of a period."""

    made_at: datetime
    sites: list[str]
    figures: Figures
    agreement: Agreement
    drifts: list[BundleDrift]
    samples: list[Drawn]
    results: Results


@dataclass(frozen=True)
class Sheet:
    """A table: its first column names the row."""

    title: str
    head: list[str]
    rows: list[list[Value]] = field(default_factory=list)
    note: str = ""


def sheets(told: Told, _: Words) -> list[Sheet]:
    """Return all tables in the words of a language."""
    return [
        _volumes(told.figures, _),
        _specimens(told.figures, _),
        _open(told.figures, _),
        _classes(told.figures, _),
        _confusion(told.agreement, _),
        _kappas(told.agreement, _),
        _doctors(told.agreement, _),
        _overrides(told.agreement, told.figures.period.zone, _),
        _drifts(told.drifts, _),
        _samples(told.samples, _),
        _results(told.results, _),
    ]


def _volumes(found: Figures, _: Words) -> Sheet:
    head = [
        _("From"), _("Received"), _("Signed"), _("Images"), _("Median hours to signature"),
        _("90 of 100 within hours"),
    ]  # fmt: skip
    rows: list[list[Value]] = [
        [str(step), v.received, v.signed, v.images, _hours(t.median), _hours(t.ninth)]
        for step, v, t in zip(found.steps, found.volumes, found.turnarounds, strict=True)
    ]
    total, all_cases = found.total, found.turnaround
    rows.append(
        [
            _("Total"), total.received, total.signed, total.images,
            _hours(all_cases.median), _hours(all_cases.ninth),
        ]
    )  # fmt: skip
    return Sheet(_("Volume and time to signature"), head, rows)


def _specimens(found: Figures, _: Words) -> Sheet:
    head = [
        _("Specimen type"), _("Received"), _("Signed"), _("Images"),
        _("Median hours to signature"), _("90 of 100 within hours"),
    ]  # fmt: skip
    rows: list[list[Value]] = []
    for code, volume in found.specimens.items():
        took = found.by_specimen[code]
        rows.append(
            [
                _specimen(code, _), volume.received, volume.signed, volume.images,
                _hours(took.median), _hours(took.ninth),
            ]
        )  # fmt: skip
    return Sheet(_("By specimen type"), head, rows)


def _open(found: Figures, _: Words) -> Sheet:
    ages = [
        _("up to 1 day"), _("1 to 3 days"), _("3 to 7 days"), _("7 to 14 days"), _("over 14 days"),
    ]  # fmt: skip
    rows: list[list[Value]] = [list(pair) for pair in zip(ages, found.open_ages, strict=True)]
    return Sheet(_("Open cases by age"), [_("Age"), _("Cases")], rows)


def _classes(found: Figures, _: Words) -> Sheet:
    rows: list[list[Value]] = [
        [f"{_specimen(code, _)}: {share.category}", share.count, round(share.share, 4)]
        for code, shares in found.classes.items()
        for share in shares
    ]
    return Sheet(_("Categories"), [_("Category"), _("Cases"), _("Share")], rows)


def _confusion(found: Agreement, _: Words) -> Sheet:
    head = [_("System"), _("Doctor: clear"), _("Doctor: abnormal"), _("Doctor: neither")]
    names = [_("Clear"), _("Abnormal"), _("Refer"), _("Nothing said")]
    rows: list[list[Value]] = [
        [name, *counts] for name, counts in zip(names, found.confusion, strict=True)
    ]
    return Sheet(_("Signed cases: the system's decision against the doctor's category"), head, rows)


def _kappas(found: Agreement, _: Words) -> Sheet:
    def row(name: str, kappa: Kappa) -> list[Value]:
        values = (kappa.value, kappa.low, kappa.high)
        shown = [None if value is None else round(value, 4) for value in values]
        return [name, *shown, kappa.n, kappa.agreed]

    head = [_("Readings"), _("Kappa"), _("from"), _("to"), _("Cases"), _("the same")]
    rows = [
        row(_("all"), found.kappa),
        row(_("read before the finding was seen"), found.blind),
    ]
    note = _("A doctor who saw the finding is not independent of it.")
    return Sheet(_("Agreement"), head, rows, note)


def _doctors(found: Agreement, _: Words) -> Sheet:
    head = [
        _("Doctor"), _("Signed"), _("Agrees"), _("Upgraded"), _("Downgraded"),
        _("Not comparable"), _("Median hours to signature"),
    ]  # fmt: skip
    rows: list[list[Value]] = [
        [d.username, d.signed, *d.verdicts.values(), _hours(d.turnaround.median)]
        for d in found.doctors
    ]
    return Sheet(_("By doctor"), head, rows)


def _overrides(found: Agreement, zone: tzinfo, _: Words) -> Sheet:
    head = [
        _("Accession"), _("Specimen type"), _("System"), _("Category"), _("Verdict"), _("Doctor"),
        _("Signed"),
    ]  # fmt: skip
    said = {"clear": _("Clear"), "abnormal": _("Abnormal"), "refer": _("Refer")}
    verdicts = {"upgrade": _("Upgraded"), "downgrade": _("Downgraded")}
    rows: list[list[Value]] = [
        [
            case.accession, _specimen(case.specimen, _),
            said.get(case.decision or "", _("Nothing said")), case.category,
            verdicts[case.verdict], case.doctor, clocks(case.signed_at, zone),
        ]
        for case in found.overrides
    ]  # fmt: skip
    return Sheet(_("Overrides"), head, rows)


def _drifts(found: list[BundleDrift], _: Words) -> Sheet:
    states = {
        "few": _("too few cases"), "stable": _("stable"), "watch": _("moves"),
        "shifted": _("shifted"), "unknown": _("cannot tell"),
    }  # fmt: skip
    head = [
        _("Bundle"), _("Version"), _("Images"), _("Cases"), _("Stability index"),
        _("Largest gap"), _("Scores"), _("Unlike training"), _("Images are"),
    ]  # fmt: skip
    rows: list[list[Value]] = [
        [
            d.bundle, d.version, d.images, d.cases, _rounded(d.psi), _rounded(d.ks),
            states[d.scores], _rounded(d.out), states[d.inputs],
        ]
        for d in found
    ]  # fmt: skip
    return Sheet(_("Drift"), head, rows)


def _samples(found: list[Drawn], _: Words) -> Sheet:
    head = [
        _("Site and month"), _("Signed as clear"), _("To be drawn"), _("Drawn"), _("Read again"),
        _("Signed as abnormal"), _("To be mixed in"), _("Mixed in"), _("Mixed in, read again"),
    ]  # fmt: skip
    rows: list[list[Value]] = [
        [
            f"{s.code} {s.period}", s.cleared, s.target, s.drawn, s.read,
            s.abnormal, s.mixed_target, s.mixed, s.mixed_read,
        ]
        for s in found
    ]  # fmt: skip
    return Sheet(_("Quality sample"), head, rows)


def _results(found: Results, _: Words) -> Sheet:
    rows: list[list[Value]] = [
        [_("Drawn"), found.drawn],
        [_("Read again"), found.read],
        [_("the very same category"), found.same],
        [_("abnormal in the second reading"), found.missed],
        [_("Share"), _rounded(found.share)],
        [_("from"), _rounded(found.low)],
        [_("to"), _rounded(found.high)],
        [_("Mixed in"), found.mixed.drawn],
        [_("Mixed in, read again"), found.mixed.read],
        [_("Mixed in, clear in the second reading"), found.mixed.cleared],
    ]
    note = _("The interval is exact (Clopper and Pearson 1934).")
    return Sheet(_("Second readings"), [_("What"), _("Value")], rows, note)


def clocks(moment: datetime, zone: tzinfo) -> str:
    """Return a moment as clocks in a zone show it, and the offset: 2026-11-21 23:30-05:00."""
    return here(moment, zone).isoformat(" ", "minutes")


def _specimen(code: str, _: Words) -> str:
    return _(vocabularies()[code].name) if code in vocabularies() else code


def _hours(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
