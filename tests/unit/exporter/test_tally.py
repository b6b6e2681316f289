"""Names from outside in bounded space: what is shown, what is other, and that no counter ever falls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from remediator.exporter.names import NONE, OTHER
from remediator.exporter.tally import CANDIDATES, EARN, Recent, Table, Tally

HOUR = 3600.0


def counts(table: Table) -> dict[tuple[str, str], int]:
    return {(name, outcome): count for name, outcome, count in table.series()}


def names(table: Table) -> set[str]:
    return {name for name, *_ in table.series()} - {OTHER, NONE}


def test_half_of_the_places_go_to_whoever_comes_first() -> None:
    table = Table(places=4, quiet=HOUR)
    for name in ("a", "b", "c"):
        table.add(name, "delivered", 0.0)
    assert counts(table) == {("a", "delivered"): 1, ("b", "delivered"): 1, (OTHER, "delivered"): 1}


def test_the_other_half_is_for_names_with_many_records() -> None:
    table = Table(places=4, quiet=HOUR)
    for name in ("a", "b", *["big"] * (EARN + 5), "small"):
        table.add(name, "bounced", 0.0)
    assert counts(table) == {
        ("a", "bounced"): 1,
        ("b", "bounced"): 1,
        ("big", "bounced"): 5,
        (OTHER, "bounced"): EARN + 1,
    }


def test_a_flood_of_names_that_are_seen_once_earns_nothing_and_costs_no_memory() -> None:
    table = Table(places=4, quiet=HOUR)
    for turn in range((EARN + 5) * CANDIDATES):
        table.add(f"junk-{turn}", "delivered", 0.0)
    assert len(names(table)) == 2
    assert len(table._candidates) == CANDIDATES
    for _ in range(EARN + 1):
        table.add("real", "bounced", 1.0)
    assert "real" in names(table)


def test_a_full_table_keeps_its_names_while_mail_of_them_flows() -> None:
    table = Table(places=2, quiet=HOUR)
    for _ in range(EARN + 1):
        table.add("a", "delivered", 0.0)
        table.add("b", "delivered", 0.0)
    assert names(table) == {"a", "b"}
    for turn in range(10 * EARN):
        table.add("a", "delivered", 60.0 * turn)
        table.add("b", "delivered", 60.0 * turn)
        table.add("late", "bounced", 60.0 * turn)
    assert names(table) == {"a", "b"}
    assert counts(table)[OTHER, "bounced"] == 10 * EARN


def test_a_name_that_has_been_quiet_gives_its_place_to_one_that_has_earned_it() -> None:
    table = Table(places=2, quiet=HOUR)
    for _ in range(EARN + 1):
        table.add("yesterday", "delivered", 0.0)
        table.add("steady", "delivered", 0.0)
    for turn in range(EARN + 10):
        table.add("today", "bounced", HOUR + turn)
        table.add("steady", "delivered", HOUR + turn)
    assert names(table) == {"today", "steady"}


def test_other_and_none_need_no_place() -> None:
    table = Table(places=1, quiet=HOUR)
    for name in (NONE, OTHER, "a"):
        table.add(name, "delivered", 0.0)
    assert counts(table) == {("a", "delivered"): 1, (NONE, "delivered"): 1, (OTHER, "delivered"): 1}


def test_each_kind_of_name_has_a_table_of_its_own() -> None:
    tally = Tally(places=1, quiet=HOUR)
    tally.add("tenant", "acme", "delivered", 0.0)
    tally.add("campaign", "spring", "delivered", 0.0)
    assert list(tally.series()) == [("campaign", "spring", "delivered", 1), ("tenant", "acme", "delivered", 1)]


ADDED = st.lists(
    st.tuples(
        st.integers(0, 60).map(lambda one: f"n{one}"), st.sampled_from(["delivered", "bounced"]), st.floats(0, 3)
    ),
    max_size=400,
)


@given(added=ADDED, places=st.integers(1, 8))
def test_series_are_bounded_nothing_is_lost_and_nothing_falls(added: list[tuple[str, str, float]], places: int) -> None:
    table = Table(places=places, quiet=HOUR)
    now, gone = 0.0, 0
    before: dict[tuple[str, str], int] = {}
    last: dict[str, float] = {}
    for total, (name, outcome, hours) in enumerate(added, start=1):
        now += hours * HOUR
        table.add(name, outcome, now)
        after = counts(table)
        assert len(names(table)) <= places
        for key, count in before.items():
            if key in after:
                assert after[key] >= count
            else:
                assert now - last[key[0]] >= HOUR, "only a quiet name loses its place"
                gone += count
        assert sum(after.values()) + gone == total
        moved = next(key for key, count in after.items() if count != before.get(key, 0))
        last[moved[0]] = now
        before = after


def test_a_record_that_comes_again_is_known_as_long_as_there_is_room() -> None:
    recent = Recent(size=2)
    assert [recent.again(one) for one in (b"a", b"a", b"b", b"c", b"b", b"a")] == [
        False,
        True,
        False,
        False,
        True,
        False,
    ]


@given(names_=st.lists(st.text(max_size=4), max_size=50))
def test_the_sum_over_the_names_is_what_came(names_: list[str]) -> None:
    table = Table(places=3, quiet=HOUR)
    for name in names_:
        table.add(name, "delivered", 0.0)
    assert sum(count for _, _, count in table.series()) == len(names_)
