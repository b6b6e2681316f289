"""Receivers of remediator.yml to plain values, and what is wrong between their parts. Looks at the modes of secrets' files.

Mail is refused through a host that this service repairs: what is to be told then is that this very host has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Protocol, TypeVar

from remediator.config.channels import (
    AlertmanagerChannelSettings,
    BasicAuth,
    EmailSettings,
    ReceiverSettings,
    SlackSettings,
    SmsSettings,
    WebhookSettings,
)
from remediator.config.common_shapes import BasicAuthShape
from remediator.config.documents import Document, Path
from remediator.config.faults import Faults
from remediator.config.receivers_model import (
    AlertmanagerConfigShape,
    EmailShape,
    ReceiverShape,
    SlackShape,
    SmsShape,
    WebhookShape,
)
from remediator.config.settings_model import TargetsShape
from remediator.core.hosts import host_of, is_this_machine

IMPLICIT_TLS_PORT = 465
S = TypeVar("S")
V = TypeVar("V")


class Reading(Protocol):
    """Reads what several sections of the settings have."""

    def secret(self, path: Path, text: str) -> FilePath:
        """A file with a secret, after a look at its mode."""
        ...

    def basic_auth(self, path: Path, shape: BasicAuthShape | None) -> BasicAuth | None:
        """A user and a password."""
        ...

    def plain(self, text: str) -> FilePath:
        """A file beside the settings."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiversReader:
    """Reads receivers. `repaired` says of every host under repair what it is (`host_of` → words)."""

    document: Document
    faults: Faults
    reading: Reading
    repaired: Mapping[str, str]

    def receiver(self, place: int, shape: ReceiverShape) -> ReceiverSettings:
        """One receiver; its faults are told."""
        path: Path = ("receivers", place)
        slack = self._each(path, "slack_configs", shape.slack_configs, self._slack)
        others = (shape.email_configs, shape.sms_configs, shape.alertmanager_configs, shape.webhook_configs)
        only_slack = bool(slack) and not any(others)
        return ReceiverSettings(
            name=shape.name,
            send_started=only_slack if shape.send_started is None else shape.send_started,
            slack=slack,
            email=self._each(path, "email_configs", shape.email_configs, self._email),
            sms=self._each(path, "sms_configs", shape.sms_configs, self._sms),
            alertmanager=self._each(path, "alertmanager_configs", shape.alertmanager_configs, self._alertmanager),
            webhooks=self._each(path, "webhook_configs", shape.webhook_configs, self._webhook),
        )

    def _each(self, path: Path, key: str, shapes: list[S], read: Callable[[Path, S], V]) -> tuple[V, ...]:
        return tuple(read((*path, key, number), shape) for number, shape in enumerate(shapes))

    def _secret(self, path: Path, key: str, text: str | None) -> FilePath | None:
        return self.reading.secret((*path, key), text) if text is not None else None

    def _one_of(self, path: Path, noun: str, **given: object) -> None:
        """Exactly one of these keys must be written."""
        if sum(value is not None for value in given.values()) != 1:
            sentence = f"{noun} needs exactly one of {' and '.join(given)}"
            self.faults.error(self.document.key(path), "missing-field", sentence, "write one of them")

    def _webhook(self, path: Path, shape: WebhookShape) -> WebhookSettings:
        self._one_of(path, shape.noun, url=shape.url, url_file=shape.url_file)
        return WebhookSettings(
            url=shape.url or "",
            url_file=self._secret(path, "url_file", shape.url_file),
            credentials_file=self._secret(path, "credentials_file", shape.credentials_file),
        )

    def _slack(self, path: Path, shape: SlackShape) -> SlackSettings:
        self._one_of(path, shape.noun, api_url_file=shape.api_url_file, app_token_file=shape.app_token_file)
        if shape.app_token_file is not None and shape.channel is None:
            sentence = f"{shape.noun} with an app_token_file needs a channel"
            self.faults.error(
                self.document.key(path), "missing-field", sentence, 'add for example channel: "#mail-ops"'
            )
        return SlackSettings(
            api_url_file=self._secret(path, "api_url_file", shape.api_url_file),
            app_token_file=self._secret(path, "app_token_file", shape.app_token_file),
            channel=shape.channel or "",
            username=shape.username or "",
            icon_emoji=shape.icon_emoji or "",
            icon_url=shape.icon_url or "",
        )

    def _email(self, path: Path, shape: EmailShape) -> EmailSettings:
        host, _, port = shape.smarthost.rpartition(":")
        self._refuse_repaired(path, shape.smarthost)
        if (shape.auth_username is None) != (shape.auth_password_file is None):
            sentence = f"{shape.noun} needs both auth_username and auth_password_file, or neither"
            self.faults.error(self.document.key(path), "missing-field", sentence, "write the other one, too")
        bare = not shape.require_tls and int(port) != IMPLICIT_TLS_PORT
        if bare and shape.auth_password_file is not None and not is_this_machine(host_of(shape.smarthost)):
            sentence = f"the password for {shape.smarthost} would go over the network in the clear"
            self.faults.error(
                self.document.at((*path, "require_tls")), "bare-secret", sentence, "leave require_tls out"
            )
        return EmailSettings(
            to=tuple(dict.fromkeys(shape.to)),
            sender=shape.sender,
            host=host.strip("[]"),
            port=int(port),
            hello=shape.hello,
            auth_username=shape.auth_username or "",
            auth_password_file=self._secret(path, "auth_password_file", shape.auth_password_file),
            require_tls=shape.require_tls,
            ca_file=self.reading.plain(shape.tls_config.ca_file) if shape.tls_config is not None else None,
            headers=shape.headers,
        )

    def _refuse_repaired(self, path: Path, smarthost: str) -> None:
        what = self.repaired.get(host_of(smarthost))
        if what is not None:
            sentence = f"the smarthost {smarthost} is {what}, which this service repairs: its failure could not be told"
            fix = "name a mail server that is none of targets.kumomta.nodes and targets.docker.allow"
            self.faults.error(self.document.at((*path, "smarthost")), "mail-under-repair", sentence, fix)

    def _sms(self, path: Path, shape: SmsShape) -> SmsSettings:
        self._one_of(path, shape.noun, url=shape.url, url_file=shape.url_file)
        if shape.basic_auth is not None and shape.credentials_file is not None:
            sentence = f"{shape.noun} has both basic_auth and credentials_file"
            self.faults.error(self.document.key(path), "extra-field", sentence, "leave one of them out")
        return SmsSettings(
            to=tuple(dict.fromkeys(shape.to)),
            url=shape.url or "",
            url_file=self._secret(path, "url_file", shape.url_file),
            to_field=shape.to_field,
            text_field=shape.text_field,
            fields=shape.fields,
            basic_auth=self.reading.basic_auth(path, shape.basic_auth),
            credentials_file=self._secret(path, "credentials_file", shape.credentials_file),
            max_length=shape.max_length,
        )

    def _alertmanager(self, path: Path, shape: AlertmanagerConfigShape) -> AlertmanagerChannelSettings:
        if "incident" in shape.labels:
            sentence = "the label incident tells one incident from another"
            self.faults.error(self.document.key((*path, "labels", "incident")), "bad-label", sentence, "leave it out")
        return AlertmanagerChannelSettings(
            url=shape.url.rstrip("/"),
            labels=shape.labels,
            basic_auth=self.reading.basic_auth(path, shape.basic_auth),
        )


def repaired_hosts(targets: TargetsShape) -> dict[str, str]:
    """The hosts that actions may work on, by `host_of`, each with words for what it is."""
    found: dict[str, str] = {}
    for name in targets.docker.allow if targets.docker is not None else ():
        found[host_of(name)] = f"the container '{name}' of targets.docker"
    nodes = targets.kumomta.nodes if targets.kumomta is not None else {}
    for name, node in nodes.items():
        found[host_of(name)] = found[host_of(node.url)] = f"the node '{name}' of targets.kumomta"
    return found
