"""Sequence rules of exchanges, which reveal lost messages, as functions of plain integers.

    contiguous   each message carries one number, one more than the last      Coinbase connections, Binance trade ids
    range        each message carries first..final, and begins where the last ended    Binance `U`..`u`
    splice       the first range after a REST snapshot taken at `last` may overlap it: first <= last + 1 <= final

Checksums need the book, so `flow` compares them. These functions keep no state; the caller stores the last number.
"""

from enum import Enum, unique


@unique
class SequenceVerdict(Enum):
    """Verdict on a range of sequence numbers for a book whose last number is `last`."""

    NEXT = "apply it"
    OLD = "known already: ignore it"
    GAP = "something between was lost"
    BACK = "the numbers began anew"  # set by callers whose streams never repeat a number; not returned by the functions here


NEXT, OLD, GAP, BACK = SequenceVerdict.NEXT, SequenceVerdict.OLD, SequenceVerdict.GAP, SequenceVerdict.BACK


def missed(last: int, number: int) -> int:
    """Count of sequence numbers missing between the last and this one: 0 if it is the next, negative if it is older."""
    return number - last - 1


def follows(last: int, first: int, final: int) -> SequenceVerdict:
    """Verdict on a range that must begin directly after `last`. One that includes `last` is a GAP: unbroken streams have none."""
    if first == last + 1:
        return NEXT
    return OLD if final <= last else GAP


def splices(last: int, first: int, final: int) -> SequenceVerdict:
    """Verdict on the first range after a snapshot taken at `last`: it may begin earlier, since sizes are absolute."""
    if final <= last:
        return OLD
    return NEXT if first <= last + 1 else GAP
