"""A surface in plain Python for the web floor: it remembers what it was asked, and can be told to fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import httpx
import pytest
from msgspec import structs

from remediator.core.holds import Patience
from remediator.core.outcomes import EffectClass, Result
from remediator.core.plans import Plan, PlannedGuards, PlannedLimit, PlannedStep
from remediator.core.verdicts import allow, defer
from remediator.core.views import (
    DemotionView,
    ExplanationView,
    IncidentView,
    LineView,
    PauseView,
    ReloadView,
    RuleView,
    RunView,
    StatusView,
    StoryView,
    UndoneView,
    UndoView,
)
from remediator.errors import RefusedNotification, RefusedRequest
from remediator.ports import Accepted, IncidentFilter
from remediator.web.app import WebApp, create_app
from remediator.web.auth import Auth, Credentials, Person, Scope
from remediator.web.options import WebOptions

NOW = 1_790_000_000.0
WEBHOOK = "w" * 32
OLD_WEBHOOK = "v" * 32
TOKENS = {"read": "r" * 32, "approve": "a" * 32, "admin": "d" * 32}
NAMES = {"read": "rita", "approve": "ana", "admin": "dora"}


def plan(*, domain: str = "example.com") -> Plan:
    """A plan of two steps."""
    step = PlannedStep(
        name="Pause the domain's queues",
        action="kumomta.suspend",
        arguments={"node": "mta1", "domain": domain, "reason": "bounce rate above 20 %"},
        effect=EffectClass.SAFE,
        timeout=30.0,
        undo_after=7200.0,
        does=f"suspend the ready queues of {domain} on mta1 for 2h",
    )
    return Plan(
        rule="high-bounce-rate",
        playbook="pause-and-throttle-domain",
        rung=0,
        target={"domain": domain, "instance": "mta1"},
        params={"node": "mta1", "domain": domain},
        guards=PlannedGuards(
            cooldown=1800.0, rate_limit=PlannedLimit(2, 21600.0), blast_radius=PlannedLimit(3, 3600.0), concurrency=1
        ),
        locks=(f"domain={domain}",),
        steps=(step, structs.replace(step, name="Limit the sending rate", action="kumomta.throttle")),
        limit=3600.0,
        give_up=86400.0,
        runbook_url="https://runbooks.example.com/kumomta#high-bounce-rate--20",
    )


def run(name: str, status: str, *, domain: str = "example.com", until: float | None = None) -> RunView:
    """A run under way."""
    return RunView(
        run=f"{name}.1",
        incident=name,
        rule="high-bounce-rate",
        target=f"domain={domain}, instance=mta1",
        status=status,
        sentence=f"{status}: because of {domain}",
        dry=False,
        digest=plan(domain=domain).digest,
        plan=plan(domain=domain),
        planned_at=NOW - 300,
        deadline=NOW + 3300,
        until=until,
    )


def incident(
    name: str, *, status: str = "closed", result: str = "recovered", domain: str = "example.com"
) -> IncidentView:
    """A line of the action log."""
    return IncidentView(
        incident=name,
        rule="high-bounce-rate",
        target=f"domain={domain}, instance=mta1",
        status=status,
        result=result,
        opened_at=NOW - 3600,
        changed_at=NOW - 600,
        sentence=f"bounce ratio of {domain} is 0.04, below 0.10 for 5m",
        labels={"alertname": "KumoBounceRateHigh", "domain": domain, "severity": "critical"},
        dry=False,
    )


def line(seq: int, kind: str, word: str, sentence: str, **more: object) -> LineView:
    """A line of a timeline."""
    found = LineView(seq=seq, at=NOW - 900 + seq, kind=kind, word=word, sentence=sentence, incident="inc-7f3kq2m8")
    return structs.replace(found, **more)


def lines(domain: str = "example.com") -> tuple[LineView, ...]:
    """A whole story."""
    verdicts = (
        allow("mode", "auto"),
        allow("cooldown", "last run 3h ago"),
        defer("rate-limit", "2 of 2 used", NOW + 60),
    )
    return (
        line(1, "incident.opened", "opened", f"high-bounce-rate on domain={domain}"),
        line(
            2,
            "run.planned",
            "planned",
            "pause-and-throttle-domain, plan 0123456789abcdef, 2 steps",
            run="inc-7f3kq2m8.1",
        ),
        line(3, "run.decided", "decided", "run: 3 guards passed", verdicts=verdicts),
        line(
            4,
            "step.intent",
            "step 1",
            "kumomta.suspend; will be taken back",
            fact={"step": 0, "attempt": 1, "key": domain},
        ),
        line(5, "step.outcome", "step 1", "ok: suspended", fact={"step": 0, "outcome": {"result": Result.OK.value}}),
        line(6, "verify.concluded", "verified", "recovered: 0.04 is below 0.10", fact={"verdict": "recovered"}),
        line(7, "incident.closed", "closed", "recovered: seen to be good"),
    )


@dataclass
class FakeSurface:
    """Plain answers; `asked` is what was asked, in order; `error` is raised by whatever is asked next."""

    domain: str = "example.com"
    head: int = 7
    asked: list[tuple[object, ...]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    error: Exception | None = None
    reasons: tuple[str, ...] = ()
    reload_answer: ReloadView = ReloadView(ok=True, rules=5, digest="0123456789abcdef")
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    waited_for: asyncio.Event = field(default_factory=asyncio.Event)
    busy: bool = True
    pauses: tuple[PauseView, ...] = ()
    found: list[IncidentView] | None = None
    mode: str = "auto"
    found_lines: int = 7
    demoted: tuple[DemotionView, ...] = ()

    def __post_init__(self) -> None:
        self.gate.set()

    def _note(self, *what: object) -> None:
        self.asked.append(what)
        if self.error is not None:
            raise self.error

    async def accept(self, body: bytes, peer: str) -> Accepted:
        await self.gate.wait()
        self._note("accept", peer)
        if not body.lstrip().startswith(b"{"):
            raise RefusedNotification(400, "the body is not an Alertmanager notification: it is not an object")
        self.bodies.append(body)
        return Accepted(entry=len(self.bodies), alerts=2)

    def ready(self) -> tuple[str, ...]:
        return self.reasons

    def status(self) -> StatusView:
        self._note("status")
        waiting = run("inc-2aaaaaaa", "awaiting_approval", domain=self.domain, until=NOW + 3120)
        undo = UndoView(
            undo="inc-7f3kq2m8.1/0",
            incident="inc-7f3kq2m8",
            action="kumomta.suspend",
            arguments={"domain": self.domain},
            due_at=NOW + 4080,
            next_at=NOW + 4080,
            tries=0,
            overdue=False,
        )
        return StatusView(
            version="0.1.0",
            mode=self.mode,
            rules=5,
            rules_digest="0123456789abcdef",
            head="7:00ff",
            entries=self.head,
            now=NOW,
            last_notification_at=NOW - 14,
            pending=0,
            received=12,
            disposed=12,
            pauses=self.pauses,
            needs_you=(waiting, run("inc-3bbbbbbb", "needs_person", domain=self.domain)) if self.busy else (),
            running=(run("inc-7f3kq2m8", "verifying", domain=self.domain),) if self.busy else (),
            held_back=(run("inc-4ccccccc", "deferred", domain=self.domain, until=NOW + 1860),) if self.busy else (),
            undos=(undo,) if self.busy else (),
            problems=(f"Prometheus does not answer: {self.domain}",) if self.busy else (),
            demoted=self.demoted,
        )

    def rules(self) -> Sequence[RuleView]:
        self._note("rules")
        return (
            RuleView(
                rule="high-bounce-rate",
                summary=f"Pause the domain that bounces: {self.domain}",
                mode="auto",
                match=("alertname = KumoBounceRateHigh", "severity = critical"),
                group_by=("instance", "domain"),
                playbooks=("pause-and-throttle-domain",),
                runbook_url="https://runbooks.example.com/kumomta",
                source="rules/mail.yml:3",
            ),
            RuleView(
                rule="daily-check",
                summary="",
                mode="auto",
                match=(),
                group_by=("fleet",),
                playbooks=("report",),
                runbook_url="",
                source="rules/daily.yml:3",
                schedule="0 9 * * * (Europe/Berlin)",
                next_at=NOW + 3600,
            ),
        )

    async def incidents(self, wanted: IncidentFilter) -> Sequence[IncidentView]:
        self._note("incidents", wanted)
        found = self.found
        if found is None:
            found = [
                incident("inc-7f3kq2m8", domain=self.domain),
                incident("inc-4ccccccc", status="deferred", result="", domain=self.domain),
                incident("inc-5ddddddd", result="failed", domain=self.domain),
            ]
        return found[: wanted.limit]

    async def story(self, name: str) -> StoryView:
        self._note("story", name)
        if name == "inc-none":
            raise RefusedRequest(404, "there is no incident inc-none")
        return StoryView(
            incident=incident(name, domain=self.domain),
            lines=lines(self.domain),
            plans=(plan(domain=self.domain),),
            undos=self.status().undos,
        )

    async def lines(self, after: int, limit: int) -> Sequence[LineView]:
        self._note("lines", after, limit)
        return [one for one in lines(self.domain) if after < one.seq <= min(self.head, self.found_lines)][:limit]

    async def changed(self, after: int, seconds: float) -> int:
        self._note("changed", after, seconds)
        if self.head <= after and seconds:
            self.news.clear()
            self.waited_for.set()
            try:
                async with asyncio.timeout(seconds):
                    await self.news.wait()
            except TimeoutError:
                pass
        return self.head

    async def explain(self, labels: Mapping[str, str], rule: str = "") -> Sequence[ExplanationView]:
        self._note("explain", dict(labels), *([rule] if rule else []))
        return [
            ExplanationView(rule="high-bounce-rate", source="rules/mail.yml:3", would="run", sentence="yes", matches=())
        ]

    async def approve(self, name: str, *, digest: str, by: str, reason: str) -> None:
        self._note("approve", name, digest, by, reason)
        if digest != plan(domain=self.domain).digest:
            raise RefusedRequest(409, f"plan {digest} is not what waits: look again")

    async def reject(self, name: str, *, by: str, reason: str) -> None:
        self._note("reject", name, by, reason)

    async def pause(self, *, scope: str, reason: str, by: str, seconds: float | None) -> None:
        self._note("pause", scope, reason, by, seconds)

    async def resume(self, *, scope: str, by: str) -> None:
        self._note("resume", scope, by)

    async def release(self, *, by: str, reason: str, patience: Patience) -> Sequence[str]:
        self._note("release", by, reason, patience)
        return ("safe_mode",)

    async def restore(self, rule: str, *, target: str, by: str, reason: str) -> int:
        self._note("restore", rule, target, by, reason)
        return 2

    async def undo(self, name: str, *, by: str, step: int | None) -> Sequence[UndoneView]:
        self._note("undo", name, by, step)
        return [UndoneView(undo=f"{name}.1/0", result="undone", sentence="the queues are open again")]

    async def decide(self, name: str, *, decision: str, by: str, reason: str) -> None:
        self._note("decide", name, decision, by, reason)

    async def run(self, playbook: str, *, params: Mapping[str, str], by: str, reason: str) -> str:
        self._note("run", playbook, dict(params), by, reason)
        return "inc-9zzzzzzz"

    async def reload(self, *, by: str) -> ReloadView:
        self._note("reload", by)
        return self.reload_answer

    def metrics(self) -> bytes:
        return b"remediator_build_info 1\n"


@dataclass
class House:
    """A web application over a fake surface, and what is needed to knock at it."""

    surface: FakeSurface
    auth: Auth
    options: WebOptions
    app: WebApp
    codes: list[int]

    def client(self, token: str = "", **headers: str) -> httpx.AsyncClient:
        """A client in this process, with a bearer token if one is given."""
        found = {**({"Authorization": f"Bearer {token}"} if token else {}), **headers}
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9097", headers=found)


def credentials() -> Credentials:
    """Two webhook tokens, one webhook user, three people."""
    return Credentials(
        webhook_tokens=(WEBHOOK, OLD_WEBHOOK),
        webhook_users=(("alertmanager", "p" * 32),),
        people=tuple(
            Person(name=NAMES[word], token=TOKENS[word], scope=Scope[word.upper()])
            for word in ("read", "approve", "admin")
        ),
    )


def house(found: Credentials, listen: str = "127.0.0.1:9097", **options: object) -> House:
    """A whole web floor."""
    surface, codes = FakeSurface(), list[int]()
    auth = Auth(lambda: found, listen_address=listen)
    settings = replace(WebOptions(now=lambda: NOW, answered=codes.append), **options)  # type: ignore[arg-type]
    app = create_app(surface, auth, settings, session_key=b"s" * 32)
    return House(surface=surface, auth=auth, options=settings, app=app, codes=codes)


@pytest.fixture
def make_house() -> Callable[..., House]:
    """Builds a house with these credentials, address and options."""
    return house


@pytest.fixture
def guarded() -> House:
    """A house with people and a webhook credential, as in production."""
    return house(credentials(), listen="0.0.0.0:9097")


@pytest.fixture
def local() -> House:
    """A house without any credential, on loopback."""
    return house(Credentials())


@pytest.fixture
def tokens() -> Mapping[str, str]:
    """Whose token is which."""
    return {"webhook": WEBHOOK, **TOKENS}


@pytest.fixture
def full_credentials() -> Credentials:
    """The credentials of the guarded house."""
    return credentials()


@pytest.fixture
def now() -> float:
    """The time in this house."""
    return NOW
