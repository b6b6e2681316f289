"""YAML without its surprises: spelling is kept, traps are named, bombs do not go off (reliability.md T22)."""

from __future__ import annotations

import pytest

from remediator.config.documents import MAX_NODES, Bare, Document, parse_document


def parse(text: str) -> Document:
    """A text as the file f.yml."""
    return parse_document("f.yml", text)


def names(text: str) -> list[str]:
    """The names of the problems of a text, in order."""
    return [problem.name for problem in parse(text).problems]


@pytest.mark.parametrize(
    "spelling",
    [
        "1.10",
        "3",
        "1e3",
        "0",
        "0.5",
        "-3",
        "+2",
        "0123456789",
        "5m",
        "100/h",
        "2 per 6h",
        "n",
        "y",
        "a:b",
        "08",
        "off-1",
    ],
)
def test_a_scalar_keeps_its_spelling(spelling: str) -> None:
    document = parse(f"a: {spelling}\n")
    assert document.problems == ()
    assert document.value == {"a": spelling}
    assert isinstance(document.get(("a",)), Bare)


@pytest.mark.parametrize("empty", ["", "~", "null"])
def test_nothing_is_none(empty: str) -> None:
    assert parse(f"a: {empty}\n").value == {"a": None}


def test_a_quoted_scalar_is_text_and_not_bare() -> None:
    value = parse("a: '3'\n").get(("a",))
    assert value == "3"
    assert not isinstance(value, Bare)


@pytest.mark.parametrize(
    ("spelling", "cure"),
    [
        ("yes", "true"),
        ("No", "false"),
        ("on", "true"),
        ("OFF", "false"),
        ("True", "true"),
        ("17:00", '"17:00"'),
        ("02:00", '"02:00"'),
        ("1:30:00", '"1:30:00"'),
        ("010", "write 10,"),
        ("0o17", "write 17,"),
        ("0x1F", '"0x1F"'),
        ("0b11", '"0b11"'),
        ("1_000", "write 1000,"),
        ("2030-01-01", '"2030-01-01"'),
        ("2030-01-01T10:00:00Z", '"2030-01-01T10:00:00Z"'),
        (".inf", '".inf"'),
        (".NaN", '".NaN"'),
        ("=", '"="'),
        ("NULL", '"NULL"'),
    ],
)
def test_what_two_readers_understand_differently_is_named_with_its_cure(spelling: str, cure: str) -> None:
    (problem,) = parse(f"a: {spelling}\n").problems
    assert problem.name == "yaml-trap"
    assert cure in problem.fix


def test_mode_off_is_a_word_of_ours() -> None:
    assert parse("mode: off\n").problems == ()
    assert names("modes: off\n") == ["yaml-trap"]


@pytest.mark.parametrize("key", ["on", "yes", "No", "off", "1:30", "010", "2030-01-01"])
def test_keys_have_traps_too(key: str) -> None:
    assert names(f"{key}: a\n") == ["yaml-trap"]
    assert names(f'"{key}": a\n') == []


@pytest.mark.parametrize("block", ["with: { d: {{ labels.d }} }", "d: {{ labels.d }}", "- {{ labels.d }}"])
def test_a_placeholder_without_quotes_is_named_with_the_quotes(block: str) -> None:
    (problem,) = parse(f"{block}\n").problems
    assert problem.name == "unquoted-placeholder"
    assert problem.fix.endswith('"{{ labels.d }}"')


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a: &x 1\n", "yaml-anchor"),
        ("a: *x\n", "yaml-alias"),
        ("a: !!python/object:os.system x\n", "yaml-tag"),
        ("a: ! x\n", "yaml-tag"),
        ("<<: {a: b}\n", "yaml-merge"),
        ("? [a]\n: b\n", "bad-key"),
        ("? \n: b\n", "bad-key"),
        ("a: 1\na: 2\n", "duplicate-key"),
        ("a: 1\n'a': 2\n", "duplicate-key"),
        ('a: "\\0"\n', "bad-text"),
        ('a: "\\uD800"\n', "bad-text"),
        ("a: \x07\n", "bad-yaml"),
        ("a: [\n", "bad-yaml"),
        ("%YAML 2.0\n---\na\n", "bad-yaml"),
        ('a: "\\U00110000"\n', "bad-yaml"),
    ],
)
def test_what_yaml_can_do_and_we_refuse(text: str, name: str) -> None:
    assert name in names(text)


def test_a_duplicate_key_names_both_lines() -> None:
    (problem,) = parse("a: 1\nb: 2\na: 3\n").problems
    assert problem.position.line == 3
    assert "line 1" in problem.sentence


def test_an_alias_bomb_does_not_go_off() -> None:
    bomb = 'a: &a ["x"]\n' + "".join(
        f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
    )
    document = parse(bomb)
    assert len(document.spots) < 200
    assert "yaml-alias" in [problem.name for problem in document.problems]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "a:\n"])
def test_depth_is_bounded(opening: str) -> None:
    steps = "".join(f"{' ' * depth}a:\n" for depth in range(200))
    text = steps if opening == "a:\n" else opening * 5000
    assert names(text) == ["too-deep"]


def test_the_number_of_values_is_bounded() -> None:
    document = parse(f"[{'1,' * (MAX_NODES + 10)}]")
    assert [problem.name for problem in document.problems] == ["too-large"]
    assert document.value is None


@pytest.mark.parametrize("text", ["x" * 20_000, "{{" * 200, "1" + "_" * 20_000 + "x"])
def test_the_length_of_a_text_is_bounded(text: str) -> None:
    assert names(f"a: {text}\n" if text[0] != "{" else f"a: '{text}'\n") == ["too-large"]


@pytest.mark.parametrize(
    ("text", "offset", "place"),
    [
        ("a: hello there\n", 6, (1, 10)),
        ("a: 'hello there'\n", 6, (1, 11)),
        ('a: "hello there"\n', 6, (1, 11)),
        ("a: |\n  hello\n  there\n", 8, (3, 5)),
        ('a: "he\\u006clo there"\n', 6, (1, 4)),
        ("a: >\n  hello\n  there\n", 8, (1, 4)),
    ],
)
def test_a_place_inside_a_text_is_found_or_its_beginning(text: str, offset: int, place: tuple[int, int]) -> None:
    position = parse(text).inside(("a",), offset)
    assert (position.line, position.column) == place


def test_keys_and_values_have_their_own_places() -> None:
    document = parse("rules:\n  - name:  x\n")
    assert str(document.key(("rules", 0, "name"))) == "f.yml:2:5"
    assert str(document.at(("rules", 0, "name"))) == "f.yml:2:12"
    assert str(document.at(("rules", 0, "nowhere"))) == "f.yml:2:5"
