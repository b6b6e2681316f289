"""The judgements on dry runs, undo, verification, ends, pauses and approvals; see `judging.py`."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass

from tests.kit.histories import History, Line
from tests.kit.judging import RUN_SLACK, STEP_SLACK, WITHIN, Found, Violation, last_start, planned_step, plans

FINAL_UNDO = frozenset({"undone", "gone", "foreign"})


def g9(history: History) -> Found:
    """Nothing that a dry run would have done arrived anywhere, reads apart."""
    planned = plans(history)
    for one in history.arrivals or ():
        run = planned.get(one.key.rpartition("/")[0])
        if run is not None and run.fact["dry"] and planned_step(planned, one.key).get("effect") != "read":
            yield Violation("G9", (run.seq,), f"{one.what} {one.key} arrived from a dry run")


@dataclass(slots=True)
class Standing:
    """A temporary effect as the journal tells of it."""

    intent: Line
    due: float
    doubt: bool = False
    tried: Line | None = None
    again: float | None = None
    instead_of: str = ""  # the same effect, from before it was forgotten


class _Temporary:
    """Follows temporary effects through the journal."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._planned = plans(history)
        self.standing: dict[str, Standing] = {}

    def take(self, line: Line) -> Found:
        """One entry."""
        key = f"{line.run}/{line.fact['step']}"
        match line.kind:
            case "step.intent" if not line.fact.get("dry"):
                yield from self._intent(key, line)
            case "step.outcome" if key in self.standing:
                self._outcome(key, line)
            case "undo.intent":
                yield from self._undo(key, line)
            case "undo.outcome":
                yield from self._undone(key, line)

    def _intent(self, key: str, line: Line) -> Found:
        step, due = planned_step(self._planned, key), line.fact.get("undo_at")
        after, until = step.get("undo_after"), step.get("until")
        if until is not None:
            yield from self._made_again(key, line, step["replaces"], until)
            return
        if after is None and due is None:
            return
        if after is None or due is None or abs(due - line.at - after) > 1.0:
            yield Violation("G10", (line.seq,), f"{key} is temporary ({after}s) and its end is not on record as such")
        before = self.standing.get(key)
        self.standing[key] = Standing(line, due if due is not None else line.at, doubt=before is not None)

    def _made_again(self, key: str, line: Line, first: str, until: float) -> Found:
        """What a place forgot is made again with its own end, and never after that."""
        before, due = self.standing.get(first) or self.standing.get(key), line.fact.get("undo_at")
        if before is None or due != until or abs(due - before.due) > 1.0 or line.at > due:
            yield Violation("G10", (line.seq,), f"{key} is made again, and not with the end that {first} had")
        self.standing[key] = Standing(line, until, doubt=key in self.standing, instead_of=first)

    def _outcome(self, key: str, line: Line) -> None:
        result = line.fact["outcome"]["result"]
        mine = self.standing[key]
        if result == "ok":
            self.standing.pop(mine.instead_of, None)
        if result in {"failed", "not_issued"} and not mine.doubt:
            del self.standing[key]
        else:
            mine.doubt = mine.doubt or result == "unknown"

    def _undo(self, key: str, line: Line) -> Found:
        mine = self.standing.get(key)
        if mine is None:
            yield Violation("G10", (line.seq,), f"{key} is taken back, and nothing of it stands")
            return
        due = mine.again if mine.again is not None else mine.due
        if line.fact["cause"] == "expiry":
            if line.at < due - 1.0:
                yield Violation("G10", (mine.intent.seq, line.seq), f"{key} ended {due - line.at:.0f}s before its time")
            if line.at > max(due, last_start(self._history, line.at)) + WITHIN:
                yield Violation("G10", (mine.intent.seq, line.seq), f"{key} ended {line.at - due:.0f}s late")
        mine.tried = line

    def _undone(self, key: str, line: Line) -> Found:
        mine = self.standing.get(key)
        if mine is None or mine.tried is None or mine.tried.fact["attempt"] != line.fact["attempt"]:
            if not any(one.run == line.run and one.fact["attempt"] == line.fact["attempt"]
                       for one in self._history.of("undo.intent")):  # fmt: skip
                yield Violation("G10", (line.seq,), f"{key} was taken back without an intent")
            return
        if line.fact["outcome"]["result"] in FINAL_UNDO:
            del self.standing[key]
            return
        mine.again = line.fact.get("next_at")
        if mine.again is None:
            yield Violation("G10", (line.seq,), f"{key} was not taken back and will not be tried again")

    def left(self) -> Found:
        """What stands at the end and should not."""
        end = self._history.lines[-1].at if self._history.lines else 0.0
        for key, mine in self.standing.items():
            due = mine.again if mine.again is not None else mine.due
            overdue = end > max(due, last_start(self._history, end)) + WITHIN
            if self._history.settled or (overdue and (mine.tried is None or mine.again is not None)):
                yield Violation(
                    "G10", (mine.intent.seq,), f"{key} was to end at {due:.0f} and still stands at {end:.0f}"
                )


