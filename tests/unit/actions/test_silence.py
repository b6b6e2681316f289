"""alertmanager.silence against an Alertmanager that behaves as 0.25 was measured to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from remediator.actions.http_client import HttpClient
from remediator.actions.silence import Silence
from remediator.actions.targets import AlertmanagerTarget
from remediator.core.outcomes import Presence, Result, UndoResult
from remediator.ports import Call

MakeCall = Callable[..., Call]
URL = "http://alertmanager.example:9093"
LABELS = {"labels": {"alertname": "KumoIPReputationLow", "ip": "192.0.2.11"}}
RECORDED = Path(__file__).parents[2] / "fixtures" / "alertmanager" / "api"


class Alertmanager:
    """Silences in memory: the same body twice makes two, a deleted one stays listed as expired."""

    def __init__(self) -> None:
        self.silences: list[dict[str, Any]] = json.loads((RECORDED / "silences.json").read_text(encoding="utf-8"))
        self.lose_answers = False

    def listed(self, _request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=self.silences)

    def create(self, request: httpx.Request) -> httpx.Response:
        name = f"00000000-0000-0000-0000-{len(self.silences):012}"
        self.silences.append({**json.loads(request.content), "id": name, "status": {"state": "active"}})
        if self.lose_answers:
            raise httpx.ReadError("reset")
        return httpx.Response(200, json={"silenceID": name})

    def delete(self, request: httpx.Request) -> httpx.Response:
        for one in self.silences:
            if request.url.path.endswith(one["id"]):
                one["status"] = {"state": "expired"}
                return httpx.Response(200)
        return httpx.Response(500, text='"silence not found"')

    @property
    def active(self) -> list[dict[str, Any]]:
        return [one for one in self.silences if one["status"]["state"] == "active"]


@pytest.fixture
def alertmanager() -> Iterator[Alertmanager]:
    one = Alertmanager()
    with respx.mock(assert_all_called=False) as router:
        router.get(f"{URL}/api/v2/silences").mock(side_effect=one.listed)
        router.post(f"{URL}/api/v2/silences").mock(side_effect=one.create)
        router.delete(url__startswith=f"{URL}/api/v2/silence/").mock(side_effect=one.delete)
        yield one


async def no_rest(_seconds: float) -> None:
    return None


@pytest.fixture
def action() -> Silence:
    return Silence(AlertmanagerTarget(url=URL), http=HttpClient(rest=no_rest))


async def test_a_silence_has_exact_matchers_our_sign_and_an_end(
    alertmanager: Alertmanager, action: Silence, make_call: MakeCall
) -> None:
    outcome = await action.perform(make_call(LABELS))
    assert outcome.result is Result.OK
    made = alertmanager.silences[-1]
    assert made["matchers"] == [
        {"name": "alertname", "value": "KumoIPReputationLow", "isRegex": False, "isEqual": True},
        {"name": "ip", "value": "192.0.2.11", "isRegex": False, "isEqual": True},
    ]
    assert made["comment"].startswith("[kr:inc-7f3kq2m8.1/0] ")
    assert made["endsAt"] == "2026-11-24T13:05:00.000000Z"
    assert outcome.receipt == {"id": made["id"]}


async def test_a_second_attempt_does_not_make_a_second_silence(
    alertmanager: Alertmanager, action: Silence, make_call: MakeCall
) -> None:
    first = await action.perform(make_call(LABELS))
    second = await action.perform(make_call(LABELS))
    assert second.receipt == first.receipt
    assert len(alertmanager.active) == 2  # ours, and the one that was there before


async def test_a_lost_answer_is_unknown_and_found_again(
    alertmanager: Alertmanager, action: Silence, make_call: MakeCall
) -> None:
    assert (await action.reconcile(make_call(LABELS))).presence is Presence.ABSENT
    alertmanager.lose_answers = True
    assert (await action.perform(make_call(LABELS))).result is Result.UNKNOWN
    assert (await action.reconcile(make_call(LABELS))).presence is Presence.PRESENT


async def test_an_undo_ends_ours_and_no_other(alertmanager: Alertmanager, action: Silence, make_call: MakeCall) -> None:
    call = make_call(LABELS)
    outcome = await action.perform(call)
    assert (await action.undo(call, outcome.receipt)).result is UndoResult.UNDONE
    assert [one["comment"] for one in alertmanager.active] == ["lab"]
    assert (await action.undo(call, outcome.receipt)).result is UndoResult.GONE


@pytest.mark.parametrize(
    "change",
    [
        {"createdBy": "anna"},
        {"matchers": [{"name": "alertname", "value": "KumoIPReputationLow", "isRegex": False, "isEqual": True}]},
        {"matchers": [{"name": "alertname", "value": ".*", "isRegex": True, "isEqual": True}]},
    ],
)
async def test_a_silence_that_somebody_edited_is_left_alone(
    alertmanager: Alertmanager, action: Silence, make_call: MakeCall, change: dict[str, Any]
) -> None:
    call = make_call(LABELS)
    outcome = await action.perform(call)
    alertmanager.silences[-1].update(change)
    assert (await action.undo(call, outcome.receipt)).result is UndoResult.FOREIGN
    assert len(alertmanager.active) == 2


@pytest.mark.parametrize("expires_in", [None, 0.0, 86_401.0])
async def test_without_an_end_within_a_day_nothing_is_made(
    alertmanager: Alertmanager, action: Silence, make_call: MakeCall, expires_in: float | None
) -> None:
    assert (await action.perform(make_call(LABELS, expires_in=expires_in))).result is Result.FAILED
    assert len(alertmanager.silences) == 1


@pytest.mark.parametrize(
    "labels",
    [None, {}, {"alertname": ""}, {"alertname": ".*"}, {"alertname": "X", "ip": "all"}, {"a-b": "x"}, {"ip": 3}, "X"],
)
def test_what_could_silence_everything_is_refused(action: Silence, labels: Any) -> None:
    assert action.faults({"labels": labels})


async def test_an_alertmanager_that_does_not_answer_gets_nothing(action: Silence, make_call: MakeCall) -> None:
    with respx.mock:
        route = respx.route(host="alertmanager.example").mock(side_effect=httpx.ConnectError("refused"))
        assert (await action.perform(make_call(LABELS))).result is Result.NOT_ISSUED
        assert (await action.undo(make_call(LABELS), {})).result is UndoResult.FAILED
        assert (await action.reconcile(make_call(LABELS))).presence is Presence.UNDECIDED
        assert all(call.request.method == "GET" for call in route.calls)
