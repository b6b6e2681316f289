"""The probe `promql`: a condition on new samples, three-valued. It asks Prometheus and touches nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from remediator.actions.http_client import deadline
from remediator.actions.prometheus_client import Prometheus, Useless, expression_fault, freshness
from remediator.core.outcomes import Observation
from remediator.core.params import Json, Param, ParamType
from remediator.ports import LookCall
from remediator.probes.judging import cannot_tell, judge_vector


class PromqlProbe:
    """Good if the expression is non-empty on samples newer than the last effect."""

    kind: ClassVar[str] = "promql"
    params: ClassVar[Mapping[str, Param]] = {
        "expr": Param(
            type=ParamType.TEXT, doc="PromQL that must give one series, such as a comparison; empty means no."
        )
    }
    summary: ClassVar[str] = "A PromQL condition holds on fresh samples"

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """The condition."""
        return str(arguments.get("expr", ""))

    async def look(self, call: LookCall) -> Observation:
        """Asks for the condition, then for how new its data is."""
        expr = call.arguments.get("expr")
        if not isinstance(expr, str) or not expr.strip():
            return cannot_tell("there is no expression to ask for")
        fault = expression_fault(expr)
        if fault:
            return cannot_tell(fault)
        until = deadline(call.timeout)
        series = await self._prometheus.instant(expr, at=call.now, until=until)
        if isinstance(series, Useless):
            return cannot_tell(series.sentence)
        fresh = await freshness(self._prometheus, expr, at=call.now, until=until)
        if isinstance(fresh, Useless):
            return cannot_tell(fresh.sentence)
        return judge_vector(expr, series, fresh, newer_than=call.newer_than, now=call.now)
