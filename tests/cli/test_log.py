"""The log from the service: pages, filters, the live end, and an export that is whole and harmless."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Api, Cli, Night


def test_filters_reach_the_service_as_it_names_them(cli: Cli, api: Api) -> None:
    cli("remediator log --since 2h --rule r --status closed --result failed --label domain=a.example --label team=mail")
    assert list(api.router.calls[0].request.url.params.multi_items()) == [
        ("since", "7200.0"),
        ("rule", "r"),
        ("status", "closed"),
        ("result", "failed"),
        ("label", "domain=a.example"),
        ("label", "team=mail"),
        ("limit", "100"),
    ]


def test_pages_are_followed_up_to_the_limit_and_the_rest_is_mentioned(cli: Cli, api: Api, night: Night) -> None:
    def page(request: httpx.Request) -> httpx.Response:
        cursor = int(request.url.params.get("cursor", "0"))
        asked = int(request.url.params["limit"])
        lines = [
            msgspec.structs.replace(night.story.incident, incident=f"inc-{cursor + place:04d}")
            for place in range(asked)
        ]
        plain = json.loads(msgspec.json.encode({"incidents": lines, "next": str(cursor + asked)}))
        return httpx.Response(200, json={"status": "success", "data": plain})

    api.answer("GET", "/api/v1/incidents", page)
    result = cli("remediator log -q --limit 700")
    assert result.stdout.split() == [f"inc-{number:04d}" for number in range(700)]
    assert len(api.router.calls) == 2
    assert "more than 700" in result.stderr


def test_no_incidents_are_an_empty_answer_and_a_hint(cli: Cli, api: Api) -> None:
    api.give("GET", "/api/v1/incidents", {"incidents": [], "next": None})
    result = cli("remediator log")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "--since 7d" in result.stderr
    assert cli("remediator log -q").stdout == ""
    assert cli("remediator log -o json").stdout == "[]\n"


def test_a_story_that_crosses_midnight_says_which_day(cli: Cli, api: Api, night: Night) -> None:
    late = msgspec.structs.replace(night.story.lines[-1], at=night.story.lines[-1].at + 86_400)
    api.story("inc-8a2c", msgspec.structs.replace(night.story, lines=(night.story.lines[0], late)))
    lines = cli("remediator log show inc-8a2c").stdout.splitlines()
    assert lines[2] == "── 2026-09-22 UTC"


def test_tail_begins_where_it_is_told_and_waits_at_the_end(cli: Cli, api: Api) -> None:
    result = cli("remediator log tail -n 2 -o json")
    assert [json.loads(line)["seq"] for line in result.stdout.splitlines()] == [1203, 1204]
    waits = [request for request in api.requests if request.url.path == "/api/v1/entries"]
    assert [request.url.params["after"] for request in waits] == ["1202", "1204"]
    assert waits[0].extensions["timeout"]["read"] > float(waits[0].url.params["wait"])
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("choice", "shown"),
    [("--incident inc-8a2c", 7), ("--incident inc-ffff", 0), ("--rule high-bounce-rate", 7), ("--rule other", 0)],
)
def test_tail_shows_only_what_was_asked_for(choice: str, shown: int, cli: Cli, api: Api) -> None:
    api.give("GET", "/api/v1/incidents", {"incidents": [], "next": None})
    assert len(cli(f"remediator log tail {choice}").stdout.splitlines()) == shown


def test_tail_knows_the_incidents_of_a_rule_that_were_opened_before(cli: Cli, api: Api) -> None:
    assert len(cli("remediator log tail -n 1 --rule high-bounce-rate").stdout.splitlines()) == 1
    assert api.router.calls[0].request.url.params["rule"] == "high-bounce-rate"


def test_an_export_has_the_keys_of_cloud_events_and_names_its_head(cli: Cli, api: Api) -> None:
    result = cli("remediator log export")
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["id"] for one in told] == [str(seq) for seq in range(1198, 1205)]
    assert {"specversion", "id", "source", "type", "time", "subject", "data"} == set(told[1])
    assert told[1]["subject"] == "inc-8a2cd5n4.1"
    assert told[1]["time"] == "2026-09-21T14:01:38.000Z"
    assert "head 1204:9f2c63d01b7aee45" in result.stderr
    assert api.router.calls


def test_an_export_ends_at_the_head_that_it_names(cli: Cli, api: Api, night: Night) -> None:
    api.status(msgspec.structs.replace(night.status, entries=1200))
    assert len(cli("remediator log export").stdout.splitlines()) == 3


def test_a_cell_that_a_spreadsheet_would_run_is_made_text(cli: Cli, api: Api, night: Night) -> None:
    hostile = msgspec.structs.replace(night.story.lines[0], sentence='=HYPERLINK("http://x","y")\n\x1b[2J')

    def entries(request: httpx.Request) -> httpx.Response:
        found = [hostile] if request.url.params["after"] == "0" else []
        plain = json.loads(msgspec.json.encode({"entries": found, "head": 1204}))
        return httpx.Response(200, json={"status": "success", "data": plain})

    api.answer("GET", "/api/v1/entries", entries)
    rows = list(csv.reader(io.StringIO(cli("remediator log export --format csv").stdout)))
    assert rows[1][-1] == '\'=HYPERLINK("http://x","y") '
    assert len(rows) == 2


def test_json_on_a_terminal_cannot_draw_either(cli: Cli, api: Api, night: Night) -> None:
    hostile = msgspec.structs.replace(night.story.incident, sentence="\x9b2J\u202e\x1b[2J", target="ü")
    api.give("GET", "/api/v1/incidents", {"incidents": [hostile], "next": None})
    text = cli("remediator log -o json").stdout
    assert all(line.isprintable() for line in text.splitlines())
    assert "ü" in text
    assert json.loads(text)[0]["sentence"] == "\x9b2J\u202e\x1b[2J"
