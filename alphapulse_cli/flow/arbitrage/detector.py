"""Detector of opportunities: they open, change and close at each change of a book, never by a timer.

    detector = ArbitrageDetector()
    kraken = detector.add("kraken", "kraken", "BTC-USD", parse_fee("0.0026"))
    coinbase = detector.add("coinbase", "coinbase", "BTC-USD", parse_fee("0.006"))
    events = detector.update(kraken, book, timestamp_ns)          # after each change of that book

Time is handed in: that of the newest change, or of `advance`. An event of an opportunity is dated by the receive time of the newest
message of its own books, whatever other books received meanwhile. The same books in the same order give the same events, ids
included, live or years later. Rules, numbered as the tests number them:
  D1  Only candidates that the changed book is part of are looked at, and walked only where their best prices cross net of fees.
  D2  There is no opportunity, and the reason is counted, while a book of it is not LIVE, older than `max_age_ns`, crossed in
      itself, or out of step with another by more than `max_skew_us`; while one of its markets, the converting one included, accepts
      no order that would trade (a trading status other than TRADING, LIMIT_ONLY and None, which is not told); or while no live book
      converts its currency. A count is an occasion: it grows when prices cross and that reason holds them back, once until either
      ends.
  D3  Every birth and every death is reported at once, changes of one opportunity no more often than `report_every_ns`; the last
      change held back is reported when that time is over.
  D4  A birth is *seen* if both books were already live when it came about; where a book only just became live, the opportunity may
      have been there before.
"""

from collections import Counter, defaultdict

from alphapulse_cli.book.book import Book
from alphapulse_cli.flow.arbitrage.candidate import ArbitragePolicy, Candidate, Finding, Pair, RejectReason
from alphapulse_cli.flow.arbitrage.conversion import settlement
from alphapulse_cli.flow.arbitrage.cycle_candidate import Cycle, cycles_of
from alphapulse_cli.flow.arbitrage.exact import BASIS_POINTS, Exact
from alphapulse_cli.flow.arbitrage.market import ArbitrageMarket
from alphapulse_cli.flow.arbitrage.opportunity import Event, EventKind, Opportunity
from alphapulse_cli.flow.arbitrage.routes import Route
from alphapulse_cli.flow.arbitrage.terms import Rules
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.wire.delta import BookReason, BookState

EXACT_BPS = Exact(BASIS_POINTS)


