"""Putting text from outside into PromQL so that it stays text. Pure.

The rules are those of PromQL's double-quoted strings, which are Go's: a backslash, a double quote and a line break must
be escaped. We escape all other control characters too, so that a query in a journal or on a screen shows what it is.
"""

from __future__ import annotations

import re

_NAMED = {
    "\\": "\\\\",
    '"': '\\"',
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}
# Control characters, the two Unicode line ends, and the signs that turn the direction of what follows on a screen.
_SPECIAL = re.compile(r'[\\"\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]')
_SURROGATE = re.compile("[\ud800-\udfff]")
_METACHARACTERS = re.compile(r"[\\.+*?()|\[\]{}^$]")


def escape(value: str) -> str:
    """The value as the content of a double-quoted PromQL string, without the quotes.

    ValueError for a lone surrogate, which no PromQL string can hold.
    """
    surrogate = _SURROGATE.search(value)
    if surrogate is not None:
        place = surrogate.start()
        raise ValueError(
            f"character {place + 1} is a lone surrogate (U+{ord(value[place]):04X}), which PromQL cannot hold"
        )
    return _SPECIAL.sub(_escaped, value)


def quote(value: str) -> str:
    """The value as a whole PromQL string, quotes included; ValueError as in `escape`."""
    return f'"{escape(value)}"'


def regex_quote(value: str) -> str:
    """The content of a double-quoted PromQL string that, after `=~`, matches this value and no other.

    ValueError as in `escape`.
    """
    return escape(_METACHARACTERS.sub(r"\\\g<0>", value))


def _escaped(found: re.Match[str]) -> str:
    sign = found[0]
    return _NAMED.get(sign) or f"\\u{ord(sign):04x}"
