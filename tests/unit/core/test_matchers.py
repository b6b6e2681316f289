"""Matchers: both grammars of Alertmanager, the meaning of a missing label, whole-value RE2, and the refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.matchers import Matcher, MatcherSyntaxError, Operator, parse_matcher, parse_matchers

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.one_of(st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,8}", fullmatch=True), ANY_TEXT.filter(bool))
LITERAL_MATCHERS = st.builds(Matcher, NAMES, st.sampled_from([Operator.EQUAL, Operator.NOT_EQUAL]), ANY_TEXT)
REGEX_MATCHERS = st.builds(
    Matcher,
    NAMES,
    st.sampled_from([Operator.MATCHES, Operator.DOES_NOT_MATCH]),
    st.sampled_from(["", "a|b", ".*", r"\d+", r"[a-z]+\.example\.(com|org)", "(?i)ERROR", 'say "hi"', "a\nb", "a|"]),
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("alertname = X", 'alertname="X"'),
        ('severity=~"a|b"', 'severity=~"a|b"'),
        ("a != b", 'a!="b"'),
        ("a!~b.*", 'a!~"b.*"'),
        ("a=", 'a=""'),
        ('a=""', 'a=""'),
        ("a=two words", 'a="two words"'),
        (r'a="\\ \" \n"', r'a="\\ \" \n"'),
        (r'a="\d"', r'a="\\d"'),
        ("a=b\\", r'a="b\\"'),
        ('a="x,y"', 'a="x,y"'),
        ('a="{x}"', 'a="{x}"'),
        ("{a=b}", 'a="b"'),
        (" { a = b } ", 'a="b"'),
        ("{a=b} ", 'a="b"'),
        ("job:x=y", 'job:x="y"'),
        ('"a"="b"', 'a="b"'),
        ('"föö bar"="x"', '"föö bar"="x"'),
        ("service.name=x", '"service.name"="x"'),
        (r'"service.name"="\x41\u00e9\t\101\U0001F600"', '"service.name"="Aé\tA😀"'),
        (r'"x\"y"=~"a\\d"', r'"x\"y"=~"a\\d"'),
    ],
)
def test_a_matcher_is_read_in_either_grammar(text: str, canonical: str) -> None:
    assert str(parse_matcher(text)) == canonical


def test_a_list_is_read_with_and_without_braces() -> None:
    wanted = (Matcher("a", Operator.EQUAL, "b"), Matcher("c", Operator.NOT_EQUAL, "d"))
    for text in ('{a="b",c!="d"}', 'a="b",c!="d"', "a=b, c!=d,", '{"a"=b , c!="d",}'):
        assert parse_matchers(text) == wanted
    assert parse_matchers("") == parse_matchers("{}") == parse_matchers(" { } ") == ()


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("alertname", 10, "expected an operator"),
        ("alertname X", 11, "expected an operator"),
        ("a=b,c", 6, "expected an operator"),
        ("a=b,,c=d", 5, "expected a label name"),
        ("=b", 1, "expected a label name"),
        ('""="b"', 1, "label name that is not empty"),
        ('a="b', 3, "expected a closing double quote"),
        ('a="b"c', 6, "expected a comma or the end"),
        ('"a"="b"} ', 8, "expected no '}'"),
        ("{a=b", 5, "expected a closing brace"),
        ("a=~x{2}", 7, "double quotes"),
        ("severity == critical", 11, "expected one operator"),
        ("a !=~ b", 5, "expected one operator"),
        ("a = ~b", 5, "expected one operator"),
        (r'"a"="\q"', 6, "expected a known escape"),
        (r'"a"="\ud800"', 6, "expected a known escape"),
        (r'"a"="x\xff"', 5, "expected escapes that together are UTF-8"),
        ('a=~"("', 4, "missing )"),
        ('a=~"x)|(y"', 4, "unexpected )"),
        (r'a=~"\\C"', 4, "unknown to Alertmanager"),
        ("'a'=b", 1, "expected a label name"),
        ("a=\ud800", 3, "expected text that has a UTF-8 form"),
        ('{"a"=b}x', 9, "expected a closing brace"),
    ],
)
def test_what_is_no_matcher_is_refused_with_the_column_and_what_was_expected(
    text: str, column: int, expected: str
) -> None:
    with pytest.raises(MatcherSyntaxError) as refused:
        parse_matchers(text)
    assert expected in refused.value.sentence
    assert refused.value.column == column


@pytest.mark.parametrize("text", ['a="x\\"', 'a="x"y"', 'a=x"y'])
def test_a_quote_in_the_wrong_place_is_refused(text: str) -> None:
    with pytest.raises(MatcherSyntaxError, match=r"quote|one matcher|expected"):
        parse_matcher(text)


def test_one_matcher_is_not_two_and_not_none() -> None:
    for text, count in (("a=b,c=d", 2), ("", 0), ("{}", 0)):
        with pytest.raises(MatcherSyntaxError, match=f"expected one matcher, found {count}"):
            parse_matcher(text)


def test_a_missing_label_counts_as_empty() -> None:
    assert parse_matcher('a=""').matches({})
    assert parse_matcher("a!=b").matches({})
    assert parse_matcher('a=~".*"').matches({})
    assert parse_matcher('a=~"x|"').matches({})
    assert not parse_matcher('a=~".+"').matches({})
    assert not parse_matcher("a=b").matches({"b": "b"})


@pytest.mark.parametrize(
    ("pattern", "value", "passes"),
    [
        ("crit", "critical", False),
        ("ritical", "critical", False),
        ("a|b", "ab", False),
        ("crit|warn.*", "xcrit", False),
        ("crit|warn.*", "warning", True),
        ("a.b", "a\nb", False),
        ("(?s)a.b", "a\nb", True),
        ("é", "é", True),
        (".", "é", True),
        ("a$", "a\n", False),
        (r"\d", "٣", False),
        (".", "\ud800", True),
        (r"\?", "\ud800", False),
    ],
)
def test_a_regular_expression_matches_the_whole_value_as_re2_does(pattern: str, value: str, passes: bool) -> None:
    assert Matcher("a", Operator.MATCHES, pattern).matches({"a": value}) is passes
    assert Matcher("a", Operator.DOES_NOT_MATCH, pattern).matches({"a": value}) is not passes


def test_a_bad_expression_is_refused_at_construction_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="is not a regular expression: missing"):
        Matcher("a", Operator.MATCHES, "(a")
    assert capfd.readouterr() == ("", "")


def test_matchers_are_values() -> None:
    one, same = parse_matcher('a=~"x.*"'), parse_matcher('{a=~"x.*"}')
    assert one == same
    assert hash(one) == hash(same)
    assert one != parse_matcher('a=~"x.+"')
    assert repr(one) == "Matcher(label='a', operator=<Operator.MATCHES: '=~'>, value='x.*')"


@given(st.one_of(LITERAL_MATCHERS, REGEX_MATCHERS))
def test_the_canonical_form_is_read_back_as_the_same_matcher(matcher: Matcher) -> None:
    assert parse_matchers(str(matcher)) == (matcher,)


@given(st.lists(st.one_of(LITERAL_MATCHERS, REGEX_MATCHERS), max_size=4))
def test_a_list_of_canonical_forms_is_read_back_as_the_same_matchers(matchers: list[Matcher]) -> None:
    assert parse_matchers("{" + ",".join(map(str, matchers)) + "}") == tuple(matchers)


@given(st.text(alphabet='ab=~!{}," \\n"', max_size=24))
def test_any_text_is_either_read_or_refused_with_a_column_in_it(text: str) -> None:
    column = 1
    matchers: tuple[Matcher, ...] = ()
    try:
        matchers = parse_matchers(text)
    except MatcherSyntaxError as refused:
        column = refused.column
    assert 1 <= column <= len(text) + 1
    assert parse_matchers(",".join(map(str, matchers))) == matchers


@given(st.lists(st.sampled_from(["critical", "warning", "a b", "x:y/z", ""]), min_size=1), ANY_TEXT)
def test_listed_values_pass_exactly_as_the_expression_would(values: list[str], other: str) -> None:
    listed = Matcher("a", Operator.MATCHES, "|".join(values))
    engine = Matcher("a", Operator.MATCHES, f"(?:{'|'.join(values)})")
    assert listed.literals == frozenset(values)
    assert engine.literals is None
    for value in (*values, other):
        assert listed.matches({"a": value}) is engine.matches({"a": value})
