"""The JSON API: what can be asked, and what people may do, over `ports.Surface`. Keys never change type within 1.x."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from remediator.core.views import RestoredView
from remediator.errors import RefusedRequest
from remediator.ports import Surface
from remediator.web.answers import success
from remediator.web.auth import Caller, Scope
from remediator.web.doors import Door
from remediator.web.options import WebOptions
from remediator.web.queries import MAX_LIMIT, cursor_of, incident_filter, only, seconds, whole
from remediator.web.requests import (
    ApproveBody,
    DecideBody,
    ExplainBody,
    PauseBody,
    Reader,
    RejectBody,
    ReleaseBody,
    RestoreBody,
    ResumeBody,
    RunBody,
    UndoBody,
)
from remediator.web.stream import Streams

MAX_WAIT = 30.0  # s


class Api:
    """The endpoints; each takes the request and the caller that the guard has let in."""

    def __init__(self, surface: Surface, options: WebOptions, reader: Reader, streams: Streams) -> None:
        self._surface = surface
        self._options = options
        self._read = reader
        self._streams = streams

    def doors(self) -> tuple[Door, ...]:
        """All of them, with the scope that each needs."""
        return (
            Door(method="GET", path="/-/healthy", scope=Scope.OPEN, serve=self.healthy),
            Door(method="GET", path="/-/ready", scope=Scope.OPEN, serve=self.ready),
            Door(method="POST", path="/-/reload", scope=Scope.ADMIN, serve=self.reload),
            Door(method="GET", path="/metrics", scope=Scope.READ, serve=self.metrics),
            Door(method="GET", path="/api/v1/status", scope=Scope.READ, serve=self.status),
            Door(method="GET", path="/api/v1/rules", scope=Scope.READ, serve=self.rules),
            Door(method="GET", path="/api/v1/incidents", scope=Scope.READ, serve=self.incidents),
            Door(method="GET", path="/api/v1/incidents/{name}", scope=Scope.READ, serve=self.story),
            Door(method="GET", path="/index.json", scope=Scope.READ, serve=self.status),
            Door(method="GET", path="/rules.json", scope=Scope.READ, serve=self.rules),
            Door(method="GET", path="/incidents.json", scope=Scope.READ, serve=self.incidents),
            Door(method="GET", path="/incidents/{name}.json", scope=Scope.READ, serve=self.story),
            Door(method="GET", path="/api/v1/entries", scope=Scope.READ, serve=self.entries),
            Door(method="GET", path="/api/v1/stream", scope=Scope.READ, serve=self._streams.serve),
            Door(method="POST", path="/api/v1/explain", scope=Scope.READ, serve=self.explain),
            Door(method="POST", path="/api/v1/incidents/{name}/approve", scope=Scope.APPROVE, serve=self.approve),
            Door(method="POST", path="/api/v1/incidents/{name}/reject", scope=Scope.APPROVE, serve=self.reject),
            Door(method="POST", path="/api/v1/incidents/{name}/undo", scope=Scope.APPROVE, serve=self.undo),
            Door(method="POST", path="/api/v1/incidents/{name}/decide", scope=Scope.APPROVE, serve=self.decide),
            Door(method="POST", path="/api/v1/pause", scope=Scope.APPROVE, serve=self.pause),
            Door(method="POST", path="/api/v1/resume", scope=Scope.APPROVE, serve=self.resume),
            Door(method="POST", path="/api/v1/release", scope=Scope.ADMIN, serve=self.release),
            Door(method="POST", path="/api/v1/rules/{name}/restore", scope=Scope.APPROVE, serve=self.restore),
            Door(method="POST", path="/api/v1/run", scope=Scope.ADMIN, serve=self.run),
        )

    # ── is it alive ──────────────────────────────────────────────────────────────────────────────────────────────────
    async def healthy(self, _request: Request, _caller: Caller) -> Response:
        """200 as long as the process answers at all."""
        return PlainTextResponse("remediator is healthy.\n")

    async def ready(self, _request: Request, _caller: Caller) -> Response:
        """200 when notifications can be taken, else 503 with the reasons."""
        reasons = self._surface.ready()
        if reasons:
            return PlainTextResponse("remediator is not ready:\n" + "\n".join(reasons) + "\n", status_code=503)
        return PlainTextResponse("remediator is ready.\n")

    async def metrics(self, _request: Request, _caller: Caller) -> Response:
        """The exposition text."""
        return Response(self._surface.metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def reload(self, request: Request, caller: Caller) -> Response:
        """Loads the rules again; 500 with the problems as text, as Prometheus does, and then nothing has changed."""
        done = await self._surface.reload(by=caller.name or request.query_params.get("by", "").strip() or "local")
        if done.ok:
            return PlainTextResponse(f"{done.rules} rules are in force, digest {done.digest}.\n")
        text = "the new rules are refused, the rules in force did not change:\n" + "\n".join(done.problems) + "\n"
        return PlainTextResponse(text, status_code=500)

    # ── what is so ───────────────────────────────────────────────────────────────────────────────────────────────────
    async def status(self, _request: Request, _caller: Caller) -> Response:
        """The 3 a.m. screen."""
        return success(self._surface.status())

    async def rules(self, _request: Request, _caller: Caller) -> Response:
        """The rules in force."""
        return success({"rules": self._surface.rules()})

    async def incidents(self, request: Request, _caller: Caller) -> Response:
        """Lines of the action log, newest first; `next` is the cursor of the following page, or null."""
        wanted = incident_filter(request.query_params, self._options.now())
        found = await self._surface.incidents(wanted)
        full = len(found) >= max(1, wanted.limit)
        after = cursor_of(found[-1].opened_at, found[-1].incident) if found and full else None
        return success({"incidents": found, "next": after})

    async def story(self, request: Request, _caller: Caller) -> Response:
        """One incident, line by line."""
        return success(await self._surface.story(request.path_params["name"]))

    async def entries(self, request: Request, _caller: Caller) -> Response:
        """The journal after an entry; `wait` holds the answer until there is something, 30 s at most."""
        query = request.query_params
        only(query, "after", "limit", "wait")
        after = whole(query, "after", default=0, most=2**53)
        limit = whole(query, "limit", default=500, most=MAX_LIMIT)
        wait = seconds(query, "wait", default=0.0, most=MAX_WAIT)
        head = await self._waited(after, wait)
        return success({"entries": await self._surface.lines(after, limit), "head": head})

    async def _waited(self, after: int, wait: float) -> int:
        if not wait:
            return await self._surface.changed(after, 0.0)
        with self._streams.seat():
            head = await self._streams.until_stopped(self._surface.changed(after, wait))
            return after if head is None else head

    async def explain(self, request: Request, _caller: Caller) -> Response:
        """What every rule would say to an alert with these labels, or one rule to its schedule."""
        body = await self._read.json(request, ExplainBody)
        return success({"rules": await self._surface.explain(body.labels, body.rule)})

    # ── what people do ───────────────────────────────────────────────────────────────────────────────────────────────
    async def approve(self, request: Request, caller: Caller) -> Response:
        """Yes to exactly one plan."""
        body = await self._read.json(request, ApproveBody)
        name = request.path_params["name"]
        await self._surface.approve(name, digest=body.digest, by=caller.signed(body.by), reason=body.reason)
        return success({"approved": name, "digest": body.digest})

    async def reject(self, request: Request, caller: Caller) -> Response:
        """No."""
        body = await self._read.json(request, RejectBody)
        name = request.path_params["name"]
        await self._surface.reject(name, by=caller.signed(body.by), reason=body.reason)
        return success({"rejected": name})

    async def undo(self, request: Request, caller: Caller) -> Response:
        """Takes back what is left behind."""
        body = await self._read.json(request, UndoBody)
        undone = await self._surface.undo(request.path_params["name"], by=caller.signed(body.by), step=body.step)
        return success({"undone": undone})

    async def decide(self, request: Request, caller: Caller) -> Response:
        """Ends the doubt about a parked run."""
        body = await self._read.json(request, DecideBody)
        name = request.path_params["name"]
        await self._surface.decide(name, decision=body.decision, by=caller.signed(body.by), reason=body.reason)
        return success({"decided": name, "decision": body.decision})

    async def pause(self, request: Request, caller: Caller) -> Response:
        """Stops new effects."""
        body = await self._read.json(request, PauseBody)
        if body.seconds is not None and not 0 < body.seconds <= 366 * 86400:
            raise RefusedRequest(400, f"seconds is {body.seconds:g}; expected more than 0 and at most a year, or none")
        by = caller.signed(body.by)
        await self._surface.pause(scope=body.scope, reason=body.reason, by=by, seconds=body.seconds)
        return success({"paused": body.scope})

    async def resume(self, request: Request, caller: Caller) -> Response:
        """Ends a pause."""
        body = await self._read.json(request, ResumeBody)
        await self._surface.resume(scope=body.scope, by=caller.signed(body.by))
        return success({"resumed": body.scope})

    async def release(self, request: Request, caller: Caller) -> Response:
        """Releases safe mode."""
        body = await self._read.json(request, ReleaseBody)
        by = caller.signed(body.by)
        released = await self._surface.release(by=by, reason=body.reason, patience=body.patience)
        return success({"released": released})

    async def restore(self, request: Request, caller: Caller) -> Response:
        """Lifts what the breaker demoted of a rule."""
        body = await self._read.json(request, RestoreBody)
        name = request.path_params["name"]
        by = caller.signed(body.by)
        number = await self._surface.restore(name, target=body.target, by=by, reason=body.reason)
        return success(RestoredView(restored=name, demotions=number))

    async def run(self, request: Request, caller: Caller) -> Response:
        """Runs a playbook by hand."""
        body = await self._read.json(request, RunBody)
        by = caller.signed(body.by)
        incident = await self._surface.run(body.playbook, params=body.params, by=by, reason=body.reason)
        return success({"incident": incident})
