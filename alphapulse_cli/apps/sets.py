"""Which sets of segments there are, and which of them, and of their books, a person asked for.

An exchange may be meant by its own name or by the name of a set (`collect --as NAME`); a symbol may name its exchange, kraken:BTC-USD.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from alphapulse_cli.errors import NoSegment, SegmentError, StorageError
from alphapulse_cli.market.instrument import near_symbols, split_id
from alphapulse_cli.shm.directory import Directory, parse_segment_name
from alphapulse_cli.shm.layout import Kind
from alphapulse_cli.shm.segment import Segment

START_ONE = "start a collector: alphapulse collect --exchange kraken; or without a network: alphapulse demo"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for; nothing asked for is everything."""

    exchanges: frozenset[str] = frozenset()
    symbols: tuple[tuple[str, str], ...] = ()  # (exchange or "", canonical symbol)

    @classmethod
    def of(cls, exchanges: Iterable[str] | None, symbols: Iterable[str] | None) -> "Wanted":
        """From the texts of --exchange and --symbol. UsageError for a symbol that is none."""
        return cls(frozenset(exchanges or ()), tuple(split_id(symbol) for symbol in symbols or ()))

    def takes_set(self, set_name: str, exchange: str) -> bool:
        """Whether anything of that set is wanted."""
        names = {set_name, exchange}
        if self.exchanges and not names & self.exchanges:
            return False
        return not self.symbols or any(not of or of in names for of, _ in self.symbols)

    def symbols_of(self, set_name: str, exchange: str) -> frozenset[str] | None:
        """The symbols wanted of that set; None for all."""
        if not self.symbols:
            return None
        return frozenset(symbol for of, symbol in self.symbols if not of or of in {set_name, exchange})


def find_sets(directory: Directory, wanted: Wanted, kind: Kind = Kind.DELTAS) -> dict[str, str]:
    """Set name -> exchange of the wanted sets with such a ring; one that cannot be attached is left out."""
    found: dict[str, str] = {}
    for name in directory.names():
        parsed = parse_segment_name(name)
        if parsed is not None and parsed[0] is kind:
            with suppress(SegmentError, StorageError):
                exchange = Segment.attach(directory, name).spec.exchange
                if wanted.takes_set(parsed[1], exchange):
                    found[parsed[1]] = exchange
    return found


def books_of(directory: Directory, set_name: str) -> list[str]:
    """The symbols of a set's book images, sorted."""
    parsed = (parse_segment_name(name) for name in directory.names())
    return sorted(one[2] for one in parsed if one is not None and one[0] is Kind.BOOK and one[1] == set_name)


def nothing_wanted(directory: Directory, wanted: Wanted) -> NoSegment:
    """The error for a search that found nothing, naming what is there."""
    there = find_sets(directory, Wanted())
    if not there:
        return NoSegment(f"nothing is collected in {directory.path}", START_ONE)
    asked = ", ".join([*sorted(wanted.exchanges), *(f"{of}:{symbol}" if of else symbol for of, symbol in wanted.symbols)])
    return NoSegment(f"nothing of {asked} is collected in {directory.path}", f"there are: {', '.join(sorted(there))}")


def no_such_book(directory: Directory, sets: Iterable[str], symbols: Iterable[str]) -> NoSegment:
    """The error for symbols that no set has a book of, with those that may have been meant."""
    known = sorted({symbol for name in sets for symbol in books_of(directory, name)})
    missing = list(symbols)
    near = list(dict.fromkeys(found for symbol in missing for found in near_symbols(symbol, known)))
    hint = f"did you mean {' or '.join(near)}?" if near else f"books here: {', '.join(known[:20]) or 'none'}"
    return NoSegment(f"no book of {', '.join(missing)} in {directory.path}", hint)
