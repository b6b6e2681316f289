"""Matchers: one test on one label, in Alertmanager's syntax and with Alertmanager's meaning. Pure; needs google-re2.

A label that an alert does not carry counts as empty, regular expressions match the whole value, and their engine is RE2
as at the sender, so no label value can make a match take long.

Two grammars are in the field. Alertmanager up to 0.26 (Debian has 0.25) knows the *classic* one: a plain label name, an
operator, a value that may be quoted, with the escapes `\\"`, `\\\\` and `\\n` only. From 0.27 on there is the *UTF-8*
one: label names may be quoted and hold any character, quoted strings know Go's escapes (`\\t`, `\\x41`, `\\u00e9`), an
unquoted value may hold neither blanks nor any of ``{}!=~,\\"'` ``, and an empty value must be written `""`. We do what
0.27 does by default: a text that the classic grammar accepts has its classic meaning (`a="\\d"` is a backslash
and a `d`), anything else is read by the UTF-8 grammar. Blanks outside the braces of a list mean nothing.

We refuse four things that some Alertmanager accepts, because it reads them as something the author did not mean:

* an unquoted value that starts with `=` or `~` (`a == b` would look for the value `= b`);
* a closing brace without an opening one or the reverse (of `a =~ x{2}` the brace would be cut off);
* a regular expression with unbalanced brackets (`x)|(y` would no longer be anchored);
* an empty label name, which no alert can carry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import re2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class Operator(StrEnum):
    """What a matcher does with the value: equal, not equal, matches the regular expression, does not match it."""

    EQUAL = "="
    NOT_EQUAL = "!="
    MATCHES = "=~"
    DOES_NOT_MATCH = "!~"


class MatcherSyntaxError(ValueError):
    """A text that is no matcher; `column` counts from 1 and is where the text stops being one."""

    def __init__(self, text: str, column: int, sentence: str) -> None:
        self.text = text
        self.column = column
        self.sentence = sentence
        super().__init__(f"column {column} of {text!r}: {sentence}")


_REGEX_OPERATORS = (Operator.MATCHES, Operator.DOES_NOT_MATCH)
_PLAIN_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
# `a|b|c` without any other sign: a set lookup gives the same answer as the engine, in a tenth of the time.
_ALTERNATIVES = re.compile(r"[A-Za-z0-9_:/@,%| -]*")
# Go has no \C (one byte); RE2 in C++ has.
_ONE_BYTE = re.compile(r"(?<!\\)(?:\\\\)*\\C")


@dataclass(frozen=True, slots=True)
class Matcher:
    """One test on one label. ValueError when the value is no regular expression but the operator needs one.

    `literals` are the only values that can pass, where these can be listed (`=` and `=~"a|b"`), else None.
    """

    label: str
    operator: Operator
    value: str
    literals: frozenset[str] | None = field(init=False, repr=False, compare=False)
    _passes: Callable[[str], bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        literals, passes = _test(self.operator, self.value)
        object.__setattr__(self, "literals", literals)
        object.__setattr__(self, "_passes", passes)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with these labels passes; a missing label counts as the empty string."""
        return self._passes(labels.get(self.label, ""))

    def __str__(self) -> str:
        name = self.label if _PLAIN_NAME.fullmatch(self.label) else f'"{_escape(self.label)}"'
        return f'{name}{self.operator}"{_escape(self.value)}"'


def parse_matcher(text: str) -> Matcher:
    """The one matcher of the text, which may stand in braces; MatcherSyntaxError if there are none or several."""
    parsed = parse_matchers(text)
    if len(parsed) != 1:
        advice = 'write it like severity="critical"'
        raise MatcherSyntaxError(text, 1, f"expected one matcher, found {len(parsed)}; {advice}")
    return parsed[0]


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """All matchers of a list such as `{alertname="X",severity=~"a|b"}`; braces are optional, an empty list is allowed.

    MatcherSyntaxError with the column and what was expected there.
    """
    if not text.isascii():
        _refuse_surrogates(text)
    _refuse_lone_brace(text)
    parts = _classic(text)
    if parts is None:
        parts = _Utf8Reader(text).matchers()
    return tuple(_build(text, part) for part in parts)


# --- what both grammars share


class _Part(NamedTuple):
    label: str
    operator: Operator
    value: str
    column: int  # of the value
    quoted: bool


