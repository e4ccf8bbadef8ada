"""Ways to trade between the sets' books at the time of a picture, from the detector of `arb watch`.

    replicas ─► what changed since the last look ─► ArbitrageDetector ─► a row a candidate ─► ArbitragePicture

Of replays the clock is that of the recording. Where a replay has gone to another time, or a set of it has begun anew, all begins anew:
what was seen of later times is forgotten.

Opportunities that open and close between two looks are not seen. Therefore the detector's events and counts are not shown, only the
state after all books were updated. Expensive looks are taken less often: looking uses at most a fiftieth of a core.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Protocol

from alphapulse_cli.apps.arb.watch import GRACE_NS, RULES_EVERY_NS
from alphapulse_cli.book.reconstruct import Reconstructor
from alphapulse_cli.errors import UsageError
from alphapulse_cli.flow.arbitrage.candidate import Candidate, Finding, RejectReason
from alphapulse_cli.flow.arbitrage.detector import ArbitrageDetector
from alphapulse_cli.flow.arbitrage.exact import BASIS_POINTS, Exact, taker_fees
from alphapulse_cli.flow.arbitrage.market import ArbitrageMarket
from alphapulse_cli.market.trading_status import trading_status
from alphapulse_cli.readers.items import text
from alphapulse_cli.readers.moments import REPLAY
from alphapulse_cli.readers.order_rules import order_rules
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.tui.feed.picture import ArbitragePicture, ArbitrageRow, Seen
from alphapulse_cli.wire.delta import NO_FEED_DELAY, BookReason, BookState

COST_SHARE = 50
AT_LEAST_EVERY_NS = 2_000_000_000
MOST_SEEN = 500

Standing = tuple[str, Reconstructor, BookState, BookReason]  # symbol, replica, its state and reason


class Followed(Protocol):
    """Interface of a followed set."""

    name: str
    exchange: str

    @property
    def is_replay(self) -> bool:
        """Whether a replay writes the set."""

    @property
    def epoch(self) -> int:
        """Epoch of the set's writer."""

    def clock_ns(self) -> int:
        """Time now on the set's clock, ns since 1970; 0 in a replay that has not published it."""

    def stand(self, now_ns: int) -> Iterable[Standing]:
        """Books of the set now; `now_ns` is CLOCK_MONOTONIC."""


