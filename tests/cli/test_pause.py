"""The kill switch, with a service and without one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from remediator.system import SystemClock

if TYPE_CHECKING:
    from pathlib import Path

    import respx

    from tests.cli.conftest import Api, Cli


def test_a_pause_is_told_to_the_service_with_reason_person_and_end(cli: Cli, api: Api) -> None:
    assert cli("remediator pause 'db migration' --for 1h30m").exit_code == 0
    assert api.asked("POST") == [
        ("/api/v1/pause", {"scope": "all", "reason": "db migration", "by": "ana", "seconds": 5400.0})
    ]


def test_a_pause_of_one_rule_without_an_end_says_so(cli: Cli, api: Api, tmp_path: Path) -> None:
    result = cli("remediator pause why --rule high-bounce-rate")
    assert result.stdout == "paused rule high-bounce-rate until somebody resumes: why\n"
    assert api.asked("POST") == [("/api/v1/pause", {"scope": "rule:high-bounce-rate", "reason": "why", "by": "ana"})]
    assert not list(tmp_path.iterdir())


def test_a_pause_without_a_reason_is_a_usage_error(cli: Cli, api: Api) -> None:
    assert cli("remediator pause").exit_code == 2
    result = cli("remediator pause ' '")
    assert result.exit_code == 2
    assert "needs a reason" in result.stderr
    assert api.asked("POST") == []


def test_a_length_of_time_in_words_is_answered_with_the_right_spelling(cli: Cli, api: Api) -> None:
    result = cli("remediator pause why --for '30 min'")
    assert result.exit_code == 2
    assert "write 30m" in result.stderr
    assert api.asked("POST") == []


def test_with_nobody_to_tell_the_file_is_written_and_that_is_said(
    cli: Cli, nobody: respx.MockRouter, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    before = SystemClock().now()
    result = cli("remediator pause 'db migration' --for 2h")
    told = json.loads((tmp_path / "data" / "PAUSED").read_text())
    assert result.exit_code == 0
    assert "wrote data/PAUSED" in result.stdout
    assert "no remediator answers" in result.stderr
    assert (told["reason"], told["by"]) == ("db migration", "ana")
    assert before + 7200 <= told["until"] <= SystemClock().now() + 7200
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["PAUSED"]
    assert nobody.calls


def test_a_journal_that_cannot_be_written_is_a_case_for_the_file_too(cli: Cli, api: Api, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    api.refuse("POST", "/api/v1/pause", 503, "the journal cannot be written")
    assert cli("remediator pause why").exit_code == 0
    assert (tmp_path / "data" / "PAUSED").exists()


def test_a_refusal_of_the_service_writes_no_file(cli: Cli, api: Api, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    api.refuse("POST", "/api/v1/pause", 404, "there is no rule 'x'")
    assert cli("remediator pause why --rule x").exit_code == 1
    assert not list((tmp_path / "data").iterdir())


def test_a_file_cannot_pause_one_rule(cli: Cli, nobody: respx.MockRouter, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    result = cli("remediator pause why --rule high-bounce-rate")
    assert result.exit_code == 4
    assert "leave out --rule" in result.stderr
    assert not list((tmp_path / "data").iterdir())
    assert nobody.calls


def test_a_missing_state_directory_is_not_made_up(cli: Cli, nobody: respx.MockRouter, tmp_path: Path) -> None:
    result = cli("remediator pause why")
    assert result.exit_code == 4
    assert "--storage.path" in result.stderr
    assert not list(tmp_path.iterdir())
    assert nobody.calls


def test_a_service_elsewhere_is_not_paused_by_a_file_here(cli: Cli, nobody: respx.MockRouter, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    result = cli("remediator pause why --url http://10.0.0.1:9097")
    assert result.exit_code == 4
    assert "on its own host" in result.stderr
    assert not list((tmp_path / "data").iterdir())
    assert cli("remediator pause why --url http://10.0.0.1:9097 --storage.path data").exit_code == 0
    assert (tmp_path / "data" / "PAUSED").exists()
    assert nobody.calls


def test_resume_removes_the_file_when_nobody_answers(cli: Cli, nobody: respx.MockRouter, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    cli("remediator pause why")
    result = cli("remediator resume")
    assert result.exit_code == 0
    assert "removed data/PAUSED" in result.stdout
    assert not list((tmp_path / "data").iterdir())
    assert cli("remediator resume").exit_code == 4
    assert nobody.calls


def test_resume_removes_a_file_that_would_pause_the_service_again(cli: Cli, api: Api, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PAUSED").touch()
    assert cli("remediator resume").stdout == "resumed, and removed data/PAUSED\n"
    assert not list((tmp_path / "data").iterdir())
    assert api.asked("POST") == [("/api/v1/resume", {"scope": "all", "by": "ana"})]


def test_a_service_that_has_already_seen_the_file_go_is_no_failure(cli: Cli, api: Api, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PAUSED").touch()
    api.refuse("POST", "/api/v1/resume", 409, "all is not paused")
    assert cli("remediator resume").exit_code == 0
    assert cli("remediator resume").exit_code == 1


@pytest.mark.parametrize("line", ["resume --rule x", "resume --url http://10.0.0.1:9097"])
def test_resuming_a_rule_or_another_host_leaves_the_file(line: str, cli: Cli, api: Api, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PAUSED").touch()
    assert cli(f"remediator {line}").exit_code == 0
    assert len(api.asked("POST")) == 1
    assert (tmp_path / "data" / "PAUSED").exists()
