"""The weaker designs of reliability.md finding 2, as changes to a simulated engine: none of them is in the product."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from remediator.core import fold_runs, runs
from remediator.core.outcomes import Presence
from remediator.core.runs import Await, Effect, Issue, Park, Reconcile, rest_until
from remediator.core.state import Run
from remediator.engine import admission, effects

Weaken = Callable[[pytest.MonkeyPatch], None]


def _ordered_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_runs, "_check_order", lambda _run, _fact: None)


def _no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "ISSUE_WITHIN", 1e9)
    monkeypatch.setattr(effects, "ISSUE_WITHIN", 1e9)


def _again(run: Run, now: float, rest: float) -> Effect:
    if run.attempt >= 4:
        return Park("enough")
    return Issue(run.step, run.attempt + 1) if now >= rest else Await(rest)


def _lease_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has the lease does the step; what became of an earlier try is nobody's business."""
    _ordered_twice(monkeypatch)
    _no_deadline(monkeypatch)
    monkeypatch.setattr(runs, "_in_doubt", lambda run, now: _again(run, now, 0.0))


def _ask_and_reissue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the target, and issue again at once when it does not know of it."""
    _ordered_twice(monkeypatch)
    _no_deadline(monkeypatch)
    monkeypatch.setattr(runs, "_in_doubt", lambda run, now: Reconcile())
    monkeypatch.setattr(
        runs,
        "after_reconcile",
        lambda run, found, now: _again(run, now, 0.0) if found.presence is Presence.ABSENT else Park("-"),
    )


def _deadline_and_quarantine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, but not before the earlier try can no longer arrive, as long as nothing stands still at the wrong place."""
    _ordered_twice(monkeypatch)
    monkeypatch.setattr(runs, "_in_doubt", lambda run, now: Reconcile())
    monkeypatch.setattr(
        runs,
        "after_reconcile",
        lambda run, found, now: _again(run, now, rest_until(run)) if found.presence is Presence.ABSENT else Park("-"),
    )


WEAKER: dict[str, Weaken] = {
    "lease only": _lease_only,
    "fenced intent, ask, issue again": _ask_and_reissue,
    "the same with a deadline and a quarantine": _deadline_and_quarantine,
}


@pytest.fixture(params=WEAKER)
def weakened(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One of the weaker designs is in force."""
    WEAKER[request.param](monkeypatch)
    return str(request.param)
