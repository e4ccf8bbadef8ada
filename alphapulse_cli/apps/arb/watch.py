"""Watch for arbitrage over all sets: every change of every book, in the order in which the messages were received.

    rings ─► MergedFollowers ─► Step ─► ArbitrageDetector ─► Event ─► printer, store or screen
                                  └── clock: only while no records come, to close opportunities on old books

Sets that appear while it runs are included. Replayed sets are watched like live ones, with time left to their records, so that the
events are the same each time; they are never compared with live ones, whose clock is another. Missed records, books that are not
live and reasons that hold an opportunity back are counted.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import permutations
from types import TracebackType
from typing import Any, Self

from alphapulse_cli import exchanges
from alphapulse_cli.apps.arb.rows import look_row
from alphapulse_cli.edges.config.layers import Settings
from alphapulse_cli.edges.opportunities.watch_counters import Tally
from alphapulse_cli.errors import SegmentError, StorageError, UsageError
from alphapulse_cli.flow.arbitrage.candidate import ArbitragePolicy, RejectReason
from alphapulse_cli.flow.arbitrage.detector import ArbitrageDetector
from alphapulse_cli.flow.arbitrage.exact import Exact, parse_fee, taker_fees
from alphapulse_cli.flow.arbitrage.market import ArbitrageMarket
from alphapulse_cli.flow.arbitrage.opportunity import Event, EventKind
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.flow.groups import Start
from alphapulse_cli.flow.merged import MergedFollowers, MergedStep
from alphapulse_cli.market.trading_status import remark, trading_status
from alphapulse_cli.readers.moments import REPLAY
from alphapulse_cli.readers.order_rules import order_rules
from alphapulse_cli.readers.selection import Wanted, find_sets, no_such_book
from alphapulse_cli.readers.sets import Observe, SetReaders
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory, segment_name
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire.delta import BookState, state_words

RULES_EVERY_NS = 5_000_000_000
CLOCK_READ_NS = 10_000_000  # two clocks read further apart than this cannot be compared
SET_BACK_NS = 500_000_000  # a smaller step back is an adjustment
GRACE_NS = 20_000_000  # lag of the detector's time behind the clock while no records come: records on their way may be as old
LONGEST_WAIT_S = 0.05
HOLDING_WAIT_S = 0.002  # while records of a replay are held: its clock moves on without a record
SETTLE_S = 2.0
CLOCKS_DIFFER = "the one's time is that of a recording, the other's is now"
LIVE = BookState.LIVE
NOTHING = Fraction(-(10**9))  # a return below all others


@dataclass(frozen=True, slots=True)
class WatchStatus:
    """Status of a watch: its books, its counts, and the books that are not used."""

    books: int
    books_live: int
    not_live: tuple[str, ...]  # "kraken:BTC-USD STALE silent"
    not_tradable: tuple[str, ...]  # "kraken:BTC-USD cancel only", of those that are live
    candidates: int
    opened: int
    open: int
    refused: Mapping[RejectReason, int]  # number of opportunities held back by each reason, since the watch began
    missed: int  # records overwritten before they were read
    not_compared: tuple[tuple[str, str], ...]  # pairs of symbols without a book that converts between their currencies
    replay: bool = False  # the sets are replays
    now_ns: int = 0  # time of the watch, since 1970: in a replay that of the recording
    left_out: tuple[str, ...] = ()  # sets of the other kind (live, replay) than those watched


class Watch:
    """Watch for arbitrage on live sets, or on replayed ones.

    NoSegment if no wanted set is there, UsageError for an exchange whose fee is unknown, and for live and replayed sets together.
    `now_ns` is the clock (ns since 1970) while no records come: ours for live sets; one that returns 0, as for replays, leaves time
    to the records, so that the events are equal each time.
    """

    def __init__(
        self,
        directory: Directory,
        wanted: Wanted,
        policy: ArbitragePolicy,
        fees: Mapping[str, str] | None = None,
        how: str = "wake",
        label: str = "arb",
        now_ns: Callable[[], int] | None = None,
        tally: Tally | None = None,
        observe: Observe | None = None,
    ) -> None:
        self.detector = ArbitrageDetector(policy)
        self.opened = 0
        self._directory = directory
        self._wanted = wanted
        self._converting = _converting_symbols(wanted)
        self._fee_texts = dict(fees or {})
        self._fees: dict[str, Exact] = {}
        self._label = label
        self.is_replay = replayed(directory, wanted)
        self._now_ns = now_ns or (_no_clock if self.is_replay else clock.realtime_ns)
        self._left_out: set[str] = set()
        self._tally = tally
        self._began_ns = clock.realtime_ns()
        self._ruled_ns = 0
        self._ahead_ns: int | None = None  # CLOCK_REALTIME minus CLOCK_MONOTONIC at the last look
        self._sets = SetReaders(directory, wanted, self._attach, how=how, observe=observe)
        self._merged = MergedFollowers(self._sets.readers)
        self._use_rules(clock.monotonic_ns())

    @property
    def sets(self) -> list[str]:
        """Names of the sets that are read, sorted."""
        return sorted(self._merged.followers)

    @property
    def exchanges(self) -> list[str]:
        """Names of the exchanges whose sets are read, sorted."""
        return sorted({follower.exchange for follower in self._merged.followers.values()})

    def require_books(self) -> None:
        """Check that there are books of the wanted symbols. NoSegment if there is none."""
        known = {symbol for _, symbol in self.detector.markets}
        missing = [symbol for _, symbol in self._wanted.symbols if symbol not in known]
        if missing and not any(market.is_traded for market in self.detector.markets.values()):
            raise no_such_book(self._directory, self.sets, missing)

    def _attach(self, name: str, exchange: str, _: Start) -> SetFollower:
        self._fees.setdefault(exchange, taker_fees([exchange], self._fee_texts)[exchange])
        symbols = self._wanted.symbols_of(name, exchange)
        followed = None if symbols is None else symbols | self._converting
        follower = SetFollower(self._directory, name, followed, label=self._label)
        if follower.groups.is_replay is not self.is_replay:
            follower.close()
            self._left_out.add(name)
            raise SegmentError(f"{name} is left out: {CLOCKS_DIFFER}")
        return follower

    def _use_rules(self, now: int) -> None:
        """Add new books to the detector, and read the exchanges' rules for orders every RULES_EVERY_NS."""
        is_ruling_time = now - self._ruled_ns >= RULES_EVERY_NS
        if is_ruling_time:
            self._ruled_ns = now
        for follower in self._merged.followers.values():
            for symbol in follower.books:
                if is_ruling_time or (follower.set_name, symbol) not in self.detector.markets:
                    rules = order_rules(self._directory, follower.set_name, symbol)
                    self.detector.set_rules(self._market(follower, symbol), rules)

    def _market(self, follower: SetFollower, symbol: str) -> ArbitrageMarket:
        found = self.detector.markets.get((follower.set_name, symbol))
        if found is None:
            only = self._wanted.symbols_of(follower.set_name, follower.exchange)
            fee = self._fees[follower.exchange]
            is_traded = only is None or symbol in only
            found = self.detector.add(follower.set_name, follower.exchange, symbol, fee, is_traded=is_traded)
        return found

    def poll(self) -> list[Event]:
        """Events since the last poll."""
        return list(self.happening())

    def happening(self) -> Iterator[Event]:
        """Iterate over the events since the last poll, each as soon as it is detected. Exhaust the iterator."""
        now = clock.monotonic_ns()
        if self._sets.look(now):
            self._use_rules(now)
            yield from self._look_at_clock()
            if self._tally is not None and self._tally.is_due(now):
                self._tally.write(self.counts(), now)
        came = False
        for step in self.steps(now):
            came = True
            for event in self.take(step):
                self.opened += event.kind is EventKind.OPENED
                yield event
        if not came:
            yield from self.detector.advance(self._now_ns() - GRACE_NS)

    def _look_at_clock(self) -> list[Event]:
        """Close all opportunities if the real-time clock was set back: by the new time all books would be too old for a while."""
        before = clock.monotonic_ns()
        wall_ns = self._now_ns()
        after = clock.monotonic_ns()
        if not wall_ns or after - before > CLOCK_READ_NS:  # the clock stands still, or this process did
            return []
        ahead_ns, known_ns = wall_ns - before, self._ahead_ns
        self._ahead_ns = ahead_ns
        if known_ns is None or known_ns - ahead_ns < SET_BACK_NS:
            return []
        return self.detector.set_back(known_ns - ahead_ns)

    def steps(self, monotonic_ns: int) -> Iterator[MergedStep]:
        """Iterate over the new changes of all books; pass each to `take` before asking for the next. `poll` uses both."""
        return self._merged.poll(monotonic_ns)

    def take(self, step: MergedStep) -> list[Event]:
        """Apply one book's change; returns its events."""
        follower, symbol, replica, state, reason, timestamp_ns, delay = step
        market = self.detector.markets.get((follower.set_name, symbol)) or self._market(follower, symbol)
        if state is LIVE and timestamp_ns:
            trading = trading_status(replica.trading_status)
            at = timestamp_ns, replica.version, delay
            return self.detector.update(market, replica.book, *at, state, reason, trading_status=trading)
        now_ns = timestamp_ns or self._now_ns() - GRACE_NS
        if not follower.is_whole(symbol):
            return self.detector.withdraw(market, state, reason, now_ns)
        if not timestamp_ns:  # joined, or live again without a message: as old as its last change
            is_known = market.version == replica.version and market.book is replica.book
            timestamp_ns = market.timestamp_ns if is_known else replica.timestamp_ns
            delay = market.feed_delay_us if is_known else None
        trading = follower.trading_status(symbol)
        return self.detector.update(market, replica.book, timestamp_ns, replica.version, delay, state, reason, now_ns, trading)

    def wait(self, timeout_s: float) -> bool:
        """Wait for records, at most `timeout_s` and LONGEST_WAIT_S; False if none came."""
        return self._sets.wait(min(timeout_s, HOLDING_WAIT_S if self._merged.is_holding else LONGEST_WAIT_S))

    def settle(self, timeout_s: float = SETTLE_S) -> list[Event]:
        """Poll until every book is joined or known not to be live, at most `timeout_s`; returns the events in that time."""
        until = clock.monotonic_ns() + int(timeout_s * 1e9)
        events = self.poll()
        while clock.monotonic_ns() < until and any(
            not market.is_live and market.reason.name == "STARTING" for market in self.detector.markets.values()
        ):
            self.wait(LONGEST_WAIT_S)
            events += self.poll()
        return events

    def events(self, count: int | None = None, duration_s: float | None = None) -> Iterator[Event | None]:
        """Iterate over events until the first `count` opportunities are closed, or for `duration_s`; None means "no more for now".

        At the end the opportunities that are still open are reported as closed, unwatched.
        """
        end_ns = None if duration_s is None else clock.monotonic_ns() + int(duration_s * 1e9)
        chosen = _Chosen(count)
        while not chosen.are_over:
            is_quiet = True
            for event in self.happening():
                is_quiet = False
                if chosen.takes(event):
                    yield event
            yield None
            now = clock.monotonic_ns()
            if end_ns is not None and now >= end_ns:
                break
            if is_quiet and not chosen.are_over:
                self.wait(LONGEST_WAIT_S if end_ns is None else (end_ns - now) / 1e9)
        yield from filter(chosen.takes, self.end())

    def end(self) -> list[Event]:
        """Close the opportunities that are still open, as unwatched, and return their events; [] the second time."""
        return self.detector.finish(self._now_ns())

    @property
    def missed(self) -> int:
        """Records that were overwritten before they were read."""
        return self._merged.missed

    def looks(self, everything: bool) -> list[dict[str, Any]]:
        """Rows of the present opportunities, or with `everything` of all ways to trade; the best return first."""
        detector = self.detector
        candidates = detector.candidates if everything else list(detector.open)
        candidates.sort(key=lambda one: one.best_return() or NOTHING, reverse=True)
        return [look_row(detector, one) | ({"replay": True} if self.is_replay else {}) for one in candidates]

    def status(self) -> WatchStatus:
        """Status of the watch now."""
        markets = self.detector.markets.values()
        not_live = [market for market in markets if not market.is_live]
        return WatchStatus(
            len(markets),
            len(markets) - len(not_live),
            tuple(f"{market.id} {state_words(market.state, market.reason)}" for market in not_live),
            tuple(
                f"{market.id} {remark(market.trading_status)}" for market in markets if market.is_live and not market.is_tradable
            ),
            len(self.detector.candidates),
            self.opened,
            len(self.detector.open),
            dict(self.detector.refused),
            self.missed,
            tuple(self.detector.not_compared()),
            self.is_replay,
            self.detector.now_ns if self.is_replay else clock.realtime_ns(),
            tuple(sorted(self._left_out)),
        )

    def counts(self) -> dict[str, Any]:
        """Counters of this watch for `arb counters`: totals since it began, and present numbers."""
        status = self.status()
        return {
            "began_ns": self._began_ns,
            "told_ns": clock.realtime_ns(),
            "books": status.books,
            "books_live": status.books_live,
            "books_not_tradable": len(status.not_tradable),
            "candidates": status.candidates,
            "looks": self.detector.looks,
            "opened": status.opened,
            "open": status.open,
            "held_back": {why.value: count for why, count in sorted(status.refused.items())},
            "missed": status.missed,
        }

    def close(self) -> None:
        """Remove the cursors."""
        self._sets.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Chosen:
    """Filter for the events of the first `count` opportunities; of all for None."""

    def __init__(self, count: int | None) -> None:
        self._left = count
        self._open: set[str] = set()

    @property
    def are_over(self) -> bool:
        """Whether all of them are closed."""
        return self._left == 0 and not self._open

    def takes(self, event: Event) -> bool:
        """Whether the event belongs to one of them."""
        if self._left is None:
            return True
        name = event.opportunity.id
        if event.kind is EventKind.OPENED and self._left:
            self._left -= 1
            self._open.add(name)
            return True
        is_ours = name in self._open
        if event.kind is EventKind.CLOSED:
            self._open.discard(name)
        return is_ours


