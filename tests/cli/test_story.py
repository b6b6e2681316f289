"""A story told in its steps, a decision that was made, and both of a journal whose beginning was pruned."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest

from remediator.core.verdicts import Verdict, allow, defer
from remediator.core.views import LineView, StoryView

if TYPE_CHECKING:
    from tests.cli.conftest import Api, Cli, Night

RUN = "inc-8a2cd5n4.1"


def line(story: StoryView, seq: int, at: float, kind: str, *verdicts: Verdict, **fact: object) -> LineView:
    """One more entry of the story."""
    return LineView(
        seq=seq,
        at=story.incident.opened_at + at,
        kind=kind,
        word=kind,
        sentence=f"{kind} of entry {seq}",
        incident=story.incident.incident,
        run=RUN,
        verdicts=verdicts,
        fact={"kind": kind, "incident": story.incident.incident, "run": RUN, **fact},
    )


@pytest.fixture
def story(night: Night) -> StoryView:
    """Two decisions, a step that was tried twice, a dry one, and one that is under way."""
    given = night.story
    one = partial(line, given)
    outcome = {"result": "failed", "sentence": "503 Unavailable"}
    lines = (
        given.lines[0],
        one(1199, 0.0, "run.planned", digest="d1", mode="auto", dry=False),
        one(1200, 1.0, "run.decided", defer("pause", "paused by ana"), answer="defer"),
        one(1201, 60.0, "run.decided", allow("pause", "not paused"), answer="allow"),
        one(1202, 60.0, "step.intent", step=0, attempt=1, action="kumomta.suspend", undo_at=1_790_007_000.0),
        one(1203, 61.0, "step.outcome", step=0, attempt=1, outcome=outcome, seconds=0.41),
        one(1204, 65.0, "step.intent", step=0, attempt=2, action="kumomta.suspend", by="bo"),
        one(
            1205, 66.0, "step.outcome", step=0, attempt=2, outcome={"result": "ok", "sentence": "done"}, simulated=True
        ),
        one(1206, 67.0, "step.intent", step=1, attempt=1, action="prometheus.report"),
    )
    return msgspec.structs.replace(given, lines=lines)


def cut(story: StoryView, first: int) -> StoryView:
    """The same, with everything before entry `first` pruned."""
    kept = tuple(one for one in story.lines if one.seq >= first)
    plans = story.plans if any(one.kind == "run.planned" for one in kept) else ()
    return msgspec.structs.replace(story, lines=kept, plans=plans)


# ── the steps ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_steps_are_shown_one_try_a_line(cli: Cli, api: Api, story: StoryView) -> None:
    api.story("inc-8a2c", story)
    result = cli("remediator log show inc-8a2c --steps")
    assert result.stdout.splitlines() == [
        "14:02:38  step 1/2             kumomta.suspend    failed 0.4s     503 Unavailable  undo 2026-09-21 16:10:00Z",
        "14:02:43  step 1/2, attempt 2  kumomta.suspend    would: ok       done, ordered by bo",
        "14:02:45  step 2/2             prometheus.report  no outcome yet",
    ]
    assert "pruned" not in result.stderr


def test_steps_as_json_are_a_list_of_tries(cli: Cli, api: Api, story: StoryView) -> None:
    api.story("inc-8a2c", story)
    told = json.loads(cli("remediator log show inc-8a2c --steps -o json").stdout)
    assert [(one["step"], one["of"], one["attempt"], one.get("result", "")) for one in told] == [
        (1, 2, 1, "failed"),
        (1, 2, 2, "ok"),
        (2, 2, 1, ""),
    ]


def test_a_try_whose_announcement_was_pruned_is_shown_by_its_outcome(cli: Cli, api: Api, story: StoryView) -> None:
    api.story("inc-8a2c", cut(story, 1203))
    result = cli("remediator log show inc-8a2c --steps")
    assert result.stdout.splitlines()[0] == (
        "14:02:39  step 1                                failed 0.4s     503 Unavailable"
    )
    assert "the beginning of this incident was pruned" in result.stderr


def test_two_runs_are_told_apart(cli: Cli, api: Api, story: StoryView) -> None:
    second = msgspec.structs.replace(story.lines[4], run="inc-8a2cd5n4.2")
    api.story("inc-8a2c", msgspec.structs.replace(story, lines=(*story.lines, second)))
    lines = cli("remediator log show inc-8a2c --steps").stdout.splitlines()
    assert [one.split()[1] for one in lines] == [RUN, RUN, RUN, "inc-8a2cd5n4.2"]


def test_steps_and_raw_are_two_ways_to_show_the_same(cli: Cli, api: Api) -> None:
    assert cli("remediator log show inc-8a2c --steps --raw").exit_code == 2
    assert api.requests == []


def test_a_story_without_its_beginning_says_so(cli: Cli, api: Api, story: StoryView) -> None:
    api.story("inc-8a2c", cut(story, 1201))
    result = cli("remediator log show inc-8a2c")
    assert result.exit_code == 0
    assert "run.decided of entry 1201" in result.stdout
    assert "the beginning of this incident was pruned from the journal" in result.stderr


# ── what was decided ─────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_last_decision_is_explained_as_it_was_made(cli: Cli, api: Api, story: StoryView) -> None:
    api.story("inc-8a2c", story)
    result = cli("remediator explain --incident inc-8a2c")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == f"{RUN} as decided 2026-09-21 14:02:38Z, entry 1201"
    assert "WOULD RUN" in result.stdout
    assert "✓ pause  not paused" in result.stdout
    assert "kumomta.suspend" in result.stdout
    assert api.asked("POST") == [], "nothing is asked anew"


@pytest.mark.parametrize(
    ("at", "code", "says"),
    [
        ("2026-09-21T14:02:30Z", 1, "paused by ana"),
        ("2026-09-21T16:02:30+02:00", 1, "paused by ana"),
        ("2026-09-21 14:02:38", 0, "not paused"),
        ("2026-09-21T14:01:38Z", 1, "planned, and not decided on yet"),
        ("2026-09-21T14:01:37Z", 1, "nothing was on record yet"),
    ],
)
def test_a_decision_of_any_time_is_explained(
    at: str, code: int, says: str, cli: Cli, api: Api, story: StoryView
) -> None:
    api.story("inc-8a2c", story)
    result = cli(f"remediator explain --incident inc-8a2c --at '{at}'")
    assert (result.exit_code, says in result.stdout) == (code, True), result.stdout
    told = json.loads(cli(f"remediator explain --incident inc-8a2c --at '{at}' -o json").stdout)
    assert (told[0]["would"] in {"run", "ask"}) is (code == 0)


def test_a_decision_whose_plan_was_pruned_is_explained_without_it(cli: Cli, api: Api, story: StoryView) -> None:
    api.story("inc-8a2c", cut(story, 1200))
    result = cli("remediator explain --incident inc-8a2c")
    assert result.exit_code == 0
    assert "not paused" in result.stdout
    assert "plan" not in result.stdout
    assert "pruned" in result.stderr
    api.story("inc-8a2c", cut(story, 1202))
    result = cli("remediator explain --incident inc-8a2c")
    assert result.exit_code == 1
    assert "the beginning of this incident was pruned" in result.stdout


def test_an_incident_that_was_never_planned_says_so(cli: Cli, api: Api, story: StoryView) -> None:
    api.story("inc-8a2c", msgspec.structs.replace(story, lines=story.lines[:1], plans=()))
    result = cli("remediator explain --incident inc-8a2c")
    assert (result.exit_code, "no run was planned" in result.stdout) == (1, True)
    assert "no decision on record" in result.stdout


def test_now_asks_what_the_rules_say_to_its_alert_today(cli: Cli, api: Api, story: StoryView) -> None:
    api.story("inc-8a2c", story)
    assert cli("remediator explain --incident inc-8a2c --now").exit_code == 0
    assert api.asked("POST") == [("/api/v1/explain", {"labels": dict(story.incident.labels)})]


@pytest.mark.parametrize(
    "options",
    [
        "--at 2026-09-21T14:02:30Z --alert alertname=X",
        "--now --alert alertname=X",
        "--incident inc-8a2c --alert alertname=X",
        "--incident inc-8a2c payload.json",
        "--incident inc-8a2c --now --at 2026-09-21T14:02:30Z",
        "--incident inc-8a2c --at yesterday",
    ],
)
def test_what_does_not_go_together_is_a_usage_error(options: str, cli: Cli, api: Api) -> None:
    assert cli(f"remediator explain {options}").exit_code == 2
    assert api.requests == []


# ── an export to be shown outside ────────────────────────────────────────────────────────────────────────────────────
def test_a_redacted_export_names_nobody_and_still_shows_what_belongs_together(cli: Cli, api: Api, night: Night) -> None:
    secret = {
        "kind": "incident.opened", "incident": "inc-8a2c", "rule": "high-bounce-rate", "by": "ana",
        "target": {"domain": "customer.example", "action": "customer.example"},
        "labels": {"alertname": "HighBounceRate", "domain": "customer.example", "count": 7},
        "verdicts": [{"guard": "pause", "sentence": "paused by ana", "answer": 3}], "seconds": 1.5, "dry": False,
    }  # fmt: skip
    hidden = msgspec.structs.replace(night.story.lines[0], seq=1, sentence="opened for customer.example", fact=secret)

    def entries(request: httpx.Request) -> httpx.Response:
        found = [hidden] if request.url.params["after"] == "0" else []
        plain = json.loads(msgspec.json.encode({"entries": found, "head": 1}))
        return httpx.Response(200, json={"status": "success", "data": plain})

    api.answer("GET", "/api/v1/entries", entries)
    api.status(msgspec.structs.replace(night.status, entries=1))
    text = cli("remediator log export --redact").stdout
    assert "customer" not in text
    assert "ana" not in text
    told = json.loads(text)
    data = told["data"]
    assert (told["type"], data["rule"], data["labels"]["alertname"]) == (
        "incident.opened",
        "high-bounce-rate",
        "HighBounceRate",
    )
    assert data["target"]["domain"] == data["target"]["action"] == data["labels"]["domain"]
    assert data["target"]["domain"].startswith("~")
    assert (data["seconds"], data["dry"], data["labels"]["count"]) == (1.5, False, 0)
    assert data["verdicts"][0]["guard"] == "pause"
    again = json.loads(cli("remediator log export --redact").stdout)
    assert again["data"]["target"] != data["target"], "tokens of two exports cannot be compared"
    assert "customer" not in cli("remediator log export --redact --format csv").stdout


def test_an_export_of_a_pruned_journal_counts_what_is_there(cli: Cli, api: Api) -> None:
    result = cli("remediator log export")
    assert "7 of 7 entries; entries 1 to 1197 were pruned" in result.stderr
