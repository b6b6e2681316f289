"""An incident's story told in two other ways: its steps alone, and a decision as `explain` shows it. Prints nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from remediator.cli.text import clock, plain, table
from remediator.core.telling import clock_time
from remediator.core.views import ExplanationView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.core.views import LineView, StoryView

_WOULD = {"allow": "run", "ask": "ask", "defer": "hold", "deny": "refuse"}
BEGINNING = "incident.opened"


def pruned(story: StoryView) -> str:
    """What is to be said of a story whose beginning was pruned from the journal; empty of a whole one."""
    if story.lines and story.lines[0].kind == BEGINNING:
        return ""
    return "the beginning of this incident was pruned from the journal; storage.archive, if set, has it"


# ── the steps alone ──────────────────────────────────────────────────────────────────────────────────────────────────
class Attempt(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One try of a step. `of` is how many steps the plan has, 0 if the plan was pruned; `result` is empty while it runs."""

    run: str
    step: int
    of: int = 0
    attempt: int
    at: float
    action: str
    result: str = ""
    sentence: str = ""
    seconds: float = 0.0
    undo_at: float | None = None
    simulated: bool = False
    by: str = ""


class _Outcome(msgspec.Struct, frozen=True):
    result: str = ""
    sentence: str = ""


class _Intent(msgspec.Struct):
    step: int
    attempt: int = 1
    action: str = ""
    undo_at: float | None = None
    by: str = ""


class _Ended(msgspec.Struct):
    step: int
    attempt: int = 1
    outcome: _Outcome = _Outcome()
    seconds: float = 0.0
    simulated: bool = False


def attempts(story: StoryView) -> list[Attempt]:
    """Every try of every step, in the order in which they were announced."""
    sizes = dict(zip((line.run for line in story.lines if line.kind == "run.planned"), story.plans, strict=False))
    found: dict[tuple[str, int, int], Attempt] = {}
    for line in story.lines:
        if line.kind == "step.intent":
            told = msgspec.convert(line.fact, _Intent)
            plan = sizes.get(line.run)
            found[line.run, told.step, told.attempt] = Attempt(
                run=line.run,
                step=told.step + 1,
                of=len(plan.steps) if plan is not None else 0,
                attempt=told.attempt,
                at=line.at,
                action=told.action,
                undo_at=told.undo_at,
                by=told.by,
            )
        elif line.kind == "step.outcome":
            _ended(found, line)
    return list(found.values())


def _ended(found: dict[tuple[str, int, int], Attempt], line: LineView) -> None:
    told = msgspec.convert(line.fact, _Ended)
    nameless = Attempt(run=line.run, step=told.step + 1, attempt=told.attempt, at=line.at, action="")
    one = found.setdefault((line.run, told.step, told.attempt), nameless)  # its announcement may have been pruned
    one.result, one.sentence = told.outcome.result, told.outcome.sentence
    one.seconds, one.simulated = told.seconds, told.simulated


def steps(story: StoryView, width: int | None) -> list[str]:
    """One line a try: when, which step, what, what came of it, and when it is taken back."""
    many = len({one.run for one in attempts(story)}) > 1
    return table([_row(one, many) for one in attempts(story)], width)


def _row(one: Attempt, many: bool) -> list[str]:
    place = f"step {one.step}/{one.of}" if one.of else f"step {one.step}"
    place += f", attempt {one.attempt}" if one.attempt > 1 else ""
    result = f"{'would: ' if one.simulated else ''}{one.result or 'no outcome yet'}"
    result += f" {one.seconds:.1f}s" if one.seconds else ""
    ordered = f", ordered by {plain(one.by)}" if one.by else ""
    undo = f"  undo {clock_time(one.undo_at)}" if one.undo_at is not None else ""
    run = [plain(one.run)] if many else []
    return [clock(one.at), *run, place, plain(one.action), result, plain(one.sentence) + ordered + undo]


# ── a decision ───────────────────────────────────────────────────────────────────────────────────────────────────────
def decision(story: StoryView, at: float | None) -> tuple[str, ExplanationView]:
    """What was decided for this incident, the last time up to `at` (unix s; None: the last time of all), and when.

    Not what would be decided now: the verdicts are those that the journal holds.
    """
    lines = [line for line in story.lines if at is None or line.at <= at]
    decided = _last(lines, "run.decided")
    planned = _last([line for line in lines if decided is None or line.run == decided.run], "run.planned")
    one = story.incident
    view = ExplanationView(rule=one.rule, source="", would="refuse", sentence=_nothing(story, lines), matches=())
    if planned is not None:
        place = [line.seq for line in story.lines if line.kind == "run.planned"].index(planned.seq)
        plan = story.plans[place]
        mode = "dry-run" if planned.fact.get("dry") else str(planned.fact.get("mode", ""))
        sentence = "planned, and not decided on yet"
        view = msgspec.structs.replace(
            view, plan=plan, digest=str(planned.fact.get("digest", "")), target=dict(plan.target), mode=mode,
            would="hold", sentence=sentence,
        )  # fmt: skip
    if decided is None:
        when = f"{plain(one.incident)}: no decision on record" + (f" up to {clock_time(at)}" if at is not None else "")
        return when, view
    would = _WOULD.get(str(decided.fact.get("answer", "")), "refuse")
    view = msgspec.structs.replace(view, would=would, sentence=decided.sentence, verdicts=decided.verdicts)
    return f"{plain(decided.run)} as decided {clock_time(decided.at)}, entry {decided.seq}", view


def _last(lines: Sequence[LineView], kind: str) -> LineView | None:
    return next((line for line in reversed(lines) if line.kind == kind), None)


def _nothing(story: StoryView, lines: Sequence[LineView]) -> str:
    if not lines:
        return "nothing was on record yet"
    return pruned(story) or "no run was planned"
