"""What the replicas act on: targets with a ledger of their own, that refuse, hang, apply twice and lie, as the seed says."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from remediator.core.outcomes import (
    EffectClass,
    Found,
    Look,
    Observation,
    Outcome,
    Presence,
    UndoOutcome,
    UndoResult,
    failed,
    failed_for_now,
    ok,
)
from remediator.core.params import Param, ParamType
from tests.sim.loop import REPLICA, SimLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from remediator.core.params import Json
    from remediator.ports import Call, LookCall, Message

WAYS = ("ok", "refuse", "later", "hang", "reset", "twice", "lie", "late")


@dataclass
class Target:
    """The ledger: every request that arrived, by key, and what stands because of it."""

    random: Random
    loop: SimLoop
    marks: Counter[str]
    requests: list[tuple[float, str, str]] = field(default_factory=list)  # when, kind, key
    undone: list[tuple[float, str]] = field(default_factory=list)
    standing: set[str] = field(default_factory=set)
    late: set[str] = field(
        default_factory=set
    )  # keys of which something was held up between the last check and the wire
    messages: list[str] = field(default_factory=list)
    arrived: Callable[[str, str], None] = lambda _kind, _key: None
    faulty: bool = True
    tells: bool = False  # whether a `once` target can be asked, and says "absent" too

    def way(self) -> str:
        """How this target behaves this time."""
        ways = ("ok", "hang", "late", "late") if self.tells else WAYS
        word = self.random.choice(ways) if self.faulty and self.random.random() < 0.5 else "ok"
        self.marks[f"target {word}"] += 1
        return word

    def apply(self, kind: str, key: str) -> None:
        """A request has arrived."""
        self.requests.append((self.loop.time(), kind, key))
        if kind.endswith("_lasting"):
            self.standing.add(key)
        self.arrived(kind, key)

    def later(self, seconds: float, kind: str, key: str) -> None:
        """A request is on the wire, whatever becomes of its sender."""
        context = Context()
        self.loop.call_later(seconds, self.apply, kind, key, context=context)


class SimAction:
    """An action on the target."""

    summary: ClassVar[str] = "test"
    kind: ClassVar[str]
    effect: ClassVar[EffectClass]
    lasting: ClassVar[bool]
    params: ClassVar[Mapping[str, Param]] = {"domain": Param(type=ParamType.DOMAIN, doc="d")}

    def __init__(self, target: Target, kind: str, effect: EffectClass, lasting: bool) -> None:
        self.kind, self.effect, self.lasting = kind, effect, lasting  # type: ignore[misc]
        self._target = target

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        return ()

    def describe(self, arguments: Mapping[str, Json]) -> str:
        return f"{self.kind} {arguments.get('domain')}"

    async def perform(self, call: Call) -> Outcome:
        target, key = self._target, call.key
        way = target.way()
        match way:
            case "refuse":
                return failed("refused")
            case "later":
                return failed_for_now("503")
            case "late":  # the process stands still between its last check and the first byte
                target.late.add(key)
                who = REPLICA.get()
                target.loop.paused[who] = target.loop.time() + target.random.choice((20.0, 150.0, 400.0))
                await asyncio.sleep(0)
        delay = target.random.choice((0.0, 0.1, 2.0))
        target.later(delay, self.kind, key)
        await asyncio.sleep(delay + 0.1)
        match way:
            case "hang":
                await asyncio.sleep(10_000.0)
            case "reset":
                raise ConnectionResetError("reset by peer")
            case "twice":
                if self.effect is not EffectClass.ONCE:
                    target.late.add(key)  # one request that is carried out twice is the target's own doing (A6)
                    target.later(5.0, self.kind, key)
                await asyncio.sleep(3.0)
            case "lie":
                return "200 OK"  # type: ignore[return-value]
        return ok("done", receipt={"id": key})

    async def reconcile(self, call: Call) -> Found:
        await asyncio.sleep(0.1)
        there = any(key == call.key for _, _, key in self._target.requests)
        if self.effect is EffectClass.KEYED or self._target.tells:
            return Found(presence=Presence.PRESENT if there else Presence.ABSENT, sentence="asked")
        seen = there and self._target.random.random() < 0.5
        return Found(presence=Presence.PRESENT if seen else Presence.UNDECIDED, sentence="asked")

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        await asyncio.sleep(self._target.random.choice((0.1, 3.0)))
        word = self._target.way()
        if word in {"refuse", "later"}:
            return UndoOutcome(result=UndoResult.FAILED, sentence=word)
        there = call.key in self._target.standing
        self._target.standing.discard(call.key)
        self._target.undone.append((self._target.loop.time(), call.key))
        if word == "reset":
            raise ConnectionResetError("reset by peer")
        return UndoOutcome(result=UndoResult.UNDONE if there else UndoResult.GONE, sentence="-")


class SimNeighbour:
    """Prometheus and people."""

    kind: ClassVar[str] = "promql"
    params: ClassVar[Mapping[str, Param]] = {}
    summary: ClassVar[str] = "test"
    name = "people"

    def __init__(self, target: Target) -> None:
        self._target = target

    def describe(self, arguments: Mapping[str, Json]) -> str:
        return "test"

    def _seen(self) -> Observation:
        looks = (Look.GOOD,) * 6 + ((Look.BAD, Look.UNKNOWN) if self._target.faulty else ())
        return Observation(look=self._target.random.choice(looks), sentence="seen")

    async def look(self, call: LookCall) -> Observation:
        return self._seen()

    async def holds(self, expr: str, *, hold: float, now: float) -> Observation:
        await asyncio.sleep(0.1)
        return self._seen()

    async def send(self, message: Message) -> Outcome:
        await asyncio.sleep(0.1)
        self._target.messages.append(message.id)
        return failed_for_now("busy") if self._target.way() == "later" else ok("told")