def g10(history: History) -> Found:
    """A temporary effect has its end on record before it exists, and ends then; nothing else is taken back."""
    temporary = _Temporary(history)
    undone = {
        f"{line.run}/{line.fact['step']}": line
        for line in history.of("undo.outcome")
        if line.fact["outcome"]["result"] == "undone"
    }
    for line in history.of("step.intent", "step.outcome", "undo.intent", "undo.outcome"):
        yield from temporary.take(line)
    yield from temporary.left()
    if history.arrivals is None:
        return
    arrived = Counter((one.what, one.key) for one in history.arrivals)
    for key, line in undone.items():
        if arrived["do", key] and not arrived["undo", key]:
            yield Violation("G10", (line.seq,), f"{key} is told to be undone, and the target saw nothing of it")


def g11(history: History) -> Found:
    """Success was seen: after the last effect, by every check, long enough, in time."""
    planned = plans(history)
    for end in history.of("run.ended"):
        if end.fact["result"] != "succeeded":
            continue
        mine = [line for line in history.lines if line.run == end.run and line.seq < end.seq]
        begun = [line for line in mine if line.kind == "verify.started"]
        told = [line for line in mine if line.kind == "verify.concluded"]
        if not begun or len(told) != 1 or told[0].fact["verdict"] != "recovered":
            yield Violation("G11", (end.seq,), f"{end.run} succeeded without a recovery that was seen")
            continue
        last = max((line for line in mine if line.kind == "step.outcome"), key=lambda one: one.seq, default=None)
        if last is not None and (last.seq > begun[-1].seq or begun[-1].fact["after"] < last.at - 0.01):
            yield Violation(
                "G11", (last.seq, begun[-1].seq), f"{end.run} was verified before its last effect had ended"
            )
        checks = planned[end.run].fact["plan"].get("verify", [])
        if not checks:
            yield Violation("G11", (planned[end.run].seq,), f"{end.run} succeeded and had nothing to verify")
        for place, check in enumerate(checks):
            yield from _checked(mine, begun[-1], told[0], place, check)


def _checked(mine: list[Line], begun: Line, told: Line, place: int, check: dict[str, float]) -> Found:
    """`looked` is on record where it differs from the look before, so the last one tells since when it was so."""
    looks = [line for line in mine if line.kind == "verify.looked" and line.fact["check"] == place]
    if not looks or looks[-1].fact["observation"]["look"] != "good":
        yield Violation("G11", (told.seq,), f"check {place} was not seen good when the recovery was told")
        return
    seen = looks[-1]
    held = told.at - seen.at
    if held < max(check["hold"], (check["samples"] - 1) * min(check["every"], 1.0)) - 0.5:
        yield Violation("G11", (seen.seq, told.seq), f"check {place} was good for {held:.0f}s only")
    newest = seen.fact["observation"].get("at")
    if newest is not None and newest <= begun.fact["after"]:
        yield Violation("G11", (seen.seq,), f"check {place} counted a sample from before the last effect")


def g12(history: History) -> Found:
    """Every step and run ends in time, once, and what comes after an end changes nothing."""
    planned, ended = plans(history), dict[str, Line]()
    intents = {(line.run, line.fact["step"], line.fact["attempt"]): line for line in history.of("step.intent")}
    for line in history.lines:
        if line.kind == "run.ended":
            if line.run in ended:
                yield Violation("G12", (ended[line.run].seq, line.seq), f"{line.run} ended twice")
            ended[line.run] = line
        elif line.kind.partition(".")[0] in {"step", "verify", "approval"} and line.run in ended:
            yield Violation("G12", (ended[line.run].seq, line.seq), f"{line.kind} after the last word on {line.run}")
        if line.kind == "step.outcome":
            intent = intents.get((line.run, line.fact["step"], line.fact["attempt"]))
            if intent is not None and line.fact.get("seconds", 0.0) > intent.fact["timeout"] + STEP_SLACK:
                yield Violation("G12", (intent.seq, line.seq), f"a step of {line.run} took {line.fact['seconds']:.0f}s")
    yield from _unended(history, planned, ended)
    yield from _closed(history)


