"""From a report's content to the blocks of its document: every text ready to be shown.

The document is set by a template (`templates/report.typ`), which gets these blocks as JSON; no
text ever becomes a part of the template's own language.
"""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from typing import Any

from cytolens.clinic.documents import findings
from cytolens.clinic.documents.blocks import (
    DASH,
    DECISIONS,
    Block,
    Say,
    facts,
    heading,
    table,
    text,
)
from cytolens.clinic.documents.content import ReportContent
from cytolens.clinic.documents.glyphs import lacks_glyphs, shown
from cytolens.clinic.documents.translation import day, moment, translator
from cytolens.clinic.locales import locale_of

STATUS = {
    "preliminary": "PRELIMINARY – not signed",
    "final": "FINAL – signed",
    "amended": "AMENDED – signed",
}
VERDICTS = {
    "agree": "The doctor agrees with the system's finding.",
    "upgrade": "The doctor's category is more severe than the system's finding.",
    "downgrade": "The doctor's category is less severe than the system's finding.",
    "inconclusive": "The doctor finds the system's finding inconclusive.",
}
SEXES = {"female": "female", "male": "male", "other": "other", "unknown": "unknown"}


def layout(content: ReportContent, language: str) -> dict[str, Any]:
    """Return what the template shows, as plain data."""
    locale = locale_of(language, content.region)
    say = translator(locale)
    made = _Layout(content, locale, say)
    found: dict[str, Any] = {
        "language": language,
        "title": f"{say('Report')}: {say(content.specimen.kind.name)}",
        "subject": f"{say('Accession number')} {content.specimen.accession}",
        "author": content.doctor.name,
        "laboratory": textwrap.shorten(content.laboratory.name, 70, placeholder=" …"),
        "accession": content.specimen.accession,
        "status": say(STATUS[content.status]),
        "version": say("Version {n}", n=content.version),
        "preliminary": "" if content.signed else say(STATUS["preliminary"]),
        "disclaimer": say(content.disclaimer),
        "page": say("Page"),
        "of": say("of"),
        "blocks": list(made.blocks()),
    }
    note = lacks_glyphs(_joined(found))
    found = _shown(found)
    at = datetime.fromisoformat(content.doctor.signed_at or content.created_at).astimezone(UTC)
    found["date"] = [at.year, at.month, at.day, at.hour, at.minute, at.second]
    found["sha256"] = content.sha256
    found["hash"] = say("SHA-256 of the content")
    found["glyphs"] = ""
    if note:
        found["glyphs"] = say("Characters without a glyph in this document stand as [U+number].")
    return found


class _Layout:
    def __init__(self, content: ReportContent, locale: str, say: Say) -> None:
        self.content = content
        self.locale = locale
        self.say = say

    def blocks(self) -> list[Block]:
        told = self.content, self.locale, self.say
        return [
            *self._amendment(),
            self._who(),
            self._diagnosis(),
            *findings.system(*told),
            *findings.pictures(*told),
            *findings.limits(*told),
            *self._signature(),
        ]

    def _amendment(self) -> list[Block]:
        content, say = self.content, self.say
        if not content.reason:
            return []
        rows = [
            [say(one.field), self._value(one.field, one.before), self._value(one.field, one.after)]
            for one in content.changes
        ]
        blocks = [heading(say("Amendment")), facts([(say("Reason"), content.reason)])]
        if rows:
            return [*blocks, table([say("Changed"), say("Before"), say("Now")], rows)]
        return [*blocks, text(say("Nothing else was changed."))]

    def _value(self, field: str, value: str) -> str:
        """Return a changed value: what a person typed stays, codes and dates are said."""
        if not value:
            return DASH
        match field:
            case "Date of birth" | "Collected":
                return day(value, self.locale)
            case "Received":
                return moment(value, self.locale)
            case "Category":
                code, _, name = value.partition(": ")
                return f"{code}: {self.say(name)}"
            case "Indicators":
                return "; ".join(map(self.say, value.split("; ")))
            case "Sex" | "Verdict" | "System's decision" | "Adequacy" | "Specimen":
                return self.say({**VERDICTS, **DECISIONS, **SEXES}.get(value, value))
        return value

    def _who(self) -> Block:
        say, person, specimen = self.say, self.content.patient, self.content.specimen
        quality = self.content.quality
        patient = [
            (say("Name"), ", ".join(filter(None, (person.family_name, person.given_name)))),
            (say("Number"), person.number),
            (say("Date of birth"), day(person.birth_date, self.locale)),
            (say("Sex"), say(SEXES.get(person.sex, person.sex))),
        ]
        sample = [
            (say("Laboratory"), self.content.laboratory.name),
            (say("Type"), say(specimen.kind.name)),
            (say("Accession number"), specimen.accession),
            (say("Collected"), day(specimen.collected_on, self.locale)),
            (say("Received"), moment(specimen.received_at, self.locale)),
        ]
        below = [
            (say("Clinical question"), specimen.clinical),
            (say("Adequacy"), say(quality.adequacy.name) if quality.adequacy else ""),
            (say("Indicators"), "\n".join(say(word.name) for word in quality.indicators)),
        ]
        if quality.note:
            below.append((say("Note on quality"), quality.note))
        return {
            "kind": "columns",
            "columns": [
                {"title": say("Patient"), **facts(patient)},
                {"title": say("Specimen"), **facts(sample)},
            ],
            "below": facts(below),
        }

    def _diagnosis(self) -> Block:
        say, found, doctor = self.say, self.content.diagnosis, self.content.doctor
        lines = [say(VERDICTS.get(found.verdict, found.verdict))]
        lines.append(
            say("The images were read before the system's finding was shown.")
            if found.blind
            else say("The images were read with the system's finding in view.")
        )
        return {
            "kind": "diagnosis",
            "title": say("Diagnosis of the doctor"),
            "code": found.category.code,
            "name": say(found.category.name),
            "comment": found.comment.split("\n") if found.comment else [],
            "lines": lines,
            "doctor": self._signed(doctor.name, doctor.signed_at),
        }

    def _signed(self, name: str, at: str) -> str:
        if not at:
            return self.say("{name} – not signed yet", name=name)
        when = moment(at, self.locale)
        return self.say("Signed by {name}, {when}", name=name, when=when)

    def _signature(self) -> list[Block]:
        say, content = self.say, self.content
        rows = [
            (say("Doctor"), f"{content.doctor.name} ({content.doctor.username})"),
            (say("Signed"), moment(content.doctor.signed_at, self.locale) or say("not yet")),
            (say("Version"), f"{content.version}, {say(STATUS[content.status])}"),
        ]
        if content.before:
            rows.append((say("SHA-256 of the version before"), content.before))
        return [{"kind": "signature", "title": say("Signature"), "rows": facts(rows)["rows"]}]


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, list):
        return [_shown(one) for one in value]
    if isinstance(value, dict):
        return {key: _shown(one) for key, one in value.items()}
    return value


def _joined(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_joined, value))
    return "".join(map(_joined, value.values())) if isinstance(value, dict) else ""
