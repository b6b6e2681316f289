"""Matchers and time intervals against the sender's own tool: what amtool accepts we accept, and it means the same.

amtool is asked in batches: many files for one `check-config`, many routes for one `config routes show` or `test`. It is
Debian's 0.25, so the grammar under test is the classic one; the UTF-8 grammar is tested by examples in tests/unit.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from remediator.core.intervals import parse_time_interval
from remediator.core.matchers import Matcher, MatcherSyntaxError, Operator, _classic, parse_matchers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

pytestmark = pytest.mark.e2e

BATCHES = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Signs that are printable in YAML, so that the file format does not get between the text and its reader.
SIGNS = st.sampled_from([*'abAB09_:-.|*+?()[]^$/ ,{}=!~"\\', "\n", "\t", "é", "😀", "\u00a0"])
NASTY = st.text(st.sampled_from([*'ab=~!,{}" \\', "\n", "é"]), max_size=12).map(lambda text: text.strip())
PLAIN_NAMES = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,5}", fullmatch=True)
BLANKS = st.sampled_from(["", " ", "  ", "\t", "\n"])


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("amtool")


def amtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["amtool", *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False)


def with_routes(file: Path, matchers: Sequence[str]) -> Path:
    """A configuration with one route for each text; route N goes to receiver rN and lets the next ones be tried."""
    names = [f"r{place}" for place in range(len(matchers))]
    routes = [
        {"receiver": name, "matchers": [text], "continue": True} for name, text in zip(names, matchers, strict=True)
    ]
    receivers = [{"name": name} for name in ("default", *names)]
    configuration = {"route": {"receiver": "default", "routes": routes}, "receivers": receivers}
    file.write_text(json.dumps(configuration, ensure_ascii=False), encoding="utf-8")
    return file


def with_interval(file: Path, interval: Mapping[str, object]) -> Path:
    """A configuration with this one time interval."""
    named = [{"name": "n", "time_intervals": [interval]}]
    configuration = {"route": {"receiver": "d"}, "receivers": [{"name": "d"}], "time_intervals": named}
    file.write_text(json.dumps(configuration), encoding="utf-8")
    return file


def accepted(files: Sequence[Path]) -> list[bool]:
    """Which of the configuration files amtool accepts."""
    told = amtool("check-config", *files)
    answers = dict(re.findall(r"^Checking '([^']+)'  (SUCCESS|FAILED)", told.stdout, re.MULTILINE))
    assert len(answers) == len(files), told
    return [answers[str(file)] == "SUCCESS" for file in files]


def shown(file: Path) -> list[str]:
    """The matchers of every route as amtool prints them."""
    told = amtool("config", "routes", "show", f"--config.file={file}")
    assert told.returncode == 0, told
    lines = [line for line in told.stdout.split("\n") if "receiver: r" in line]
    return [re.sub(r"^.*?── (.*)  continue: true  receiver: r\d+$", r"\1", line) for line in lines]


def reached(file: Path, labels: Mapping[str, str]) -> set[str]:
    """The receivers that an alert with these labels goes to."""
    arguments = [str(Matcher(label, Operator.EQUAL, value)) for label, value in labels.items()]
    told = amtool("config", "routes", "test", f"--config.file={file}", *arguments)
    assert told.returncode == 0, told
    return set(told.stdout.strip().split(","))


def in_order(matchers: Sequence[Matcher]) -> str:
    """The list as amtool prints it: sorted by label, value and operator."""
    signs = list(Operator)
    ordered = sorted(matchers, key=lambda one: (one.label, one.value, signs.index(one.operator)))
    return f"{{{','.join(map(str, ordered))}}}"


def read(text: str) -> tuple[Matcher, ...] | MatcherSyntaxError:
    try:
        return parse_matchers(text)
    except MatcherSyntaxError as refused:
        return refused


def test_amtool_is_there() -> None:
    assert "amtool, version 0." in amtool("--version").stdout


@BATCHES
@given(texts=st.lists(NASTY, min_size=1, max_size=25, unique=True))
@example(texts=["a=", "a==b", "a=~", "a=b,", "a=b,,c=d", 'a="b" x', 'a="b', "a=b\\", 'a="\\"', 'a="b\\\\"', "{", "}"])
@example(
    texts=['a="b",', 'a="b\\,",b=c', "a=b\\,c", 'a=b\\,"', 'a=b"', 'a="b"c"', "a={b", "=b", "a", ",", "é=a", 'a=~"("']
)
def test_amtool_accepts_what_we_read_in_the_classic_grammar_and_nothing_else(directory: Path, texts: list[str]) -> None:
    answers = accepted([with_routes(directory / f"t{place}.yml", [text]) for place, text in enumerate(texts)])
    for text, answer in zip(texts, answers, strict=True):
        match read(text):
            case MatcherSyntaxError() as refused if answer:
                # The refusals that the module's docstring announces.
                assert re.search("expected one operator|closing brace|expected no '}'", refused.sentence), text
            case MatcherSyntaxError():
                pass
            case _:
                assert answer is (_classic(text) is not None), text


SPELT_MATCHERS = st.tuples(
    *(BLANKS, PLAIN_NAMES, BLANKS, st.sampled_from(list(Operator)), BLANKS),
    st.one_of(
        st.text(SIGNS, max_size=8),
        st.text(SIGNS, max_size=8).map(lambda text: str(Matcher("a", Operator.EQUAL, text))[2:]),
    ),
    BLANKS,
).map("".join)
SPELT_LISTS = st.lists(SPELT_MATCHERS, min_size=1, max_size=3).map(",".join)


@BATCHES
@given(texts=st.lists(SPELT_LISTS, min_size=1, max_size=40))
@example(texts=["a=b\t,c=d", "a=b\n, c=d", '{a = "b" ,c=~ "d"\t,}', "a=b\f,c=d\r"])
def test_amtool_reads_the_same_matchers_as_we_do(directory: Path, texts: list[str]) -> None:
    readable = [(text, found) for text in texts if isinstance(found := read(text), tuple) and _classic(text)]
    file = with_routes(directory / "show.yml", [text for text, _ in readable])
    assert shown(file) == [in_order(found) for _, found in readable]


PATTERNS = [
    *(
        "",
        "a",
        "a|b",
        "a|",
        ".",
        ".*",
        ".+",
        "[ab]+",
        "[^a]*",
        "a?b*",
        "(a|b)c",
        "(?:ab)+",
        "(?i)AB",
        "(?s).+",
        "(?m)^a$",
    ),
    *(
        "(?U)a+",
        "(?P<n>a)",
        "^a$",
        "a$",
        r"\d+",
        r"\w*",
        r"\s",
        r"\S+",
        r"\bab\b",
        r"\pL+",
        r"\p{Greek}",
        r"\x61",
        r"\z",
    ),
    *(
        r"\Qa.b\E",
        "a{2}",
        "a{1,}",
        "[[:alpha:]]+",
        "[a-c&&b]",
        r"\.",
        "é.",
        "😀",
        "a b",
        "a\nb",
        r"a\nb",
        r"\A",
        "a-b",
        "(?i)É",
    ),
    *(
        "(",
        "[",
        "*",
        "a**",
        "a{1001}",
        "(?<!a)b",
        r"(a)\1",
        r"\C",
        r"\Z",
        "[b-a]",
        "(?P<n",
        "a{2,1}",
        r"\p{Nope}",
        "(?#c)",
        "\\",
    ),
]
VALUES = [
    "",
    "a",
    "b",
    "ab",
    "aa",
    "AB",
    "a.b",
    "ac",
    "a\nb",
    "1",
    "٣",
    "é",
    "éa",
    "É",
    "😀",
    "a b",
    " ",
    "α",
    "a-b",
    "xab",
    "c",
]


def test_amtool_accepts_the_same_regular_expressions(directory: Path) -> None:
    texts = [f"a=~{json.dumps(pattern, ensure_ascii=False)}" for pattern in PATTERNS]
    answers = accepted([with_routes(directory / f"p{place}.yml", [text]) for place, text in enumerate(texts)])
    assert [isinstance(read(text), tuple) for text in texts] == answers
    assert False in answers


def test_amtool_matches_the_same_values(directory: Path) -> None:
    texts = [f"a{sign}{json.dumps(pattern, ensure_ascii=False)}" for pattern in PATTERNS for sign in Operator]
    matchers = [found[0] for text in texts if isinstance(found := read(text), tuple)]
    file = with_routes(directory / "match.yml", [str(matcher) for matcher in matchers])
    for value in VALUES:
        wanted = {f"r{place}" for place, matcher in enumerate(matchers) if matcher.matches({"a": value})}
        assert reached(file, {"a": value}) == wanted, value
    assert reached(file, {"b": "x"}) == {f"r{n}" for n, matcher in enumerate(matchers) if matcher.matches({})}


PIECES = st.sampled_from(
    ["a", "b", "ab", ".", "[ab]", "[^b]", r"\.", r"\w", "é", "(a|b)", "(?i:A)", "|", "a?", "b*", ".+"]
)
RANDOM_MATCHERS = st.lists(
    st.builds(
        Matcher, st.sampled_from("xy"), st.sampled_from(list(Operator)), st.lists(PIECES, max_size=4).map("".join)
    ),
    min_size=1,
    max_size=3,
)
RANDOM_LABELS = st.dictionaries(st.sampled_from("xyz"), st.text(st.sampled_from([*"abAé.", "\n"]), max_size=4))


@BATCHES
@given(rules=st.lists(RANDOM_MATCHERS, min_size=1, max_size=40), alerts=st.lists(RANDOM_LABELS, min_size=1, max_size=3))
def test_amtool_routes_alerts_to_the_rules_that_we_say_match(
    directory: Path, rules: list[list[Matcher]], alerts: list[dict[str, str]]
) -> None:
    file = with_routes(directory / "routes.yml", ["{" + ",".join(map(str, matchers)) + "}" for matchers in rules])
    for labels in alerts:
        matching = {f"r{n}" for n, rule in enumerate(rules) if all(matcher.matches(labels) for matcher in rule)}
        assert reached(file, labels) == (matching or {"default"})


CLOCKS = ("00:00", "00:01", "9:00", "09:00", "17:30", "23:59", "24:00", "24:01", "25:00", "12:60", "1200", "noon")
NUMBERS = st.one_of(st.integers(-33, 33).map(str), st.sampled_from(["+5", "007", "", " 1", "1 ", "x", "1.0", "--1"]))
RANGES = st.one_of(NUMBERS, st.tuples(NUMBERS, NUMBERS).map(":".join), st.just("1:2:3"))
MONTH_ENDS = st.sampled_from(["january", "March", "december", "1", "3", "12", "jan", "", "may "])
YEAR_ENDS = st.sampled_from(["1", "2025", "2026", "2030", "9999", "", "x", "20 26"])
DAY_ENDS = st.sampled_from(["sunday", "Monday", "wednesday", "SATURDAY", "mon", "1", "", " friday"])
TIMES = st.fixed_dictionaries(
    {"start_time": st.sampled_from(CLOCKS)}, optional={"end_time": st.sampled_from(CLOCKS), "zone": st.just("UTC")}
)


def under(key: str, ends: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, object]]:
    """Intervals with one single value or one range of these ends under the key."""
    return st.one_of(ends, st.tuples(ends, ends).map(":".join)).map(lambda entry: {key: [entry]})


INTERVALS = st.one_of(
    TIMES.map(lambda times: {"times": [times]}),
    RANGES.map(lambda entry: {"days_of_month": [entry]}),
    under("months", MONTH_ENDS),
    under("years", YEAR_ENDS),
    under("weekdays", DAY_ENDS),
    st.sampled_from(
        ["UTC", "Europe/Berlin", "europe/berlin", "Mars", "Europe", "../UTC", "Etc/GMT+5", "EST", "utc"]
    ).map(lambda zone: {"location": zone}),
    st.sampled_from(
        [{}, {"times": None}, {"weekdays": "monday"}, {"weekday": ["monday"]}, {"days_of_month": [5, "-1"]}]
    ),
)


@BATCHES
@given(intervals=st.lists(INTERVALS, min_size=1, max_size=40))
def test_amtool_accepts_the_same_time_intervals(directory: Path, intervals: list[dict[str, object]]) -> None:
    files = [with_interval(directory / f"i{place}.yml", interval) for place, interval in enumerate(intervals)]
    for interval, answer in zip(intervals, accepted(files), strict=True):
        assert reads(interval) is answer, interval


def test_amtool_accepts_the_same_ranges_of_days(directory: Path) -> None:
    ends = (-32, -31, -29, -28, -27, -26, -2, -1, 0, 1, 2, 26, 27, 28, 29, 31, 32)
    intervals: list[dict[str, object]] = [{"days_of_month": [f"{first}:{last}"]} for first in ends for last in ends]
    files = [with_interval(directory / f"d{place}.yml", interval) for place, interval in enumerate(intervals)]
    answers = accepted(files)
    assert [
        interval for interval, answer in zip(intervals, answers, strict=True) if reads(interval) is not answer
    ] == []


def reads(interval: dict[str, object]) -> bool:
    try:
        parse_time_interval(interval)
    except ValueError:
        return False
    return True


def test_we_refuse_the_intervals_that_amtool_accepts_but_nobody_means(directory: Path) -> None:
    intervals: list[dict[str, object]] = [
        {"months": ["0:13"]},
        {"years": ["0"]},
        {"times": []},
        {"weekdays": [None]},
        {"location": "Local"},
        {"location": ""},
    ]
    files = [with_interval(directory / f"s{place}.yml", interval) for place, interval in enumerate(intervals)]
    assert accepted(files) == [True] * len(intervals)
    assert not any(reads(interval) for interval in intervals)