def _unended(history: History, planned: dict[str, Line], ended: dict[str, Line]) -> Found:
    parked = {line.run: line for line in history.of("run.parked")}
    resumed = {line.run: line for line in history.of("person.decided")}
    end = history.lines[-1].at if history.lines else 0.0
    for line in history.of("run.started"):
        if line.run in resumed:  # a person gives it a new limit
            continue
        over = parked.get(line.run) or ended.get(line.run)
        plan = planned[line.run].fact["plan"]
        allowed = line.fact["deadline"] + sum(check["within"] for check in plan.get("verify", [])) + RUN_SLACK
        if (over.at if over else end) > max(allowed, last_start(history, over.at if over else end) + RUN_SLACK):
            yield Violation("G12", (line.seq,), f"{line.run} did not end within its limit")
    for run, line in planned.items():
        if history.settled and run not in ended and run not in parked:
            yield Violation("G12", (line.seq,), f"{run} has no last word and waits for nobody")


def _closed(history: History) -> Found:
    closed: dict[str, Line] = {}
    running: dict[str, set[str]] = {}
    for line in history.of("run.planned", "run.ended", "incident.closed"):
        name = line.fact["incident"]
        if line.kind == "run.planned":
            running.setdefault(name, set()).add(line.run)
            if name in closed:
                yield Violation("G12", (closed[name].seq, line.seq), f"a run of {name} after its last word")
        elif line.kind == "run.ended":
            running.setdefault(name, set()).discard(line.run)
        else:
            if name in closed or running.get(name):
                yield Violation("G12", (line.seq,), f"{name} was closed twice, or while a run was under way")
            closed[name] = line


def g20(history: History) -> Found:
    """No intent while a pause stands, but those that a person ordered."""
    rules = {line.run: line.fact["plan"]["rule"] for line in history.of("run.planned")}
    standing: dict[str, Line] = {}
    for line in history.of("pause.set", "pause.cleared", "step.intent", "run.started"):
        if line.kind == "pause.set":
            standing[line.fact["scope"]] = line
        elif line.kind == "pause.cleared":
            standing.pop(line.fact["scope"], None)
        else:
            for scope in ("all", f"rule:{rules.get(line.run, '')}"):
                pause = standing.get(scope)
                until = pause.fact.get("until") if pause is not None else None
                if pause is not None and (until is None or line.at < until) and not line.fact.get("by"):
                    yield Violation("G20", (pause.seq, line.seq), f"{line.kind} of {line.run} while {scope} is paused")


def g21(history: History) -> Found:
    """Where a yes is needed, it is a named person's, to this very plan, asked for, in time; and plans do not change."""
    asked: dict[str, Line] = {}
    given: dict[str, Line] = {}
    planned = plans(history)
    for run, line in planned.items():
        if digest(line.fact["plan"]) != line.fact["digest"]:
            yield Violation("G21", (line.seq,), f"the plan of {run} is not the one that its digest names")
    for line in history.of(
        "approval.requested", "approval.given", "approval.refused", "approval.expired", "run.started"
    ):
        match line.kind:
            case "approval.requested":
                asked[line.run] = line
                given.pop(line.run, None)
            case "approval.given":
                given[line.run] = line
                yield from _yes(line, asked.get(line.run), planned.get(line.run))
            case "run.started":
                wanted = not line.fact["dry"] and planned[line.run].fact["mode"] == "approve"
                if (wanted or line.run in asked) and line.run not in given:
                    yield Violation("G21", (line.seq,), f"{line.run} started, and nobody said yes")
            case _:
                given.pop(line.run, None)


def _yes(line: Line, request: Line | None, planned: Line | None) -> Found:
    if request is None or line.at >= request.fact["expires"] or not line.fact["by"].strip():
        yield Violation("G21", (line.seq,), "a yes that nobody asked for, too late, or without a name")
    elif planned is None or not line.fact["digest"] == request.fact["digest"] == planned.fact["digest"]:
        yield Violation("G21", (request.seq, line.seq), "a yes to another plan")


def digest(plan: dict[str, object]) -> str:
    """The name of a plan: 16 hex digits of SHA-256 over its JSON with sorted keys, the digest of the rules left out."""
    kept = {name: value for name, value in plan.items() if name != "rules_digest"}
    told = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(told.encode()).hexdigest()[:16]
