"""Entries as they were stored once stay readable: one golden file for each kind, and a journal that is folded."""

from __future__ import annotations

import hashlib
import hmac
import json
import typing
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.chain import Head, check, sign
from remediator.core.fold import fold
from remediator.core.snapshots import OLDEST_SHAPE, SHAPE, thaw
from remediator.core.state import State
from tests.kit.frozen import freeze

if TYPE_CHECKING:
    from tests.unit.conftest import Build

GOLDEN = Path(__file__).parents[2] / "golden"
KINDS: dict[str, type[e.Fact]] = {str(fact.__struct_config__.tag): fact for fact in typing.get_args(e.AnyFact)}
KEY = b"k" * 32


def golden(kind: str) -> bytes:
    """The stored bytes of one kind."""
    return msgspec.json.format((GOLDEN / "entries" / f"{kind}.json").read_bytes(), indent=-1)


def draft_of(entry: e.Entry) -> e.Draft:
    """The entry without its place."""
    names = e.Draft.__struct_fields__
    return e.Draft(**{name: getattr(entry, name) for name in names})


def test_there_is_a_golden_file_for_every_kind_and_for_nothing_else() -> None:
    assert {path.stem for path in (GOLDEN / "entries").glob("*.json")} == set(KINDS)
    assert len(KINDS) == 52


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_is_read_and_written_again_byte_for_byte(kind: str) -> None:
    entry = e.decode(7, golden(kind))
    assert (entry.seq, entry.kind, type(entry.fact)) == (7, kind, KINDS[kind])
    assert e.encode(draft_of(entry)) == golden(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_a_kind_is_in_its_golden_file(kind: str) -> None:
    stored = json.loads(golden(kind))["fact"]
    silent = {"version"} if kind == "journal.opened" else {"retryable"}
    assert set(KINDS[kind].__struct_fields__) - silent <= set(stored) | ({"dry"} if kind != "step.intent" else set())


@pytest.mark.parametrize("kind", KINDS)
def test_fields_of_a_later_version_are_ignored(kind: str) -> None:
    stored = json.loads(golden(kind))
    stored["later"] = stored["fact"]["later"] = {"a": [1]}
    assert e.decode(1, json.dumps(stored, separators=(",", ":")).encode()).fact == e.decode(1, golden(kind)).fact


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"\xff", b'{"id":"x","at":1,"mono":1,"boot":"b","replica":"r","fact":{"kind":"a.b"}}']
)
def test_what_is_not_one_of_our_entries_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        e.decode(1, body)


def test_a_kind_of_a_later_version_is_refused_rather_than_overlooked() -> None:
    stored = json.loads(golden("run.ended"))
    stored["fact"]["kind"] = "run.renamed"
    with pytest.raises(msgspec.DecodeError, match=r"run\.renamed"):
        e.decode(1, json.dumps(stored).encode())


def test_the_digest_of_a_stored_plan_is_still_its_digest() -> None:
    fact = e.decode(1, golden("run.planned")).fact
    assert isinstance(fact, e.RunPlanned)
    assert fact.plan.digest == fact.digest == "b6885fac7bb55e65"


# What may exist only once in a journal.
CLAIMS = {
    "step.intent": ("intent:inc-7f3kq2m8.1/0/2",),
    "undo.intent": ("undo:inc-7f3kq2m8.1/0/1",),
    "run.planned": ("run:inc-7f3kq2m8.1",),
    "run.ended": ("ended:inc-7f3kq2m8.1",),
    "incident.opened": ("incident:inc-7f3kq2m8", "episode:bounces/a1b2.1"),
    "run.relapsed": ("relapsed:inc-7f3kq2m8.1",),
    "notification.disposed": ("disposed:6",),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_may_exist_only_once_has_a_claim(kind: str) -> None:
    assert e.claims_of(e.decode(1, golden(kind)).fact) == CLAIMS.get(kind, ())


def test_an_incident_by_hand_claims_no_episode() -> None:
    fact = e.IncidentOpened(incident="inc-1", rule="by-hand:x", target={}, episode="", labels={})
    assert e.claims_of(fact) == ("incident:inc-1",)


# ── a whole journal ──────────────────────────────────────────────────────────────────────────────────────────────────
def story() -> list[bytes]:
    """The bodies of a journal that was written once: an alert, a pause, an approval, doubt, a person, an undo."""
    return (GOLDEN / "journal" / "story.jsonl").read_bytes().splitlines()


def folded(bodies: list[bytes]) -> State:
    state = State()
    for seq, body in enumerate(bodies, 1):
        state = fold(state, e.decode(seq, body))
    return state


def test_a_journal_that_was_written_once_folds_to_the_same_state() -> None:
    expected = json.loads((GOLDEN / "journal" / "story.state.json").read_bytes())
    assert json.loads(zlib.decompress(freeze(folded(story()), KEY)[32:])) == expected


def test_reading_a_journal_again_gives_an_equal_state() -> None:
    assert folded(story()) == folded(story())


def test_a_journal_can_be_folded_on_from_a_snapshot_at_any_place() -> None:
    bodies, whole = story(), folded(story())
    for place in range(len(bodies) + 1):
        state = thaw(freeze(folded(bodies[:place]), KEY), KEY)
        assert state is not None
        for seq, body in enumerate(bodies[place:], place + 1):
            state = fold(state, e.decode(seq, body))
        assert state == whole


def test_the_chain_over_a_journal_is_good() -> None:
    head, lines = Head(), []
    for seq, body in enumerate(story(), 1):
        head = Head(seq, sign(KEY, seq, head.mac, body))
        lines.append((seq, body, head.mac))
    assert list(check(KEY, lines))[-1] == head


# ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_snapshot_gives_the_state_back(build: Build) -> None:
    state = build.fold(build.started(), build.intent(undo_at=build.zero + 60.0))
    sealed = freeze(state, KEY)
    assert thaw(sealed, KEY) == state
    assert thaw(freeze(State(), KEY), KEY) == State()


def test_a_snapshot_that_is_not_ours_is_dropped(build: Build) -> None:
    sealed = freeze(build.started(), KEY)
    flipped = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for bad in (b"", sealed[:31], sealed[:-1], flipped, freeze(build.started(), b"x" * 32)):
        assert thaw(bad, KEY) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"shape":13', b'"shape":2'), (b'"shape":13', b'"shape":99'), (b'"seq":', b'"sequence":'), (b"{", b"[")],
)
def test_a_snapshot_of_another_shape_is_dropped(build: Build, old: bytes, new: bytes) -> None:
    payload = zlib.compress(zlib.decompress(freeze(build.started(), KEY)[32:]).replace(old, new, 1))
    assert thaw(hmac.digest(KEY, payload, hashlib.sha256) + payload, KEY) is None


@pytest.mark.parametrize("shape", range(OLDEST_SHAPE, SHAPE + 1))
def test_a_snapshot_of_every_shape_since_journals_are_pruned_is_read(shape: int) -> None:
    payload = zlib.compress((GOLDEN / "snapshots" / f"shape-{shape}.json").read_bytes())
    state = thaw(hmac.digest(KEY, payload, hashlib.sha256) + payload, KEY)
    assert state is not None
    assert state.seq == len(story())


def test_a_snapshot_that_cannot_be_unpacked_is_dropped() -> None:
    assert thaw(hmac.digest(KEY, b"not packed", hashlib.sha256) + b"not packed", KEY) is None
