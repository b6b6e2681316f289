"""What holds on every floor: heavy tests begin first, and their lines are not counted; a stage is not split."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Heavy tests of the last floor that share no stage with those beside them.
_ALONE = (
    "tests/e2e/test_demo.py::",
    "tests/e2e/test_kill.py::test_kill_minus_nine",
    "tests/e2e/test_monitoring.py::",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Heavy tests come first, so that no core ends alone with one."""
    items.sort(key=lambda item: item.get_closest_marker("heavy") is None)


class _ByStage(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """The tests of a file stay together, in their order, for many share a stage; but for those that are alone."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith(_ALONE) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """With `--dist loadgroup`, which scripts/test gives for the last floor, what belongs together is decided here.

    xdist 3.8 would write the mark `xdist_group` into the names of tests, and with pytest 9.2 that has no effect and is not
    said: every test would build a stage of its own (pytest-xdist #1386).
    """
    return _ByStage(config, log) if config.getoption("dist") == "loadgroup" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A heavy test runs without a tracer (coverage has one), in this thread and in those that it starts.

    That of pytest-cov, `no_cover`, does not do it in a worker of xdist: another tracer below goes on.
    """
    if not item.get_closest_marker("heavy"):
        return (yield)
    here, there = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        return (yield)
    finally:
        threading.settrace(there)
        sys.settrace(here)
