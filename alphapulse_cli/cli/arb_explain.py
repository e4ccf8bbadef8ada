"""`arb explain`: the working of one opportunity, complete enough to be checked with a pocket calculator."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alphapulse_cli.cli import render
from alphapulse_cli.edges.opportunities.record import Seen
from alphapulse_cli.edges.opportunities.store import OpportunityStore
from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.flow.arbitrage.candidate import RejectReason
from alphapulse_cli.readers.moments import moment

Explanation = Mapping[str, Any]
TAKEN = "◄"
MEANINGS = {why.value: why.meaning for why in RejectReason}


def show(path: Path, place: str, identifier: str, *, as_json: bool) -> None:
    """Print the working as text or as one JSON object. UsageError for an unknown id, StorageError for an unusable store."""
    with OpportunityStore(path, create=False) as store:
        found = store.find(identifier.lower(), place)
    if as_json:
        render.emit_json([json_row(found)])
        return
    for line in lines_of(found):
        sys.stdout.write(safe(line) + "\n")


def json_row(one: Seen) -> dict[str, Any]:
    """JSON object of an opportunity: the working at its opening, and its end."""
    return {
        **one.explanation,
        "id": one.id,
        "last_ns": one.last_ns,
        "closed_ns": one.closed_ns,
        "why": one.why,
        "changes": one.changes,
        "peak": {"size": one.peak_size, "net": one.peak_net, "bps": one.peak_bps, "at_ns": one.peak_ns},
        "last": {"size": one.size, "net": one.net, "bps": one.bps},
    }


def lines_of(one: Seen) -> Iterator[str]:
    """Iterate over the lines of the working."""
    why = one.explanation
    yield from _head(one)
    if not why or why.get("cut_to") == 0:
        yield "The working was not kept" + (": it was too long." if why else ".")
        return
    if "cut_to" in why:
        yield f"The working was too long to be kept whole; each list has its first {why['cut_to']} entries only."
    yield ""
    yield from _books(why)
    yield ""
    yield from (_pair(why) if one.kind == "pair" else _cycle(why))
    yield ""
    yield from _end(one)


def _head(one: Seen) -> Iterator[str]:
    what = f"buy {one.symbol} at {one.buy}, sell at {one.sell}" if one.kind == "pair" else f"{one.symbol} at {one.buy}"
    yield f"{one.id}  {what}"
    yield (
        f"at birth: size {one.birth_size}, net profit {one.birth_net} {one.currency}, {one.birth_bps} basis points of the amount spent"
    )
    seen = "" if not one.is_from_start else "; it may be older: a book had only just become live"
    yield f"born {moment(one.born_ns)}{seen}"


def _books(why: Explanation) -> Iterator[str]:
    yield "The books, as they were received here:"
    for book in why["books"]:
        delay = "unknown" if book["feed_delay_us"] is None else f"{book['feed_delay_us'] / 1000:.3f} ms"
        before_ms = (why["born_ns"] - book["received_ns"]) / 1e6
        yield (
            f"  {book['market']:<24} version {book['version']}, received {moment(book['received_ns'])} "
            f"({before_ms:.3f} ms before), feed delay {delay}"
        )


def _pair(why: Explanation) -> Iterator[str]:
    yield from _side(f"Asks of {why['buy']}", why["asks"], [(row[0], row[2]) for row in why["walk"]])
    yield from _side(f"Bids of {why['sell']}", why["bids"], [(row[1], row[2]) for row in why["walk"]])
    yield ""
    yield f"The walk, in steps of {why['step']}, no order below {why['minimum']}:"
    rows = [("buy", "sell", "size", "earns, net"), *why["walk"]]
    yield from columns(rows)
    yield f"It ends because {ENDS.get(why['ended_by'], why['ended_by'])}."
    yield ""
    yield from _sums(why)


ENDS = {
    "no_profit": "the next lot earns nothing net of fees",
    "no_depth": "one of the sides has no more levels",
    "capped": "the limit on size, notional or conversion is reached",
    "too_deep": "implausibly many levels cross",
}


def _side(title: str, levels: Any, fills: list[tuple[str, str]]) -> Iterator[str]:
    from decimal import Decimal

    taken: dict[str, Decimal] = {}
    for price, size in fills:
        taken[price] = taken.get(price, Decimal(0)) + Decimal(size)
    yield f"{title}:"
    yield from columns(
        [
            ("price", "size", "taken"),
            *([price, size, f"{taken[price]:f} {TAKEN}" if price in taken else ""] for price, size in levels),
        ]
    )


def _sums(why: Explanation) -> Iterator[str]:
    currency, buy_rate, sell_rate = why["currency"], why["buy_rate"], why["sell_rate"]
    yield "The sums:"
    lines = [
        ("paid for the asks", why["paid"], "the sum of price x size above"),
        ("got for the bids", why["got"], "the sum of price x size above"),
    ]
    for rate, name, settled in ((buy_rate, "paid", why["paid_settled"]), (sell_rate, "got", why["got_settled"])):
        if rate is not None:
            lines.append(
                (f"{name}, in {currency}", settled, f"x {rate['price']}, the best level of {rate['source']} ({rate['size']} there)")
            )
    lines += [
        ("gross", why["gross"], f"{why['got_settled']} - {why['paid_settled']}"),
        (f"fee of {why['buy']}", why["buy_fee_paid"], f"{why['paid_settled']} x {why['buy_fee']}"),
        (f"fee of {why['sell']}", why["sell_fee_paid"], f"{why['got_settled']} x {why['sell_fee']}"),
    ]
    for rate, formula in ((buy_rate, "(paid + fee)"), (sell_rate, "(got - fee)")):
        if rate is not None:
            lines.append((f"fee of converting, {rate['source']}", why["conversion_fee_paid"], f"{formula} x {rate['fee']}"))
    lines += [
        ("net profit", why["net"], "gross - all fees"),
        ("spent", why["spent"], "the amount paid, with its fees"),
        ("basis points", why["net_bps"], f"{why['net']} / {why['spent']} x 10000"),
    ]
    if why["note"]:
        lines.append(("currency", currency, why["note"]))
    yield from columns(lines, left=(0, 2))


def _cycle(why: Explanation) -> Iterator[str]:
    for number, leg in enumerate(why["legs"], 1):
        fee = f"the fee of {leg['fee_paid']} (x {leg['fee']}) is in the {leg['paid_currency'] if leg['action'] == 'buy' else leg['got_currency']}"
        yield f"{number}. {leg['action']} {leg['size']} at {leg['symbol']}: {leg['paid']} {leg['paid_currency']} leave, {leg['got']} {leg['got_currency']} arrive; {fee}"
        title = "Asks" if leg["action"] == "buy" else "Bids"
        yield from _side(title, leg["levels"], [(price, size) for price, size in leg["fills"]])
        yield ""
    last, currency = why["legs"][-1], why["currency"]
    yield "The sums:"
    lines = [
        ("brought back", last["got"], f"{currency} of the last order, its fee taken off"),
        ("spent", why["spent"], f"{currency} of the first order, its fee added"),
        ("net profit", why["net"], f"{last['got']} - {why['spent']}"),
        ("basis points", why["net_bps"], f"{why['net']} / {why['spent']} x 10000"),
        *((f"left over, {name}", amount, "too little for another lot; counted as nothing") for name, amount in why["dust"]),
    ]
    yield from columns(lines, left=(0, 2))


def _end(one: Seen) -> Iterator[str]:
    yield f"Then: {one.changes} changes; at its best {moment(one.peak_ns)}: size {one.peak_size}, net {one.peak_net} {one.currency}"
    if one.closed_ns is None:
        yield f"Its end was not seen; last seen {moment(one.last_ns)}."
    else:
        reason = MEANINGS.get(one.why, one.why)
        yield f"Closed {moment(one.closed_ns)}, after {(one.closed_ns - one.born_ns) / 1e6:.3f} ms: {reason}."


def columns(rows: Any, left: tuple[int, ...] = ()) -> Iterator[str]:
    """Iterate over the rows as aligned lines, indented by two spaces; columns are right-aligned but for those in `left`."""
    table = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        cells = [
            cell.ljust(width) if i in left else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield ("  " + "  ".join(cells)).rstrip()
