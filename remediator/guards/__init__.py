"""Guards: every reason not to act, one file each. Pure: they read `Facts` and answer with a verdict and a sentence.

A guard that finds nothing to object still says what it looked at, because "allowed" is as much a decision as "no".
"""