def _build(text: str, part: _Part) -> Matcher:
    if not part.quoted and part.value[:1] in ("=", "~"):
        advice = f'put the value in double quotes if it really starts with "{part.value[0]}"'
        raise MatcherSyntaxError(text, part.column, f"expected one operator of = != =~ !~ and then a value; {advice}")
    try:
        return Matcher(part.label, part.operator, part.value)
    except ValueError as refused:
        raise MatcherSyntaxError(text, part.column, str(refused)) from refused


def _test(operator: Operator, value: str) -> tuple[frozenset[str] | None, Callable[[str], bool]]:
    match operator:
        case Operator.EQUAL:
            return frozenset((value,)), value.__eq__
        case Operator.NOT_EQUAL:
            return None, value.__ne__
        case _:
            passes = _regex(value)
            if operator is Operator.DOES_NOT_MATCH:
                return None, lambda text: not passes(text)
            return (frozenset(value.split("|")) if _ALTERNATIVES.fullmatch(value) else None), passes


def _regex(pattern: str) -> Callable[[str], bool]:
    """A test of the whole value; always compiled, so that what the engine refuses is refused."""
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    if _ONE_BYTE.search(pattern):
        raise ValueError(f"{pattern!r} is not a regular expression: \\C (one byte) is unknown to Alertmanager")
    try:
        fullmatch = re2.compile(pattern.encode(), options).fullmatch
    except re2.error as fault:
        why = fault.args[0].decode(errors="replace") if isinstance(fault.args[0], bytes) else str(fault)
        raise ValueError(f"{pattern!r} is not a regular expression: {why}") from fault
    if _ALTERNATIVES.fullmatch(pattern):
        return frozenset(pattern.split("|")).__contains__
    return lambda text: fullmatch(_utf8(text)) is not None


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate, for which the sender itself puts U+FFFD
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _refuse_surrogates(text: str) -> None:
    for place, sign in enumerate(text):
        if "\ud800" <= sign <= "\udfff":
            raise MatcherSyntaxError(text, place + 1, "expected text that has a UTF-8 form, found a lone surrogate")


def _refuse_lone_brace(text: str) -> None:
    opens, closes = text.lstrip(_GO_SPACE).startswith("{"), text.rstrip(_GO_SPACE).endswith("}")
    if opens and not closes:
        raise MatcherSyntaxError(text, len(text) + 1, "expected a closing brace '}' for the opening one")
    if closes and not opens:
        advice = "expected no '}' without '{' at the start; if it belongs to the value, put that in double quotes"
        raise MatcherSyntaxError(text, len(text.rstrip(_GO_SPACE)), advice)


# --- the classic grammar

_BLANK = "[\\t\\n\\f\\r ]*"  # what Go's \s stands for
_CLASSIC = re.compile(f"{_BLANK}({_PLAIN_NAME.pattern}){_BLANK}(=~|=|!=|!~){_BLANK}")
_ESCAPED = re.compile(r"\\([\\n\"])")
_BARE_QUOTE = re.compile(r'(?:[^\\"]|\\.|\\\Z)*"', re.DOTALL)
# The blanks of Go's unicode.IsSpace, which differ from those of str.isspace by U+001C..U+001F.
_GO_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def _classic(text: str) -> list[_Part] | None:
    """The parts of a text in the classic grammar; None if it is not in it."""
    parts = []
    for start, piece in _pieces(text):
        found = _CLASSIC.match(piece)
        if found is None:
            return None
        raw = piece[found.end() :].rstrip("\t\n\f\r ")
        quoted = raw.startswith('"')
        if quoted:
            if len(raw) < 2 or not raw.endswith('"'):
                return None
            body = raw[1:-1]
            if (len(body) - len(body.rstrip("\\"))) % 2:  # the last quote is an escaped one
                return None
        else:
            body = raw
        if _BARE_QUOTE.match(body):
            return None
        value = _ESCAPED.sub(lambda sign: "\n" if sign[1] == "n" else sign[1], body)
        parts.append(_Part(found[1], Operator(found[2]), value, start + found.end() + 1, quoted))
    return parts


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """The text between the commas outside quotes, each with its offset; a blank last piece is left out."""
    end = len(text.rstrip(_GO_SPACE))
    start = len(text) - len(text.lstrip(_GO_SPACE))
    if text.startswith("{", start):
        start, end = start + 1, end - 1
    place = start
    inside = escaped = False
    while place < end:
        sign = text[place]
        if sign == "," and not inside:
            yield start, text[start:place]
            start = place + 1
        elif sign == '"':
            inside = inside if escaped else not inside
            escaped = False
        elif sign != ",":  # a comma leaves a backslash before it pending, as at the sender
            escaped = sign == "\\" and not escaped
        place += 1
    last = text[start:end].strip(_GO_SPACE)
    if last:
        yield text.index(last, start), last


