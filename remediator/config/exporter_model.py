"""The shape of exporter.yml: which keys there are, what each may hold, and what it means (shown by editors)."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from remediator.config.common_shapes import FilePaths
from remediator.config.settings_model import Listen, Size
from remediator.config.shapes import (
    Count,
    Misspelt,
    Name,
    PerWindow,
    PositiveSeconds,
    Shape,
    Switch,
    Text,
    kind_of,
    one_of,
    one_or_many,
)
from remediator.core.rules import Limit

CLIENT_DOMAINS = ("sender", "header", "recipient")
MAX_NAMES = 1000
_ZONE = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)+[A-Za-z0-9-]{1,63}")


def _ip(raw: object) -> str:
    try:
        found = ipaddress.ip_address(raw) if isinstance(raw, str) else None
    except ValueError:
        found = None
    if found is None:
        raise Misspelt("bad-address", f"{kind_of(raw)} is not an IP address", "write for example 192.0.2.25")
    return str(found)


def _nameserver(raw: object) -> str:
    """`address`, `address:port` or `[address]:port`; a resolver's name would need a resolver to be found."""
    text = raw if isinstance(raw, str) else ""
    host, port = text, "53"
    if bracketed := re.fullmatch(r"\[([^\]]+)\]:([0-9]{1,5})", text):
        host, port = bracketed[1], bracketed[2]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is None or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        sentence = f"{kind_of(raw)} is not the IP address of a resolver"
        raise Misspelt("bad-address", sentence, "write for example 127.0.0.1 or 127.0.0.1:5353")
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _zone(raw: object) -> str:
    if not isinstance(raw, str) or len(raw) > 200 or not _ZONE.fullmatch(raw.removesuffix(".")):
        raise Misspelt("bad-zone", f"{kind_of(raw)} is not a DNS zone", "write for example zen.spamhaus.org")
    return raw.removesuffix(".").lower()


def _code(raw: object) -> str:
    text = _ip(raw)
    if not text.startswith("127."):
        raise Misspelt("bad-address", f"'{text}' is no answer of a list", "write for example 127.0.0.2")
    return text


_ADDRESS = {"type": "string", "minLength": 2}
Ip = Annotated[str, BeforeValidator(_ip), WithJsonSchema(_ADDRESS)]
Nameserver = Annotated[str, BeforeValidator(_nameserver), WithJsonSchema(_ADDRESS)]
Zone = Annotated[str, BeforeValidator(_zone), WithJsonSchema({"type": "string", "pattern": r"\."})]
Codes = Annotated[
    list[Annotated[str, BeforeValidator(_code), WithJsonSchema(_ADDRESS)]],
    BeforeValidator(one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class ExporterWebShape(Shape):
    """Where we listen, and who may ask."""

    noun: ClassVar[str] = "'web'"
    listen_address: Listen = Field(default="127.0.0.1:9925", description="Default 127.0.0.1:9925.")
    bearer_token_file: FilePaths = Field(
        default_factory=list,
        description="Files with the tokens that kumod's log hook may use; several while one is changed.",
    )
    scrape_token_file: FilePaths = Field(
        default_factory=list, description="Files with the tokens with which Prometheus may read /metrics."
    )


class LogRecordsShape(Shape):
    """How kumod's log records are counted."""

    noun: ClassVar[str] = "'log_records'"
    names: Count = Field(
        default=50,
        description=f"How many tenants, campaigns, domains, sources and classifications get series of their own, each; "
        f"the rest is counted as other. At most {MAX_NAMES}. Default 50.",
    )
    quiet: PositiveSeconds = Field(
        default=6 * 3600.0,
        description="A name without mail for so long gives its place to another that needs one. Default 6h.",
    )
    client_domain: Annotated[str, one_of(*CLIENT_DOMAINS), WithJsonSchema({"enum": list(CLIENT_DOMAINS)})] = Field(
        default="sender",
        description="What the domain of a client is: that of the envelope sender, that of the header From (the hook must "
        "log that header), or that of the recipient. Default sender.",
    )
    body: Size = Field(default=8 * 1024 * 1024, description="The largest batch of records we take. Default 8MiB.")
    body_deadline: PositiveSeconds = Field(default=10.0, description="How long its sender may take. Default 10s.")


class DnsShape(Shape):
    """How DNS is asked: your own resolver, seldom, and never in bursts."""

    noun: ClassVar[str] = "'dns'"
    nameservers: Annotated[
        list[Nameserver],
        BeforeValidator(one_or_many),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = Field(
        default_factory=list,
        description="Addresses of your own recursive resolvers; public ones are refused by the lists.",
    )
    timeout: PositiveSeconds = Field(default=5.0, description="Bounds one question. Default 5s.")
    min_interval: PositiveSeconds = Field(
        default=900.0, description="The same question is not asked again sooner, whatever its TTL. Default 15m."
    )
    max_interval: PositiveSeconds = Field(
        default=4 * 3600.0, description="It is asked again at the latest after this time. Default 4h."
    )
    rate: PerWindow = Field(
        default=Limit(30, 60.0), description="Questions of all kinds, spaced evenly. Default 30 per 1m."
    )
    keep: PositiveSeconds = Field(
        default=24 * 3600.0,
        description="How long the last good answer counts while no new one comes; then its series is absent. Default 24h.",
    )


class SendingIpShape(Shape):
    """An address that mail is sent from."""

    noun: ClassVar[str] = "an item of 'ips'"
    ip: Ip = Field(description="The public address, as receivers see it.")
    egress_source: Text | None = Field(
        default=None, description="The name of kumod's egress source that sends from it."
    )


class ListShape(Shape):
    """A DNS list of addresses with a bad reputation."""

    noun: ClassVar[str] = "an item of 'lists'"
    name: Name = Field(description="Its name in the label list.")
    zone: Zone = Field(description="The zone that is asked, for example zen.spamhaus.org, or your own key's zone.")
    codes: Codes = Field(
        default_factory=list, description="The answers that count as listed. Default all of 127.0.0.2 and above."
    )
    test_points: Switch = Field(
        default=True,
        description="Whether the list is first asked for 127.0.0.2 (must be listed) and 127.0.0.1 (must not), as RFC 5782 "
        "prescribes; a list that fails is not believed. Default true.",
    )


class ReputationShape(Shape):
    """What is asked about our addresses."""

    noun: ClassVar[str] = "'reputation'"
    ips: list[SendingIpShape] = Field(default_factory=list, description="The addresses that mail is sent from.")
    sender_score: Switch = Field(default=True, description="Whether Sender Score is asked. Default true.")
    sender_score_zone: Zone = Field(
        default="score.senderscore.com", description="The zone of Sender Score. Default score.senderscore.com."
    )
    lists: list[ListShape] = Field(default_factory=list, description="The DNS lists that are asked.")


class ExporterFile(Shape):
    """exporter.yml."""

    noun: ClassVar[str] = "the exporter's settings file"
    web: ExporterWebShape = Field(default_factory=ExporterWebShape, description="Where we listen, and who may ask.")
    log_records: LogRecordsShape = Field(
        default_factory=LogRecordsShape, description="How kumod's log records are counted."
    )
    dns: DnsShape = Field(default_factory=DnsShape, description="How DNS is asked.")
    reputation: ReputationShape = Field(
        default_factory=ReputationShape, description="What is asked about our addresses."
    )
