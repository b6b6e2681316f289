"""Who may ask for what, and which texts are secrets: read from the files that the settings name."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from remediator.config import Settings, read_secret
from remediator.errors import InvalidConfiguration
from remediator.ports import Clock
from remediator.web.auth import Auth, Credentials, Person, Rereading, Scope, refuse_open_listener
from remediator.web.listening import CannotStart


def build_auth(settings: Settings, listen: str, clock: Clock) -> tuple[Auth, Rereading]:
    """Who may ask for what, and what knows of trouble with their files; CannotStart for weak credentials and for a
    listener that others can reach and nobody guards.
    """
    faults = credentials_of(settings).faults()
    rereading = Rereading(lambda: _read_again(settings), clock.now)
    auth = Auth(rereading, listen_address=listen)
    refusals = [*faults, refuse_open_listener(listen, auth)]
    if any(refusals):
        raise CannotStart("\n".join(sentence for sentence in refusals if sentence))
    return auth, rereading


def _read_again(settings: Settings) -> Credentials:
    """As `credentials_of`, with the error by which `Rereading` keeps the last good ones."""
    try:
        return credentials_of(settings)
    except InvalidConfiguration as fault:
        raise ValueError(str(fault)) from None


def credentials_of(settings: Settings) -> Credentials:
    """The secrets as they are in their files now; InvalidConfiguration for a file that holds none."""
    web = settings.web
    users = ((web.basic_auth.username, read_secret(web.basic_auth.password_file)),) if web.basic_auth else ()
    return Credentials(
        webhook_tokens=tuple(read_secret(path) for path in web.bearer_token_files),
        webhook_users=users,
        people=tuple(
            Person(name=one.name, token=read_secret(one.token_file), scope=Scope[one.scope.upper()])
            for one in web.people
        ),
    )


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Every configured secret, to be masked wherever text leaves."""
    found = credentials_of(settings)
    secrets = [*found.webhook_tokens, *(password for _, password in found.webhook_users)]
    secrets += [person.token for person in found.people]
    auths = [one.basic_auth for one in (settings.prometheus, settings.alertmanager) if one is not None]
    if settings.targets.kumomta is not None:
        auths += [node.basic_auth for node in settings.targets.kumomta.nodes.values()]
    secrets += [read_secret(auth.password_file) for auth in auths if auth is not None]
    secrets += [read_secret(path) for receiver in settings.receivers for path in receiver.secret_files]
    for redis in settings.targets.redis.values():
        if redis.url_file is not None:
            secrets += _parts_of_url(read_secret(redis.url_file))
    # As they are in their files, and as they are sent: without the blanks around them.
    return tuple(dict.fromkeys(form for secret in secrets for form in (secret, secret.strip())))


def _parts_of_url(url: str) -> list[str]:
    password = urlsplit(url).password
    return [url, password, unquote(password)] if password else [url]
