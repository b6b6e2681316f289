"""The engine: the only place that awaits with a purpose.

It knows the pure core and the ports, never a plug-in. Decisions are serial (one lane appends), executions parallel (one
task a run). Whatever it does to the world it has announced in the journal first.
"""
