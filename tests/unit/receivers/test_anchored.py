"""The footer under every message: where the journal ended when it was sent."""

from __future__ import annotations

import io
import json

import respx

from remediator.actions.http_client import HttpClient
from remediator.actions.people import Notify
from remediator.core.chain import Head
from remediator.core.outcomes import Look, Outcome, ok
from remediator.ports import Call, Message, Receiver
from remediator.receivers.anchored import Ending, anchored
from remediator.receivers.log import LogReceiver
from remediator.receivers.several import look_at
from remediator.receivers.webhook import WebhookReceiver, WebhookTarget

MESSAGE = Message(id="m-1", subject="needs a person", text="look")
MAC = bytes.fromhex("9f2c63d01b7aee45" + "00" * 24)
FOOTER = "journal 1204:9f2c63d01b7aee45"


class Box:
    """Keeps what it is sent."""

    name = "box"

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> Outcome:
        self.messages.append(message)
        return ok("kept")


async def test_a_message_ends_with_where_the_journal_ended_when_it_was_sent() -> None:
    box, ending = Box(), Ending()
    [(name, receiver)] = anchored({"box": box}, ending).items()
    await receiver.send(MESSAGE)
    ending.head = lambda: Head(1204, MAC)
    await receiver.send(MESSAGE)
    ending.head = lambda: Head(1205, MAC)
    await receiver.send(MESSAGE)
    assert (name, receiver.name) == ("box", "box")
    assert [one.footer for one in box.messages] == ["", FOOTER, "journal 1205:9f2c63d01b7aee45"]
    assert {one.text for one in box.messages} == {"look"}


async def test_a_receiver_can_still_be_looked_at() -> None:
    receivers = anchored({"log": LogReceiver(), "box": Box()}, Ending())
    assert [(await look_at(one)).look for one in receivers.values()] == [Look.GOOD, Look.UNKNOWN]


async def test_a_step_that_tells_people_has_the_footer_too() -> None:
    box = Box()
    receivers = anchored({"box": box}, Ending(lambda: Head(1204, MAC)))
    await Notify(receivers).perform(
        Call(arguments={"receiver": "box", "text": "a step"}, key="inc-1.1/0", timeout=5.0, now=0.0)
    )
    assert [one.footer for one in box.messages] == [FOOTER]


async def test_the_footer_is_posted_and_logged() -> None:
    stream, ending = io.StringIO(), Ending(lambda: Head(1204, MAC))
    url = "http://chat.example/hook"
    pair: dict[str, Receiver] = {
        "log": LogReceiver(stream=stream),
        "chat": WebhookReceiver("chat", WebhookTarget(url=url), http=HttpClient()),
    }
    receivers = anchored(pair, ending)
    with respx.mock:
        route = respx.post(url).respond(200)
        for receiver in receivers.values():
            await receiver.send(MESSAGE)
    assert f'footer="{FOOTER}"' in stream.getvalue()
    assert json.loads(route.calls[0].request.content)["footer"] == FOOTER
