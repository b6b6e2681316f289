"""Label values out of what others wrote: mail headers, queue names, reports. Pure.

Prometheus takes any text as a label value; dashboards, alerts and messages then show it. So control characters and signs
that hide or turn text round are taken out, the length is bounded, and what is empty afterwards is `none`.
"""

from __future__ import annotations

import hashlib
import re

NONE = "none"
OTHER = "other"
LONGEST = 100
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)


def clean(text: str) -> str:
    """`text` as a label value of at most `LONGEST` characters; two long texts stay two, by the end of a digest."""
    found = " ".join(_HIDDEN.sub(" ", text).split())
    if not found:
        return NONE
    if len(found) <= LONGEST:
        return found
    digest = hashlib.blake2b(found.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{found[: LONGEST - 9]}~{digest}"


def domain_of(address: str) -> str:
    """The domain of a mail address such as `<a@example.com>` or `Ann <a@example.com>`, in lower case; `none` if none."""
    inner = address.rpartition("<")[2].partition(">")[0]
    domain = inner.rpartition("@")[2].strip().rstrip(".").lower()
    try:
        ascii_form = domain.encode("idna").decode("ascii") if not domain.isascii() and len(domain) < 254 else domain
    except UnicodeError:
        return NONE
    return clean(ascii_form) if _DOMAIN.fullmatch(ascii_form) and "@" in inner else NONE
