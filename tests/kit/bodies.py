"""Bodies that no Alertmanager sends: made from a seed, so that any of them can be made again.

Most begin with a good notification and spoil it in one of many ways; the rest is bytes. Nothing here knows the product.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

HEAD = {"version": "4", "groupKey": "{}:{}", "receiver": "r", "status": "firing", "truncatedAlerts": 0}
ODD_TEXTS = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "\udfff\ud800",
    "\u202e",
    "\ufeff",
    "\r\nX-Admin: yes",
    "{{ labels.x }}",
    "$(reboot)",
    "`id`",
    "'; DROP TABLE journal; --",
    '"} or vector(1) #',
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "-rf",
    "*",
    ".*",
    "%s%n",
    "x" * 5000,
    "\U0001f6a8" * 50,
    "0001-01-01T00:00:00Z",
    "1e999",
    "null",
    "NaN",
]
ODD_TIMES = [
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "2026-02-30T00:00:00Z",
    "2026-11-24",
    "yesterday",
    "",
    "-1",
    "2026-11-24T11:02:04+99:99",
    "2026-11-24T11:02:04.2",
    "292277026596-12-04T15:30:07Z",
    "1970-01-01T00:00:00Z",
]
NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "9" * 5000,
    "-9223372036854775809",
    "18446744073709551616",
    "01",
]
KEYS = [
    "alerts",
    "status",
    "labels",
    "annotations",
    "startsAt",
    "endsAt",
    "fingerprint",
    "groupKey",
    "truncatedAlerts",
    "version",
]


def alert(number: int) -> dict[str, object]:
    """A good one."""
    return {
        "status": "firing",
        "labels": {"alertname": "Corpus", "instance": f"mta{number}", "severity": "critical"},
        "annotations": {"summary": "a corpus"},
        "startsAt": "2026-11-24T11:02:04.2Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": "0123456789abcdef",
    }


def good(number: int) -> bytes:
    """A whole notification that has to be taken."""
    return json.dumps({**HEAD, "alerts": [alert(number)]}).encode()


def bodies(seed: int, count: int) -> Iterator[bytes]:
    """`count` bodies, the same ones for the same seed."""
    dice = random.Random(seed)
    for _ in range(count):
        yield dice.choice(_WAYS)(dice)


def _spoil_value(dice: random.Random) -> bytes:
    """A wrong kind of value somewhere in a good notification."""
    wrong: list[object] = [None, True, 0, -1, 1.5, [], {}, [[]], {"a": 1}, *ODD_TEXTS]
    one = alert(dice.randrange(50))
    whole: dict[str, object] = {**HEAD, "alerts": [one]}
    place = dice.choice([whole, one, one["labels"], one["annotations"]])
    assert isinstance(place, dict)
    key = dice.choice([*place, *KEYS])
    place[key] = dice.choice(wrong)
    return json.dumps(whole, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")


def _spoil_name(dice: random.Random) -> bytes:
    """Labels with odd names and values, or very many of them."""
    one = alert(1)
    labels: dict[str, object] = {dice.choice(ODD_TEXTS): dice.choice(ODD_TEXTS) for _ in range(dice.randrange(8))}
    labels |= {f"l{place}": "v" for place in range(dice.choice([0, 0, 65, 300]))}
    one["labels"] = labels
    return json.dumps({**HEAD, "alerts": [one, alert(2)]}).encode()


def _spoil_time(dice: random.Random) -> bytes:
    one = alert(1)
    one[dice.choice(["startsAt", "endsAt"])] = dice.choice(ODD_TIMES)
    return json.dumps({**HEAD, "alerts": [one]}).encode()


def _spoil_number(dice: random.Random) -> bytes:
    """Numbers that parsers disagree about."""
    text = json.dumps({**HEAD, "alerts": [alert(1)]})
    return text.replace('"truncatedAlerts": 0', f'"truncatedAlerts": {dice.choice(NUMBERS)}').encode()


def _twice(dice: random.Random) -> bytes:
    """A key that stands there twice."""
    key, value = dice.choice(KEYS), json.dumps(dice.choice([[], {}, "firing", None, 3]))
    text = good(1).decode()
    return text.replace("{", "{" + f'"{key}": {value}, ', dice.choice([1, 2, 3])).encode()


def _cut(dice: random.Random) -> bytes:
    whole = good(1)
    return whole[: dice.randrange(len(whole))]


def _flip(dice: random.Random) -> bytes:
    whole = bytearray(good(1))
    for _ in range(dice.randrange(1, 6)):
        whole[dice.randrange(len(whole))] = dice.randrange(256)
    return bytes(whole)


def _deep(dice: random.Random) -> bytes:
    depth = dice.choice([33, 200, 1000, 100_000])
    opening, closing = dice.choice([("[", "]"), ('{"a":', "}")])
    inner = opening * depth + "1" + closing * depth
    if dice.random() < 0.5:
        return inner.encode()
    return f'{{"version":"4","receiver":"r","alerts":{dice.choice([inner, "[" + inner + "]"])}}}'.encode()


def _many(dice: random.Random) -> bytes:
    """More alerts than anybody sends, all of them empty or alike."""
    count = dice.choice([0, 1000, 20_001])
    return b'{"version":"4","receiver":"r","alerts":[' + b",".join([b"{}"] * count) + b"]}"


def _noise(dice: random.Random) -> bytes:
    return dice.randbytes(dice.choice([0, 1, 7, 100, 3000]))


def _other(dice: random.Random) -> bytes:
    """Something whole that is no notification."""
    choices = [
        b"",
        b" ",
        b"null",
        b"true",
        b"0",
        b'""',
        b"[]",
        b"{}",
        b"<xml/>",
        b"alerts=1",
        b"\xef\xbb\xbf{}",
        b"{}{}",
        b"\x1f\x8b\x08",
        b'{"alerts":null}',
        b'{"alerts":{}}',
        b'{"alerts":"x"}',
        b'[{"labels":{"alertname":"x"}}]',
        b"{'alerts':[]}",
        b'{"alerts":[null]}',
        b'{"alerts":[[]]}',
        b'{"alerts":[1,"a",{}]}',
        b'{"alerts":[{"labels":null}]}',
        good(1).decode().encode("utf-16"),
        good(1).decode().encode("utf-32"),
        good(1) + b"\x00",
        b"//x\n" + good(1),
        good(1) + b",",
    ]
    return dice.choice(choices)


_WAYS: tuple[Callable[[random.Random], bytes], ...] = (
    _spoil_value,
    _spoil_value,
    _spoil_value,
    _spoil_name,
    _spoil_time,
    _spoil_number,
    _twice,
    _cut,
    _cut,
    _flip,
    _flip,
    _deep,
    _many,
    _noise,
    _other,
    _other,
)
