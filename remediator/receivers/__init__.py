"""Receivers: the ways to tell people. None of them is the system under repair."""
