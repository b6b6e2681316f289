"""The exporter's process: settings become a listener, a schedule and a clean stop. Reads the secrets that settings name."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random

from remediator.config.exporter_settings import ExporterSettings, ExporterWeb, load_exporter_settings
from remediator.config.settings import read_secret
from remediator.errors import InvalidConfiguration, Problem, RemediatorError
from remediator.exporter.answers import Result
from remediator.exporter.app import ExporterApp, Intake
from remediator.exporter.asking import Asking, Standing
from remediator.exporter.records import Reading
from remediator.exporter.resolver import DnsResolver, Resolver
from remediator.exporter.series import Posts, Series
from remediator.exporter.tally import Tally
from remediator.observe.log import Log
from remediator.observe.redaction import Redactor
from remediator.ports import Clock
from remediator.system import SystemClock
from remediator.web.auth import Auth, Credentials, Person, Rereading, Scope, is_loopback
from remediator.web.listening import CLIENTS, CannotStart, Server, address_of, listen_on, server_for, told
from remediator.web.options import WebOptions

KIND = "exporter"
_DOING: dict[Result, str] = {
    Result.SCORE: "gives a score",
    Result.LISTED: "lists it",
    Result.CLEAR: "does not list it",
    Result.NO_SCORE: "has no score for it",
    Result.REFUSED: "refuses us; ask through a resolver of your own that is registered there",
    Result.TIMEOUT: "does not answer in time",
    Result.SERVFAIL: "cannot be asked: the resolver fails",
    Result.FOREIGN: "answers with an address outside 127.0.0.0/8, so it, or the resolver, is not what it should be",
    Result.MALFORMED: "gives an answer that means nothing",
    Result.UNTRUSTED: "fails its test points (127.0.0.2 listed, 127.0.0.1 not), so it is not believed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterOptions:
    """What the command line says; None leaves it to the settings file."""

    config_file: Path | None = None
    listen: str | None = None
    log_level: str = "info"
    log_format: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The parts of a running exporter."""

    app: ExporterApp
    asking: Asking
    listen: str
    log: Log
    clock: Clock
    stopping: asyncio.Event


def run_exporter(options: ExporterOptions) -> int:
    """Runs until SIGTERM or SIGINT; 0 after a clean stop, 1 if it could not start."""
    try:
        return asyncio.run(_run(options))
    except RemediatorError as fault:
        sys.stderr.write(f"remediator exporter cannot start:\n{fault}\n")
        return 1


def check_settings(path: Path) -> tuple[Problem, ...]:
    """The warnings of a settings file; InvalidConfiguration with all its faults."""
    return load_exporter_settings(path).warnings


def build(
    settings: ExporterSettings, options: ExporterOptions, *, clock: Clock, resolver: Resolver | None = None
) -> Built:
    """The parts; CannotStart for weak credentials and for a listener that others can reach and nobody guards."""
    listen = options.listen or settings.web.listen_address
    address_of(listen)
    auth = _auth(settings.web, listen, clock)
    log = Log(Redactor(_secrets(settings.web)), level=options.log_level, form=options.log_format)
    dns, records = settings.dns, settings.log_records

    def tell(standing: Standing, before: Result | None) -> None:
        if standing.last is not None and (before is not None or not standing.last.good):
            sentence = f"{standing.source} about {standing.ip}: {_DOING[standing.last]}"
            log.line("info" if standing.last.good else "warning", clock.now(), sentence, kind=KIND)

    asking = Asking(
        settings.reputation,
        dns,
        resolver=resolver or DnsResolver(dns.nameservers, timeout=dns.timeout),
        clock=clock,
        rng=Random(),
        tell=tell,
    )
    tally, posts, stopping = Tally(places=records.names, quiet=records.quiet), Posts(), asyncio.Event()
    sources = {ip: name for ip, name in settings.reputation.ips if name}
    app = ExporterApp(
        Intake(tally, posts, Reading(client_domain=records.client_domain, sources=sources), clock),
        Series(asking, tally, posts, sources),
        posts,
        auth,
        WebOptions(now=clock.now, body_limit=records.body, body_deadline=records.body_deadline, in_flight=128),
        lambda: ("it is stopping",) if stopping.is_set() else (),
    )
    return Built(app=app, asking=asking, listen=listen, log=log, clock=clock, stopping=stopping)


def _auth(web: ExporterWeb, listen: str, clock: Clock) -> Auth:
    faults = list(_credentials(web).faults())
    if not is_loopback(listen):
        wanted = (("bearer_token_file", web.bearer_token_files), ("scrape_token_file", web.scrape_token_files))
        faults += [
            f"{listen} can be reached from other machines, and web.{key} is not written: write it, or listen on 127.0.0.1"
            for key, files in wanted
            if not files
        ]
    if faults:
        raise CannotStart("\n".join(faults))

    def again() -> Credentials:
        try:
            return _credentials(web)
        except InvalidConfiguration as fault:
            raise ValueError(str(fault)) from None

    return Auth(Rereading(again, clock.now), listen_address=listen)


def _credentials(web: ExporterWeb) -> Credentials:
    """The tokens as they are in their files now. Whoever may scrape is a person of the web floor with the scope read."""
    return Credentials(
        webhook_tokens=tuple(read_secret(path) for path in web.bearer_token_files),
        people=tuple(
            Person(name="prometheus", token=read_secret(path), scope=Scope.READ) for path in web.scrape_token_files
        ),
    )


def _secrets(web: ExporterWeb) -> tuple[str, ...]:
    return tuple(read_secret(path) for path in (*web.bearer_token_files, *web.scrape_token_files))


async def _run(options: ExporterOptions) -> int:
    settings = ExporterSettings() if options.config_file is None else load_exporter_settings(options.config_file)
    built = build(settings, options, clock=SystemClock())
    for warning in settings.warnings:
        built.log.line("warning", built.clock.now(), str(warning), kind=KIND)
    built.log.take_over("uvicorn", "asyncio")
    listener = listen_on(built.listen)
    try:
        return await _work(built, listener)
    finally:
        listener.close()


async def _work(built: Built, listener: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    server = server_for(built.app)
    asking = asyncio.ensure_future(built.asking.run())
    web = asyncio.ensure_future(server.serve(sockets=[listener]))
    waiting = asyncio.ensure_future(stop.wait())
    built.log.line("info", built.clock.now(), f"listening on http://{told(listener, built.listen)}", kind=KIND)
    try:
        await asyncio.wait({waiting, asking, web}, return_when=asyncio.FIRST_COMPLETED)
        clean = waiting.done()
        built.stopping.set()
        await _stop(server, web)
    finally:
        for task in (waiting, asking, web):
            task.cancel()
        await asyncio.wait({waiting, asking, web}, timeout=CLIENTS)
    return 0 if clean else _report(asking, web)


async def _stop(server: Server, web: asyncio.Future[None]) -> None:
    server.should_exit = True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLIENTS + 2):
            await asyncio.wait({web})


def _report(*tasks: asyncio.Future[None]) -> int:
    """Says why an exporter stopped that nobody asked to stop."""
    for task in tasks:
        if task.done() and not task.cancelled() and (fault := task.exception()) is not None:
            sys.stderr.write(f"remediator exporter stopped: {fault!r}\n")
    return 1
