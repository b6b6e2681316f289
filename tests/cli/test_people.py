"""What people order: shown first, asked about, sent with their name, and never sent without a yes."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import msgspec
import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Api, Cli, Night


def test_a_yes_carries_the_digest_that_was_shown_the_person_and_the_reason(cli: Cli, api: Api, night: Night) -> None:
    result = cli("remediator approve inc-7f3k -m agreed", typed="y\n")
    digest = night.plan.digest
    assert result.exit_code == 0
    assert f"digest  {digest}" in result.stdout
    assert api.asked("POST") == [
        ("/api/v1/incidents/inc-7f3kq2m8.1/approve", {"digest": digest, "by": "ana", "reason": "agreed"})
    ]


def test_a_release_says_what_it_ended_and_what_is_still_waited_for(cli: Cli, api: Api) -> None:
    result = cli("remediator release -m 'an old copy, checked'")
    assert result.stdout == (
        "released safe mode\neffects begin when the longest limiter window has passed; remediator status says when\n"
    )
    assert cli("remediator release --reason checked --now").stdout == "released safe mode\n"
    assert api.asked("POST") == [
        ("/api/v1/release", {"reason": "an old copy, checked", "by": "ana", "patience": "window"}),
        ("/api/v1/release", {"reason": "checked", "by": "ana", "patience": "none"}),
    ]
    assert cli("remediator release --reason ' '").exit_code == 2
    api.give("POST", "/api/v1/release", {"released": ["clock"]})
    assert cli("remediator release --reason 'chrony set it right'").stdout == "released the hold of the clock\n"


@pytest.mark.parametrize("verb", ["approve", "reject"])
@pytest.mark.parametrize("typed", ["n\n", "\n", "nonsense\nn\n"])
def test_anything_but_a_yes_sends_nothing_and_exits_1(verb: str, typed: str, cli: Cli, api: Api) -> None:
    result = cli(f"remediator {verb} inc-7f3k", typed=typed)
    assert result.exit_code == 1
    assert "nothing was" in result.stderr
    assert api.asked("POST") == []


@pytest.mark.parametrize("verb", ["approve inc-7f3k", "reject inc-7f3k", "undo inc-6c01"])
def test_without_a_terminal_only_yes_lets_it_through(verb: str, cli: Cli, api: Api) -> None:
    result = cli(f"remediator {verb}", piped="y\n")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert api.asked("POST") == []
    assert cli(f"remediator {verb} --yes").exit_code == 0


def test_the_question_is_no_part_of_the_answer(cli: Cli, api: Api) -> None:
    result = cli("remediator approve inc-7f3k", typed="y\n")
    assert "Approve this plan" in result.stderr
    assert result.stdout.splitlines()[-1].startswith("approved ")
    assert len(api.asked("POST")) == 1


def test_a_plan_that_changed_meanwhile_is_not_approved(cli: Cli, api: Api) -> None:
    api.refuse("POST", "/api/v1/incidents/inc-7f3kq2m8.1/approve", 409, "plan 1 is not what waits; look again")
    result = cli("remediator approve inc-7f3k --yes")
    assert result.exit_code == 1
    assert "is not what waits" in result.stderr
    assert "approved" not in result.stdout


def test_the_second_person_is_told_who_was_first(cli: Cli, api: Api, night: Night) -> None:
    api.story("inc-8a2c", night.decided("approval.given", "given by bo: agreed"))
    result = cli("remediator approve inc-8a2c --yes")
    assert (result.exit_code, result.stdout) == (0, "inc-8a2cd5n4 was approved already: given by bo: agreed\n")
    late = cli("remediator reject inc-8a2c --yes")
    assert late.exit_code == 1
    assert "does not wait for approval: it is recovered (approval given by bo: agreed)" in late.stderr
    assert api.asked("POST") == []


def test_two_that_fit_are_both_named(cli: Cli, api: Api, night: Night) -> None:
    first = night.status.needs_you[0]
    second = msgspec.structs.replace(first, incident="inc-7f3zzzzz", run="inc-7f3zzzzz.1")
    api.status(msgspec.structs.replace(night.status, needs_you=(first, second)))
    result = cli("remediator approve inc-7f3 --yes")
    assert result.exit_code == 1
    assert "fits inc-7f3kq2m8.1, inc-7f3zzzzz.1" in result.stderr
    assert cli("remediator approve inc-7f3z --yes").exit_code == 0
    assert api.asked("POST")[0][0] == "/api/v1/incidents/inc-7f3zzzzz.1/approve"


def test_a_parked_run_is_not_approved_but_decided(cli: Cli, api: Api, night: Night) -> None:
    parked = msgspec.structs.replace(night.status.needs_you[0], status="needs_person")
    api.status(msgspec.structs.replace(night.status, needs_you=(parked,)))
    assert cli("remediator approve inc-7f3k --yes").exit_code == 1
    assert cli("remediator decide inc-7f3k mark_done -m looked").exit_code == 0
    body = {"decision": "mark_done", "by": "ana", "reason": "looked"}
    assert api.asked("POST") == [("/api/v1/incidents/inc-7f3k/decide", body)]


@pytest.mark.parametrize("line", ["decide inc-7f3k mark_done", "run playbook", "decide inc-7f3k sing -m why"])
def test_an_order_without_a_reason_or_of_another_kind_is_a_usage_error(line: str, cli: Cli, api: Api) -> None:
    assert cli(f"remediator {line}").exit_code == 2
    assert api.asked("POST") == []


@pytest.mark.parametrize(
    ("environment", "option", "by"),
    [
        ({"USER": "ana"}, "", "ana"),
        ({"USER": "root", "SUDO_USER": "ana"}, "", "ana"),
        ({"USER": "ana", "REMEDIATOR_BY": "on-call"}, "", "on-call"),
        ({"USER": "ana"}, "--by bo", "bo"),
        ({"USER": "", "LOGNAME": ""}, "", getpass.getuser()),
    ],
)
def test_an_order_carries_the_name_of_a_person(
    environment: dict[str, str], option: str, by: str, cli: Cli, api: Api
) -> None:
    assert cli(f"remediator reject inc-7f3k --yes {option}", env=environment).exit_code == 0
    assert api.asked("POST")[0][1]["by"] == by


def test_a_step_is_counted_from_one_here_and_from_zero_on_the_wire(cli: Cli, api: Api) -> None:
    assert cli("remediator undo inc-6c01 --step 1 --yes").exit_code == 0
    assert api.asked("POST") == [("/api/v1/incidents/inc-8a2cd5n4/undo", {"by": "ana", "step": 0})]


def test_a_step_that_left_nothing_behind_is_said_before_anything_is_sent(cli: Cli, api: Api) -> None:
    result = cli("remediator undo inc-6c01 --step 2 --yes")
    assert result.exit_code == 1
    assert "step 2 of inc-8a2cd5n4 left nothing behind" in result.stderr
    assert api.asked("POST") == []


def test_a_no_to_undo_takes_nothing_back(cli: Cli, api: Api) -> None:
    result = cli("remediator undo inc-6c01", typed="n\n")
    assert (result.exit_code, api.asked("POST")) == (1, [])


def test_a_run_by_hand_sends_its_parameters_and_prints_only_the_id(cli: Cli, api: Api) -> None:
    result = cli("remediator run play -p domain=a.example -p note=x=y -m why")
    assert result.stdout == "inc-9z9z9z9z\n"
    params = {"domain": "a.example", "note": "x=y"}
    assert api.asked("POST") == [("/api/v1/run", {"playbook": "play", "params": params, "by": "ana", "reason": "why"})]


@pytest.mark.parametrize("wrong", ["-p domain", "-p =x", "-p a=1 -p a=2"])
def test_a_parameter_that_is_none_or_twice_is_a_usage_error(wrong: str, cli: Cli, api: Api) -> None:
    assert cli(f"remediator run play {wrong} -m why").exit_code == 2
    assert api.asked("POST") == []
