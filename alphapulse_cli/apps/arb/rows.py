"""Rows of opportunities: one flat row an event, and the working of a birth.

Money and sizes are exact decimal text. Ratios are rounded: average prices to 12 digits behind the point, basis points to 4.
Times are nanoseconds since 1970, lives milliseconds by our own clock.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from alphapulse_cli.edges.opportunities.record import Seen
from alphapulse_cli.flow.arbitrage.candidate import REAL_ENDS, ArbitragePolicy, Candidate, Finding, RejectReason
from alphapulse_cli.flow.arbitrage.cycle_candidate import Cycle
from alphapulse_cli.flow.arbitrage.depth_walk import DepthWalk
from alphapulse_cli.flow.arbitrage.detector import ArbitrageDetector
from alphapulse_cli.flow.arbitrage.exact import BASIS_POINTS, Exact, ratio_text, rounded
from alphapulse_cli.flow.arbitrage.market import Standing
from alphapulse_cli.flow.arbitrage.opportunity import Event, EventKind, Opportunity
from alphapulse_cli.flow.arbitrage.terms import Leg
from alphapulse_cli.flow.arbitrage.triangle import CycleWalk
from alphapulse_cli.market.ticks import to_text

Row = dict[str, Any]
BPS_DIGITS = 4


def event_row(event: Event) -> Row:
    """Row of an event, by the keys of `arb watch --json`."""
    one = event.opportunity
    return {
        "event": event.kind.value,
        "id": one.id,
        **names(one.candidate),
        "note": event.note,
        "at_ns": event.at_ns,
        "born_ns": one.born_ns,
        "is_birth_seen": one.is_birth_seen,
        "life_ms": round((event.at_ns - one.born_ns) / 1e6, 3),
        **figures(event.finding),
        "changes": event.changes,
        "peak_size": event.peak.size.text,
        "peak_net": event.peak.net.text,
        "peak_ns": event.peak_ns,
        "why": None if event.why is None else event.why.value,
    }


def names(candidate: Candidate) -> Row:
    """Names of a way to trade: kind, symbol, sets to buy and sell at, currency of the profit."""
    return {
        "kind": candidate.kind,
        "symbol": candidate.symbol,
        "buy": candidate.buy.name,
        "sell": candidate.sell.name,
        "currency": candidate.currency,
    }


def figures(found: Finding) -> Row:
    """Figures of a walk through the books: size, profit, fees, and for a pair the average prices."""
    size, net, spent, gross = found.size, found.net, found.spent, found.gross
    made = {
        "size": size.text,
        "net": net.text,
        "net_bps": bps_text(net, spent),
        "spent": spent.text,
        "gross": gross.text,
        "fees": (gross - net).text,
        "ended_by": found.end.name.lower(),
    }
    if isinstance(found, DepthWalk):
        made |= {"buy_price": ratio_text(found.paid, size), "sell_price": ratio_text(found.got, size)}
    return made


def bps_text(net: Exact, spent: Exact) -> str:
    """Text of a net profit in basis points of the amount spent."""
    return ratio_text(net, spent, BPS_DIGITS, BASIS_POINTS) if spent.units else "0"


def look_row(detector: ArbitrageDetector, candidate: Candidate) -> Row:
    """Row of `arb scan` for one candidate trade: an opportunity, or the reason against it."""
    opportunity = detector.open.get(candidate)
    why = detector.held_back(candidate)
    top = candidate.best_return()
    verdict = "opportunity" if opportunity is not None else "no profit" if why is None else why.value
    if top is None:
        verdict = RejectReason.NOT_LIVE.value if not all(one.is_live for one in candidate.markets) else "one-sided"
    row = {
        **names(candidate),
        "note": candidate.note,
        "verdict": verdict,
        "best_bps": None if top is None else rounded(top * BASIS_POINTS, BPS_DIGITS),
        "ages_ms": [
            round((detector.now_ns - one.timestamp_ns) / 1e6, 3) if one.timestamp_ns else None for one in candidate.markets
        ],
        "states": [one.state.name for one in candidate.markets],
        "trading_statuses": [None if one.trading_status is None else one.trading_status.name for one in candidate.markets],
    }
    if opportunity is None:
        return {"id": None, **row}
    return {
        "id": opportunity.id,
        **row,
        "born_ns": opportunity.born_ns,
        "is_birth_seen": opportunity.is_birth_seen,
        **figures(opportunity.finding),
    }


def seen(event: Event, place: str, policy: ArbitragePolicy) -> Seen:
    """Stored form of an event; a birth has its whole working."""
    one, closed = event.opportunity, event.kind is EventKind.CLOSED
    named = names(one.candidate)
    return Seen(
        id=one.id,
        place=place,
        born_ns=one.born_ns,
        last_ns=event.at_ns if closed else event.last_ns,
        closed_ns=event.at_ns if closed else None,
        why="" if event.why is None else event.why.value,
        is_from_start=not one.is_birth_seen,
        is_unwatched=event.why is not None and event.why not in REAL_ENDS,
        changes=event.changes,
        **_money("", event.finding),
        **_money("birth_", one.birth),
        **_money("peak_", event.peak),
        peak_ns=event.peak_ns,
        explanation=explanation(one, policy) if event.kind is EventKind.OPENED else {},
        **named,
    )


def _money(prefix: str, found: Finding) -> Row:
    return {f"{prefix}size": found.size.text, f"{prefix}net": found.net.text, f"{prefix}bps": bps_text(found.net, found.spent)}


def explanation(one: Opportunity, policy: ArbitragePolicy) -> Row:
    """Working of an opportunity at its birth: the books, the walk level by level, the fees, the sums."""
    found = one.birth
    made = {
        "id": one.id,
        **names(one.candidate),
        "note": one.note,
        "born_ns": one.born_ns,
        "is_birth_seen": one.is_birth_seen,
        **figures(found),
        "limits": _limits(policy),
        "books": [_book(standing) for standing in one.standings],
    }
    if isinstance(one.candidate, Cycle) and isinstance(found, CycleWalk):
        return made | _cycle(one.candidate, found)
    assert isinstance(found, DepthWalk)
    return made | _pair(found)


def _limits(policy: ArbitragePolicy) -> Row:
    return {
        "size": None if policy.size is None else policy.size.text,
        "notional": None if policy.notional is None else policy.notional.text,
        "max_age_ms": policy.max_age_ns / 1e6,
        "max_skew_ms": policy.max_skew_us / 1e3,
    }


def _book(one: Standing) -> Row:
    return {
        "market": f"{one.name}:{one.symbol}",
        "version": one.version,
        "received_ns": one.timestamp_ns,
        "feed_delay_us": one.feed_delay_us,
    }


def _pair(found: DepthWalk) -> Row:
    terms = found.terms
    buy, sell = terms.buy, terms.sell
    ask_decimals, bid_decimals = buy.price_decimals, sell.price_decimals
    return {
        "asks": _levels(found.asks, buy),
        "bids": _levels(found.bids, sell),
        "walk": [
            [
                to_text(ask, ask_decimals),
                to_text(bid, bid_decimals),
                Exact(lots, terms.size_decimals).text,
                Exact(lots * (bid * terms.sell_weight - ask * terms.buy_weight), terms.money_decimals).text,
            ]
            for ask, bid, lots in found.fills
        ],
        "step": Exact(terms.step, terms.size_decimals).text,
        "minimum": Exact(terms.minimum, terms.size_decimals).text,
        "buy_fee": buy.fee.text,
        "sell_fee": sell.fee.text,
        "paid": found.paid.text,
        "got": found.got.text,
        "paid_settled": found.paid_settled.text,
        "got_settled": found.got_settled.text,
        "buy_fee_paid": found.buy_fee.text,
        "sell_fee_paid": found.sell_fee.text,
        "conversion_fee_paid": found.conversion_fee.text,
        "buy_rate": _rate(buy),
        "sell_rate": _rate(sell),
    }


def _cycle(cycle: Cycle, found: CycleWalk) -> Row:
    legs = []
    for step, leg, terms in zip(cycle.route.steps, found.legs, found.terms.legs, strict=True):
        legs.append(
            {
                "action": "buy" if step.is_buy else "sell",
                "symbol": step.symbol,
                "size": leg.size.text,
                "paid": leg.paid.text,
                "paid_currency": step.paid,
                "got": leg.got.text,
                "got_currency": step.got,
                "fee": terms.fee.text,
                "fee_paid": leg.fee.text,
                "levels": [
                    [to_text(ticks, terms.price_decimals), to_text(lots, terms.size_decimals)] for ticks, lots in leg.levels
                ],
                "fills": [[to_text(ticks, terms.price_decimals), Exact(lots, terms.decimals).text] for ticks, lots in leg.fills],
            }
        )
    left = zip(cycle.route.steps, found.dust, strict=False)
    return {"legs": legs, "dust": [[step.got, dust.text] for step, dust in left]}


def _levels(levels: Sequence[tuple[int, int]], leg: Leg) -> list[list[str]]:
    return [[to_text(ticks, leg.price_decimals), to_text(lots, leg.size_decimals)] for ticks, lots in levels]


def _rate(leg: Leg) -> Mapping[str, str] | None:
    rate = leg.rate
    return None if rate is None else {"source": rate.source, "price": rate.price.text, "fee": rate.fee.text, "size": rate.size.text}
