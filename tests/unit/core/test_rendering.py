"""Blanks: filled once, escaped for where they land, never parsed again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import promql_parser
import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.rendering import (
    MissingValue,
    Reference,
    Sink,
    Template,
    fill,
    fill_tree,
    parse_template,
    parse_tree,
    references,
    starts_with_blank,
)

if TYPE_CHECKING:
    from remediator.core.params import Json

SCOPE = {"labels": {"domain": "example.com", "empty": ""}, "params": {"node": "mta1"}, "incident": {"id": "inc-1"}}
# Everything that an escape has to stand: braces, quotes, backslashes, line ends, regex signs.
wild = st.text(alphabet=st.sampled_from("{}\"\\\n\r\t'`$().*+?[]|^%&<>a\u202e\U0001f6a8 "), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("", ""),
        ("plain { text } $x", "plain { text } $x"),
        ("{{ labels.domain }}", "example.com"),
        ("{{labels.domain}}", "example.com"),
        ("{{ $labels.domain }}", "example.com"),
        ("{{\tlabels.domain\n}}", "example.com"),
        ("<{{ params.node }}/{{ labels.domain }}>", "<mta1/example.com>"),
        ("{{ incident.id }}{{ incident.id }}", "inc-1inc-1"),
        ('{{ labels.empty | default("none") }}', "none"),
        ('{{ labels.missing|default( "a b" ) }}', "a b"),
        ('{{ labels.domain | default("none") }}', "example.com"),
        ('{{ annotations.summary | default("none") }}', "none"),
    ],
)
def test_blanks_are_filled_and_the_rest_stays(text: str, filled: str) -> None:
    assert fill(parse_template(text), SCOPE) == filled


@pytest.mark.parametrize(
    "text",
    [
        "{{ labels.missing }}",
        "{{ labels.empty }}",
        "{{ annotations.summary }}",
        "x{{ params.missing }}y",
    ],
)
def test_a_blank_without_a_value_is_an_error_that_names_it(text: str) -> None:
    template = parse_template(text)
    (reference,) = template.references
    with pytest.raises(MissingValue, match=f"^{reference} is missing or empty"):
        fill(template, SCOPE)


@pytest.mark.parametrize(
    "text",
    [
        "{{ labels.a + labels.b }}",
        "{{ labels.a.b }}",
        "{{ labels['a'] }}",
        "{{ labels.a | upper }}",
        "{{ f(labels.a) }}",
        "{{ labels }}",
        "{{ }}",
        "{{}}",
        "{{ 1 }}",
        "{{ labels.a-b }}",
        '{{ labels.a | default("") }}',
        "{{ labels.a | default('x') }}",
        '{{ labels.a | default("{{ x }}") }}',
        '{{ labels.a | default("\\") }}',
        "{{ labels.ä }}",
        "{{ {{ labels.a }} }}",
        "{{{ labels.a }}}",
        "{% if x %}",
    ],
)
def test_there_are_no_expressions(text: str) -> None:
    if text == "{% if x %}":
        assert fill(parse_template(text), SCOPE) == text  # text like any other
        return
    with pytest.raises(ValueError, match=r"is not a reference|is not closed"):
        parse_template(text)


def test_an_unknown_scope_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'env' is not a scope: expected one of labels, annotations, params, incident"):
        parse_template("{{ env.HOME }}")


@pytest.mark.parametrize(
    "text", ["{{ labels.a", "labels.a }}", "}} {{ labels.a }}", "{{ labels.a }} {{", "a }} b {{ labels.a }}"]
)
def test_a_placeholder_that_is_not_closed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not closed|is not a reference"):
        parse_template(text)


@pytest.mark.parametrize("text", ["", "x", "{{ labels.a }}", 'a{{ params.b | default("c") }}d{{ incident.id }}'])
def test_a_template_shows_itself_as_it_was_written(text: str) -> None:
    assert parse_template(text).source == text


# ── what was filled in is never looked at again ──────────────────────────────────────────────────────────────────────
@given(st.text(min_size=1), st.text(min_size=1))
def test_a_value_is_never_parsed_again(one: str, other: str) -> None:
    template = parse_template("<{{ labels.a }}|{{ labels.b }}>")
    assert fill(template, {"labels": {"a": one, "b": other}}) == f"<{one}|{other}>"


def test_a_label_that_reads_like_a_blank_stays_text() -> None:
    assert fill(parse_template("{{ labels.a }}"), {"labels": {"a": "{{ labels.b }}", "b": "x"}}) == "{{ labels.b }}"


@given(wild)
def test_a_value_cannot_leave_its_string_in_promql(value: str) -> None:
    text = fill(Template(('up{a="', Reference("labels", "x", sink=Sink.PROMQL), '"}')), {"labels": {"x": value}})
    query: Any = promql_parser.parse(text)
    (matcher,) = query.matchers.matchers
    assert (matcher.name, matcher.value) == ("a", value)


@given(wild)
def test_a_value_in_a_regex_matches_itself_and_nothing_else(value: str) -> None:
    text = fill(Template(('up{a=~"', Reference("labels", "x", sink=Sink.PROMQL_REGEX), '"}')), {"labels": {"x": value}})
    query: Any = promql_parser.parse(text)
    (matcher,) = query.matchers.matchers
    pattern = re2.compile(f"(?s:{matcher.value})")
    assert pattern.fullmatch(value)
    assert not pattern.fullmatch(value + "x")
    assert not pattern.fullmatch("x" + value)


def test_a_default_is_escaped_like_a_value() -> None:
    assert fill(Template((Reference("labels", "x", "a.b", Sink.PROMQL_REGEX),)), {}) == "a\\\\.b"


# ── trees keep their shape ───────────────────────────────────────────────────────────────────────────────────────────
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(["x", "{{ labels.a }}"])
)
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def shape(tree: Json) -> object:
    match tree:
        case dict():
            return {key: shape(value) for key, value in tree.items()}
        case list():
            return [shape(part) for part in tree]
        case _:
            return type(tree)


@given(trees, wild)
def test_filling_cannot_change_the_shape_of_a_tree(tree: Json, value: str) -> None:
    assert shape(fill_tree(parse_tree(tree), {"labels": {"a": value}})) == shape(tree)


@given(trees)
def test_a_tree_names_all_its_blanks(tree: Json) -> None:
    assert len(references(parse_tree(tree))) == len(re.findall("labels.a", repr(_without_keys(tree))))


def _without_keys(tree: Json) -> object:
    match tree:
        case dict():
            return [_without_keys(value) for value in tree.values()]
        case list():
            return [_without_keys(part) for part in tree]
        case _:
            return tree


def test_keys_are_never_filled() -> None:
    assert fill_tree(parse_tree({"{{ labels.a }}": "x"}), {"labels": {"a": "y"}}) == {"{{ labels.a }}": "x"}


@pytest.mark.parametrize(
    ("tree", "blank"),
    [("{{ labels.a }}x", True), ("x{{ labels.a }}", False), ("", False), (3, False), (["{{ labels.a }}"], False)],
)
def test_it_is_known_whether_a_text_begins_with_something_from_outside(tree: Json, blank: bool) -> None:
    assert starts_with_blank(parse_tree(tree)) is blank
