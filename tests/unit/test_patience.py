"""Waits end by themselves, in the task that waited too long and in no other, and leave nothing behind."""

from __future__ import annotations

import asyncio

import pytest

from remediator.patience import Patience


async def test_what_lasts_too_long_times_out() -> None:
    patience = Patience(0.01)
    with pytest.raises(TimeoutError), patience.wait():
        await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_ends_in_time_is_left_alone() -> None:
    patience = Patience(0.01)
    with patience.wait():
        await asyncio.sleep(0)
    gone = asyncio.Event()
    asyncio.get_running_loop().call_later(0.03, gone.set)
    await gone.wait()


async def test_only_the_overdue_task_hears_of_it() -> None:
    patience = Patience(0.02)

    async def hang() -> str:
        try:
            with patience.wait():
                await asyncio.Event().wait()
        except TimeoutError:
            return "overdue"
        return "never"

    async def quick() -> str:
        with patience.wait():
            await asyncio.sleep(0)
        return "quick"

    async with asyncio.TaskGroup() as group:
        slow, fast = group.create_task(hang()), group.create_task(quick())
    assert (slow.result(), fast.result()) == ("overdue", "quick")


async def test_a_cancellation_by_somebody_else_stays_one() -> None:
    patience = Patience(10.0)

    async def hang() -> None:
        with patience.wait():
            await asyncio.Event().wait()

    task = asyncio.ensure_future(hang())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_an_error_in_the_wait_is_that_error() -> None:
    with pytest.raises(ValueError, match="mine"), Patience(10.0).wait():
        raise ValueError("mine")


def test_it_serves_one_loop_after_the_other() -> None:
    patience = Patience(0.01)

    async def hang() -> None:
        with patience.wait():
            await asyncio.Event().wait()

    for _ in range(2):
        with pytest.raises(TimeoutError):
            asyncio.run(hang())


def test_outside_of_a_task_nobody_can_wait() -> None:
    async def enter() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        refused: list[Exception] = []

        def call() -> None:
            try:
                with Patience(1.0).wait():
                    refused.append(AssertionError("it waited"))
            except RuntimeError as fault:
                refused.append(fault)
            done.set()

        loop.call_soon(call)
        await done.wait()
        assert isinstance(refused[0], RuntimeError)

    asyncio.run(enter())