class ArbitrageFeed:
    """Detector of arbitrage on the followed books. `fees` has configured taker fees by exchange, as text; other exchanges have their lowest tier."""

    def __init__(self, fees: dict[str, str]) -> None:
        self._fee_texts = fees
        self._fees: dict[str, Exact | str] = {}  # exchange -> its fee, or a sentence about why it has none
        self._detector = ArbitrageDetector()
        self._since: dict[Candidate, tuple[int, bool]] = {}  # open ones -> (first seen, whether it was there at the first look)
        self._best: dict[Candidate, Finding] = {}  # best finding of each open one
        self._seen: deque[Seen] = deque(maxlen=MOST_SEEN)
        self._is_going_on = False
        self._is_replay = False
        self._epochs: dict[str, int] = {}  # of replays
        self._left_out: tuple[str, ...] = ()
        self._rows: dict[Candidate, tuple[object, ArbitrageRow]] = {}
        self._made = ArbitragePicture()
        self._next = self._next_rules = 0

    def pause(self) -> None:
        """Forget the open opportunities: at the next look their age is unknown."""
        if self._is_going_on:
            self._is_going_on, self._next = False, 0
            self._since.clear()
            self._best.clear()

    def look(self, directory: Directory, sets: Iterable[Followed], now_ns: int) -> ArbitragePicture:
        """Picture of all ways to trade; the last one again if a new one would come too soon. `now_ns` is CLOCK_MONOTONIC."""
        if now_ns < self._next:
            return self._made
        began_ns = clock.monotonic_ns()
        is_ruling_time = now_ns >= self._next_rules
        if is_ruling_time:
            self._next_rules = now_ns + RULES_EVERY_NS
        compared = self._of_one_clock(list(sets))
        present_ns = max((one.clock_ns() for one in compared), default=0)
        clock_ns = present_ns if self._is_replay else 0
        self._take(list(self._standings(directory, compared, now_ns, is_ruling_time=is_ruling_time)), present_ns)
        self._note_births(clock_ns or now_ns)
        self._made = self._picture(clock_ns)
        self._is_going_on = True
        self._next = now_ns + min(COST_SHARE * (clock.monotonic_ns() - began_ns), AT_LEAST_EVERY_NS)
        return self._made

    def _of_one_clock(self, sets: Sequence[Followed]) -> Sequence[Followed]:
        """Sets whose books can be compared: the live ones where there are any, else the replays.

        The detector begins anew when that changes, since its time never goes back.
        """
        live = [one for one in sets if not one.is_replay]
        self._left_out = tuple(
            f"{one.name} is left out: it is a {REPLAY}, the others are live" for one in sets if one.is_replay and live
        )
        epochs = {one.name: one.epoch for one in sets} if sets and not live else {}
        if self._is_replay is not bool(epochs) or epochs != self._epochs:
            self._is_replay, self._epochs = bool(epochs), epochs
            self._begin_again(max((one.clock_ns() for one in sets), default=0))
        return live or sets

    def _begin_again(self, clock_ns: int) -> None:
        """Begin anew, with the ended opportunities of a replay that were before that time of its recording."""
        self._detector = ArbitrageDetector()
        self._since, self._best, self._rows = {}, {}, {}
        self._is_going_on, self._next_rules = False, 0
        kept = [one for one in self._seen if self._is_replay and one.until_ns <= clock_ns]
        self._seen.clear()
        self._seen.extend(kept)

    def _standings(
        self, directory: Directory, sets: Iterable[Followed], now_ns: int, *, is_ruling_time: bool
    ) -> Iterable[tuple[ArbitrageMarket, Reconstructor, BookState, BookReason]]:
        """Iterate over the books whose exchanges' fees are known, with their markets in the detector."""
        markets = self._detector.markets
        for one in sets:
            fee = self._fee(one.exchange)
            if isinstance(fee, str):
                continue
            for symbol, replica, state, reason in one.stand(now_ns):
                known = markets.get((one.name, symbol))
                market = known or self._detector.add(one.name, one.exchange, symbol, fee)
                if known is None or is_ruling_time:
                    self._detector.set_rules(market, order_rules(directory, one.name, symbol))
                yield market, replica, state, reason

    def _fee(self, exchange: str) -> Exact | str:
        if exchange not in self._fees:
            try:
                self._fees[exchange] = taker_fees([exchange], self._fee_texts)[exchange]
            except UsageError as error:  # an unknown exchange, too: shared memory may name any
                self._fees[exchange] = f"{exchange} is left out: {error}; set exchange.{exchange}.taker_fee in the configuration"
        return self._fees[exchange]

    def _take(self, standings: Sequence[tuple[ArbitrageMarket, Reconstructor, BookState, BookReason]], present_ns: int) -> None:
        """Update the detector with the books that changed, in the order in which they were received.

        `present_ns` is the time now on the clock of all of them; 0: not known.
        """
        detector = self._detector
        now_ns = present_ns - GRACE_NS
        changed: list[tuple[int, ArbitrageMarket, Reconstructor, int | None]] = []
        for market, replica, state, reason in standings:
            if state is not BookState.LIVE:
                if (market.state, market.reason) != (state, reason):
                    detector.withdraw(market, state, reason, detector.now_ns)
                continue
            is_known = market.version == replica.version and market.book is replica.book
            trading = trading_status(replica.trading_status)
            if not (market.is_live and is_known and market.trading_status is trading):
                delay = None if replica.feed_delay_us == NO_FEED_DELAY else replica.feed_delay_us
                moment = (market.timestamp_ns, market.feed_delay_us) if is_known else (replica.timestamp_ns, delay)
                changed.append((moment[0], market, replica, moment[1]))
        there = {id(market) for market, *_ in standings}
        for market in detector.markets.values():
            if id(market) not in there and market.is_live:  # its set is gone, or it must be attached to again
                detector.withdraw(market, BookState.STALE, BookReason.SILENT, detector.now_ns)
        for timestamp_ns, market, replica, delay_us in sorted(changed, key=lambda one: one[0]):
            trading = trading_status(replica.trading_status)
            detector.update(market, replica.book, timestamp_ns, replica.version, delay_us, trading_status=trading)
        detector.advance(now_ns)

    def _note_births(self, now_ns: int) -> None:
        """Note when each opportunity was first seen and its best finding, and record those that ended.

        One that the detector closed and opened again during a single look keeps its time.
        """
        for candidate, (since_ns, is_from_start) in self._since.items():
            if candidate not in self._detector.open:
                ends = (candidate.buy.name, candidate.buy.symbol), (candidate.sell.name, candidate.sell.symbol)
                best = self._best.pop(candidate)
                self._seen.appendleft(Seen(candidate.symbol, *ends, since_ns, now_ns, best, is_from_start))
        for candidate, opportunity in self._detector.open.items():
            best = self._best.get(candidate, opportunity.finding)
            self._best[candidate] = max(best, opportunity.finding, key=lambda found: found.net.fraction)
        first = now_ns, not self._is_going_on
        self._since = {candidate: self._since.get(candidate, first) for candidate in self._detector.open}

    def _picture(self, clock_ns: int) -> ArbitragePicture:
        rows = [self._row(candidate) for candidate in self._detector.candidates]
        return ArbitragePicture(
            tuple(rows),
            Counter(row.why for row in rows if row.why is not None),
            tuple(self._detector.not_compared()),
            (*sorted(fee for fee in self._fees.values() if isinstance(fee, str)), *self._left_out),
            tuple(self._seen),
            clock_ns,
        )

    def _row(self, candidate: Candidate) -> ArbitrageRow:
        """Row of a candidate; the same object while it is unchanged."""
        opportunity = self._detector.open.get(candidate)
        found = None if opportunity is None else opportunity.finding
        why = self._detector.held_back(candidate)
        since = self._since.get(candidate, (0, False))
        key = (tuple((one.version, id(one.book), one.is_live) for one in candidate.markets), id(found), why, since)
        made = self._rows.get(candidate)
        if made is None or made[0] != key:
            made = self._rows[candidate] = key, row_of(candidate, found, why, *since)
        return made[1]


