"""How guards say times: the spelling that the rest of the project uses."""

from remediator.core.telling import clock_time
from remediator.core.telling import length as span

__all__ = ["clock_time", "span"]
