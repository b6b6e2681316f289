"""The action `prometheus.report`: asks Prometheus and keeps the rows as evidence of how things stood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from remediator.actions.defaults import WithoutCheck, WithoutUndo
from remediator.actions.http_client import deadline
from remediator.actions.prometheus_client import Prometheus, Useless, expression_fault
from remediator.core.outcomes import EffectClass, Outcome, failed, failed_for_now, ok
from remediator.core.params import Json, Param, ParamType
from remediator.ports import Call

# How many rows are kept.
ROWS = 20


class PrometheusReport(WithoutCheck, WithoutUndo):
    """Keeps up to 20 rows of an instant query, the largest values first."""

    kind: ClassVar[str] = "prometheus.report"
    effect: ClassVar[EffectClass] = EffectClass.READ
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {
        "expr": Param(type=ParamType.TEXT, doc="PromQL that gives an instant vector, such as topk(10, ...).")
    }
    summary: ClassVar[str] = "Note what Prometheus answers to a question"

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses what is no PromQL."""
        expr = arguments.get("expr")
        if not isinstance(expr, str) or not expr.strip():
            return ["no expression"]
        fault = expression_fault(expr)
        return [fault] if fault and "bool" not in fault else []

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """The question."""
        return f"note what Prometheus says to {arguments.get('expr')}"

    async def perform(self, call: Call) -> Outcome:
        """Asks; no rows are an answer too."""
        faults = self.faults(call.arguments)
        if faults:
            return failed(faults[0])
        series = await self._prometheus.instant(str(call.arguments["expr"]), at=call.now, until=deadline(call.timeout))
        if isinstance(series, Useless):
            return failed_for_now(series.sentence)
        rows = [str(one) for one in sorted(series, key=lambda one: -one.value if one.value == one.value else 0.0)]
        evidence: dict[str, object] = {"rows": rows[:ROWS], "left_out": max(0, len(rows) - ROWS)}
        return ok(f"{len(rows)} rows{f', the first {rows[0]}' if rows else ''}", evidence=evidence)