def row_of(
    candidate: Candidate, found: Finding | None, why: RejectReason | None, since_ns: int = 0, is_from_start: bool = False
) -> ArbitrageRow:
    """Row of one way to trade. A book that is not LIVE is the reason, and its prices are not shown."""
    buy, sell = candidate.buy, candidate.sell
    named = candidate.symbol, (buy.name, buy.symbol), (sell.name, sell.symbol), candidate.currency, candidate.note
    if not all(market.is_live for market in candidate.markets):
        return ArbitrageRow(*named, why=RejectReason.NOT_LIVE)
    net = candidate.best_return()
    return ArbitrageRow(
        *named,
        "" if buy.ask is None else text(buy.ask[0], buy.price_decimals),
        "" if sell.bid is None else text(sell.bid[0], sell.price_decimals),
        raw_bps(buy, sell),
        None if net is None else net * BASIS_POINTS,
        why,
        found,
        since_ns,
        is_from_start,
    )


def raw_bps(buy: ArbitrageMarket, sell: ArbitrageMarket) -> Fraction | None:
    """Return of the best prices before fees, in basis points; None across currencies, and if a side is empty."""
    if buy.quote != sell.quote or buy.ask is None or sell.bid is None or buy.ask[0] <= 0:
        return None
    return (Fraction(sell.bid[0] * 10**buy.price_decimals, buy.ask[0] * 10**sell.price_decimals) - 1) * BASIS_POINTS
