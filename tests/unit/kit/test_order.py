"""The reader of traces finds what left too early, in traces that were written by hand."""

from __future__ import annotations

import pytest

from tests.kit.order import Proof, prove

RECORD = r'7 pwrite64(9</d/data/journal.db-wal>, "\r\0{\"alerts\":[{\"domain\":\"m1.example\"}]}", 4096, 32) = 4096'
INTENT = r'7 pwrite64(9</d/data/journal.db-wal>, "{\"kind\":\"step.intent\",\"key\":\"inc-x.1/0\"}", 4096, 32) = 4096'
SYNC = "7 fdatasync(9</d/data/journal.db-wal>) = 0"
ANSWER = r'5 sendto(13<socket:[1]>, "HTTP/1.1 202 \r\n\r\n{\"data\":{\"entry\":4,\"alerts\":1}}", 9, 0, NULL, 0) = 9'
ORDER = r'5 sendto(14<socket:[2]>, "POST /order/inc-x HTTP/1.1\r\nHost: x\r\n\r\n", 9, 0, NULL, 0) = 9'
BEGUN, ENDED = "7 fdatasync(9</d/data/journal.db-wal> <unfinished ...>", "7 <... fdatasync resumed>) = 0"


def proof(*lines: str) -> Proof:
    return prove(lines, {4: "m1.example"})


def test_what_follows_its_record_and_a_sync_is_in_order() -> None:
    seen = proof(RECORD, SYNC, ANSWER, INTENT, BEGUN, ENDED, ORDER)
    assert (seen.acks, seen.effects, seen.late) == (1, 1, [])


@pytest.mark.parametrize(
    "lines",
    [
        (RECORD, ANSWER, SYNC),
        (SYNC, RECORD, ANSWER),
        (RECORD, BEGUN, ANSWER, ENDED),
        (BEGUN, RECORD, ENDED, ANSWER),
        (RECORD, SYNC.replace("= 0", "= -1 EIO (Input/output error)"), ANSWER),
        (RECORD, SYNC.replace("journal.db-wal", "journal.db"), ANSWER),
        (RECORD.replace("m1.", "m2."), SYNC, ANSWER),
        (SYNC, ANSWER),
    ],
    ids=[
        "answered before the sync",
        "written after the sync",
        "answered while the sync was under way",
        "written while the sync was under way",
        "the sync failed",
        "another file was synced",
        "another record was written",
        "nothing was written",
    ],
)
def test_an_answer_that_left_too_early_is_found(lines: tuple[str, ...]) -> None:
    seen = proof(*lines)
    assert (seen.acks, seen.late) == (1, ["m1.example"])


@pytest.mark.parametrize("lines", [(INTENT, ORDER, SYNC), (SYNC, INTENT, ORDER), (RECORD, SYNC, ORDER)])
def test_an_effect_that_left_too_early_is_found(lines: tuple[str, ...]) -> None:
    seen = proof(*lines)
    assert (seen.effects, seen.late) == (1, ["inc-x.1/0"])
