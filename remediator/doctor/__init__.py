"""What `remediator doctor` looks at: whether everything that the rules rest on is there, reachable, and lets us in.

Asks the neighbours, and changes nothing; `sending` alone posts something: one marked alert, when it is asked to. One check
is one function that takes the `Case` and gives findings, each with what to do about it.
"""

from remediator.doctor.case import Case
from remediator.doctor.findings import Finding, Mark
from remediator.doctor.rounds import AREAS, Check, examine

__all__ = ["AREAS", "Case", "Check", "Finding", "Mark", "examine"]
