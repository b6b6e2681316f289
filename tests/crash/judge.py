"""What must hold after every story, whatever died (reliability.md H2).

The target's ledger and Alertmanager's acks are held against the promises, and only then the journal against them.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from remediator.core import entries as e
from remediator.core.chain import GENESIS, Head, check
from remediator.core.entries import Record
from remediator.core.fold import fold
from remediator.core.state import RunStatus, State
from remediator.stores.sqlite_reader import offline
from tests.crash.shapes import Shape, planned_attempts
from tests.crash.target import Line, Outside
from tests.engine.conftest import KEY

Journal = tuple[list[Record], list[e.AnyFact], State]


def faults_of(shape: Shape, root: Path) -> tuple[list[str], list[str]]:
    """All that is wrong with a story that has ended, and how its runs ended."""
    outside, found = Outside(root), list[str]()
    try:
        records, facts, state = _read(root / "journal.db", found)
    except Exception as fault:  # noqa: BLE001  (a journal that cannot be read is the worst fault of all)
        return [f"the journal cannot be read: {type(fault).__name__}: {fault}"], []
    lines = outside.arrivals()
    found += _effects(lines, facts) + _temporary(lines) + _acks(outside, records)
    results = [fact.result for fact in facts if isinstance(fact, e.RunEnded)]
    results += [run.status.value for run in state.runs.values()]
    if tuple(results) != shape.results and not (shape.doubtful and results == [RunStatus.NEEDS_PERSON.value]):
        found.append(f"the runs ended as {results}, expected {list(shape.results)}")
    if state.undos or state.outbox or state.pending or (not state.runs and state.locks):
        found.append("something is left undone")
    return found, results


def arrivals_of(root: Path) -> frozenset[tuple[str, str]]:
    """What kinds of things arrived at the target in a story."""
    return frozenset((line["what"], line["kind"]) for line in Outside(root).arrivals())


def _read(path: Path, found: list[str]) -> Journal:
    """The journal, its chain verified and the equation of G2 held against every position."""
    with offline(path) as reader:
        records = list(reader.records())
        kept = reader.load_snapshot()
    heads = check(KEY, [(one.seq, one.body, one.mac) for one in records], Head(0, GENESIS))
    found += [f"the chain breaks at entry {one.seq}: {one.sentence}" for one in heads if not isinstance(one, Head)]
    if kept is None or kept.head.seq != len(records):
        found.append("a clean end kept no snapshot of the whole journal")
    state, facts = State(), list[e.AnyFact]()
    for record in records:
        entry = e.decode(record.seq, record.body)
        state = fold(state, entry)
        facts.append(entry.fact)
        pending = sum(one.fact.alerts for one in state.pending.values())
        if state.tally.received != state.tally.disposed + pending:
            found.append(f"alerts were lost sight of at entry {record.seq}")
    return records, facts, state


def _effects(lines: list[Line], facts: list[e.AnyFact]) -> list[str]:
    """At most as often as allowed, and never without an intent of its own."""
    found: list[str] = []
    done = Counter((line["kind"], line["key"]) for line in lines if line["what"] == "do")
    allowed = planned_attempts(facts)
    for (kind, key), times in done.items():
        most = 3 if kind == "read" else allowed[key] if kind.startswith("safe") else 1
        if times > most:
            found.append(f"{kind} {key} arrived {times} times, at most {most} were allowed")
    intents = [fact for fact in facts if isinstance(fact, e.StepIntent) and not fact.dry]
    found += [f"{one} without an intent" for one in done - Counter((fact.action, fact.key) for fact in intents)]
    undone = Counter(line["key"] for line in lines if line["what"] == "undo")
    found += [
        f"undo of {one} without an intent"
        for one in undone - Counter(f"{fact.run}/{fact.step}" for fact in facts if isinstance(fact, e.UndoIntent))
    ]
    ends = Counter((f.run, f.step, f.attempt) for f in facts if isinstance(f, e.StepOutcome) and not f.reconciled)
    found += [f"{f.key} attempt {f.attempt} has no one outcome" for f in intents if ends[f.run, f.step, f.attempt] != 1]
    messages = {fact.message for fact in facts if isinstance(fact, e.MessageIntent)}
    told = {line["key"] for line in lines if line["what"] == "message" and line["key"].startswith("msg-")}
    found += [f"message {one} was never told" for one in messages - told]
    found += [f"message {one} is nowhere in the journal" for one in told - messages]
    return found


def _temporary(lines: list[Line]) -> list[str]:
    """What came into being is gone, and went away once."""
    came, went, before = Counter[str](), Counter[str](), set[str]()
    for line in lines:
        after = set(line["standing"])
        came.update(after - before)
        went.update(before - after)
        before = after
    found = [f"{key} is still there" for key in before]
    return found + [f"{key} went away {went[key]} times and came {came[key]} times" for key in came if came != went]


def _acks(outside: Outside, records: list[Record]) -> list[str]:
    """Every notification that was acknowledged is in the journal, at the place that was named, as it was sent."""
    found: list[str] = []
    for ack in outside.acks():
        record = records[ack["entry"] - 1] if ack["entry"] <= len(records) else None
        fact = e.decode(record.seq, record.body).fact if record is not None else None
        if not isinstance(fact, e.NotificationReceived) or bytes(fact.body).decode() != ack["body"]:
            found.append(f"notification {ack['number']} was acknowledged and is not entry {ack['entry']}")
    return found
