"""Typed parameters: what a label's value may become, and the many things that it may not."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.params import MAX_TEXT, Json, Param, ParamType, check_scope, parse_value

if TYPE_CHECKING:
    from collections.abc import Callable

T = ParamType

GOOD: list[tuple[ParamType, Json, Json]] = [
    (T.NAME, "mta1.example:8000", "mta1.example:8000"),
    (T.NAME, "[2001:db8::1]:8000", "[2001:db8::1]:8000"),
    (T.NAME, "spring-sale/2026+a", "spring-sale/2026+a"),
    (T.NAME, "x" * 253, "x" * 253),
    (T.DOMAIN, "Example.COM", "example.com"),
    (T.DOMAIN, "_dmarc.example.com", "_dmarc.example.com"),
    (T.DOMAIN, "a" * 63 + ".example", "a" * 63 + ".example"),
    (T.QUEUE, "campaign:tenant@example.com", "campaign:tenant@example.com"),
    (T.IP, "192.0.2.1", "192.0.2.1"),
    (T.IP, "2001:DB8:0::1", "2001:db8::1"),
    (T.TEXT, "bounce rate above 20 %", "bounce rate above 20 %"),
    (T.TEXT, "Söhne 株式会社\t🚨", "Söhne 株式会社\t🚨"),
    (T.TEXT, "x" * MAX_TEXT, "x" * MAX_TEXT),
    (T.DURATION, "1h30m", 5400.0),
    (T.DURATION, 90, 90.0),
    (T.DURATION, 0.5, 0.5),
    (T.DURATION, 0, 0.0),
    (T.RATE, "100/h", "100/h"),
    (T.RATE, "999999999/min", "999999999/min"),
    (T.INT, "5", 5),
    (T.INT, -3, -3),
    (T.INT, 4.0, 4),
    (T.NUMBER, "0.25", 0.25),
    (T.NUMBER, "-1", -1.0),
    (T.NUMBER, 1e15, 1e15),
    (T.BOOL, True, True),
    (T.BOOL, "true", True),
    (T.BOOL, "false", False),
    (T.URL, "https://hooks.example.com:8443/a?b=c#d", "https://hooks.example.com:8443/a?b=c#d"),
    (T.URL, "http://[::1]:8000/", "http://[::1]:8000/"),
    (T.PATH, "/api/v1/reload", "/api/v1/reload"),
    (T.PATH, "/", "/"),
    (T.PATH, "/a/..b/", "/a/..b/"),
    (T.ARGV, ["systemctl", "restart", "--no-block", "kumomta"], ["systemctl", "restart", "--no-block", "kumomta"]),
    (T.NAMES, ["mta1", "mta2"], ["mta1", "mta2"]),
    (T.OBJECT, {"a": {"b": ["x", 1, None, True, ""]}}, {"a": {"b": ["x", 1, None, True, ""]}}),
    (T.OBJECT, {}, {}),
]


@pytest.mark.parametrize(("kind", "raw", "expected"), GOOD)
def test_a_good_value_is_taken(kind: ParamType, raw: Json, expected: Json) -> None:
    found = parse_value(kind, raw)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(("kind", "raw", "expected"), GOOD)
def test_a_taken_value_is_taken_again_unchanged(kind: ParamType, raw: Json, expected: Json) -> None:
    assert parse_value(kind, parse_value(kind, raw)) == expected


# ── hostile texts, against every type that stands for a thing ────────────────────────────────────────────────────────
HOSTILE = {
    "nothing": "",
    "a blank": " ",
    "a tab": "\t",
    "a long option": "--config=/etc/passwd",
    "a short option": "-rf",
    "a lone dash": "-",
    "a dash and NUL": "-\0",
    "the end of options": "--",
    "a line break": "example.com\n",
    "a line break first": "\nexample.com",
    "a header": "example.com\r\nX-Admin: yes",
    "a carriage return": "example.com\r",
    "a bare line feed in the middle": "example\n.com",
    "NUL": "example.com\0.evil.example",
    "NUL alone": "\0",
    "bell": "example\a.com",
    "escape": "\x1b[2Jexample.com",
    "delete": "example\x7f.com",
    "a C1 control": "example\x85.com",
    "a lone high surrogate": "example\ud800.com",
    "a lone low surrogate": "\udfff",
    "the parent": "..",
    "a way up": "../../etc/passwd",
    "a way up inside": "a/../../etc/passwd",
    "the present": "./x",
    "an encoded way up": "%2e%2e%2fetc",
    "a way up with backslashes": "..\\..\\windows",
    "the root": "//evil.example/x",
    "a star": "*",
    "a regex for everything": ".*",
    "a regex for anything": ".+",
    "a percent": "%",
    "a star within": "*.example.com",
    "a question mark": "example?com",
    "a shell command": "$(reboot)",
    "backticks": "`reboot`",
    "a second command": "x; reboot",
    "a pipe": "x|sh",
    "a background command": "x&reboot",
    "a variable": "${HOME}",
    "a redirection": "x>/etc/passwd",
    "quotes": 'x" or "1"="1',
    "single quotes": "x' OR '1'='1",
    "a template": "{{ labels.secret }}",
    "a Jinja statement": "{% for x in y %}",
    "a format field": "{0.__class__}",
    "markup": "<script>alert(1)</script>",
    "a query": "x?admin=true",
    "a fragment": "x#y",
    "a comma": "a,b",
    "an equals sign": "a=b",
    "a blank inside": "example.com evil.example",
    "a no-break space": "example.com\u00a0",
    "a zero width space": "example\u200b.com",
    "a zero width joiner": "example\u200d.com",
    "a byte order mark": "\ufeffexample.com",
    "a right-to-left override": "example\u202emoc.live",
    "an isolate": "\u2066example.com\u2069",
    "a line separator": "example.com\u2028",
    "a paragraph separator": "example.com\u2029",
    "a Cyrillic a": "ex\u0430mple.com",
    "a full-width dot": "example\uff0ecom",
    "a full-width slash": "a\uff0f..\uff0fb",
    "an ideographic dot": "example\u3002com",
    "full-width digits": "\uff11\uff19\uff12",
    "a soft hyphen": "exam\u00adple.com",
    "a combining sign": "e\u0301xample.com",
    "too long": "x" * (MAX_TEXT + 1),
    "much too long": "x" * 1_000_000,
    "a name that is too long": "x" * 254,
}
NARROW = [T.NAME, T.DOMAIN, T.QUEUE, T.IP, T.RATE, T.INT, T.NUMBER, T.BOOL, T.URL, T.DURATION]


def test_there_are_at_least_sixty_hostile_texts() -> None:
    assert len(set(HOSTILE.values())) == len(HOSTILE) >= 60


@pytest.mark.parametrize("kind", NARROW)
def test_no_narrow_type_takes_a_hostile_text(kind: ParamType) -> None:
    taken = []
    for what, text in HOSTILE.items():
        with contextlib.suppress(ValueError):
            parse_value(kind, text)
            taken.append(what)
    assert not taken


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_text_after_a_slash_is_no_path_unless_it_is_plain(what: str) -> None:
    text = "/" + HOSTILE[what]
    with contextlib.suppress(ValueError):
        assert parse_value(T.PATH, text) == text
        assert not set(text) & set("\\%?#\0\r\n ")
        assert ".." not in text.split("/")
        assert not text.startswith("//")
        assert text.isascii()


@pytest.mark.parametrize("what", [name for name, text in HOSTILE.items() if text.startswith("-")])
def test_free_text_never_begins_like_an_option(what: str) -> None:
    with pytest.raises(ValueError, match=r"starts with '-'|control"):
        parse_value(T.TEXT, HOSTILE[what])


@pytest.mark.parametrize(
    "sign",
    ["\0", "\n", "\r", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\ud800", "\u202e", "\u2066", "\u200f", "\ufeff"],
)
@pytest.mark.parametrize(
    "place", [str.__add__, lambda sign, text: f"{text}{sign}", lambda sign, text: f"a{sign}{text}"]
)
def test_free_text_has_no_sign_that_changes_lines_or_direction(sign: str, place: Callable[[str, str], str]) -> None:
    with pytest.raises(ValueError, match="control character"):
        parse_value(T.TEXT, place(sign, "text"))


@pytest.mark.parametrize("kind", list(ParamType))
@pytest.mark.parametrize("raw", [None, "", [], [""], [None], ["-x", 3], {"": 1}, {"a": "\0"}, {"a": ["\n"]}])
def test_nothing_is_never_a_value(kind: ParamType, raw: Json) -> None:
    with pytest.raises(ValueError):
        parse_value(kind, raw)


@pytest.mark.parametrize("kind", [kind for kind in ParamType if kind is not T.BOOL])
def test_true_is_a_truth_value_and_nothing_else(kind: ParamType) -> None:
    with pytest.raises(ValueError):
        parse_value(kind, True)


@pytest.mark.parametrize("kind", [T.NAME, T.DOMAIN, T.QUEUE, T.IP, T.TEXT, T.RATE, T.URL, T.PATH])
@pytest.mark.parametrize("raw", [5, 0.5, ["a"], {"a": "b"}])
def test_what_is_no_text_is_refused_where_text_is_wanted(kind: ParamType, raw: Json) -> None:
    with pytest.raises(ValueError, match="expected text"):
        parse_value(kind, raw)


BAD: list[tuple[ParamType, Json]] = [
    (T.NAME, ".hidden"),
    (T.NAME, "tenant@evil.example"),
    (T.NAME, "[not-an-address]"),
    (T.NAME, "a/./b"),
    (T.QUEUE, "a//b@example.com"),
    (T.DOMAIN, "a..b"),
    (T.DOMAIN, ".example.com"),
    (T.DOMAIN, "example.com."),
    (T.DOMAIN, "a-.example"),
    (T.DOMAIN, "a" * 64 + ".example"),
    (T.DOMAIN, ".".join(["a" * 60] * 5)),
    (T.IP, "999.0.0.1"),
    (T.IP, "fe80::1%eth0"),
    (T.IP, "127.1"),
    (T.RATE, "0/h"),
    (T.RATE, "-5/h"),
    (T.RATE, "100"),
    (T.RATE, "100/year"),
    (T.RATE, "1000000000/h"),
    (T.DURATION, "5"),
    (T.DURATION, "5 minutes"),
    (T.DURATION, -1),
    (T.DURATION, math.nan),
    (T.DURATION, math.inf),
    (T.DURATION, ["5m"]),
    (T.INT, "1.5"),
    (T.INT, 1.5),
    (T.INT, "1_000"),
    (T.INT, "0x10"),
    (T.INT, " 5"),
    (T.INT, 10**400),
    (T.INT, "9" * 400),
    (T.INT, {"a": 1}),
    (T.NUMBER, "nan"),
    (T.NUMBER, "inf"),
    (T.NUMBER, "1e5"),
    (T.NUMBER, math.nan),
    (T.NUMBER, math.inf),
    (T.NUMBER, -math.inf),
    (T.NUMBER, 1.1e15),
    (T.BOOL, "True"),
    (T.BOOL, "yes"),
    (T.BOOL, 1),
    (T.BOOL, ["true"]),
    (T.BOOL, {"true": "true"}),
    (T.URL, "ftp://example.com/"),
    (T.URL, "file:///etc/passwd"),
    (T.URL, "javascript:alert(1)"),
    (T.URL, "//example.com/"),
    (T.URL, "http://"),
    (T.URL, "http://user@example.com/"),
    (T.URL, "http://user:secret@example.com/"),
    (T.URL, "http://@example.com/"),
    (T.URL, "http://good.example\\@evil.example/"),
    (T.URL, "http://example.com:99999/"),
    (T.URL, "http://example.com:0/"),
    (T.URL, "http://example.com:port/"),
    (T.URL, "http://[::1/"),
    (T.URL, "http://exa\tmple.com/"),
    (T.PATH, "api"),
    (T.PATH, "/a/../b"),
    (T.PATH, "/a/./b"),
    (T.PATH, "/a//b"),
    (T.PATH, "/a?b"),
    (T.PATH, "/a#b"),
    (T.PATH, "/%2e%2e/"),
    (T.ARGV, "systemctl restart"),
    (T.ARGV, ["a", "b\0"]),
    (T.ARGV, {"a": "b"}),
    (T.NAMES, ["mta1", "-x"]),
    (T.NAMES, ["mta1", "../x"]),
    (T.OBJECT, "text"),
    (T.OBJECT, {"a": math.nan}),
    (T.OBJECT, {"a": [math.inf]}),
    (T.OBJECT, {"a": 10**400}),
    (T.OBJECT, {"-a": 1}),
]


@pytest.mark.parametrize(("kind", "raw"), BAD)
def test_a_bad_value_is_refused_and_the_reason_says_what_was_expected(kind: ParamType, raw: Json) -> None:
    if raw == {"-a": 1}:
        assert parse_value(kind, raw) == raw  # a key of JSON is no option
        return
    with pytest.raises(ValueError) as refused:
        parse_value(kind, raw)
    assert len(str(refused.value)) > 10


@given(st.sampled_from(list(ParamType)), st.text(max_size=60))
def test_no_text_at_all_breaks_a_type(kind: ParamType, text: str) -> None:
    with contextlib.suppress(ValueError):
        parse_value(kind, text)


@given(st.sampled_from([T.NAME, T.DOMAIN, T.QUEUE, T.IP, T.RATE, T.URL, T.PATH]), st.text(max_size=60))
def test_what_a_narrow_type_takes_is_printable_ascii_and_no_option(kind: ParamType, text: str) -> None:
    with contextlib.suppress(ValueError):
        taken = parse_value(kind, text)
        assert isinstance(taken, str)
        assert all("!" <= sign <= "~" for sign in taken)
        assert not taken.startswith("-")


# ── an empty set is never all of it ──────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "value",
    ["", " ", "\t\n", "*", ".*", ".+", "%", "ALL", " All ", "any", "Everything", "**", "..", "-", "\u200b", "^$"],
)
def test_an_empty_value_or_a_wildcard_is_no_scope(value: str) -> None:
    with pytest.raises(ValueError, match=r"label domain is .* never taken as everything"):
        check_scope("label domain", value)


@pytest.mark.parametrize("value", ["example.com", "allegro.example", "münchen", "株式会社", "0"])
def test_a_named_scope_is_taken_as_it_is(value: str) -> None:
    assert check_scope("label domain", value) == value


def test_an_argument_must_be_given_unless_it_says_otherwise() -> None:
    assert Param(type=T.NAME, doc="what it is").required