class ArbitrageDetector:
    """Detector over every two exchanges with the same base currency, and over cycles if the policy has them.

    `open` are the present opportunities; `refused` counts the occasions held back, by reason.
    """

    def __init__(self, policy: ArbitragePolicy | None = None) -> None:
        self.policy = policy or ArbitragePolicy()
        self.markets: dict[tuple[str, str], ArbitrageMarket] = {}
        self.open: dict[Candidate, Opportunity] = {}
        self.refused: Counter[RejectReason] = Counter()
        self.looks = 0  # candidates looked at
        self.now_ns = 0
        self._pairs: dict[tuple[ArbitrageMarket, ArbitrageMarket], Pair] = {}
        self._cycles: dict[tuple[str, Route], Cycle] = {}
        self._of_market: defaultdict[ArbitrageMarket, list[Candidate]] = defaultdict(list)  # candidates of which a market is part
        self._held_back: dict[Candidate, RejectReason] = {}
        self._former: dict[Candidate, Opportunity] = {}

    def add(
        self, name: str, exchange: str, symbol: str, fee: Exact, rules: Rules | None = None, *, is_traded: bool = True
    ) -> ArbitrageMarket:
        """Add a book, COLD until its first `update`; the same market for the same name and symbol.

        `fee` is the taker fee as a fraction. A book with `is_traded` False only converts currencies.
        """
        market = self.markets.get((name, symbol))
        if market is None:
            trust = self.policy.trust_unverified
            market = self.markets[name, symbol] = ArbitrageMarket(name, exchange, symbol, fee, rules, is_traded, trust)
            self._pair_up()
            if self.policy.triangular and is_traded:
                self._close_cycles(name)
        return market

    def _close_cycles(self, name: str) -> None:
        """Add the cycles of that set which its newest market completes."""
        markets = {symbol: market for (of, symbol), market in self.markets.items() if of == name and market.is_traded}
        for cycle in cycles_of(markets, self.policy):
            if self._cycles.setdefault((name, cycle.route), cycle) is cycle:
                for market in cycle.markets:
                    self._of_market[market].append(cycle)

    @property
    def candidates(self) -> list[Candidate]:
        """All candidates: pairs, then cycles."""
        return [*self._pairs.values(), *self._cycles.values()]

    def not_compared(self) -> list[tuple[str, str]]:
        """Pairs of symbols of one base on different exchanges whose quote currencies no book converts, each once."""
        found = {
            (one.symbol, other.symbol)
            for one in self.markets.values()
            for other in self.markets.values()
            if one.base == other.base and one.symbol < other.symbol and one.exchange != other.exchange
            if one.is_traded and other.is_traded and (one, other) not in self._pairs
        }
        return sorted(found)

    def _pair_up(self) -> None:
        """Create candidates from the current markets; a pair keeps its settlement until a converting book is added."""
        markets = sorted(self.markets.values(), key=lambda market: (market.name, market.symbol))
        for buy in markets:
            for sell in markets:
                if buy.base != sell.base or buy.exchange == sell.exchange or not (buy.is_traded and sell.is_traded):
                    continue
                settled = settlement(buy, sell, markets, treat_as_usd=self.policy.treat_as_usd)
                pair = self._pairs.get((buy, sell))
                if settled is None or (pair is not None and pair.settled == settled):
                    continue
                if pair is None:
                    pair = self._pairs[buy, sell] = Pair(buy, sell, settled, self.policy)
                pair.settle(settled)
                for market in (buy, sell, *settled.markets):
                    if pair not in self._of_market[market]:
                        self._of_market[market].append(pair)

    def held_back(self, candidate: Candidate) -> RejectReason | None:
        """Reason for which a candidate with crossing best prices is no opportunity.

        It is None if they do not cross net of fees, or if the candidate is an opportunity.
        """
        return self._held_back.get(candidate)

    def set_rules(self, market: ArbitrageMarket, rules: Rules | None) -> None:
        """Set the exchange's order rules of a market from now on."""
        if rules != market.rules:
            market.rules = rules
            for candidate in self._of_market[market]:
                candidate.forget_terms()

    def update(
        self,
        market: ArbitrageMarket,
        book: Book,
        timestamp_ns: int,
        version: int = 0,
        feed_delay_us: int | None = None,
        state: BookState = BookState.LIVE,
        reason: BookReason = BookReason.NONE,
        now_ns: int | None = None,
        trading_status: TradingStatus | None = None,
    ) -> list[Event]:
        """Take in the present state of a book; the events that it causes, in order of time.

        `timestamp_ns` is the receive time of the message that changed it (CLOCK_REALTIME); `now_ns` is given where the present is
        later.
        """
        events = self.advance(timestamp_ns if now_ns is None else now_ns)
        was_live, best = market.is_live, (market.bid, market.ask)
        regridded = market.take(book, version, timestamp_ns, feed_delay_us, state, reason, trading_status)
        is_same = was_live and market.is_live and best == (market.bid, market.ask)
        for candidate in self._of_market[market]:
            if regridded or not was_live or (not is_same and candidate.is_rate(market)):
                candidate.forget_terms()
            self._look(candidate, events, now_ns or 0, is_birth_seen=was_live)
        return events

    def withdraw(self, market: ArbitrageMarket, state: BookState, reason: BookReason, now_ns: int) -> list[Event]:
        """Distrust a book that did not change: its writer is gone, or it must be joined again. The events that this causes."""
        events = self.advance(now_ns)
        market.state, market.reason, market.is_live = state, reason, False
        for candidate in self._of_market[market]:
            if candidate.is_rate(market):
                candidate.forget_terms()
            self._look(candidate, events, now_ns, is_birth_seen=False)
        return events

    def _look(self, candidate: Candidate, events: list[Event], now_ns: int, *, is_birth_seen: bool) -> None:
        """Look at one candidate and append its events, dated by the newest message of its own books."""
        self.looks += 1
        if not candidate.crosses():
            if candidate in self.open:
                self._close(candidate, RejectReason.GONE, _moment(candidate, now_ns), events)
            if self._held_back:
                self._held_back.pop(candidate, None)
            return
        at_ns, why, finding = _moment(candidate, now_ns), self._doubt(candidate), None
        if why is None:
            finding = candidate.walk()
            why = RejectReason.TOO_SMALL if finding is None else self._below_limits(finding)
        if why is not None or finding is None:
            self._hold_back(candidate, why or RejectReason.TOO_SMALL, at_ns, events)
            return
        self._held_back.pop(candidate, None)
        opportunity = self.open.get(candidate)
        if opportunity is None:
            opportunity = self.open[candidate] = Opportunity(candidate, finding, at_ns, is_birth_seen, self._former.get(candidate))
            events.append(self._event(EventKind.OPENED, opportunity, at_ns))
        else:
            self._change(opportunity, finding, at_ns, events)

    def _doubt(self, candidate: Candidate) -> RejectReason | None:
        """Reason why a candidate's books may not be traded on now; None if they may."""
        if not candidate.is_convertible():
            return RejectReason.NO_RATE
        markets, oldest = candidate.markets, self.now_ns - self.policy.max_age_ns
        for market in markets:
            if not market.is_live:
                return RejectReason.NOT_LIVE
            if not market.is_tradable:
                return RejectReason.NOT_TRADABLE
            if market.is_crossed:
                return RejectReason.CROSSED
            if market.timestamp_ns < oldest:
                return RejectReason.TOO_OLD
        delays = [market.feed_delay_us for market in markets if market.feed_delay_us is not None]
        if delays and max(delays) - min(delays) > self.policy.max_skew_us:
            return RejectReason.OUT_OF_STEP
        return None

    def _below_limits(self, finding: Finding) -> RejectReason | None:
        policy = self.policy
        if policy.min_profit.units and finding.net < policy.min_profit:
            return RejectReason.BELOW_LIMITS
        if policy.min_bps.units and finding.net * EXACT_BPS < policy.min_bps * finding.spent:
            return RejectReason.BELOW_LIMITS
        return None

    def _hold_back(self, candidate: Candidate, why: RejectReason, at_ns: int, events: list[Event]) -> None:
        if candidate in self.open:
            self._close(candidate, why, at_ns, events)
        if self._held_back.get(candidate) is not why:
            self._held_back[candidate] = why
            self.refused[why] += 1

    def _change(self, opportunity: Opportunity, finding: Finding, at_ns: int, events: list[Event]) -> None:
        before = opportunity.finding
        if finding.size == before.size and finding.net == before.net:
            return
        opportunity.finding, opportunity.last_ns, opportunity.note = finding, at_ns, opportunity.candidate.note
        opportunity.changes += 1
        if finding.net > opportunity.peak.net:
            opportunity.peak, opportunity.peak_ns = finding, at_ns
        if at_ns - opportunity.reported_ns >= self.policy.report_every_ns:
            opportunity.reported_ns, opportunity.pending = at_ns, False
            events.append(self._event(EventKind.CHANGED, opportunity, at_ns))
        else:
            opportunity.pending = True

    def _close(self, candidate: Candidate, why: RejectReason, at_ns: int, events: list[Event]) -> None:
        opportunity = self._former[candidate] = self.open.pop(candidate)
        events.append(self._event(EventKind.CLOSED, opportunity, max(at_ns, opportunity.last_ns), why))

    @staticmethod
    def _event(kind: EventKind, one: Opportunity, at_ns: int, why: RejectReason | None = None) -> Event:
        return Event(kind, at_ns, one, one.finding, one.peak, one.peak_ns, one.last_ns, one.changes, one.note, why)

    def advance(self, now_ns: int) -> list[Event]:
        """Advance the time to `now_ns` (never back) without new data.

        It returns the events of books that grew too old, and of changes that were held back until now.
        """
        events: list[Event] = []
        if now_ns <= self.now_ns:
            return events
        for candidate, opportunity in list(self.open.items()):
            report_ns = opportunity.reported_ns + self.policy.report_every_ns
            ends_ns = min(market.timestamp_ns for market in candidate.markets) + self.policy.max_age_ns + 1
            if opportunity.pending and report_ns <= now_ns and report_ns <= ends_ns:
                opportunity.reported_ns, opportunity.pending = report_ns, False
                events.append(self._event(EventKind.CHANGED, opportunity, report_ns))
            if ends_ns <= now_ns:
                self._hold_back(candidate, RejectReason.TOO_OLD, ends_ns, events)
        self.now_ns = now_ns
        events.sort(key=lambda event: event.at_ns)
        return events

    def set_back(self, by_ns: int) -> list[Event]:
        """Follow a clock that was set back by `by_ns`: all ages stay. Open opportunities are closed, and opened again."""
        events = self.finish(self.now_ns)
        self.now_ns -= by_ns
        for market in self.markets.values():
            market.timestamp_ns -= by_ns if market.timestamp_ns else 0
        return events

    def finish(self, now_ns: int) -> list[Event]:
        """End the watch: all open opportunities are closed, their true end unknown."""
        events = self.advance(now_ns)
        for candidate in list(self.open):
            self._close(candidate, RejectReason.UNWATCHED, self.now_ns, events)
        return events


def _moment(candidate: Candidate, now_ns: int) -> int:
    """Receive time of the newest message of a candidate's books; `now_ns` if that is later."""
    return max([now_ns, *[market.timestamp_ns for market in candidate.markets]])
