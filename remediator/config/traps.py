"""Plain YAML scalars that YAML 1.1 and 1.2 read differently, with the spelling that means the same to both. Pure.

Other programs (linters, formatters, a colleague's script) read `on` as true, `17:00` as 1020 and `010` as 8. We keep the
spelling and would not, but a file that two readers understand differently is wrong already (reliability.md T22).
"""

from __future__ import annotations

import re

_BOOL = re.compile(r"(?:yes|no|on|off|true|false)", re.IGNORECASE)
_CLOCK = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-9]{1,2})+(?:\.[0-9_]*)?")
_OCTAL = re.compile(r"[-+]?(?:0[0-7_]+|0o[0-7_]+)")
_RADIX = re.compile(r"[-+]?0[xb][0-9a-fA-F_]+", re.IGNORECASE)
_UNDERSCORED = re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF|nan|NaN|NAN)")
# No number or date is longer; the expressions above are not meant for more.
LONGEST = 64
_TRUE = frozenset({"yes", "on", "true"})

# Values that are words of ours although YAML 1.1 reads them as booleans.
_OUR_WORDS = frozenset({("mode", "off")})


def trap(text: str, key: str) -> tuple[str, str] | None:
    """What is wrong with the plain scalar `text` below `key` (empty for a key) and what to write; None if nothing is."""
    if len(text) > LONGEST or text in {"true", "false", "null"} or (key, text) in _OUR_WORDS:
        return None
    if _BOOL.fullmatch(text):
        truth = "true" if text.lower() in _TRUE else "false"
        if not key:
            return f"the key {text} is read as {truth} by YAML 1.1", f'write "{text}" in quotes, or another name'
        return f"{text} is read as {truth} by YAML 1.1", f'write {truth}, or "{text}" in quotes if it is text'
    return _number_trap(text)


def _number_trap(text: str) -> tuple[str, str] | None:
    quoted = f'write "{text}" in quotes'
    if _CLOCK.fullmatch(text):
        return f"{text} without quotes is a number to the base 60 for YAML 1.1", quoted
    if _OCTAL.fullmatch(text) and text.strip("+-0"):
        plain = text.lstrip("+-0o").lstrip("0") or "0"
        return f"{text} is an octal number for some readers", f"write {plain}, or {quoted[6:]} if it is text"
    if _RADIX.fullmatch(text):
        return f"{text} is a number to another base for some readers", f"{quoted}, or the decimal number"
    if _UNDERSCORED.fullmatch(text):
        return f"{text} is a number for some readers", f"write {text.replace('_', '')}, or {quoted[6:]} if it is text"
    if _DATE.fullmatch(text):
        return f"{text} is a date for YAML 1.1, not text", quoted
    if _NOT_FINITE.fullmatch(text) or text == "=":
        return f"{text} has a meaning of its own in YAML 1.1", quoted
    if text in {"Null", "NULL"}:
        return f"{text} is nothing at all for YAML 1.1", f"leave the key out, or {quoted}"
    return None
