"""A process that uploads files one at a time and says which were acknowledged; killed by a test.

Reads its settings, the doctor's id and sites, the case and the files as JSON from standard input;
prints the id of each image when `take` has returned.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cytolens.clinic.actor import Actor
from cytolens.clinic.inference.uploads import take
from cytolens.clinic.installation import open_installation
from cytolens.clinic.rights import Role
from cytolens.clinic.settings import Settings


def main() -> None:
    given = json.load(sys.stdin)
    clinic = open_installation(Settings(Path(given["data"]), given["database_url"]))
    doctor = Actor(given["user"], "doctor", Role.DOCTOR, frozenset(given["sites"]))
    for part in given["parts"]:
        files = [(Path(file).name, Path(file)) for file in part]
        taken = take(clinic, doctor, given["case"], files)
        sys.stdout.write(json.dumps(taken.added) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
