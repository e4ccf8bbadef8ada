"""The families of rule by which exchanges let us see a loss, as functions of plain integers.

    contiguous   each message carries one number, one more than the last      Coinbase connections, Binance trade ids
    range        each message carries first..final, and begins where the last ended    Binance `U`..`u`
    splice       the first range after a REST snapshot taken at `last` may overlap it: first <= last + 1 <= final

A checksum is no sequence: it needs the book, so `flow` compares it. Nothing here keeps state; who asks knows the last number.
"""

from enum import Enum, unique


@unique
class Verdict(Enum):
    """What a range of numbers means to a book that stands at `last`."""

    NEXT = "apply it"
    OLD = "known already: ignore it"
    GAP = "something between was lost"
    BACK = "the numbers began anew"  # only who knows that nothing may come twice can say so


NEXT, OLD, GAP, BACK = Verdict.NEXT, Verdict.OLD, Verdict.GAP, Verdict.BACK


def missed(last: int, number: int) -> int:
    """How many numbers lie between the last and this one: 0 if it is the next, below 0 if it was there before."""
    return number - last - 1


def follows(last: int, first: int, final: int) -> Verdict:
    """A range that must begin right behind `last`. One that straddles it is a GAP too: an unbroken stream has none."""
    if first == last + 1:
        return NEXT
    return OLD if final <= last else GAP


def splices(last: int, first: int, final: int) -> Verdict:
    """The first range behind a snapshot taken at `last`: it may begin before it, since sizes are absolute."""
    if final <= last:
        return OLD
    return NEXT if first <= last + 1 else GAP
