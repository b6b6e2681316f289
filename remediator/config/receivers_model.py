"""The shape of the receivers in remediator.yml: Alertmanager's own names where it has the same, and secrets only by file."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from remediator.config.common_shapes import BasicAuthShape, FilePath, plain_text
from remediator.config.shapes import (
    Count,
    LabelName,
    Misspelt,
    Name,
    Names,
    Shape,
    Switch,
    Url,
    kind_of,
    one_or_many,
)

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")
_SMARTHOST = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_NUMBER = re.compile(r"\+?[0-9]{3,15}")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")
# What a mail needs to be what it is, and what tells its program what it is.
_OURS = re.compile(
    r"subject|from|sender|to|cc|bcc|date|message-id|in-reply-to|references|auto-submitted|mime-version|content-.*",
    re.IGNORECASE,
)


def _address(raw: object) -> str:
    text = plain_text(raw).strip()
    if not _ADDRESS.fullmatch(text):
        raise Misspelt("bad-address", f"'{text}' is not a mail address", "write for example mail-ops@example.com")
    return text


def _addresses(raw: object) -> object:
    """One address, several with commas between them as in Alertmanager, or a list."""
    return [part for one in _many(raw) for part in (one.split(",") if isinstance(one, str) else [one])]


def _many(raw: object) -> list[object]:
    found = one_or_many(raw)
    if not isinstance(found, list) or not found:
        raise Misspelt("empty-list", "is empty", "write at least one item")
    return found


def _smarthost(raw: object) -> str:
    text = plain_text(raw)
    found = _SMARTHOST.fullmatch(text)
    if not found or not 0 < int(found["port"]) <= 65535:
        raise Misspelt("bad-address", f"'{text}' is not host:port", "write for example smtp.example.com:587")
    return text


def _number(raw: object) -> str:
    text = re.sub(r"[ ()/-]", "", plain_text(raw))
    if not _NUMBER.fullmatch(text):
        raise Misspelt(
            "bad-number", f"{kind_of(raw)} is not a phone number", 'write for example "+15550100", in quotes'
        )
    return text


def _header(raw: object) -> str:
    text = plain_text(raw)
    if not _HEADER.fullmatch(text):
        raise Misspelt("bad-name", f"'{text}' is not the name of a mail header", "write for example X-Team")
    if _OURS.fullmatch(text):
        raise Misspelt("bad-name", f"the header {text} is set by us", "leave it out")
    return text


def _one_line(raw: object) -> str:
    text = plain_text(raw)
    if not text.isprintable():
        raise Misspelt("bad-text", "has a line end or a control sign in it", "write it on one line")
    return text


def _host(raw: object) -> str:
    text = plain_text(raw)
    if not _HOST.fullmatch(text):
        raise Misspelt("bad-address", f"'{text}' is not a host name", "write for example remediator.example.com")
    return text


_STRING = WithJsonSchema({"type": "string"})
_STRINGS = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
Address = Annotated[str, BeforeValidator(_address), _STRING]
Addresses = Annotated[list[Address], BeforeValidator(_addresses), _STRINGS]
Smarthost = Annotated[str, BeforeValidator(_smarthost), WithJsonSchema({"type": "string", "pattern": ":[0-9]+$"})]
Numbers = Annotated[list[Annotated[str, BeforeValidator(_number), _STRING]], BeforeValidator(_many), _STRINGS]
HeaderName = Annotated[str, BeforeValidator(_header), _STRING]
Line = Annotated[str, BeforeValidator(_one_line), WithJsonSchema({"type": ["string", "number"]})]
Host = Annotated[str, BeforeValidator(_host), _STRING]


class WebhookShape(Shape):
    """A URL that gets messages as JSON; exactly one of url and url_file."""

    noun: ClassVar[str] = "an item of 'webhook_configs'"
    url: Url | None = Field(default=None, description="Where messages are posted, if the URL is no secret.")
    url_file: FilePath | None = Field(default=None, description="A file that holds the URL, if it is a secret.")
    credentials_file: FilePath | None = Field(default=None, description="A file that holds a bearer token.")


class SlackShape(Shape):
    """One channel; exactly one of api_url_file and app_token_file."""

    noun: ClassVar[str] = "an item of 'slack_configs'"
    api_url_file: FilePath | None = Field(
        default=None, description="A file that holds the URL of an incoming webhook; it cannot edit what was posted."
    )
    app_token_file: FilePath | None = Field(
        default=None,
        description="A file that holds an app's token (chat:write); its message is edited as work goes on.",
    )
    channel: Line | None = Field(default=None, description='For example "#mail-ops"; an app needs it.')
    username: Line | None = Field(default=None, description="The name that a webhook posts under.")
    icon_emoji: Line | None = Field(default=None, description="For example :wrench:.")
    icon_url: Url | None = Field(default=None, description="The URL of a picture.")


class TlsShape(Shape):
    """Which certificates are trusted."""

    noun: ClassVar[str] = "'tls_config'"
    ca_file: FilePath = Field(
        description="A file with the certificates of those whom we trust, instead of the system's."
    )


class EmailShape(Shape):
    """Mail to some people, through a smarthost that is not one of the machines under repair."""

    noun: ClassVar[str] = "an item of 'email_configs'"
    to: Addresses = Field(description="Addresses, with commas between them or as a list.")
    sender: Address = Field(alias="from", description="The address that mails come from.")
    smarthost: Smarthost = Field(description="host:port. 465 is TLS from the first byte, else STARTTLS is asked for.")
    hello: Host = Field(default="localhost", description="How we greet the smarthost. Default localhost.")
    auth_username: Line | None = Field(default=None, description="The user's name, if the smarthost wants one.")
    auth_password_file: FilePath | None = Field(default=None, description="A file that holds the password.")
    require_tls: Switch = Field(default=True, description="Whether mail only goes over TLS. Default true.")
    tls_config: TlsShape | None = Field(default=None, description="Which certificates are trusted.")
    headers: dict[HeaderName, Line] = Field(default_factory=dict, description="More headers of each mail.")


class SmsShape(Shape):
    """Text messages by a gateway that takes an HTTP form; exactly one of url and url_file."""

    noun: ClassVar[str] = "an item of 'sms_configs'"
    url: Url | None = Field(default=None, description="Where forms are posted, if the URL is no secret.")
    url_file: FilePath | None = Field(default=None, description="A file that holds the URL, if it is a secret.")
    to: Numbers = Field(description='Numbers, in quotes: ["+15550100"].')
    to_field: Line = Field(default="To", description="The gateway's name for the number. Default To.")
    text_field: Line = Field(default="Body", description="The gateway's name for the text. Default Body.")
    fields: dict[Line, Line] = Field(default_factory=dict, description="What else the form holds, for example From.")
    basic_auth: BasicAuthShape | None = Field(default=None, description="How we say who we are.")
    credentials_file: FilePath | None = Field(default=None, description="A file that holds a bearer token instead.")
    max_length: Count = Field(default=306, description="The most characters of a text. Default 306, two messages.")


class AlertmanagerConfigShape(Shape):
    """An Alertmanager that gets an alert of our own where people are needed."""

    noun: ClassVar[str] = "an item of 'alertmanager_configs'"
    url: Url = Field(description="Its base URL.")
    labels: dict[LabelName, Line] = Field(
        default_factory=dict, description="Labels for its routes; they win over ours (alertname, severity)."
    )
    basic_auth: BasicAuthShape | None = Field(default=None, description="How we say who we are.")


class ReceiverShape(Shape):
    """A way to tell people; never the system under repair."""

    noun: ClassVar[str] = "a receiver"
    name: Name = Field(description="Named by notify and escalate; unique.")
    send_started: Switch | None = Field(
        default=None,
        description="Whether it hears of a run when it begins, not only how it ended. Default: true if it is only Slack.",
    )
    slack_configs: list[SlackShape] = Field(default_factory=list, description="Slack channels.")
    email_configs: list[EmailShape] = Field(default_factory=list, description="Mail.")
    sms_configs: list[SmsShape] = Field(default_factory=list, description="Text messages.")
    alertmanager_configs: list[AlertmanagerConfigShape] = Field(
        default_factory=list, description="Alertmanagers that call people by their own routes."
    )
    webhook_configs: list[WebhookShape] = Field(
        default_factory=list,
        description="URLs that get messages as JSON. A receiver without any channel is a line on standard error.",
    )


class NotifyShape(Shape):
    """Who is told, by the severity of the alert."""

    noun: ClassVar[str] = "'notify'"
    critical: Names = Field(default_factory=list, description="Receivers for severity critical.")
    warning: Names = Field(default_factory=list, description="Receivers for severity warning.")
    info: Names = Field(default_factory=list, description="Receivers for everything else.")
