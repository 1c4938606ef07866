"""What happened, and what waits, in the demonstration's laboratories: one story a case."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from cytolens.clinic.demo.people import NORTH, SOUTH
from cytolens.clinic.demo.specimens import BLURRED
from cytolens.clinic.desk.patients import Identity
from cytolens.core.seeding import rng

STAGES = ("received", "uploaded", "analysed", "read", "signed", "amended")
HISTORY = 40  # cases that were signed in the weeks before
WEEKS = 9
_AT = {NORTH: ["doctor", "doctor2"], SOUTH: ["doctor3", "doctor2"]}  # the usual one first
_OTHERWISE: dict[str, list[tuple[str, float]]] = {  # what doctors call it too, and how often
    "NILM": [("ASC-US", 0.12)],
    "LSIL": [("ASC-US", 0.2), ("NILM", 0.15)],
    "HSIL": [("ASC-H", 0.2)],
    "SCC": [],
}
_FAMILY = (
    "Abellán", "Baker", "Castro", "Dunn", "Estévez", "Fischer", "Gallego", "Hughes", "Ibarra",
    "Jansen", "Keller", "Lozano", "Moreno", "Nolan", "Ortega", "Prieto",
)  # fmt: skip
_GIVEN = (
    "Ana", "Beth", "Carla", "Dora", "Elena", "Frida", "Gloria", "Helen", "Irene", "Julia", "Klara",
)  # fmt: skip


@dataclass(frozen=True)
class Story:
    """A case, and how far it has come.

    Attributes:
        patient: position among the patients.
        truth: what is in each image.
        until: the last of `STAGES` that happened.
        age: since it was received.
        turnaround: from being received to being read.
        category: what the doctor finds; "" where nobody has read it.
    """

    accession: str
    patient: int
    truth: tuple[str, ...]
    until: str
    age: timedelta
    site: str = NORTH
    doctor: str = "doctor"
    category: str = ""
    turnaround: timedelta = timedelta(hours=3)
    clinical: str = "Screening, no complaints."
    indicators: tuple[str, ...] = ("transformation-zone",)
    comment: str = ""
    blind: bool = False
    assigned: bool = False

    def reached(self, stage: str) -> bool:
        """Tell whether a stage happened."""
        return STAGES.index(stage) <= STAGES.index(self.until)


def patient_of(story: Story) -> Identity:
    """Return who the patient of a story is."""
    number = story.patient
    return Identity(
        number=f"{story.site[0]}-{1000 + number}",
        family_name=_FAMILY[number % len(_FAMILY)],
        given_name=_GIVEN[(3 * number) % len(_GIVEN)],
        birth_date=date(1952 + (number * 7) % 48, 1 + number % 12, 1 + (number * 5) % 28),
        sex="female",
    )


def _hours(count: float) -> timedelta:
    return timedelta(hours=count)


def _mostly(clear: int, *others: str) -> tuple[str, ...]:
    return ("NILM",) * clear + others


def present() -> list[Story]:
    """Return what is on the doctors' desks."""
    return [
        Story(
            "D-2001", 0, _mostly(8), "signed", _hours(72), category="NILM",
            turnaround=_hours(20),
        ),
        Story(
            "D-2002", 1, _mostly(5, "HSIL", "HSIL", "LSIL"), "amended", _hours(96), category="HSIL",
            turnaround=_hours(5), clinical="HPV 16 positive. Last smear: ASC-US.",
            comment="Colposcopy is advised.",
        ),
        Story(
            "D-2003", 2, _mostly(6, "LSIL", "LSIL"), "read", _hours(30), category="LSIL",
            turnaround=_hours(24), clinical="Post-coital bleeding.", comment="Koilocytes.",
        ),
        Story(
            "D-2004", 3, _mostly(8), "read", _hours(26), category="NILM", site=SOUTH,
            doctor="doctor3", turnaround=_hours(22), indicators=("no-transformation-zone",),
        ),
        Story(
            "D-2005", 4, _mostly(5, "SCC", "SCC", "HSIL"), "analysed", _hours(23),
            clinical="Age 58, irregular bleeding for two months.", assigned=True,
        ),
        Story("D-2006", 5, _mostly(7, "LSIL"), "analysed", _hours(20)),
        Story("D-2007", 6, _mostly(10), "analysed", _hours(9), indicators=("inflammation",)),
        Story("D-2013", 12, _mostly(6, BLURRED), "analysed", _hours(8)),
        Story(
            "D-2008", 7, _mostly(6, "HSIL"), "analysed", _hours(7), blind=True,
            clinical="Control after conisation.",
        ),
        Story("D-2009", 8, _mostly(6), "analysed", _hours(5), blind=True, site=SOUTH,
              doctor="doctor2"),
        Story("D-2010", 9, _mostly(4, "LSIL", "HSIL"), "analysed", _hours(4), site=SOUTH,
              doctor="doctor2", indicators=("blood", "transformation-zone")),
        Story("D-2011", 10, _mostly(8, "HSIL"), "uploaded", _hours(0.7)),
        Story("D-2012", 11, (), "received", _hours(0.25), indicators=()),
    ]  # fmt: skip


def past() -> list[Story]:
    """Return the signed cases of the weeks before, the oldest first."""
    draw = rng(0, "demonstration", "past")
    ages = sorted(draw.uniform(4.5, 7 * WEEKS, HISTORY), reverse=True)
    stories = []
    for number, age in enumerate(ages):
        worst = str(draw.choice(["NILM", "LSIL", "HSIL", "SCC"], p=[0.6, 0.2, 0.13, 0.07]))
        count = int(draw.integers(3, 6))
        others = [BLURRED] * (number % 6 == 0) if worst == "NILM" else [worst, worst]
        truth = _mostly(count, *others)
        south = bool(draw.random() < 0.35)
        stories.append(
            Story(
                accession=f"D-{1001 + number}",
                patient=number % 34 + 13,
                truth=truth,
                until="signed",
                age=timedelta(days=float(age)),
                site=SOUTH if south else NORTH,
                doctor=str(draw.choice(_AT[SOUTH if south else NORTH], p=[0.7, 0.3])),
                category=_found(worst, float(draw.random())),
                turnaround=_hours(float(draw.lognormal(2.6, 0.7))),
                blind=bool(draw.random() < 0.2),
            )
        )
    return stories


def _found(worst: str, chance: float) -> str:
    """Return what a doctor calls it, who is not always of one mind with the truth."""
    for category, share in _OTHERWISE[worst]:
        chance -= share
        if chance < 0:
            return category
    return worst
