"""What the outside sees of the journal: one entry becomes one log line, some counts, and news for whoever follows live.

Everything is derived from committed entries and the state after them, so log, metrics and console tell the same story.
Metric labels come from the configuration only, never from an alert (reliability.md T44); text that leaves is redacted.
This is the only place that knows structlog and prometheus_client.
"""

from remediator.observe.log import Log, level_of
from remediator.observe.metrics import Metrics
from remediator.observe.observer import Observer
from remediator.observe.redaction import Redactor

__all__ = ["Log", "Metrics", "Observer", "Redactor", "level_of"]