def replayed(directory: Directory, wanted: Wanted) -> bool:
    """Whether the wanted sets are replays. UsageError where some are and others are live."""
    kinds: dict[bool, list[str]] = {False: [], True: []}
    for name in find_sets(directory, wanted):
        with suppress(SegmentError, StorageError):
            kinds[Segment.attach(directory, segment_name(SegmentKind.DELTAS, name)).is_replay].append(name)
    if kinds[False] and kinds[True]:
        raise UsageError(
            f"{', '.join(kinds[True])} from a {REPLAY} cannot be compared with {', '.join(kinds[False])}: {CLOCKS_DIFFER}",
            "name sets of one kind: --exchange …",
        )
    return bool(kinds[True])


def _no_clock() -> int:
    """Clock that leaves time to the records."""
    return 0


def _converting_symbols(wanted: Wanted) -> frozenset[str]:
    """Symbols that could convert between the quote currencies of the wanted ones; they are read, too."""
    quotes = {symbol.partition("-")[2] for _, symbol in wanted.symbols}
    return frozenset(f"{one}-{other}" for one, other in permutations(sorted(quotes), 2))


def configured_fees(settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    """Fee text by exchange: the given one, else the configured one; others are left to the exchange.

    UsageError for an impossible fee.
    """
    found = {name: text for name in exchanges.names() if (text := settings.get("taker_fee", name))}
    for text in given.values():
        parse_fee(text)
    return {**found, **given}
