"""Whether the service is reached, and what is said when it is not: exit 4 and a sentence that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
import respx

from remediator.cli.client import is_local

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Api, Cli

READING = [
    "remediator status",
    "remediator log",
    "remediator log show inc-8a2c",
    "remediator log tail",
    "remediator log export",
    "remediator explain --alert alertname=X",
    "remediator approve inc-7f3k --yes",
    "remediator reject inc-7f3k --yes",
    "remediator decide inc-7f3k abort -m why",
    "remediator undo inc-7f3k --yes",
    "remediator run playbook -m why",
    "remediator pause why",
    "remediator resume",
    "remediator release -m why",
    "remediator restore rule -m why",
]


@pytest.mark.parametrize("line", READING)
def test_nobody_answering_is_exit_4_with_what_to_do_and_an_empty_stdout(
    line: str, cli: Cli, nobody: respx.MockRouter
) -> None:
    result = cli(line)
    assert result.exit_code == 4
    assert result.stdout == ""
    assert "no remediator answers at http://127.0.0.1:9097" in result.stderr
    assert "remediator serve" in result.stderr
    assert nobody.calls


def test_the_address_comes_from_the_environment_and_the_option_wins(cli: Cli, nobody: respx.MockRouter) -> None:
    assert "at http://one:1 " in cli("remediator status", env={"REMEDIATOR_URL": "http://one:1"}).stderr
    assert (
        "at http://two:2 " in cli("remediator status --url http://two:2/", env={"REMEDIATOR_URL": "http://one"}).stderr
    )
    assert nobody.calls


def test_an_address_that_is_none_is_unreachable_too(cli: Cli) -> None:
    result = cli("remediator status --url nonsense")
    assert result.exit_code == 4
    assert "--url" in result.stderr


def test_a_slow_service_is_told_apart_from_none(cli: Cli, api: Api) -> None:
    api.fail("GET", "/api/v1/status", httpx.ReadTimeout("too slow"))
    result = cli("remediator status --timeout 3s")
    assert result.exit_code == 4
    assert "did not answer within 3s" in result.stderr


def test_the_timeout_is_the_one_that_was_given(cli: Cli, api: Api) -> None:
    cli("remediator status --timeout 3s")
    assert api.router.calls[0].request.extensions["timeout"]["read"] == 3.0


def test_something_else_on_that_port_is_unreachable_and_named(cli: Cli, api: Api) -> None:
    api.answer("GET", "/api/v1/status", httpx.Response(200, text="<html>It works!</html>"))
    result = cli("remediator status")
    assert result.exit_code == 4
    assert "but not as remediator does; check --url" in result.stderr


def test_an_answer_of_another_version_names_the_versions(cli: Cli, api: Api) -> None:
    api.answer("GET", "/api/v1/status", httpx.Response(200, json={"status": "success", "data": {"mode": 7}}))
    result = cli("remediator status")
    assert result.exit_code == 4
    assert "remediator --version" in result.stderr


def test_fields_that_a_newer_service_adds_are_ignored(cli: Cli, api: Api) -> None:
    told = api.calm_status()
    told["a_field_of_later"] = {"x": 1}
    api.answer("GET", "/api/v1/status", httpx.Response(200, json={"status": "success", "data": told, "later": 1}))
    assert cli("remediator status").exit_code == 0


def test_the_token_is_read_from_its_file_and_sent_as_bearer(cli: Cli, api: Api, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    cli("remediator status --token-file token")
    assert api.router.calls[0].request.headers["authorization"] == "Bearer s3cret"
    cli("remediator status", env={"REMEDIATOR_TOKEN_FILE": "token"})
    assert api.router.calls[1].request.headers["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("content", [None, "", "two\nlines", "mit \x1b", "ümläut"])
def test_a_token_file_that_holds_no_token_is_a_usage_error(
    content: str | None, cli: Cli, api: Api, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    result = cli("remediator status --token-file token")
    assert result.exit_code == 2
    assert "--token-file token" in result.stderr
    assert not api.router.calls


def test_a_refusal_is_exit_1_with_the_sentence_of_the_service(cli: Cli, api: Api) -> None:
    api.refuse("GET", "/api/v1/incidents/inc-zzzz", 404, "there is no incident inc-zzzz")
    result = cli("remediator log show inc-zzzz")
    assert result.exit_code == 1
    assert result.stderr == "Error: there is no incident inc-zzzz\n"


@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_right_says_how_a_token_is_given(status: int, cli: Cli, api: Api) -> None:
    api.refuse("GET", "/api/v1/status", status, "a token is needed")
    result = cli("remediator status")
    assert result.exit_code == 1
    assert "--token-file or REMEDIATOR_TOKEN_FILE" in result.stderr


def test_a_service_that_cannot_answer_is_unreachable(cli: Cli, api: Api) -> None:
    api.refuse("GET", "/api/v1/status", 503, "the journal cannot be read")
    result = cli("remediator status")
    assert result.exit_code == 4
    assert "answers 503: the journal cannot be read" in result.stderr


def test_a_refusal_cannot_draw_on_the_terminal(cli: Cli, api: Api) -> None:
    api.refuse("GET", "/api/v1/status", 409, "no \x1b[2J\x9b1mway\r\n")
    assert cli("remediator status").stderr == "Error: no way \n"


def test_the_name_of_an_incident_cannot_leave_its_path(cli: Cli, api: Api) -> None:
    cli("remediator log show '../../metrics?x=1#y'")
    assert api.router.calls[0].request.url.raw_path == b"/api/v1/incidents/..%2F..%2Fmetrics%3Fx%3D1%23y"


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:9097", True),
        ("http://localhost:9097", True),
        ("http://[::1]:9097", True),
        ("http://10.0.0.1:9097", False),
        ("https://remediator.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("", False),
    ],
)
def test_which_addresses_are_this_machine(url: str, local: bool) -> None:
    assert is_local(url) is local
