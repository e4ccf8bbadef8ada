"""Selection of sets and symbols: those in a directory, filtered by the user's choice.

--exchange takes the name of an exchange or of a set (`collect --as NAME`); a symbol may name its exchange, as kraken:BTC-USD.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from alphapulse_cli.errors import NoSegment, SegmentError, StorageError
from alphapulse_cli.market.instrument import near_symbols, understood_id
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import CountersReader
from alphapulse_cli.shm.directory import Directory, parse_segment_name, segment_name
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.segment import Segment

LOOK_AGAIN_NS = 100_000_000
There = TypeVar("There")
START_ONE = "start a collector: alphapulse collect --exchange kraken; or without a network: alphapulse demo"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Exchanges, symbols and sets that were requested; an empty field asks for all."""

    exchanges: frozenset[str] = frozenset()
    symbols: tuple[tuple[str, str], ...] = ()  # (exchange or "", canonical symbol)
    sets: frozenset[str] = frozenset()  # names of sets; the name of their exchange does not count

    @classmethod
    def of(cls, exchanges: Iterable[str] | None, symbols: Iterable[str] | None) -> "Wanted":
        """Parse the texts of --exchange and --symbol, in any notation ("btc/usd").

        UsageError for a symbol with no meaning, or several.
        """
        return cls(frozenset(exchanges or ()), tuple(understood_id(symbol) for symbol in symbols or ()))

    def takes_set(self, set_name: str, exchange: str) -> bool:
        """Whether any part of that set is wanted."""
        names = {set_name, exchange}
        if self.sets and set_name not in self.sets:
            return False
        if self.exchanges and not names & self.exchanges:
            return False
        return not self.symbols or any(not of or of in names for of, _ in self.symbols)

    def symbols_of(self, set_name: str, exchange: str) -> frozenset[str] | None:
        """The wanted symbols of that set; None for all."""
        if not self.symbols:
            return None
        return frozenset(symbol for of, symbol in self.symbols if not of or of in {set_name, exchange})


def find_sets(directory: Directory, wanted: Wanted, kind: SegmentKind = SegmentKind.DELTAS) -> dict[str, str]:
    """Exchange by set name of the wanted sets that have a segment of that kind; sets that cannot be attached are left out."""
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
    return sorted(one[2] for one in parsed if one is not None and one[0] is SegmentKind.BOOK and one[1] == set_name)


def nothing_wanted(directory: Directory, wanted: Wanted) -> NoSegment:
    """NoSegment for a search without a result; its hint names the sets that are there."""
    there = find_sets(directory, Wanted())
    if not there:
        return NoSegment(f"nothing is collected in {directory.path}", START_ONE)
    asked = ", ".join(
        [*sorted(wanted.sets | wanted.exchanges), *(f"{of}:{symbol}" if of else symbol for of, symbol in wanted.symbols)]
    )
    return NoSegment(f"nothing of {asked} is collected in {directory.path}", f"there are: {', '.join(sorted(there))}")


def symbols_here(directory: Directory, set_name: str) -> list[str]:
    """Symbols that a set collects, sorted: those with a book image or with counters (trades only, or a book still to come)."""
    counted: Iterable[str] = ()
    with suppress(SegmentError, StorageError):
        counted = CountersReader(Segment.attach(directory, segment_name(SegmentKind.COUNTERS, set_name))).blocks()
    return sorted({*books_of(directory, set_name), *(symbol for symbol in counted if symbol)})


def settled(directory: Directory, wanted: Wanted, kind: SegmentKind = SegmentKind.DELTAS) -> Wanted:
    """`wanted` with each symbol as the sets here spell it. NoSegment, with near names, if a set or a symbol is not there."""
    sets = find_sets(directory, wanted, kind)
    if not sets:
        raise nothing_wanted(directory, wanted)
    symbols = []
    missing = []
    for of, symbol in wanted.symbols:
        known = {
            one for name, exchange in sets.items() if not of or of in (name, exchange) for one in symbols_here(directory, name)
        }
        alike = [one for one in known if one.upper() == symbol.upper()]
        if symbol not in known and len(alike) != 1:
            missing.append(f"{of}:{symbol}" if of else symbol)
        symbols.append((of, symbol if symbol in known or not alike else alike[0]))
    if missing:
        raise no_such_book(directory, sets, missing)
    return Wanted(wanted.exchanges, tuple(symbols), wanted.sets)


def until_there(
    attempt: Callable[[], There], report: Callable[[str], None], duration_s: float | None = None
) -> tuple[There, float | None]:
    """Result of `attempt`, tried ten times a second while it raises NoSegment, and the seconds left of `duration_s` (None without).

    `say` gets each different reason for waiting once. NoSegment after `duration_s`.
    """
    end_ns = None if duration_s is None else clock.monotonic_ns() + int(duration_s * 1e9)
    reported = ""
    while True:
        try:
            there = attempt()
            return there, None if end_ns is None else max((end_ns - clock.monotonic_ns()) / 1e9, 0.0)
        except NoSegment as absent:
            if end_ns is not None and clock.monotonic_ns() >= end_ns:
                raise
            if str(absent) != reported:
                reported = str(absent)
                report(f"waiting: {reported}")
        clock.pause(LOOK_AGAIN_NS)


def no_such_book(directory: Directory, sets: Iterable[str], symbols: Iterable[str]) -> NoSegment:
    """NoSegment for symbols without a book in these sets; its hint names those that may have been meant."""
    known = sorted({symbol for name in sets for symbol in symbols_here(directory, name)})
    missing = list(symbols)
    near = list(dict.fromkeys(found for symbol in missing for found in near_symbols(symbol.rpartition(":")[2], known)))
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known[:20]) or 'none'}"
    return NoSegment(f"no book of {', '.join(missing)} in {directory.path}", hint)
