"""Every command explains itself, and every example in its help is carried out here; mistyped words find their way."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from click.shell_completion import BashComplete

from remediator.cli.progress import progress
from remediator.cli.root import COMMANDS, root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import respx

    from tests.cli.conftest import Api, Cli

# These start processes or read what other rooms provide; they have tests of their own.
ELSEWHERE = (
    "serve", "exporter", "docker-proxy", "demo", "check", "test", "doctor", "log verify", "log export --storage.path",
)  # fmt: skip


def _commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(root)
    yield "", root
    for name in COMMANDS:
        command = root.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", one) for inner, one in command.commands.items())


def _examples() -> list[str]:
    return [
        line.strip()
        for _, command in _commands()
        for line in (command.epilog or "").splitlines()
        if line.strip().startswith("remediator ")
    ]


@pytest.mark.parametrize(
    ("name", "command"), list(_commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_has_help_with_an_example(name: str, command: click.Command, cli: Cli) -> None:
    assert "\b\nExamples:\n" in (command.epilog or "")
    result = cli(f"remediator {name} -h")
    assert result.exit_code == 0
    assert f"remediator {name}".strip() in result.stdout
    assert command.help
    for parameter in command.params:
        assert not isinstance(parameter, click.Option) or parameter.help, f"{name}: {parameter.name}"


def test_every_command_says_in_one_line_what_it_does(cli: Cli) -> None:
    assert "..." not in cli("remediator -h").stdout.replace("[ARGS]...", "")
    assert "..." not in cli("remediator log -h").stdout.replace("[ARGS]...", "")


@pytest.mark.parametrize(
    "line", [line for line in _examples() if not line.removeprefix("remediator ").startswith(ELSEWHERE)]
)
def test_every_example_does_what_its_help_says(line: str, cli: Cli, api: Api, tmp_path: Path) -> None:
    (tmp_path / "payload.json").write_text(json.dumps({"alerts": [{"labels": {"alertname": "HighBounceRate"}}]}))
    result = cli(line)
    # status says by exit code 1 that something needs a person.
    assert result.exit_code == (1 if line.startswith("remediator status") else 0), result.stderr
    assert result.stdout or "-q" in line
    assert api.router is not None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("statsu", "status"), ("aprove x", "approve"), ("explian", "explain"), ("lint", "check"), ("plan", "explain"),
        ("log shwo x", "show"), ("log verfy", "verify"),
    ],
)  # fmt: skip
def test_a_mistyped_command_names_the_one_that_was_meant(typed: str, meant: str, cli: Cli) -> None:
    result = cli(f"remediator {typed}")
    assert result.exit_code == 2
    assert f"did you mean '{meant}'?" in result.stderr
    assert result.stdout == ""


def test_a_word_that_resembles_nothing_lists_the_commands(cli: Cli) -> None:
    result = cli("remediator '\x1b[2Jxyzzy'")
    assert result.exit_code == 2
    assert "There is no command 'xyzzy'; expected one of status, log, explain" in result.stderr


@pytest.mark.parametrize(
    ("typed", "meant"), [("status --ulr x", "--url"), ("pause x --fro 2h", "--for"), ("log list --sinc 2h", "--since")]
)
def test_a_mistyped_option_names_the_one_that_was_meant(typed: str, meant: str, cli: Cli) -> None:
    result = cli(f"remediator {typed}")
    assert result.exit_code == 2
    assert meant in result.stderr


def test_log_alone_is_log_list_with_its_options(cli: Cli, api: Api) -> None:
    assert cli("remediator log").stdout == cli("remediator log list").stdout
    assert cli("remediator log -q").stdout == "inc-8a2cd5n4\n"
    assert len(api.requests) == 3


@pytest.mark.parametrize(
    ("line", "no_color", "coloured"),
    [
        ("status", "", True),
        ("status", "1", False),
        ("--color always status", "1", True),
        ("--color never status", "", False),
    ],
)
def test_colours_are_for_terminals_and_no_color_is_honoured(
    line: str, no_color: str, coloured: bool, cli: Cli, api: Api
) -> None:
    result = cli(f"remediator {line}", env={"NO_COLOR": no_color}, color=True)
    assert ("\x1b[" in result.stdout) is coloured
    assert api.requests


def test_a_pipe_gets_no_colours(cli: Cli, api: Api) -> None:
    assert "\x1b[" not in cli("remediator status").stdout
    assert "\x1b[" in cli("remediator --color always status").stdout
    assert api.requests


def test_short_commands_import_nothing_heavy() -> None:
    heavy = {"pydantic", "uvicorn", "starlette", "yaml", "redis", "prometheus_client", "remediator.engine"}
    script = (
        "import sys; from remediator.cli.root import root\n"
        "for name in ('status', 'log', 'pause', 'approve', 'undo', 'explain'): root.get_command(None, name)\n"
        f"print(sorted(set(sys.modules) & {heavy!r}))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def _completed(words: list[str], incomplete: str) -> list[str]:
    shell = BashComplete(root, {}, "remediator", "_REMEDIATOR_COMPLETE")
    return [item.value for item in shell.get_completions(words, incomplete)]


@pytest.mark.parametrize("words", [["log", "show"], ["approve"], ["undo"], ["decide"]])
def test_a_shell_completes_the_ids_of_incidents(words: list[str], api: Api) -> None:
    assert _completed(words, "inc-8") == ["inc-8a2cd5n4"]
    assert _completed(words, "inc-9") == []
    assert len(api.requests) == 2


def test_a_shell_that_completes_is_not_bothered_with_errors(nobody: respx.MockRouter) -> None:
    assert _completed(["log", "show"], "inc-") == []
    assert nobody.calls


class Screen(io.StringIO):
    """An error stream on which a person looks."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_long_work_shows_its_progress_to_a_person_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("checking", 10) as show:
        show(5)
    assert capsys.readouterr().err == ""
    screen = Screen()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    with progress("checking", 10) as show:
        show(10)
    assert "checking" in screen.getvalue()
    assert "10/10" in screen.getvalue()
