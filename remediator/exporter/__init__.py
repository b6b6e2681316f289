"""The exporter: what Prometheus cannot learn from kumod's own metrics, as series it can scrape.

Two things: what the world thinks of our addresses (Sender Score and DNS lists, asked by DNS), and what became of mail per
tenant, campaign, client domain, source and bounce classification (from the records that kumod's log hook posts).

names.py     label values: cleaned and bounded. Pure
records.py   kumod's log records, and what each counts as. Pure
tally.py     counters with a bounded number of names. Pure
answers.py   what an answer of DNS means. Pure
asking.py    the schedule of questions, and the last good answers
resolver.py  DNS itself (dnspython)
series.py    what /metrics says
app.py       HTTP: /metrics, /-/healthy, /-/ready, POST /api/v1/log-records
process.py   the process: settings, listener, signals

It is a process of its own: it knows nothing of rules, journals and engines, and what breaks here breaks nothing there.
"""

from remediator.exporter.process import ExporterOptions, check_settings, run_exporter

__all__ = ["ExporterOptions", "check_settings", "run_exporter"]
