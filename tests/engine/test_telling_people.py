"""Messages to people at work: who gets them, what happens where a channel fails, and that a restart tells nobody twice."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from remediator.core import entries as e
from remediator.core.outcomes import Outcome, failed, failed_for_now, ok
from remediator.engine.outbox import FIRST_REST, LONGEST_REST, TRIES
from remediator.ports import Message

if TYPE_CHECKING:
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig


class Channel:
    """A receiver that gives these outcomes one after the other, the last one for ever."""

    def __init__(self, name: str, *outcomes: Outcome) -> None:
        self.name = name
        self.got: list[Message] = []
        self._outcomes = list(outcomes) or [ok("told")]

    async def send(self, message: Message) -> Outcome:
        self.got.append(message)
        return self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]


def route(engine: Engine, *channels: Channel, **routing: Any) -> None:
    """Puts these channels and this routing in force."""
    engine.parts.receivers = {channel.name: channel for channel in channels}
    told = replace(engine.parts.config.routing, **routing)
    engine.parts.config = replace(engine.parts.config, routing=told)


async def test_a_refusal_for_good_goes_to_the_next_receiver_at_once(rig: Rig) -> None:
    sms, mail, log = Channel("sms", failed("401 who are you")), Channel("mail"), Channel("log")
    async with rig.engine() as engine:
        route(engine, sms, mail, log, by_severity={"critical": ("sms",)}, fallback=("sms", "mail", "log"))
        await rig.accept(engine, rig.alert())
        await rig.clock.run(600)
        assert not engine.parts.journal.state.outbox
    assert (len(sms.got), len(mail.got), len(log.got)) == (1, 1, 0)
    assert mail.got[0].text == f"{sms.got[0].text}\n(sms did not take this message: 401 who are you)"
    assert mail.got[0].severity == "critical"


async def test_a_channel_that_is_down_hands_on_what_it_never_took(rig: Rig) -> None:
    sms, mail, log = Channel("sms", failed_for_now("503")), Channel("mail", failed("404")), Channel("log")
    async with rig.engine() as engine:
        route(engine, sms, mail, log, by_severity={"critical": ("sms", "mail")}, fallback=("sms", "mail", "log"))
        await rig.accept(engine, rig.alert())
        await rig.clock.run(600)
        assert not engine.parts.journal.state.outbox
    assert (len(sms.got), len(mail.got)) == (TRIES, 1)
    assert [message.text.splitlines()[-1] for message in log.got] == [
        "(mail did not take this message: 404)", "(sms did not take this message: 503)",
    ]  # fmt: skip


async def test_a_channel_that_asks_for_rest_gets_it_within_bounds(rig: Rig) -> None:
    rests = [5 * FIRST_REST, 9e9, "soon", -1.0]
    outcomes = [failed_for_now("429", evidence={"retry_after": rest}) for rest in rests]
    chat = Channel("chat", *outcomes, ok("told"))
    async with rig.engine() as engine:
        route(engine, chat, by_severity={"critical": ("chat",)})
        await rig.accept(engine, rig.alert())
        await rig.clock.run(4000)
    entries = [e.decode(record.seq, record.body) for record in rig.store.disk.records]
    told = [(entry.at, entry.fact.next_at) for entry in entries if isinstance(entry.fact, e.MessageOutcome)]
    waited = [next_at - at for at, next_at in told if next_at is not None]
    assert [round(rest) for rest in waited] == [round(5 * FIRST_REST), round(LONGEST_REST), 8, 16]
    assert len(chat.got) == 5


async def test_the_last_message_gets_back_what_the_first_one_gave(rig: Rig) -> None:
    chat = Channel("chat", ok("told", receipt={"ts": "1"}), ok("told"))
    async with rig.engine() as engine:
        route(engine, chat, by_severity={"critical": ("chat",)}, early=("chat",))
        await rig.accept(engine, rig.alert())
        await rig.clock.run(600)
    first, last = chat.got
    assert (first.subject[:8], dict(first.thread)) == ("[acting]", {})
    assert (last.subject[:11], dict(last.thread), last.call) == ("[recovered]", {"ts": "1"}, "end")
    assert "What we did:" in last.text
    assert "Did it work: recovered" in last.text


async def test_what_was_told_is_not_told_again_after_a_restart(rig: Rig) -> None:
    chat = Channel("chat")
    for _ in range(2):
        async with rig.engine() as engine:
            route(engine, chat, by_severity={"critical": ("chat",)}, early=("chat",))
            if not chat.got:
                await rig.accept(engine, rig.alert())
            await rig.clock.run(600)
    assert len(chat.got) == len({message.id for message in chat.got}) == 2
