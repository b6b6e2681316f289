"""The command line: answers on stdout, everything else on stderr, and an exit code that means the same everywhere.

0 ok, 1 the answer is no, 2 usage, 3 warnings with --lint-fatal, 4 nobody answers. This room is the only one that reads
the environment. It speaks to a running service over HTTP; what works without one says so in its help.
"""

from remediator.cli.root import main

__all__ = ["main"]
