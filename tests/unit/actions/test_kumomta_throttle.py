"""kumomta.throttle on a real file that a simulated kumod reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from remediator.actions.kumomta.throttle import Throttle
from remediator.core.outcomes import Presence, Result, UndoResult
from remediator.ports import Call

if TYPE_CHECKING:
    Bench = Any
    ShapingFile = Any

MakeCall = Callable[..., Call]
ARGUMENTS = {"node": "mta1", "domain": "gmail.com", "rate": "100/h"}
BEFORE = '["default"]\nmax_message_rate = "1000/s"\n\n["gmail.com"]\nmax_message_rate = "500/min"  # agreed\n'


@pytest.fixture
def shaped(make: Callable[..., Bench], shaping: ShapingFile) -> Bench:
    return make(shaping=shaping.path)


async def test_the_rate_is_set_and_kumod_obeys_it(shaped: Bench, make_call: MakeCall) -> None:
    outcome = await Throttle(shaped.kumod).perform(make_call(ARGUMENTS))
    assert outcome.result is Result.OK
    assert outcome.receipt["prior"] == "500/min"
    rate = shaped.sim.mail.shaping.rate("gmail.com", "ip-1")
    assert (rate.count, rate.period) == (100, 3600)


async def test_an_undo_gives_the_file_back_byte_for_byte(
    shaped: Bench, make_call: MakeCall, shaping: ShapingFile
) -> None:
    action, call = Throttle(shaped.kumod), make_call(ARGUMENTS)
    outcome = await action.perform(call)
    undone = await action.undo(call, outcome.receipt)
    assert undone.result is UndoResult.UNDONE
    assert shaping.text == BEFORE
    assert shaped.sim.mail.shaping.rate("gmail.com", "ip-1").count == 500
    assert (await action.undo(call, outcome.receipt)).result is UndoResult.GONE


async def test_a_second_attempt_changes_nothing_and_still_knows_the_first_rate(
    shaped: Bench, make_call: MakeCall, shaping: ShapingFile
) -> None:
    action, call = Throttle(shaped.kumod), make_call(ARGUMENTS)
    await action.perform(call)
    after = shaping.text
    second = await action.perform(call)
    assert second.receipt["prior"] == "500/min"
    assert shaping.text == after


async def test_after_a_crash_the_file_tells_that_it_was_us(
    shaped: Bench, make_call: MakeCall, shaping: ShapingFile
) -> None:
    call = make_call(ARGUMENTS)
    assert (await Throttle(shaped.kumod).reconcile(call)).presence is Presence.ABSENT
    await Throttle(shaped.kumod).perform(call)
    reborn = Throttle(shaped.kumod)
    found = await reborn.reconcile(call)
    assert found.presence is Presence.PRESENT
    assert (await reborn.undo(call, found.receipt)).result is UndoResult.UNDONE
    assert shaping.text == BEFORE


async def test_a_rate_that_somebody_changed_is_left_alone(
    shaped: Bench, make_call: MakeCall, shaping: ShapingFile
) -> None:
    action, call = Throttle(shaped.kumod), make_call(ARGUMENTS)
    outcome = await action.perform(call)
    theirs = BEFORE.replace("500/min", "50/h")
    shaping.write(theirs)
    assert (await action.undo(call, outcome.receipt)).result is UndoResult.FOREIGN
    assert shaping.text == theirs


async def test_a_rate_of_another_run_is_left_alone(shaped: Bench, make_call: MakeCall, shaping: ShapingFile) -> None:
    await Throttle(shaped.kumod).perform(make_call(ARGUMENTS, key="inc-2222.1/0"))
    after = shaping.text
    outcome = await Throttle(shaped.kumod).perform(make_call(ARGUMENTS))
    assert outcome.result is Result.FAILED
    assert "inc-2222.1/0" in outcome.sentence
    assert shaping.text == after


async def test_a_broken_file_is_not_touched(shaped: Bench, make_call: MakeCall, shaping: ShapingFile) -> None:
    shaping.write("broken [\n")
    outcome = await Throttle(shaped.kumod).perform(make_call(ARGUMENTS))
    assert outcome.result is Result.FAILED
    assert shaping.text == "broken [\n"


async def test_kumod_that_cannot_be_told_will_see_it_by_itself(shaped: Bench, make_call: MakeCall) -> None:
    shaped.wire.cut.add("POST /api/admin/bump-config-epoch")
    outcome = await Throttle(shaped.kumod).perform(make_call(ARGUMENTS))
    assert outcome.result is Result.OK
    assert "every ten seconds" in outcome.sentence


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"domain": "default"}, "every domain"),
        ({"domain": ""}, "everything"),
        ({"domain": "*"}, "everything"),
        ({"node": "mta9"}, "mta9"),
        ({"rate": ""}, "rate"),
    ],
)
async def test_what_could_mean_every_domain_is_refused(
    shaped: Bench, make_call: MakeCall, shaping: ShapingFile, change: dict[str, str], word: str
) -> None:
    arguments = {**ARGUMENTS, **change}
    assert word in Throttle(shaped.kumod).faults(arguments)[0]
    assert (await Throttle(shaped.kumod).perform(make_call(arguments))).result is Result.FAILED
    assert shaping.text == BEFORE


def test_a_node_without_a_shaping_file_is_refused(bench: Bench) -> None:
    assert "shaping file of mta1 is not configured" in Throttle(bench.kumod).faults(ARGUMENTS)[0]
