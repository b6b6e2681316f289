"""The log goes to a file on a full disk, or to a pipe that nobody reads: the service works on, and counts the lines."""

from __future__ import annotations

import errno
import io
from typing import TYPE_CHECKING

import pytest

from remediator.observe import Redactor
from remediator.observe.log import Log

if TYPE_CHECKING:
    from tests.service.conftest import Home, Work

FULL = OSError(errno.ENOSPC, "No space left on device")
FAULTS = [FULL, BrokenPipeError(errno.EPIPE, "Broken pipe"), ValueError("I/O operation on closed file")]


class Broken(io.StringIO):
    """Takes no line while it is broken."""

    fault: Exception | None = None

    def write(self, text: str) -> int:
        if self.fault is not None:
            raise self.fault
        return super().write(text)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_line_that_cannot_be_written_is_counted_and_the_next_one_tried(fault: Exception) -> None:
    out, lost = Broken(), list[int]()
    log = Log(Redactor(()), form="logfmt", stream=out, lost=lambda: lost.append(1))
    out.fault = fault
    log.line("error", 0.0, "one", kind="test")
    out.fault = None
    log.line("error", 0.0, "two", kind="test")
    assert lost == [1]
    assert "sentence=two" in out.getvalue()
    assert "one" not in out.getvalue()


async def test_the_service_goes_on_when_its_log_cannot_be_written(
    home: Home, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Broken()
    monkeypatch.setattr("sys.stderr", out)
    built = home.build()
    async with work(built) as service:
        out.fault = FULL
        assert (await service.fire()).status_code == 202
        [row] = await service.closed()
        assert row["result"] == "simulated"
        [told] = await service.metric("remediator_log_lines_lost_total")
        assert float(told.split()[-1]) > 3
        out.fault = None
