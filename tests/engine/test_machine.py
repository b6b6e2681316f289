"""Stories that nobody wrote, against a small model, on both stores; and the model notices engines that break a promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase

from remediator.core import planning
from remediator.guards.all_guards import all_guards
from remediator.stores import sqlite as sqlite_module
from remediator.stores import sqlite_place
from tests.kit.machine import play
from tests.kit.places import InFile, InMemory
from tests.kit.troubled import InlineLane

if TYPE_CHECKING:
    from remediator.core.facts import Guard
    from tests.engine.conftest import Rig

pytestmark = pytest.mark.heavy


def test_no_story_breaks_a_promise_in_memory(rig: Rig) -> None:
    play(type(rig), InMemory, examples=30, steps=30)


def test_no_story_breaks_a_promise_in_a_file(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "Lane", InlineLane)
    monkeypatch.setattr(sqlite_place, "BALLAST_BYTES", 4096)
    play(type(rig), InFile, examples=8, steps=30)


def lacking(name: str) -> Callable[[], Sequence[Guard]]:
    """All guards but one."""
    return lambda: [guard for guard in all_guards() if guard.name != name]


@pytest.mark.parametrize(
    ("guard", "promise"),
    [("pause", "G20"), ("rate_limit", "G5"), ("blast_radius", "G5"), ("mode", "G21|G9")],
)
def test_an_engine_without_a_guard_is_found(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, guard: str, promise: str
) -> None:
    parts = type(rig).parts

    def without(self: Rig) -> object:
        made = parts(self)
        made.guards = lacking(guard)()
        return made

    monkeypatch.setattr(type(rig), "parts", without)
    with pytest.raises(AssertionError, match=promise):
        play(type(rig), InMemory, examples=120, steps=30, phases=[Phase.generate])


def test_an_engine_that_takes_late_copies_for_news_is_found(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_is_old_end", lambda _known, _alert: False)
    with pytest.raises(AssertionError, match="Episode"):
        play(type(rig), InMemory, examples=120, steps=30, phases=[Phase.generate])
