"""The building blocks of the models: strict field types that take YAML's spelling and say in plain words what they want.

A model sees only text (`Bare` where it stood without quotes), lists, mappings and None. Each field type converts by
itself and raises `Misspelt`; pydantic does the rest (which fields, how deep) and never coerces.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from remediator.config.documents import Bare
from remediator.core.durations import parse_duration
from remediator.core.rules import Limit, Mode

_LIMIT = re.compile(r"(?P<count>[0-9]{1,6}) per (?P<window>\S+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_URL = re.compile(r"https?://[^\s/?#@]+(?:[/?#]\S*)?")

# The journal keeps what is needed for windows of this length and no longer.
MAX_WINDOW = 31 * 86_400.0
MAX_COUNT = 10_000
MAX_PERCENT = 50
# How much of a value is repeated in a message.
SHOWN = 80


class Misspelt(ValueError):
    """A value that is not what its field wants: the stable name of the problem, a sentence, and what to write."""

    def __init__(self, name: str, sentence: str, fix: str = "") -> None:
        self.name = name
        self.fix = fix
        super().__init__(sentence)


class Shape(BaseModel):
    """One mapping of a file. `noun` is what messages call it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)
    noun: ClassVar[str] = "this"


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` for the most similar of the known words, or a list of them if none is similar."""
    words = sorted(known)
    lower = {candidate.lower(): candidate for candidate in words}
    close = difflib.get_close_matches(word[:SHOWN].lower(), lower, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{lower[close[0]]}'?"
    if not words:
        return "there are none"
    shown = ", ".join(words[:12]) + (f", … ({len(words)} in all)" if len(words) > 12 else "")
    return f"expected {'one of ' if len(words) > 1 else ''}{shown}"


def kind_of(raw: object) -> str:
    """What people call a YAML value."""
    match raw:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            text = str(raw)
            return f"'{text}'" if len(text) <= SHOWN else f"'{text[:SHOWN]}…'"


def _text(raw: object) -> str:
    if isinstance(raw, str):
        if not raw.strip():
            raise Misspelt("empty-value", "is empty", "write a value, or leave the key out")
        return str(raw)
    fix = "put quotes around it if it is text" if isinstance(raw, dict) else "write one text"
    raise Misspelt("wrong-type", f"must be text, not {kind_of(raw)}", fix)


def _duration(raw: object) -> float:
    try:
        return parse_duration(_text(raw))
    except Misspelt:
        raise
    except ValueError as fault:
        sentence, _, fix = str(fault).partition("; ")
        raise Misspelt("bad-duration", sentence, fix) from None


def _positive_duration(raw: object) -> float:
    seconds = _duration(raw)
    if seconds <= 0:
        raise Misspelt("bad-duration", "must be longer than 0", "write for example 30s, 5m or 1h")
    return seconds


def _whole(raw: object) -> int:
    if isinstance(raw, Bare) and re.fullmatch(r"[0-9]{1,9}", raw):
        return int(raw)
    if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,9}", raw):
        raise Misspelt("wrong-type", f'must be a whole number, not the text "{raw}"', f"write {raw} without quotes")
    raise Misspelt("wrong-type", f"must be a whole number, not {kind_of(raw)}", "write for example 1")


def _count(raw: object) -> int:
    number = _whole(raw)
    if not 1 <= number <= MAX_COUNT:
        raise Misspelt("out-of-range", f"{number} is not from 1 to {MAX_COUNT}", "write a number from that range")
    return number


def _percent(raw: object) -> int:
    number = _whole(raw)
    if not 0 <= number <= MAX_PERCENT:
        raise Misspelt("out-of-range", f"{number} is not from 0 to {MAX_PERCENT}", "write a number from that range")
    return number


def _switch(raw: object) -> bool:
    if isinstance(raw, Bare) and raw in {"true", "false"}:
        return raw == "true"
    raise Misspelt("wrong-type", f"must be true or false, not {kind_of(raw)}", "write true or false")


def _limit(raw: object) -> Limit:
    text = _text(raw)
    found = _LIMIT.fullmatch(text)
    if not found or not 1 <= int(found["count"]) <= MAX_COUNT:
        raise Misspelt("bad-limit", f"'{text}' is not a limit", "write for example 2 per 6h")
    window = _positive_duration(found["window"])
    if window > MAX_WINDOW:
        raise Misspelt("bad-limit", f"the window of '{text}' is longer than 31d", "write at most 31d")
    return Limit(int(found["count"]), window)


def _mode(raw: object) -> Mode:
    text = _text(raw)
    try:
        return Mode.parse(text)
    except ValueError:
        fix = nearest(text, (mode.word for mode in Mode))
        raise Misspelt("bad-mode", f"'{text}' is not a mode", fix) from None


def one_or_many(raw: object) -> object:
    if isinstance(raw, str):
        return [raw]
    if not isinstance(raw, list):
        raise Misspelt("wrong-type", f"must be one text or a list of them, not {kind_of(raw)}", "write [ … ]")
    return raw


def _name(raw: object) -> str:
    text = _text(raw)
    if not _NAME.fullmatch(text):
        fix = "use letters, digits, '-', '_' and '.', at most 63"
        raise Misspelt("bad-name", f"'{text}' is not a name", fix)
    return text


def _label(raw: object) -> str:
    text = _text(raw)
    if not _LABEL.fullmatch(text):
        raise Misspelt("bad-label", f"'{text}' is not the name of a label", "write for example instance")
    return text


def _url(raw: object) -> str:
    text = _text(raw)
    if re.match(r"https?://[^/?#]*@", text):
        raise Misspelt("literal-secret", "has a user or a password in it", "use basic_auth with a password_file")
    if not _URL.fullmatch(text):
        fix = "write for example http://127.0.0.1:9090"
        raise Misspelt("bad-url", "is not an http or https URL", fix)
    return text


def one_of(*words: str) -> BeforeValidator:
    """A validator for a closed set of words."""

    def check(raw: object) -> str:
        text = _text(raw)
        if text not in words:
            raise Misspelt("unknown-word", f"'{text}' is not known here", nearest(text, words))
        return text

    return BeforeValidator(check)


DURATION_PATTERN = r"^(0|([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$"

Text = Annotated[str, BeforeValidator(_text), WithJsonSchema({"type": ["string", "number"], "minLength": 1})]
Name = Annotated[str, BeforeValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"})]
LabelName = Annotated[
    str, BeforeValidator(_label), WithJsonSchema({"type": "string", "pattern": f"^{_LABEL.pattern}$"})
]
Url = Annotated[str, BeforeValidator(_url), WithJsonSchema({"type": "string", "format": "uri"})]
Seconds = Annotated[
    float, BeforeValidator(_duration), WithJsonSchema({"type": ["string", "integer"], "pattern": DURATION_PATTERN})
]
PositiveSeconds = Annotated[
    float, BeforeValidator(_positive_duration), WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN})
]
Count = Annotated[int, BeforeValidator(_count), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_COUNT})]
Percent = Annotated[
    int, BeforeValidator(_percent), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_PERCENT})
]
Switch = Annotated[bool, BeforeValidator(_switch), WithJsonSchema({"type": "boolean"})]
PerWindow = Annotated[
    Limit, BeforeValidator(_limit), WithJsonSchema({"type": "string", "pattern": "^[0-9]+ per [0-9a-z]+$"})
]
ModeWord = Annotated[
    Mode,
    BeforeValidator(_mode),
    WithJsonSchema({"type": "string", "enum": [mode.word for mode in Mode]}),
]
_MANY = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
Texts = Annotated[list[Text], BeforeValidator(one_or_many), WithJsonSchema(_MANY)]
Names = Annotated[list[Name], BeforeValidator(one_or_many), WithJsonSchema(_MANY)]
LabelNames = Annotated[list[LabelName], BeforeValidator(one_or_many), WithJsonSchema(_MANY)]
