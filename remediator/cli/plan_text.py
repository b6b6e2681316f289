"""A plan as text: what explain shows, what is approved, what is taken back. Prints nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from remediator.cli.text import pairs, plain
from remediator.core.durations import format_duration
from remediator.core.outcomes import EffectClass

if TYPE_CHECKING:
    from remediator.core.plans import Plan, PlannedCheck, PlannedCondition, PlannedStep


def step_rows(plan: Plan) -> list[list[str]]:
    """One row a step: number, action, what it does and when that ends; a second row with the arguments themselves."""
    return [row for number, step in enumerate(plan.steps, 1) for row in _step_rows(number, step)]


def _step_rows(number: int, step: PlannedStep) -> list[list[str]]:
    arguments = pairs(step.arguments)
    does = plain(step.does) or arguments or plain(step.name)
    rows = [[str(number), plain(step.action), f"{does} ({_end(step)})"]]
    if step.does and arguments:
        rows.append(["", "", arguments])
    return rows


def _end(step: PlannedStep) -> str:
    if step.effect is EffectClass.READ:
        return "read-only"
    return f"undo after {format_duration(step.undo_after)}" if step.undo_after is not None else "not taken back"


def condition_text(condition: PlannedCondition) -> str:
    """A PromQL question, and for how long it must have held."""
    held = f"  for {format_duration(condition.hold)}" if condition.hold else ""
    return plain(condition.expr) + held


def check_text(check: PlannedCheck) -> str:
    """What must be seen, for how long, and within which time."""
    what = check.arguments.get("expr")
    asked = plain(what) if isinstance(what, str) else f"{plain(check.probe)} {pairs(check.arguments)}"
    held = f" for {format_duration(check.hold)}" if check.hold else ""
    return f"{asked}{held} within {format_duration(check.within)}"


def after_text(plan: Plan) -> str:
    """What happens when it does not help."""
    return ", then ".join(word.value for word in plan.on_failure) or "nothing"
