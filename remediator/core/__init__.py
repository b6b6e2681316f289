"""The pure room: what happened (entries), what is (state), what to do (planning, guards, runs).

A promise: nothing in this package awaits, reads a clock, draws a random number, logs, or touches a file, a socket or a
process. Time comes in as an argument. Every function gives the same answer for the same values, so a decision can be
replayed, explained and tested as a value.
"""
