"""The receivers of the settings as plain frozen values. Secrets are paths here, never values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicAuth:
    """A user, and the file with the password."""

    username: str
    password_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """A URL that gets messages; one of `url` and `url_file` is set."""

    url: str = ""
    url_file: Path | None = None
    credentials_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackSettings:
    """A channel; one of `api_url_file` and `app_token_file` is set."""

    api_url_file: Path | None = None
    app_token_file: Path | None = None
    channel: str = ""
    username: str = ""
    icon_emoji: str = ""
    icon_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailSettings:
    """Mail to some people through one host."""

    to: tuple[str, ...]
    sender: str
    host: str
    port: int
    hello: str = "localhost"
    auth_username: str = ""
    auth_password_file: Path | None = None
    require_tls: bool = True
    ca_file: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsSettings:
    """Text messages to some numbers through one gateway; one of `url` and `url_file` is set."""

    to: tuple[str, ...]
    url: str = ""
    url_file: Path | None = None
    to_field: str = "To"
    text_field: str = "Body"
    fields: Mapping[str, str] = field(default_factory=dict)
    basic_auth: BasicAuth | None = None
    credentials_file: Path | None = None
    max_length: int = 306


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerChannelSettings:
    """An Alertmanager that gets alerts of our own, with these labels."""

    url: str
    labels: Mapping[str, str] = field(default_factory=dict)
    basic_auth: BasicAuth | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettings:
    """A way to tell people: all its channels are told. `send_started` says whether it hears of a run when it begins."""

    name: str
    send_started: bool = False
    slack: tuple[SlackSettings, ...] = ()
    email: tuple[EmailSettings, ...] = ()
    sms: tuple[SmsSettings, ...] = ()
    alertmanager: tuple[AlertmanagerChannelSettings, ...] = ()
    webhooks: tuple[WebhookSettings, ...] = ()

    @property
    def secret_files(self) -> tuple[Path, ...]:
        """The files with its secrets."""
        auths = [*(one.basic_auth for one in self.sms), *(one.basic_auth for one in self.alertmanager)]
        files: list[Path | None] = [auth.password_file for auth in auths if auth is not None]
        files += [one.auth_password_file for one in self.email]
        files += [path for one in self.slack for path in (one.api_url_file, one.app_token_file)]
        files += [path for one in self.sms for path in (one.url_file, one.credentials_file)]
        files += [path for hook in self.webhooks for path in (hook.url_file, hook.credentials_file)]
        return tuple(path for path in files if path is not None)
