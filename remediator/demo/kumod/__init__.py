"""A simulated kumod: its admin API, its metrics and mail that flows, for demos and tests.

It reproduces what a client of the real one must cope with, traps included: an unknown field that turns a suspension of
one domain into one of everything, ids that change when a suspension is repeated, lists that hide `queue_names`, admin
state that a restart forgets, mail that stays put after a suspension has ended, counters that are there twice. It imports
nothing else of remediator, so that a mistake there cannot hide here. `python -m remediator.demo.kumod --help` tells how to
start it; `remediator.demo.control` steers it.
"""
