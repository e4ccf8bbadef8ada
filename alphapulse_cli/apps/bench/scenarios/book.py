"""`book`: cost of messages on a full-depth book of 45,827 levels, the size of Coinbase's BTC-USD when it was recorded.

The changes are those of a lively market: four levels get another size, three are removed, three are new. Two messages that undo
each other are applied in turn, so that the book stays the same.
"""

from collections.abc import Iterator
from itertools import cycle
from typing import Any

from alphapulse_cli.apps.bench.ground import SYMBOL, Ground
from alphapulse_cli.apps.bench.measure import by_turns, calls, memcpy_of
from alphapulse_cli.apps.bench.report import Result
from alphapulse_cli.apps.bench.scenarios.ring import BARE, bare_call
from alphapulse_cli.book.book import Book
from alphapulse_cli.flow.keeper import BookKeeper
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.events import Snapshot, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.wire.batch import Batch

LEVEL_COUNT, LEVEL_BYTES = 45_827, 16
PRICE_DECIMALS, SIZE_DECIMALS = 2, 8
MID_TICKS = 6_331_000
NEAR, DEEP = 200, 20_000  # levels from the best
INSTRUMENT = Instrument("bench", SYMBOL, SYMBOL, PRICE_DECIMALS, SIZE_DECIMALS)
MEMCPY = f"memcpy of the book's {LEVEL_COUNT * LEVEL_BYTES:,} bytes"
Level = tuple[int, int, bool]

TEN = """
clear(); apply(first, batch); publish(batch.records, finish(0, 1, 2, 1))
clear(); apply(second, batch); publish(batch.records, finish(0, 1, 3, 2))"""


def full_book() -> list[Level]:
    """Make 45,827 levels, each side best first; gaps grow away from the best, as in real books."""
    levels: list[Level] = []
    for is_ask, count in ((False, LEVEL_COUNT // 2), (True, LEVEL_COUNT - LEVEL_COUNT // 2)):
        ticks = MID_TICKS
        for i in range(count):
            ticks += (2 + i % 3 + i // 400) * (1 if is_ask else -1)
            levels.append((ticks, 1_000_000 + 7919 * i % 900_000, is_ask))
    return levels


def levels_of(rows: list[Level]) -> Levels:
    """Levels in the form that decoders produce."""
    return Levels.from_levels(PRICE_DECIMALS, SIZE_DECIMALS, rows)


def ten_changes(depth: int, book: list[Level]) -> tuple[Levels, Levels]:
    """Make two messages of ten changes on both sides, at the 190 ranks before `depth`; the second undoes the first."""
    bids, asks = ([level for level in book if level[2] is side] for side in (False, True))
    touched = [(bids if i % 2 else asks)[max(0, depth - 190) + i * 20] for i in range(10)]
    first = [
        (ticks, lots + 1, ask) if i < 4 else (ticks, 0, ask) if i < 7 else (ticks + (1 if ask else -1), lots, ask)
        for i, (ticks, lots, ask) in enumerate(touched)
    ]
    prices = {(ticks, ask): lots for ticks, lots, ask in book}
    second = [(ticks, prices.get((ticks, ask), 0), ask) for ticks, _, ask in first]
    return levels_of(first), levels_of(second)


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    rows = full_book()
    with ground.outlet("bench-book") as outlet:
        yield from _changes(ground, outlet, rows)
    yield from _whole(ground, rows)


def _changes(ground: Ground, outlet: Outlet, rows: list[Level]) -> Iterator[Result]:
    """Measure ten changes, applied and published."""
    book, batch = Book(PRICE_DECIMALS, SIZE_DECIMALS), Batch(SYMBOL, "bench", PRICE_DECIMALS, SIZE_DECIMALS)
    book.load(levels_of(rows))
    parts: dict[str, Any] = {
        "clear": batch.clear,
        "apply": book.apply,
        "finish": batch.finish,
        "publish": outlet.deltas.publish,
        "batch": batch,
    }
    for case, depth in (("10 changes near the top", NEAR), ("10 changes 20,000 levels deep", DEEP)):
        first, second = ten_changes(depth, rows)
        work = calls(TEN, first=first, second=second, **parts)
        samples = by_turns(work, bare_call(), ground.budget_s, per_call=2)
        where = "within 200 levels of the best" if depth == NEAR else "far from the best, where many levels move"
        yield samples.result(
            "book", case, BARE, f"Applied and published, {where}: four Python calls; no decoding, no image, no counters."
        )
    keeper = keeper_of(outlet, rows)
    events = cycle([Update(INSTRUMENT, levels) for levels in ten_changes(NEAR, rows)])
    work = calls("apply(next(events), 1)", apply=keeper.apply, events=events)
    samples = by_turns(work, bare_call(), ground.budget_s)
    yield samples.result("book", "10 changes through the keeper", BARE, "The same with image, counters and CHECKs; no decoding.")


def _whole(ground: Ground, rows: list[Level]) -> Iterator[Result]:
    """Measure whole books: loaded, compared, hashed."""
    book, batch = Book(PRICE_DECIMALS, SIZE_DECIMALS), Batch(SYMBOL, "bench", PRICE_DECIMALS, SIZE_DECIMALS)
    levels = levels_of(rows)
    changed = levels_of([(ticks, lots + 1 if i % 100 == 0 else lots, ask) for i, (ticks, lots, ask) in enumerate(rows)])
    memcpy, budget = memcpy_of(LEVEL_COUNT * LEVEL_BYTES), ground.budget_s
    samples = by_turns(calls("load(levels)", load=book.load, levels=levels), memcpy, budget)
    yield samples.result("book", "snapshot load", MEMCPY, "Sorted sides, as exchanges send them; hashed on the way; no decoding.")
    moved = levels_of([(ticks + (i % 100 == 0), lots, ask) for i, (ticks, lots, ask) in enumerate(rows)])
    for case, other, what in (
        ("difference of two books", changed, "459 sizes differ"),
        ("difference, levels come and go", moved, "459 levels are gone and 459 are new"),
    ):
        swap = "clear(); replace(other, batch); clear(); replace(levels, batch)"
        work = calls(swap, clear=batch.clear, replace=book.replace, batch=batch, other=other, levels=levels)
        samples = by_turns(work, memcpy, budget, per_call=2)
        leaves_out = f"{what}; the difference is told and the book becomes the other; no publishing."
        yield samples.result("book", case, MEMCPY, leaves_out)
    samples = by_turns(calls("book.book_hash", book=book), bare_call(), budget)
    yield samples.result("book", "hash", BARE, "It is kept up at every change, whose cost contains that; here it is only read.")


def keeper_of(outlet: Outlet, rows: list[Level]) -> BookKeeper:
    """Make a keeper with a live book of these levels, in its image too."""
    keeper = BookKeeper(INSTRUMENT, outlet, None)
    keeper.apply(Snapshot(INSTRUMENT, levels_of(rows)), 1)
    assert keeper.book.bid_count + keeper.book.ask_count == len(rows)
    return keeper
