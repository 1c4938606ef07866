"""The page about the interface is true: its calls, in their order, do what it says."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from tests.clinic.machines import V1, make_findings, picture

from cytolens.clinic.installation import Installation

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "clinic-api.md"
Machine = Callable[..., TestClient]


def _commands() -> list[list[str]]:
    fences = re.findall(r"^```console[^\n]*\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    lines = [line[2:] for fence in fences for line in fence.splitlines() if line.startswith("$ ")]
    return [shlex.split(line)[1:] for line in lines if line.startswith("curl ")]


def _call(program: TestClient, words: list[str], signature: str) -> httpx.Response:
    """Send what a line of curl sends."""
    files, content, method, address = [], None, "GET", ""
    rest = iter(words)
    for word in rest:
        if word == "-H":
            assert next(rest) == "@token"  # the client has it
        elif word == "-F":
            field, _, name = next(rest).partition("=@")
            files.append((field, (name, picture(len(name)))))
            method = "POST"
        elif word == "--json":
            text = next(rest)
            content, method = signature if text == "@signature.json" else text, "POST"
        elif word == "-X":
            method = next(rest)
        elif word == "-o":
            next(rest)
        else:
            address = word.removeprefix("$CLINIC")
    headers = {"Content-Type": "application/json"} if content else {}
    return program.request(method, address, files=files or None, content=content, headers=headers)


@pytest.mark.usefixtures("active_bundle")
def test_the_calls_of_the_page_work(
    clinic: Installation, machine: Machine, with_passwords: str
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    [signature] = re.findall(r"^```json\n(.*\"password\".*)\n```$", text, re.M)
    assert json.loads(signature)["password"] == with_passwords
    program, commands = machine("doctor"), _commands()
    assert len(commands) > 10
    for words in commands:
        response = _call(program, words, signature)
        assert response.status_code in (200, 201), f"{shlex.join(words)}: {response.text}"
        if "-F" in words:
            make_findings(clinic)
    assert program.get(f"{V1}/cases/1").json()["status"] == "final"
    stale = program.post(f"{V1}/cases/1/amend", json=json.loads(signature) | {"reason": "x"})
    [example] = re.findall(r"^```json\n(\{\n.*?\n\})\n```$", text, re.M | re.S)
    assert stale.json() == json.loads(example)
