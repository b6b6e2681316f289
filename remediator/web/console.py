"""The console: pages that people read and forms that they send. Server-rendered; works without JavaScript.

A GET only shows. What changes something is a POST of a form with the token of this session, and answers with a redirect to
the page that shows the outcome. An approval carries the digest of the plan that was seen.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from remediator.core.views import StatusView
from remediator.errors import RefusedRequest
from remediator.ports import IncidentFilter, Surface
from remediator.web.auth import Auth, Caller, Scope
from remediator.web.doors import Door, Manner, Serve
from remediator.web.forms import Forms, local_path, wanted
from remediator.web.options import WebOptions
from remediator.web.pages import Pages
from remediator.web.queries import cursor_of, incident_filter
from remediator.web.requests import Reader
from remediator.web.sessions import Sessions
from remediator.web.signin import SignIn
from remediator.web.wording import hours

DAY = 86400.0
LENGTHS = {"30m": 1800.0, "1h": 3600.0, "4h": 14400.0, "12h": 43200.0, "": None}


class Console:
    """Pages and forms."""

    def __init__(self, surface: Surface, auth: Auth, sessions: Sessions, options: WebOptions, reader: Reader) -> None:
        self._surface = surface
        self._sessions = sessions
        self._options = options
        self._forms = Forms(reader, sessions)
        self._pages = Pages()
        self._signin = SignIn(auth, sessions, self._forms, self._pages)

    def doors(self) -> tuple[Door, ...]:
        """All pages and forms, with the scope that each needs."""
        return (
            _page("/", self.now),
            _page("/incidents", self.incidents),
            _page("/incidents/{name}", self.incident),
            _page("/rules", self.rules),
            _form("/incidents/{name}/approve", self.approve),
            _form("/incidents/{name}/reject", self.reject),
            _form("/incidents/{name}/undo", self.undo),
            _form("/incidents/{name}/decide", self.decide),
            _form("/pause", self.pause),
            _form("/resume", self.resume),
            _form("/rules/{name}/restore", self.restore),
            Door(method="GET", path="/static/{file}", scope=Scope.OPEN, serve=self.static),
            *self._signin.doors(),
        )

    # ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────
    async def now(self, request: Request, caller: Caller) -> Response:
        """Is it being handled? What needs you, what runs, what is held back, what will be undone, the last day."""
        status = self._surface.status()
        day = await self._surface.incidents(IncidentFilter(since=status.now - DAY, limit=500))
        return self._shown(
            request,
            caller,
            "now.html",
            status,
            day=day,
            hours=hours(day, status.now),
            rules=self._surface.rules(),
            lengths=[length for length in LENGTHS if length],
        )

    async def incidents(self, request: Request, caller: Caller) -> Response:
        """The action log."""
        wanted_lines = incident_filter(request.query_params, self._options.now())
        found = await self._surface.incidents(wanted_lines)
        last = found[-1] if found and len(found) >= max(1, wanted_lines.limit) else None
        older = request.url.include_query_params(cursor=cursor_of(last.opened_at, last.incident)) if last else None
        return self._shown(
            request,
            caller,
            "incidents.html",
            self._surface.status(),
            incidents=found,
            older=f"?{older.query}" if older is not None else "",
            asked=request.query_params,
            rules=self._surface.rules(),
        )

    async def incident(self, request: Request, caller: Caller) -> Response:
        """One incident: its sentence, its timeline, what can be done about it."""
        story = await self._surface.story(request.path_params["name"])
        status = self._surface.status()
        name = story.incident.incident
        mine = [run for run in (*status.needs_you, *status.running, *status.held_back) if run.incident == name]
        return self._shown(
            request,
            caller,
            "incident.html",
            status,
            story=story,
            waiting=[run for run in mine if run.status == "awaiting_approval"],
            parked=[run for run in mine if run.status == "needs_person"],
            demoted=[
                one
                for one in status.demoted
                if one.rule == story.incident.rule and one.target in {"", story.incident.target}
            ],
        )

    async def rules(self, request: Request, caller: Caller) -> Response:
        """The rules in force."""
        status, rules = self._surface.status(), self._surface.rules()
        gone = [one for one in status.demoted if one.rule not in {rule.rule for rule in rules}]
        return self._shown(request, caller, "rules.html", status, rules=rules, demoted=status.demoted, gone=gone)

    async def static(self, request: Request, _caller: Caller) -> Response:
        """Style sheet, script, icon."""
        found = self._pages.file(request.path_params["file"])
        if found is None:
            raise RefusedRequest(404, "there is no such file")
        return found

    def _shown(self, request: Request, caller: Caller, template: str, status: StatusView, **values: object) -> Response:
        return self._pages.page(
            template,
            status=200,
            bar=status,
            now=status.now,
            viewer=caller,
            may_approve=caller.scope >= Scope.APPROVE,
            form_token=self._sessions.form_token(request),
            path=request.url.path,
            **values,
        )

    def refused(self, request: Request, status: int, sentence: str) -> Response:
        """An error as a page; for somebody unknown, the sign-in."""
        if status == 401:
            return self._signin.page(request, sentence="" if request.url.path == "/" else sentence, status=401)
        return self._pages.page("refused.html", status=status, code=status, sentence=sentence, bar=None, viewer=None)

    # ── forms ────────────────────────────────────────────────────────────────────────────────────────────────────────
    async def approve(self, request: Request, caller: Caller) -> Response:
        """Yes to the plan whose digest the form carries."""
        fields, name = await self._forms.read(request), request.path_params["name"]
        digest = wanted(fields, "digest", "the digest of the plan")
        by = caller.signed(fields.get("by", ""))
        await self._surface.approve(name, digest=digest, by=by, reason=fields.get("reason", "").strip())
        return _back_to(f"/incidents/{name}")

    async def reject(self, request: Request, caller: Caller) -> Response:
        """No."""
        fields, name = await self._forms.read(request), request.path_params["name"]
        by = caller.signed(fields.get("by", ""))
        await self._surface.reject(name, by=by, reason=fields.get("reason", "").strip())
        return _back_to(f"/incidents/{name}")

    async def undo(self, request: Request, caller: Caller) -> Response:
        """Takes back one effect, or all that the incident left behind."""
        fields, name = await self._forms.read(request), request.path_params["name"]
        step = fields.get("step", "")
        if step and not (step.isdecimal() and len(step) < 6):
            raise RefusedRequest(400, f"step is {step[:20]!r}; expected a number")
        target = fields.get("run", "") or name
        by = caller.signed(fields.get("by", ""))
        await self._surface.undo(target, by=by, step=int(step) if step else None)
        return _back_to(f"/incidents/{name}")

    async def decide(self, request: Request, caller: Caller) -> Response:
        """Ends the doubt about a parked run."""
        fields, name = await self._forms.read(request), request.path_params["name"]
        decision, reason = wanted(fields, "decision", "the decision"), wanted(fields, "reason", "the reason")
        await self._surface.decide(name, decision=decision, by=caller.signed(fields.get("by", "")), reason=reason)
        return _back_to(f"/incidents/{name}")

    async def pause(self, request: Request, caller: Caller) -> Response:
        """Stops new effects."""
        fields = await self._forms.read(request)
        length = fields.get("length", "")
        if length not in LENGTHS:
            raise RefusedRequest(400, f"length is {length[:20]!r}; expected one of {', '.join(filter(None, LENGTHS))}")
        reason = wanted(fields, "reason", "the reason")
        by = caller.signed(fields.get("by", ""))
        await self._surface.pause(scope=fields.get("scope") or "all", reason=reason, by=by, seconds=LENGTHS[length])
        return _back_to("/")

    async def resume(self, request: Request, caller: Caller) -> Response:
        """Ends a pause."""
        fields = await self._forms.read(request)
        await self._surface.resume(scope=fields.get("scope") or "all", by=caller.signed(fields.get("by", "")))
        return _back_to("/")

    async def restore(self, request: Request, caller: Caller) -> Response:
        """Lifts what the breaker demoted of a rule, everywhere or on the target that the form names."""
        fields, name = await self._forms.read(request), request.path_params["name"]
        reason, by = wanted(fields, "reason", "the reason"), caller.signed(fields.get("by", ""))
        await self._surface.restore(name, target=fields.get("target", ""), by=by, reason=reason)
        return _back_to("/rules")


def _page(path: str, serve: Serve) -> Door:
    return Door(method="GET", path=path, scope=Scope.READ, serve=serve, manner=Manner.PAGE)


def _form(path: str, serve: Serve) -> Door:
    return Door(method="POST", path=path, scope=Scope.APPROVE, serve=serve, manner=Manner.FORM)


def _back_to(path: str) -> Response:
    return RedirectResponse(local_path(path), status_code=303)
