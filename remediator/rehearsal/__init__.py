"""Rule tests: the real engine over the real rules, in virtual time, against a world that answers from a script.

loop.py      an event loop whose time jumps to the next thing to do
answers.py   what Prometheus and other probes say, by the script
world.py     actions, probes, people: plug-ins that touch nothing
playing.py   one test from its start to its end
expecting.py what came of it against what was expected
coverage.py  which rules, steps, guards and failures the tests have seen
reporting.py text, JSON, JUnit

Nothing here opens a connection, starts a process or waits for a clock.
"""

from remediator.rehearsal.coverage import Coverage, Seen
from remediator.rehearsal.rehearsing import Outcome, rehearse

__all__ = ["Coverage", "Outcome", "Seen", "rehearse"]
