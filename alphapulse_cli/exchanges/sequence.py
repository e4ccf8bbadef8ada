"""Sequence rules by which exchanges reveal a loss, as functions of plain integers.

    contiguous   each message carries one number, one more than the last      Coinbase connections, Binance trade ids
    range        each message carries first..final, and begins where the last ended    Binance `U`..`u`
    splice       the first range after a REST snapshot taken at `last` may overlap it: first <= last + 1 <= final

A checksum is no sequence: it needs the book, so `flow` compares it. Nothing here keeps state; the caller knows the last number.
"""

from enum import Enum, unique


@unique
class SequenceVerdict(Enum):
    """Meaning of a range of numbers for a book that stands at `last`."""

    NEXT = "apply it"
    OLD = "known already: ignore it"
    GAP = "something between was lost"
    BACK = "the numbers began anew"  # for callers whose streams never repeat a number; no function here returns it


NEXT, OLD, GAP, BACK = SequenceVerdict.NEXT, SequenceVerdict.OLD, SequenceVerdict.GAP, SequenceVerdict.BACK


def missed(last: int, number: int) -> int:
    """Count of numbers between the last and this one: 0 if it is the next, below 0 if it came before."""
    return number - last - 1


def follows(last: int, first: int, final: int) -> SequenceVerdict:
    """Verdict on a range that must begin directly after `last`. One that straddles it is a GAP too: an unbroken stream has none."""
    if first == last + 1:
        return NEXT
    return OLD if final <= last else GAP


def splices(last: int, first: int, final: int) -> SequenceVerdict:
    """Verdict on the first range after a snapshot taken at `last`: it may begin before it, since sizes are absolute."""
    if final <= last:
        return OLD
    return NEXT if first <= last + 1 else GAP
