"""Masking known secrets in text that leaves the process. Pure."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "<secret>"
# Shorter secrets would mask ordinary words; the web floor refuses them anyway.
MIN_SECRET = 6


class Redactor:
    """Masks known secrets in any text: as they are, percent-encoded, JSON-escaped, and in base64 at any offset (G24)."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if len(secret) >= MIN_SECRET for form in _forms(secret)}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._found = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def text(self, text: str) -> str:
        """`text` without any secret."""
        return self._found.sub(MASK, text) if self._found is not None else text


def _forms(secret: str) -> set[str]:
    raw = secret.encode("utf-8", "surrogateescape")
    forms = {secret, quote(raw, safe=""), quote(raw), quote_plus(raw)}
    forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    forms |= {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), form) for form in set(forms)}
    for lead in range(3):  # a secret inside a longer text: only the characters that its neighbours do not change
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(bytes(lead) + raw).decode("ascii").rstrip("=")
            sure = whole[-(-lead * 8 // 6) : (lead + len(raw)) * 8 // 6]
            if len(sure) >= MIN_SECRET:
                forms.add(sure)
    return forms
