"""What holds on every floor: heavy tests begin first, and their lines are not counted; a stage is not split."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Heavy tests come first, so that no core ends alone with one.

    The tests of the last floor that are not heavy stay together by file (`--dist loadgroup`), for many share a stage there.
    """
    items.sort(key=lambda item: item.get_closest_marker("heavy") is None)
    for item in items:
        if item.get_closest_marker("e2e") and not item.get_closest_marker("heavy"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


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
