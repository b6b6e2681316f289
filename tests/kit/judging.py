"""The judgements of `history.py`, one function a guarantee; each yields what it finds wrong, with entry numbers.

Written from the promises (docs/guarantees.md), not from the engine. What a history cannot show is not judged: times of a
target only where it told them, ends only where the service had the time to come to them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.kit.histories import History, Line

DISPOSITIONS = frozenset(
    {"stale", "duplicate", "unmatched", "suppressed", "cooldown", "joined", "planned", "quarantined", "resolved"}
)
WITHIN = 60.0  # dispositions (G2) and undos (G10) come so soon while the service runs (s)
STEP_SLACK, RUN_SLACK = 15.0, 900.0  # beyond a step's timeout, beyond a run's deadline and its verification (s)
TRIES = {"read": 3, "safe": 3, "keyed": 2, "once": 1}  # at least so many attempts are allowed by themselves


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept."""

    guarantee: str
    entries: tuple[int, ...]
    sentence: str

    def __str__(self) -> str:
        where = ", ".join(map(str, self.entries)) or "-"
        return f"{self.guarantee}  entries {where}: {self.sentence}"


Found = Iterator[Violation]


@dataclass(slots=True)
class Attempts:
    """All that the journal tells of one step of one run."""

    intents: list[Line] = field(default_factory=list)
    outcomes: list[Line] = field(default_factory=list)


def plans(history: History) -> dict[str, Line]:
    """The planning of each run."""
    return {line.run: line for line in history.of("run.planned")}


def steps(history: History) -> dict[str, Attempts]:
    """All attempts by key `RUN/STEP`."""
    found: dict[str, Attempts] = defaultdict(Attempts)
    for line in history.of("step.intent", "step.outcome"):
        mine = found[f"{line.run}/{line.fact['step']}"]
        (mine.intents if line.kind == "step.intent" else mine.outcomes).append(line)
    return found


def planned_step(planned: dict[str, Line], key: str) -> dict[str, Any]:
    """A step as it was planned; empty if it was not, or if `key` is of no step."""
    run, _, place = key.rpartition("/")
    listed = planned[run].fact["plan"]["steps"] if run in planned else []
    return dict(listed[int(place)]) if place.isdecimal() and int(place) < len(listed) else {}


def elapsed(earlier: Line, later: Line) -> float:
    """Seconds between two entries, by the clock that cannot be set where one boot saw both."""
    if earlier.boot == later.boot and earlier.mono is not None and later.mono is not None:
        return later.mono - earlier.mono
    return later.at - earlier.at


def last_start(history: History, before: float) -> float:
    """When the service that ran then had started."""
    return max((line.at for line in history.of("service.started") if line.at <= before), default=0.0)


def identity(labels: dict[str, str]) -> str:
    """An alert's name: 32 hex digits of SHA-256 over its sorted labels, those that tell HA copies apart left out."""
    kept = {name: value for name, value in labels.items() if value and name not in {"replica", "prometheus_replica"}}
    told = b"".join(name.encode() + b"\xff" + kept[name].encode() + b"\xff" for name in sorted(kept))
    return hashlib.sha256(told).hexdigest()[:32]


