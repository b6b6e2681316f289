"""The stores: where the journal lies. In memory for tests and dry tools, in one SQLite file for a service of one process.

What all of them promise (`remediator.ports.Store`; tests/contract/test_store_contract.py asks every one of them): an
append happens whole or not at all, only onto the head that its caller had seen, and is durable on return; ids and claims
exist once; reading never shows what was not committed; an error says whether anything was written, or that nobody can
know. An append that has begun goes on when its caller is cancelled. Stores import ports, core and errors, nothing else
of the project; they know nothing of what the entries mean.
"""
