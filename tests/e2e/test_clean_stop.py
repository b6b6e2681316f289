"""SIGTERM to the real process at the moments that matter (G22): it ends in time, and the next life makes nothing twice.

Nothing is announced after the signal, new notifications are answered 503, what ends within the grace has its outcome, and
what does not is unknown.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.kit.stops import BEYOND, Stopping, stopping

pytestmark = pytest.mark.e2e

GRACE = 10.0
SLOW = 20.0  # patience with a busy machine beyond what was promised (s)
INTENTS = ("step.intent", "undo.intent")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stopping]:
    """A service with targets that can be held."""
    with stopping(tmp_path / "house", grace=f"{GRACE:g}s") as made:
        made.house.start()
        yield made


def next_life(stage: Stopping) -> None:
    """Starts it again at once: nothing of the first life holds it up."""
    stage.there.release()
    stage.house.start()
    stage.house.wait(stage.house.idle)


def test_an_idle_service_ends_at_once_and_says_so_last(stage: Stopping) -> None:
    stage.send(signal.SIGTERM)
    assert stage.ended(BEYOND + SLOW) == 0
    assert stage.lines[-1].kind == "service.stopped"
    assert "Traceback" not in stage.house.log


@pytest.mark.parametrize("place", ["silence", "order"])
def test_a_step_that_is_under_way_ends_with_its_outcome_and_the_next_waits_for_the_next_life(
    stage: Stopping, place: str
) -> None:
    stage.there.shut(place)
    assert stage.fire(act="yes").status_code == 202
    stage.arrive(place)
    before = len(stage.told(*INTENTS))
    stage.send(signal.SIGTERM)
    refused = stage.refuses()
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    stage.there.release()
    assert stage.ended(GRACE + BEYOND + SLOW) == 0
    assert len(stage.told(*INTENTS)) == before, "something was announced after the signal"
    assert [line.fact["outcome"]["result"] for line in stage.told("step.outcome")] == ["ok"] * before
    assert stage.lines[-1].kind == "service.stopped"
    next_life(stage)
    assert stage.effects() == ["do 0", "do 1"], "each effect once, in two lives"
    assert [line.fact["result"] for line in stage.told("run.ended")] == ["succeeded"]
    stage.judged()


def test_a_stop_between_the_last_effect_and_its_verification_leaves_the_verification_to_the_next_life(
    stage: Stopping,
) -> None:
    stage.there.shut("look")
    assert stage.fire(act="yes").status_code == 202
    stage.arrive("look")
    stage.send(signal.SIGTERM)
    assert stage.ended(GRACE + BEYOND + SLOW) == 0, "a question that hangs is no reason to stay"
    assert not stage.told("verify.concluded", "run.ended"), "nothing was seen"
    next_life(stage)
    assert stage.effects() == ["do 0", "do 1"]
    assert [line.fact["verdict"] for line in stage.told("verify.concluded")] == ["recovered"]
    stage.judged()


def test_a_taking_back_that_is_under_way_ends_with_its_outcome(stage: Stopping) -> None:
    assert stage.fire(act="yes").status_code == 202
    stage.house.wait(lambda: bool(stage.told("run.ended")))
    stage.there.shut("undo")
    (ended,) = stage.told("run.ended")
    asking = threading.Thread(target=taken_back, args=(stage, ended.fact["incident"]))
    asking.start()
    stage.arrive("undo")
    stage.send(signal.SIGTERM)
    stage.refuses()
    stage.there.release()
    assert stage.ended(GRACE + BEYOND + SLOW) == 0
    asking.join()
    assert [line.fact["outcome"]["result"] for line in stage.told("undo.outcome")] == ["undone"]
    next_life(stage)
    assert stage.effects() == ["do 0", "do 1", "undo 0"]
    stage.judged()


def taken_back(stage: Stopping, incident: str) -> None:
    """A person asks for it, and waits for the answer."""
    url = f"{stage.house.url}/api/v1/incidents/{incident}/undo"
    with contextlib.suppress(httpx.TransportError):
        httpx.post(url, json={"by": "test"}, trust_env=False, timeout=SLOW)


def test_what_falls_due_while_it_is_down_is_taken_back_by_the_next_life(tmp_path: Path) -> None:
    with stopping(tmp_path / "house", after="2s") as stage:
        stage.there.shut("look")  # the run goes on, so that its effect stands when the stop comes
        stage.house.start()
        assert stage.fire(act="yes").status_code == 202
        stage.arrive("look")
        stage.send(signal.SIGTERM)
        assert stage.ended(GRACE + BEYOND + SLOW) == 0
        assert stage.effects().count("undo 0") == len(stage.told("undo.outcome"))
        next_life(stage)
        stage.house.wait(lambda: not stage.there.silences)
        stage.house.wait(lambda: bool(stage.told("undo.outcome")))
        assert stage.effects().count("undo 0") == 1
        assert stage.effects().count("do 0") == stage.effects().count("do 1") == 1
        stage.judged()


def test_a_stop_under_load_loses_nothing_that_was_taken(stage: Stopping) -> None:
    stopped = threading.Event()
    answers: Counter[int] = Counter()

    def send(sender: int) -> None:
        for number in itertools.count():
            if stopped.is_set():
                return
            acts = {"act": "yes"} if number % 20 == 0 else {}
            with contextlib.suppress(httpx.TransportError):
                answers[stage.fire(f"s{sender}-{number}.example", **acts).status_code] += 1

    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
    for sender in senders:
        sender.start()
    stage.house.wait(lambda: answers[202] >= 100)
    stage.send(signal.SIGTERM)
    assert stage.ended(GRACE + BEYOND + SLOW) == 0
    stopped.set()
    for sender in senders:
        sender.join()
    assert set(answers) <= {202, 503}, answers
    assert stage.lines[-1].kind == "service.stopped"
    next_life(stage)
    assert max(Counter(one.key for one in stage.there.arrivals).values()) == 1, "an effect was made twice"
    stage.judged()


def test_further_signals_change_nothing(stage: Stopping) -> None:
    stage.there.shut("order")
    assert stage.fire(act="yes").status_code == 202
    stage.arrive("order")
    stage.send(signal.SIGTERM, signal.SIGINT)
    stage.refuses()
    stage.send(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    stage.there.release()
    assert stage.house.process is not None
    limit = time.monotonic() + SLOW
    while stage.house.process.poll() is None and time.monotonic() < limit:  # until its very last moment
        stage.send(signal.SIGTERM, signal.SIGINT)
    assert stage.ended(SLOW) == 0
    assert [line.fact["outcome"]["result"] for line in stage.told("step.outcome")] == ["ok", "ok"]
    assert [line.kind for line in stage.lines].count("service.stopped") == 1


def test_a_step_that_outlasts_the_grace_is_unknown_and_is_not_made_again(tmp_path: Path) -> None:
    with stopping(tmp_path / "house", grace="1s") as stage:
        stage.there.shut("order")
        stage.house.start()
        assert stage.fire(act="yes").status_code == 202
        stage.arrive("order")
        stage.send(signal.SIGTERM)
        assert stage.ended(1.0 + BEYOND + SLOW) == 0, "however long the target takes"
        assert not stage.there.free["order"].is_set(), "and it still does"
        assert [line.fact["outcome"]["result"] for line in stage.told("step.outcome")] == ["ok"]
        stage.there.release()
        stage.house.start()
        stage.house.wait(lambda: bool(stage.told("run.parked")))
        assert [line.fact["outcome"]["result"] for line in stage.told("step.outcome")] == ["ok", "unknown"]
        assert stage.effects().count("do 1") == 1
        stage.judged()


def test_the_first_process_of_a_container_ends_as_well(tmp_path: Path) -> None:
    with stopping(tmp_path / "house") as stage:
        stage.house.start("unshare", "-Urpf", "--kill-child")
        assert stage.fire().status_code == 202
        assert stage.house.process is not None
        pid = stage.house.process.pid
        (inner,) = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        assert "NSpid:\t" + inner + "\t1\n" in Path(f"/proc/{inner}/status").read_text(encoding="ascii")
        os.kill(int(inner), signal.SIGTERM)
        assert stage.ended(GRACE + BEYOND + SLOW) == 0
        assert stage.lines[-1].kind == "service.stopped"