def canonical(value: object) -> str:
    """JSON that is the same whatever the order of keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


# ── the journal itself ───────────────────────────────────────────────────────────────────────────────────────────────
def whole(history: History) -> Found:
    """Entries are numbered from 1 without a gap (G18)."""
    for place, line in enumerate(history.lines, 1):
        if line.seq != place:
            yield Violation("G18", (line.seq,), f"entry {place} is missing")
            return


# ── intake ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def g1(history: History) -> Found:
    """Every acknowledged delivery is in the journal, as often as it was acknowledged."""
    kept = Counter(canonical(line.fact["body"]) for line in history.of("notification.received"))
    for body, times in Counter(map(canonical, history.acks)).items():
        if kept[body] < times:
            yield Violation("G1", (), f"acknowledged {times} times, on record {kept[body]} times: {body[:200]}")


def g2(history: History) -> Found:
    """Each notification is disposed of once, soon, every alert of it with known words and a reason."""
    received = {line.seq: line for line in history.of("notification.received")}
    done: set[int] = set()
    for line in history.of("notification.disposed"):
        mine = received.get(line.fact["notification"])
        if mine is None or mine.seq in done or mine.seq > line.seq:
            yield Violation("G2", (line.seq,), "disposes of what was not received, or a second time")
            continue
        done.add(mine.seq)
        if line.at > max(mine.at, last_start(history, line.at)) + WITHIN:
            yield Violation("G2", (mine.seq, line.seq), f"disposed of after {line.at - mine.at:.0f}s")
        yield from _alerts(history, mine, line)
    left = sorted(set(received) - done)
    if left and history.settled:
        yield Violation("G2", tuple(left), "never disposed of")


def _alerts(history: History, received: Line, disposed: Line) -> Found:
    sent, read = received.fact["body"]["alerts"], disposed.fact["alerts"]
    where = (received.seq, disposed.seq)
    if not len(sent) == len(read) == received.fact["alerts"]:
        yield Violation("G2", where, f"{len(sent)} alerts sent, {len(read)} disposed of")
        return
    opened = {line.fact["incident"] for line in history.of("incident.opened") if line.seq <= disposed.seq}
    for was, became in zip(sent, read, strict=True):
        disposals = became.get("disposals", [])
        rules = [one.get("rule", "") for one in disposals]
        if not disposals or len(set(rules)) < len(rules):
            yield Violation("G2", where, "an alert has no disposition, or two for one rule")
        for one in disposals:
            if one["disposition"] not in DISPOSITIONS or not one.get("reason"):
                yield Violation("G2", where, f"{one['disposition']!r} is no disposition with a reason")
            if one.get("incident") and one["incident"] not in opened:
                yield Violation("G2", where, f"{one['incident']} was never opened")
        if became["identity"] and became["identity"] != identity(was["labels"]):
            yield Violation("G2", where, "a disposition belongs to another alert than the one that was sent")


def g3(history: History) -> Found:
    """One incident for an episode and rule, one run for each of its rungs."""
    ended: dict[str, int] = {}
    opened: dict[tuple[str, str], int] = {}
    for line in history.of("incident.opened", "notification.disposed", "episode.lapsed"):
        if line.kind == "episode.lapsed":
            ended[line.fact["identity"]] = line.seq
        elif line.kind == "notification.disposed":
            for alert in line.fact["alerts"]:
                if any(one["disposition"] == "resolved" for one in alert.get("disposals", [])):
                    ended[alert["identity"]] = line.seq
        elif line.fact["episode"]:
            key = (line.fact["rule"], line.fact["episode"].rpartition(".")[0])
            if key in opened and ended.get(key[1], 0) < opened[key]:
                yield Violation("G3", (opened[key], line.seq), f"two incidents of {key[0]} for one firing")
            opened[key] = line.seq
    yield from _rungs(history)


def _rungs(history: History) -> Found:
    """A plan that nobody has said yes to, and that the rules no longer make, has given way to the next."""
    rungs: dict[tuple[str, int], int] = {}
    begun = {line.run for line in history.of("run.started")}
    void = {line.run for line in history.of("run.ended") if line.fact["result"] == "cancelled"} - begun
    for line in history.of("run.planned"):
        rung = (line.fact["incident"], line.fact["plan"]["rung"])
        if rung in rungs and line.run not in void:
            yield Violation("G3", (rungs[rung], line.seq), "two runs of one playbook for one incident")
        if line.run not in void:
            rungs[rung] = line.seq


# ── execution ────────────────────────────────────────────────────────────────────────────────────────────────────────
def g4(history: History) -> Found:
    """`once` is issued once, other classes within their limits; unknown becomes ok only by the target or a person."""
    planned = plans(history)
    orders = [line for line in history.of("person.decided") if line.fact["decision"] == "continue"]
    for key, mine in steps(history).items():
        step = planned_step(planned, key)
        effect = step.get("effect", "once")
        yield from _repeated(mine, effect, max(step.get("attempts", 1), TRIES[effect]), orders)
        if effect != "read":
            yield from _doubt(history, mine, key.rpartition("/")[0])
    yield from _seen(history, planned)


def _repeated(mine: Attempts, effect: str, limit: int, orders: list[Line]) -> Found:
    if effect == "once":
        limit = 1
    by_itself = 0
    for place, line in enumerate(mine.intents):
        by = line.fact.get("by", "")
        if line.fact["attempt"] != place + 1:
            yield Violation("G4", (line.seq,), f"attempt {line.fact['attempt']} where {place + 1} was due")
        ordered = [one for one in orders if one.run == line.run and one.seq < line.seq and one.fact["by"] == by]
        if by and len(ordered) < sum(1 for one in mine.intents[: place + 1] if one.fact.get("by") == by):
            yield Violation("G4", (line.seq,), f"says it was ordered by {by}, who ordered nothing")
        by_itself += not by
        if by_itself > limit:
            yield Violation("G4", (line.seq,), f"a step of class {effect} was issued {by_itself} times by itself")


def _doubt(history: History, mine: Attempts, run: str) -> Found:
    results: dict[int, str] = {}
    doubt: Line | None = None
    for line in sorted([*mine.outcomes, *history.of("person.decided", "run.ended")], key=lambda one: one.seq):
        if line.run != run:
            continue
        if line.kind == "step.outcome":
            result, attempt = line.fact["outcome"]["result"], line.fact["attempt"]
            made_ok = result == "ok" and not line.fact.get("reconciled") and not _overtaken(mine, line)
            if made_ok and results.get(attempt) == "unknown":
                yield Violation("G4", (line.seq,), "unknown became ok without the target being asked")
            results[attempt] = result
            doubt = line if result == "unknown" else None if result == "ok" else doubt
        elif line.kind == "person.decided" and line.fact["decision"] != "continue":
            doubt = None
        elif line.kind == "run.ended" and doubt is not None:
            yield Violation("G4", (doubt.seq, line.seq), f"ended {line.fact['result']} with an effect in doubt")


def _overtaken(mine: Attempts, line: Line) -> bool:
    """Whether the maker of the attempt tells what came of it, which another replica had called unknown meanwhile."""
    attempt = line.fact["attempt"]
    maker = next((one.boot for one in mine.intents if one.fact["attempt"] == attempt), "")
    earlier = [one.boot for one in mine.outcomes if one.fact["attempt"] == attempt and one is not line]
    return line.boot == maker and maker not in earlier


def _seen(history: History, planned: dict[str, Line]) -> Found:
    """What the targets saw against what was announced."""
    made = steps(history)
    for key, times in Counter(one.key for one in history.arrivals or () if one.what == "do").items():
        mine = made.get(key, Attempts())
        effect = planned_step(planned, key).get("effect", "once")
        where = tuple(line.seq for line in mine.intents)
        refused = sum(1 for line in mine.outcomes if line.fact["outcome"]["result"] == "failed")
        if times > len(where):
            yield Violation("G4", where, f"{key} arrived {times} times and was announced {len(where)} times")
        elif effect == "keyed" and times > 1 + refused:
            yield Violation("G4", where, f"{key} is of class keyed and took effect {times} times")


def g5(history: History) -> Found:
    """No window of a limiter holds more than it may."""
    planned = plans(history)
    ended = {line.run: line for line in history.of("run.ended")}
    starts: dict[str, list[Line]] = defaultdict(list)
    for line in history.of("run.started"):
        if line.fact["dry"]:
            continue
        before, limits = starts[line.fact["rule"]], planned[line.run].fact["plan"]["guards"]
        before.append(line)
        rate, blast = limits["rate_limit"], limits["blast_radius"]
        same = [one for one in before if one.fact["target"] == line.fact["target"]]
        held = [one for one in same if elapsed(one, line) < rate["window"]]
        if len(held) > rate["count"]:
            yield Violation("G5", tuple(one.seq for one in held), f"{len(held)} runs on one target in the window")
        wide = {one.fact["target"]: one.seq for one in before if elapsed(one, line) < blast["window"]}
        if len(wide) > blast["count"]:
            yield Violation("G5", tuple(wide.values()), f"{len(wide)} targets in the window")
        going = [one for one in before if one.run not in ended or ended[one.run].seq > line.seq]
        if len(going) > limits["concurrency"]:
            yield Violation("G5", tuple(one.seq for one in going), f"{len(going)} runs of one rule at once")
        for one in same[:-1]:
            end = ended.get(one.run)
            rested = elapsed(end, line) if end is not None and end.seq < line.seq else 0.0
            if one.fact["incident"] != line.fact["incident"] and rested < limits["cooldown"]:
                yield Violation("G5", (one.seq, line.seq), f"a target was touched again after {rested:.0f}s")


def g6(history: History) -> Found:
    """A lock has one holder, from the start of its run to its last word."""
    held: dict[str, Line] = {}
    spans: dict[str, tuple[float, float]] = {}
    for line in history.of("run.started", "run.ended"):
        if line.kind == "run.ended":
            held = {lock: one for lock, one in held.items() if one.run != line.run}
            if line.run in spans:
                spans[line.run] = (spans[line.run][0], line.at)
        elif not line.fact["dry"]:
            for lock in line.fact["locks"]:
                if lock in held:
                    yield Violation("G6", (held[lock].seq, line.seq), f"{lock} has two holders")
                held[lock] = line
            if not line.fact["locks"]:
                yield Violation("G6", (line.seq,), "a run started without a lock")
            spans[line.run] = (line.at, float("inf"))
    for one in history.arrivals or ():
        begun, over = spans.get(one.key.rpartition("/")[0], (0.0, float("inf")))
        if one.what == "do" and one.at is not None and not begun - 1.0 <= one.at <= over + 1.0:
            yield Violation("G6", (), f"{one.key} arrived at {one.at:.0f}, its run had the lock {begun:.0f}-{over:.0f}")


def g8(history: History) -> Found:
    """An intent before every effect, one final outcome after it; and a start only after guards that allowed it."""
    ended = {line.run: line for line in history.of("run.ended")}
    made = steps(history)
    for key, mine in made.items():
        attempts = {line.fact["attempt"]: line for line in mine.intents}
        told: dict[int, Line] = {}
        for line in mine.outcomes:
            attempt = line.fact["attempt"]
            if attempt not in attempts or attempts[attempt].seq > line.seq:
                yield Violation("G8", (line.seq,), f"an outcome of {key} without its intent")
            earlier = told.get(attempt)
            if earlier is not None and earlier.fact["outcome"]["result"] != "unknown":
                yield Violation("G8", (earlier.seq, line.seq), f"attempt {attempt} of {key} has two outcomes")
            told[attempt] = line
        for attempt, line in attempts.items():
            over = line.run in ended or line is not mine.intents[-1] or history.settled
            if over and attempt not in told:
                yield Violation("G8", (line.seq,), f"attempt {attempt} of {key} has no outcome")
    yield from _announced(history, made)
    yield from _allowed(history)


def _announced(history: History, made: dict[str, Attempts]) -> Found:
    undos: dict[str, list[Line]] = defaultdict(list)
    for line in history.of("undo.intent"):
        undos[f"{line.run}/{line.fact['step']}"].append(line)
    so_far: Counter[tuple[str, str]] = Counter()
    for one in history.arrivals or ():
        intents = made[one.key].intents if one.what == "do" and one.key in made else []
        intents = undos[one.key] if one.what == "undo" else intents
        place = so_far[one.what, one.key]
        so_far[one.what, one.key] += 1
        if place >= len(intents):
            yield Violation("G8", (), f"{one.what} {one.key} arrived and no intent was on record")
        elif one.head is not None and one.head < intents[place].seq:
            yield Violation("G8", (intents[place].seq,), f"{one.what} {one.key} arrived before its intent was durable")
        elif one.at is not None and one.at < intents[place].at - 1.0:
            yield Violation("G8", (intents[place].seq,), f"{one.what} {one.key} arrived before its intent")


def _allowed(history: History) -> Found:
    decided: dict[str, Line] = {}
    for line in history.of("run.decided", "run.started"):
        if line.kind == "run.decided":
            decided[line.run] = line
        elif line.run not in decided or decided[line.run].fact["answer"] != "allow":
            yield Violation("G8", (line.seq,), "a run started without guards that allowed it")
        elif any(verdict["answer"] != 0 for verdict in decided[line.run].fact["verdicts"]):
            yield Violation("G7", (decided[line.run].seq,), "allowed although a guard objected")
