"""Actions on kumod, by its HTTP admin API; each acts on exactly one node, because nothing there propagates to others."""
