"""The composition root: settings become a running service. Nothing below may import it; the command line and tests do.

wiring.py    settings -> parts: plug-ins, guards, journal, engine
access.py    credentials and secrets, from their files
reloading.py what is in force, at start and at every reload
surface.py   what can be asked of a running service (the web floor serves exactly this)
running.py   the process: listener, signals, reload, the break-glass file, a clean stop
"""

from remediator.service.running import ServeOptions, serve
from remediator.service.wiring import explain_offline

__all__ = ["ServeOptions", "explain_offline", "serve"]
