"""Consolidation of a symbol's ladders: their rungs, and one book over all exchanges.

    BookLadder of each LIVE book ─► rungs, grouped ─► the common grid: the finest price and size there is ─► summed by price

Integers on the common grid are exact whatever decimals the exchanges have. A merged rung has the part of each exchange. Where one
exchange's ladder is not known deeper, the merged rungs beyond are not whole.
"""

from collections.abc import Sequence
from itertools import accumulate

from alphapulse_cli.tui.books.grouping import Rung, Rungs, group_ticks, moves_of, rungs_of
from alphapulse_cli.tui.feed.picture import BookPicture, Level


def coarsest(books: Sequence[BookPicture]) -> int:
    """Fewest price decimals of these books: the unit of grouping."""
    return min((book.ladder.price_decimals for book in books if book.ladder is not None), default=0)


def rungs_in(book: BookPicture, step: int, coarse: int, limit: int) -> Rungs:
    """Rungs of a book with a ladder: the best `limit` of each side, in groups of `step` ticks of the coarsest exchange."""
    ladder, status = book.ladder, book.status
    assert ladder is not None
    size = group_ticks(step, ladder.price_decimals, coarse)
    bids = rungs_of(ladder.bids, size, limit, is_ask=False, is_cut=status.bid_count > len(ladder.bids))
    asks = rungs_of(ladder.asks, size, limit, is_ask=True, is_cut=status.ask_count > len(ladder.asks))
    ends = tuple(
        more and (len(side) < limit or not side[-1].whole)
        for more, side in ((status.bid_count > len(ladder.bids), bids), (status.ask_count > len(ladder.asks), asks))
    )
    return Rungs(
        ladder.price_decimals,
        ladder.size_decimals,
        bids,
        asks,
        (_first(ladder.bids), _first(ladder.asks)),
        moves_of(ladder.moved, size),
        (ends[0], ends[1]),
    )


def merged(ladders: Sequence[Rungs], limit: int) -> Rungs:
    """Merge ladders into one book; each of them has `limit` rungs a side, or all of its own."""
    price_decimals = max((one.price_decimals for one in ladders), default=0)
    size_decimals = max((one.size_decimals for one in ladders), default=0)
    moved: dict[tuple[bool, int], int] = {}
    for one in ladders:
        scale = 10 ** (price_decimals - one.price_decimals)
        for (is_ask, ticks), way in one.moved.items():
            key = is_ask, ticks * scale
            moved[key] = max(way, moved.get(key, 0), key=abs)
    bids, asks = (_merged_side(ladders, limit, is_ask, price_decimals, size_decimals) for is_ask in (False, True))
    tops = [
        [side * 10 ** (price_decimals - one.price_decimals) for one in ladders if (side := one.best[at]) is not None]
        for at in (0, 1)
    ]
    best = max(tops[0], default=None), min(tops[1], default=None)
    return Rungs(price_decimals, size_decimals, bids, asks, best, moved)


def _first(side: Sequence[Level]) -> int | None:
    return side[0][0] if side else None


def _merged_side(ladders: Sequence[Rungs], limit: int, is_ask: bool, price_decimals: int, size_decimals: int) -> list[Rung]:
    sign = 1 if is_ask else -1  # sorted by it, the best price comes first
    parts: dict[int, list[int]] = {}
    known_to: list[int] = []  # last price that each cut ladder knows wholly, in the order of sorting
    for at, one in enumerate(ladders):
        side = one.asks if is_ask else one.bids
        price_scale, size_scale = 10 ** (price_decimals - one.price_decimals), 10 ** (size_decimals - one.size_decimals)
        for rung in side:
            parts.setdefault(rung.ticks * price_scale, [0] * len(ladders))[at] = rung.lots * size_scale
        if one.is_cut[is_ask]:
            known = [rung for rung in side if rung.whole]
            best = side[0].ticks * price_scale * sign - 1 if side else -(2**200)
            known_to.append(known[-1].ticks * price_scale * sign if known else best)
    limit_known = min(known_to, default=None)
    prices = sorted(parts, reverse=not is_ask)[:limit]
    lots = [sum(parts[price]) for price in prices]
    return [
        Rung(price, lot, total, limit_known is None or price * sign <= limit_known, tuple(parts[price]))
        for price, lot, total in zip(prices, lots, accumulate(lots), strict=True)
    ]


def consolidated(books: Sequence[BookPicture], step: int, coarse: int, limit: int) -> Rungs:
    """Consolidated book of LIVE books with ladders; the parts of a rung are in their order."""
    return merged([rungs_in(book, step, coarse, limit) for book in books], limit)
