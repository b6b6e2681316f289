"""Takes out of journal lines what names people, customers and hosts, so that a journal can be shown outside (`--redact`).

What stays: when, which kind, which rule, playbook, action and guard, what was answered, how long it took. What goes: labels,
arguments, sentences, names of people. The same text becomes the same token within one export, so that it can still be seen
what belongs together; the key is thrown away. (Secrets need no veil: they are in no entry, G24.)
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from remediator.core.views import LineView

SENTENCE = "(redacted)"
_KEPT = frozenset({
    "kind", "incident", "run", "rule", "playbook", "action", "probe", "guard", "answer", "result", "disposition", "status",
    "mode", "digest", "verdict", "look", "effect", "presence", "decision", "version", "undo", "message", "key",
})  # fmt: skip
# What stands in these is somebody's data, whatever its name.
_NOT_OURS = frozenset({"labels", "annotations", "arguments", "params", "target", "receipt", "group_labels", "values"})
_NAMES_OF_ALERTS = frozenset({"alertname", "severity"})


class Veil:
    """One export's veil."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def line(self, line: LineView) -> LineView:
        """The line without what is somebody's."""
        fact = {name: self._value(name, value, _KEPT) for name, value in line.fact.items()}
        return msgspec.structs.replace(line, sentence=SENTENCE, verdicts=(), fact=fact)

    def _value(self, name: str, value: object, kept: frozenset[str]) -> object:
        match value:
            case dict():
                inner = _NAMES_OF_ALERTS if name in _NOT_OURS else kept
                return {key: self._value(str(key), one, inner) for key, one in value.items()}
            case list() | tuple():
                return [self._value(name, one, kept) for one in value]
            case str() if value and name not in kept:
                return "~" + hmac.digest(self._key, value.encode("utf-8", "replace"), hashlib.sha256).hex()[:12]
            case int() | float() if kept is _NAMES_OF_ALERTS and not isinstance(value, bool):
                return 0
            case _:
                return value