# --- the UTF-8 grammar

_SPACES = frozenset(_GO_SPACE)
_RESERVED = "{}!=~,\\\"'`"
_UNQUOTED = re.compile(f"[^{re.escape(_GO_SPACE + _RESERVED)}]+")
_QUOTED = re.compile(r'"((?:[^"\\\n]|\\[^\n])*)"')
_OPERATOR = re.compile("=~|=|!=|!~")
_GO_ESCAPE = re.compile(r"\\(?:([abfnrtv\\\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|)")
_GO_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}


class _Utf8Reader:
    """Reads a list from left to right; every method leaves `_place` at the first character it did not use."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    def matchers(self) -> list[_Part]:
        braces = self._next() == "{"
        self._place += braces
        parts: list[_Part] = []
        while self._next() not in ("", "}"):
            parts.append(self._matcher())
            if self._next() not in ("", "}", ","):
                raise self._expected("a comma or the end of the list")
            self._place += self._next() == ","
        if braces:
            self._place += 1
        if self._next():
            raise self._expected("the end of the text")
        return parts

    def _matcher(self) -> _Part:
        start = self._place
        label, _ = self._word("a label name such as severity")
        if not label:
            self._place = start
            raise self._expected("a label name that is not empty")
        self._next()
        operator = _OPERATOR.match(self._text, self._place)
        if operator is None:
            raise self._expected("an operator, one of = != =~ !~")
        self._place = operator.end()
        self._next()
        column = self._place + 1
        value, quoted = self._word("a value, in double quotes if it is empty or holds blanks or any of {}!=~,\\\"'`")
        return _Part(label, Operator(operator[0]), value, column, quoted)

    def _word(self, expected: str) -> tuple[str, bool]:
        if self._next() == '"':
            quoted = _QUOTED.match(self._text, self._place)
            if quoted is None:
                raise self._expected("a closing double quote for this one, on the same line")
            value = self._unescape(quoted[1])
            self._place = quoted.end()
            return value, True
        unquoted = _UNQUOTED.match(self._text, self._place)
        if unquoted is None:
            raise self._expected(expected)
        self._place = unquoted.end()
        return unquoted[0], False

    def _unescape(self, body: str) -> str:
        begin = self._place + 1

        def one(found: re.Match[str]) -> bytes:
            letter, hexadecimal, octal, short, long = found.groups()
            if letter:
                return _GO_LETTERS[letter].encode()
            byte = int(hexadecimal, 16) if hexadecimal else int(octal or "777", 8)
            if (hexadecimal or octal) and byte < 256:
                return bytes((byte,))
            code = int(short or long or "110000", 16)
            if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                self._place = begin + found.start()
                raise self._expected('a known escape (\\n \\t \\" \\\\ \\x41 \\u00e9); write \\\\ for a backslash')
            return chr(code).encode()

        pieces, place = [], 0
        for found in _GO_ESCAPE.finditer(body):
            pieces += [body[place : found.start()].encode(), one(found)]
            place = found.end()
        try:
            return b"".join([*pieces, body[place:].encode()]).decode()
        except UnicodeDecodeError:
            raise self._expected("escapes that together are UTF-8") from None

    def _next(self) -> str:
        """The next character that is not blank, empty at the end."""
        while self._text[self._place : self._place + 1] in _SPACES:
            self._place += 1
        return self._text[self._place : self._place + 1]

    def _expected(self, what: str) -> MatcherSyntaxError:
        found = self._text[self._place : self._place + 1]
        return MatcherSyntaxError(
            self._text, self._place + 1, f"expected {what}, found {repr(found) if found else 'the end'}"
        )
