"""Ways to tell people, built from the settings. One receiver may have several channels; all of them are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from remediator.actions.http_client import HttpClient
from remediator.config import Settings
from remediator.config.channels import (
    AlertmanagerChannelSettings,
    BasicAuth,
    EmailSettings,
    ReceiverSettings,
    SlackSettings,
    SmsSettings,
    WebhookSettings,
)
from remediator.ports import Clock, Receiver
from remediator.receivers.alertmanager import AlertmanagerChannel, AlertmanagerReceiver
from remediator.receivers.email import IMPLICIT_TLS_PORT, EmailReceiver, EmailTarget
from remediator.receivers.log import LogReceiver
from remediator.receivers.several import Several
from remediator.receivers.slack import SlackReceiver, SlackTarget
from remediator.receivers.sms import SmsReceiver, SmsTarget
from remediator.receivers.webhook import WebhookReceiver, WebhookTarget


def build_receivers(settings: Settings, clock: Clock, redact: Callable[[str], str]) -> Mapping[str, Receiver]:
    """The receivers by name. `redact` takes configured secrets out of what their answers are quoted as."""
    builder = _Builder(http=HttpClient(rest=clock.sleep, redact=redact), clock=clock, redact=redact)
    return {one.name: builder.receiver(one) for one in settings.receivers}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Builder:
    http: HttpClient
    clock: Clock
    redact: Callable[[str], str]

    def receiver(self, settings: ReceiverSettings) -> Receiver:
        """One receiver with all its channels."""
        name = settings.name
        parts: list[Receiver] = [
            *(self._slack(name, one) for one in settings.slack),
            *(self._email(name, one) for one in settings.email),
            *(self._sms(name, one, number) for one in settings.sms for number in one.to),
            *(self._alertmanager(name, one) for one in settings.alertmanager),
            *(self._webhook(name, one) for one in settings.webhooks),
        ]
        if not parts:
            return LogReceiver(name)
        return parts[0] if len(parts) == 1 else Several(name, parts)

    def _slack(self, name: str, one: SlackSettings) -> Receiver:
        target = SlackTarget(
            api_url_file=one.api_url_file,
            app_token_file=one.app_token_file,
            channel=one.channel,
            username=one.username,
            icon_emoji=one.icon_emoji,
            icon_url=one.icon_url,
        )
        return SlackReceiver(name, target, http=self.http)

    def _email(self, name: str, one: EmailSettings) -> Receiver:
        target = EmailTarget(
            to=one.to,
            sender=one.sender,
            host=one.host,
            port=one.port,
            hello=one.hello,
            username=one.auth_username,
            password_file=one.auth_password_file,
            require_tls=one.require_tls,
            implicit_tls=one.port == IMPLICIT_TLS_PORT,
            ca_file=one.ca_file,
            headers=one.headers,
        )
        return EmailReceiver(name, target, now=self.clock.now, redact=self.redact)

    def _sms(self, name: str, one: SmsSettings, number: str) -> Receiver:
        username, password_file = _user(one.basic_auth)
        target = SmsTarget(
            to=number,
            url=one.url,
            url_file=one.url_file,
            to_field=one.to_field,
            text_field=one.text_field,
            fields=one.fields,
            username=username,
            password_file=password_file or one.credentials_file,
            max_length=one.max_length,
        )
        return SmsReceiver(name, target, http=self.http)

    def _alertmanager(self, name: str, one: AlertmanagerChannelSettings) -> Receiver:
        username, password_file = _user(one.basic_auth)
        target = AlertmanagerChannel(url=one.url, labels=one.labels, username=username, password_file=password_file)
        return AlertmanagerReceiver(name, target, http=self.http, now=self.clock.now)

    def _webhook(self, name: str, one: WebhookSettings) -> Receiver:
        target = WebhookTarget(url=one.url, url_file=one.url_file, credentials_file=one.credentials_file)
        return WebhookReceiver(name, target, http=self.http)


def _user(auth: BasicAuth | None) -> tuple[str, Path | None]:
    return (auth.username, auth.password_file) if auth is not None else ("", None)
