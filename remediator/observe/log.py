"""Structured log lines on a stream: logfmt for people, JSON for machines; redacted, and without control characters."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO, cast

import structlog

from remediator.core import entries as e
from remediator.core.outcomes import Result, UndoResult
from remediator.core.telling import clock_time
from remediator.core.verdicts import Answer
from remediator.observe.redaction import Redactor

_KEYS = ("ts", "level", "kind", "incident", "run", "rule", "sentence", "head")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def level_of(fact: e.AnyFact) -> str:
    """`error` when a person has to look, `warning` when something was held back, refused or did not work, else `info`."""
    match fact:
        case e.SafeModeEntered() | e.ClockAnomaly():
            return "error"
        case e.RuleDemoted() | e.RunParked() | e.RunReminded() | e.Escalated() | e.Quarantined() | e.ConfigRefused():
            return "error"
        case e.RunEnded(result="failed" | "unverified"):
            return "error"
        case e.MessageOutcome() if fact.outcome.result is not Result.OK:
            return "warning" if fact.next_at is not None else "error"
        case e.RunDecided() if fact.answer != Answer.ALLOW.word:
            return "warning"
        case e.StepOutcome() if fact.outcome.result is not Result.OK:
            return "warning"
        case e.VerifyConcluded() if fact.verdict != "recovered":
            return "warning"
        case _:
            return "warning" if _is_warning(fact) else "info"


def _is_warning(fact: e.AnyFact) -> bool:
    match fact:
        case e.UndoConcluded():
            return fact.outcome.result not in {UndoResult.UNDONE, UndoResult.GONE}
        case e.NotificationDisposed():
            return fact.truncated > 0 or any(
                one.disposition == "quarantined" for a in fact.alerts for one in a.disposals
            )
        case e.RunEnded():
            return fact.result not in {"succeeded", "simulated"}
        case e.ApprovalRequested() | e.ApprovalRefused() | e.ApprovalExpired() | e.RollbackStarted() | e.LateEvidence():
            return True
        case e.ScheduleDue():
            return fact.disposition != "planned"
        case e.PauseSet() | e.RunRelapsed() | e.SafeModeReleased() | e.ClockReleased():
            return True
        case _:
            return False


_LEVELS = ("debug", "info", "warning", "error")


class _Forgiving:
    """A stream that loses a line rather than raise: what is logged has happened, and a full disk must not undo it (G17)."""

    def __init__(self, stream: TextIO, lost: Callable[[], None]) -> None:
        self._stream = stream
        self._lost = lost

    def write(self, text: str) -> None:
        """Writes it, or not."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # no room, nobody at the other end, or closed
            self._lost()

    def flush(self) -> None:
        """Done by `write`."""


def _counts_nothing() -> None:
    """Nobody counts."""


class Log:
    """Writes structured lines to `stream`: `form` is `logfmt`, `json`, or `auto` (logfmt where a person watches).

    A line that the stream does not take is lost; `lost` is called for each.
    """

    def __init__(
        self,
        redactor: Redactor,
        *,
        level: str = "info",
        form: str = "auto",
        stream: TextIO | None = None,
        lost: Callable[[], None] = _counts_nothing,
    ) -> None:
        out = stream if stream is not None else sys.stderr
        self._redact = redactor.text
        self._lowest = _LEVELS.index(level)
        readable = form == "logfmt" or (form == "auto" and out.isatty())
        renderer: structlog.typing.Processor = (
            structlog.processors.LogfmtRenderer(key_order=_KEYS, drop_missing=True)
            if readable
            else structlog.processors.JSONRenderer(ensure_ascii=False)
        )
        self._logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
            structlog.WriteLogger(cast("TextIO", _Forgiving(out, lost))),  # it only ever writes and flushes
            wrapper_class=structlog.make_filtering_bound_logger(level),
            processors=[structlog.processors.add_log_level, _named, self._tamed, renderer],
        )

    def wants(self, level: str) -> bool:
        """Whether lines of this level are written at all."""
        return _LEVELS.index(level) >= self._lowest

    def line(self, level: str, at: float, sentence: str, **keys: object) -> None:
        """One line; empty values are left out."""
        getattr(self._logger, level)(sentence, ts=clock_time(at).replace(" ", "T"), **keys)

    def take_over(self, *names: str) -> None:
        """Writes what the standard loggers of these names say too, for example uvicorn's."""
        for name in names:
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = [_Records(self)], False

    def _tamed(self, _logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """No secret, no control character: a label cannot forge a line or colour a terminal (T16)."""
        return {
            key: self._safe(value) if isinstance(value, str) else value for key, value in line.items() if value != ""
        }

    def _safe(self, text: str) -> str:
        return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", self._redact(text))


def _named(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    line["sentence"] = line.pop("event")
    return {key: line[key] for key in (*_KEYS, *sorted(line.keys() - set(_KEYS))) if key in line}


class _Records(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else record.levelname.lower()
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        known = level if level in {"debug", "info", "warning", "error"} else "info"
        self._log.line(known, record.created, record.getMessage(), kind=record.name, trace=trace)
