"""What each command prints, to the letter: `tests/golden/cli/*.txt` hold a command line, its stdout and its exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Api, Cli

GOLDEN = sorted((Path(__file__).resolve().parent.parent / "golden" / "cli").glob("*.txt"))


def test_there_is_something_to_compare() -> None:
    assert len(GOLDEN) >= 15


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_command_prints_what_is_written_down(path: Path, cli: Cli, api: Api) -> None:
    command, _, expected = path.read_text(encoding="utf-8").partition("\n")
    api.world(path.stem)
    result = cli(command.removeprefix("$ "))
    assert f"{result.stdout}exit {result.exit_code}\n" == expected
    assert all(line.isprintable() for line in result.stdout.split("\n"))


@pytest.mark.parametrize(
    "path", [path for path in GOLDEN if path.stem.startswith("status")], ids=lambda path: path.stem
)
def test_the_status_fits_on_a_small_terminal(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("status -o json", "mode", "auto"),
        ("log show inc-8a2c -o json", "incident", "inc-8a2cd5n4"),
    ],
)
def test_json_is_the_answer_of_the_service_itself(line: str, key: str, value: str, cli: Cli, api: Api) -> None:
    result = cli(f"remediator {line}")
    told = json.loads(result.stdout)
    assert told == json.loads(api.given(line))
    found = told[key]
    assert (found["incident"] if isinstance(found, dict) else found) == value
    assert result.exit_code == cli(f"remediator {line.removesuffix(' -o json')}").exit_code
