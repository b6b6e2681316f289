"""Anchors: heads of the journal that were published elsewhere, so that a journal that was cut or rewritten shows (G18).

Who holds the key can cut the end off and sign another one, and the chain alone will say that all is well. A head that stands
in a message, in collected log lines or in a file of its own was written before; either the chain runs through it or it does
not. An anchor is written `SEQ:MAC`, with at least the first 16 hexadecimal digits of the mac. Pure.
"""

from __future__ import annotations

from remediator.core.chain import START, Head


def footer(head: Head) -> str:
    """The last line of a message: the journal's end when it was sent. Empty before there is any entry."""
    return "" if head == START else f"journal {head}"
