"""The parts of the demo that need no stage: what the narrator hears, what a story expects, and the stand-in for Docker."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
import respx

from remediator.actions.docker import DockerRestart
from remediator.actions.http_client import HttpClient
from remediator.actions.targets import DockerTarget
from remediator.core.outcomes import Result
from remediator.demo.docker import create_app
from remediator.demo.narrator import ALOUD, Line, Narrator, StoryFault, kind_is
from remediator.demo.stage import Ports, Stage, StageFault
from remediator.demo.story import STORIES, closed, effects, expect, main, opened, verify_log
from remediator.ports import Call

URL = "http://127.0.0.1:9097"
CONTROL = "http://control.example"


def line(kind: str, *, seq: int = 1, incident: str = "inc-1", **fact: object) -> Line:
    """One line of the journal, as the API gives it."""
    return {
        "seq": seq,
        "kind": kind,
        "incident": incident,
        "word": kind.partition(".")[2],
        "sentence": f"about {incident}",
        "fact": {"incident": incident, **fact},
    }


def page(*lines: Line) -> httpx.Response:
    return httpx.Response(200, json={"data": {"entries": [dict(one) for one in lines], "head": len(lines)}})


# ── what a line is ───────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("told", "is_it"),
    [
        (line("step.outcome", step=2), True),
        (line("step.outcome", step=1), False),
        (line("step.outcome"), False),
        (line("step.intent", step=2), False),
        (line("step.outcome", incident="inc-2", step=2), False),
        ({"kind": "step.outcome", "fact": None}, False),
    ],
)
def test_a_line_is_known_by_its_kind_and_every_given_field(told: Line, is_it: bool) -> None:
    assert kind_is("step.outcome", incident="inc-1", step=2)(told) is is_it


def test_a_kind_alone_is_enough_where_no_field_is_given() -> None:
    assert kind_is("pause.set")({"kind": "pause.set", "fact": {}})


def test_the_last_word_is_known_by_incident_and_result() -> None:
    last = closed("inc-1", "recovered")
    assert last(line("incident.closed", result="recovered"))
    assert not last(line("incident.closed", result="failed"))
    assert not last(line("incident.closed", incident="inc-2", result="recovered"))


def test_an_opening_is_known_by_its_rule_and_what_else_is_asked() -> None:
    fresh = opened("high-bounce-rate", lambda told: told["incident"] != "inc-1")
    assert not fresh(line("incident.opened", rule="high-bounce-rate"))
    assert fresh(line("incident.opened", incident="inc-2", rule="high-bounce-rate"))
    assert not fresh(line("incident.opened", incident="inc-2", rule="high-queue-depth"))


def test_what_is_expected_and_is_not_so_ends_the_story() -> None:
    expect([0], "something")
    with pytest.raises(StoryFault, match="one suspension at kumod"):
        expect([], "one suspension at kumod")


# ── following ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_each_entry_is_told_once_and_receipts_are_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    narrator = Narrator(URL)
    with respx.mock:
        route = respx.get(f"{URL}/api/v1/entries")
        route.side_effect = [
            page(line("notification.received", seq=1), line("incident.opened", seq=2, rule="r")),
            page(line("incident.closed", seq=3, result="recovered")),
        ]
        found = narrator.until(closed("inc-1", "recovered"), "the end", 5.0)
        asked = [call.request.url.params["after"] for call in route.calls]
    assert found["seq"] == 3
    assert asked == ["0", "2"]
    assert narrator.after == 3
    told = capsys.readouterr().out.splitlines()
    assert [row[5:].split() for row in told] == [
        ["inc-1", "opened", "about", "inc-1"],
        ["inc-1", "closed", "about", "inc-1"],
    ]
    assert "notification.received" not in ALOUD


def test_what_was_told_before_counts_too() -> None:
    narrator = Narrator(URL, lines=[line("pause.set")])
    assert narrator.until(kind_is("pause.set"), "a pause", 0.0)["kind"] == "pause.set"


def test_what_never_comes_ends_the_story_and_is_named() -> None:
    with respx.mock:
        respx.get(f"{URL}/api/v1/entries").mock(return_value=page())
        with pytest.raises(StoryFault, match="not within 0s: a verified recovery"):
            Narrator(URL).until(kind_is("incident.closed"), "a verified recovery", 0.01)


def test_a_service_that_is_being_restarted_is_waited_for() -> None:
    with respx.mock:
        respx.get(f"{URL}/api/v1/entries").side_effect = [httpx.ConnectError("refused"), page(line("pause.set"))]
        assert Narrator(URL).until(kind_is("pause.set"), "a pause", 10.0)["seq"] == 1


def test_a_service_that_refuses_is_not_taken_for_one_that_is_silent() -> None:
    with respx.mock:
        respx.get(f"{URL}/api/v1/entries").respond(500)
        with pytest.raises(httpx.HTTPStatusError):
            Narrator(URL).follow(0.0)


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_story_counts_what_the_target_applied_and_nothing_else(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    assert effects(stage, "suspend") == []
    rows: list[Mapping[str, object]] = [
        {"path": "/api/admin/suspend/v1", "applied": True},
        {"path": "/api/admin/suspend/v1", "applied": False},
        {"path": "/api/admin/bounce/v1", "applied": True},
    ]
    stage.ledger.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert effects(stage, "suspend/v1") == [rows[0]]
    assert effects(stage, "/api/admin/") == [rows[0], rows[2]]


def test_an_incident_without_its_last_word_spoils_the_story(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage, narrator = Stage(tmp_path), Narrator(URL)
    narrator.lines += [line("incident.opened"), line("incident.opened", incident="inc-2"), line("incident.closed")]
    with pytest.raises(StoryFault, match="inc-2"):
        verify_log(stage, narrator)
    narrator.lines.append(line("incident.closed", incident="inc-2"))
    verify_log(stage, narrator)
    assert "2 incidents, each with its last word" in capsys.readouterr().out


def test_every_story_has_a_mode_and_scenes_with_a_sentence() -> None:
    assert {mode for mode, _scenes in STORIES.values()} == {"auto", "dry-run"}
    assert all(scene.__doc__ for _mode, scenes in STORIES.values() for scene in scenes)


def test_a_stage_that_does_not_come_up_ends_with_one_and_shows_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(stage: Stage) -> None:
        stage.root.mkdir(parents=True)
        (stage.root / "remediator.log").write_text("cannot start: because\n", encoding="utf-8")
        raise StageFault("remediator did not come up")

    monkeypatch.setattr(Stage, "build", fails)
    assert main(["--story", "dry-run", "--root", str(tmp_path / "stage")]) == 1
    told = capsys.readouterr()
    assert "The story did not come out right: remediator did not come up" in told.err
    assert "cannot start: because" in told.err
    assert "came out right." not in told.out


# ── the stage ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_stage_writes_files_without_a_blank_left_that_only_its_owner_may_read(tmp_path: Path) -> None:
    stage = Stage(tmp_path, mode="dry-run", ports=Ports())
    stage.write_files()
    names = {
        "rules.yml",
        "prometheus.rules.yml",
        "prometheus.yml",
        "alertmanager.yml",
        "remediator.yml",
        "shaping.toml",
    }
    assert {path.name for path in tmp_path.iterdir()} == names
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
        if path.suffix == ".yml":
            assert "@" not in path.read_text(encoding="utf-8"), path
    settings = (tmp_path / "remediator.yml").read_text(encoding="utf-8")
    assert "mode: dry-run" in settings
    assert str(stage.ports.remediator) in settings
    ports = [getattr(stage.ports, name) for name in Ports.__slots__]
    assert len(set(ports)) == len(ports)


def test_a_process_that_ends_at_once_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.start("kumod", [sys.executable, "-c", "print('no such node'); raise SystemExit(3)"])
    try:
        with pytest.raises(StageFault, match=r"(?s)kumod did not come up.*no such node"):
            stage.wait_for("http://127.0.0.1:9/", "kumod")
    finally:
        stage.strike()
    assert stage.processes == {}


# ── the stand-in for Docker ──────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("prefix", ["", "/v1.41", "/v1.45"])
async def test_the_container_is_inspected_and_restarted_and_no_other(prefix: str) -> None:
    transport = httpx.ASGITransport(app=create_app("kumod-1", CONTROL))
    async with httpx.AsyncClient(transport=transport, base_url="http://docker") as client:
        with respx.mock:
            route = respx.post(f"{CONTROL}/control/restart").respond(200, json={})
            before = (await client.get(f"{prefix}/containers/kumod-1/json")).json()
            assert before["Name"] == "/kumod-1"
            assert before["State"]["Running"] is True
            assert (await client.post(f"{prefix}/containers/kumod-1/restart")).status_code == 204
            after = (await client.get(f"{prefix}/containers/kumod-1/json")).json()
            assert after["State"]["StartedAt"] > before["State"]["StartedAt"]
            for method, path in (("GET", "json"), ("POST", "restart")):
                other = await client.request(method, f"{prefix}/containers/other/{path}")
                assert other.status_code == 404
                assert other.json()["message"] == "No such container: other"
            assert route.call_count == 1
        assert (await client.get(f"{prefix}/version")).json()["ApiVersion"]


async def test_our_own_action_is_satisfied_by_the_stand_in() -> None:
    http = HttpClient(transport=httpx.ASGITransport(app=create_app("kumod-1", CONTROL)))
    action = DockerRestart(DockerTarget(socket=Path("/nowhere"), allow=frozenset({"kumod-1"})), http=http)
    call = Call(arguments={"container": "kumod-1"}, key="inc-1.1/0", timeout=60.0, now=1_790_000_000.0)
    with respx.mock:
        respx.post(f"{CONTROL}/control/restart").respond(200, json={})
        outcome = await action.perform(call)
    assert outcome.result is Result.OK, outcome.sentence
