"""`arb`: latency from a book's change to its opportunity, at 20,000 deltas a second over three exchanges x ten symbols.

    a process that writes three sets ═══ segments ═╦═► the watch, in this process: group in hand ─► its events
       every 100th delta makes or ends one         ╚═► `alphapulse arb watch --json` ─► a pipe ─► here: look at the clock
                                                       a bare reader of one symbol's records ─► a pipe ─► here

Each profitable bid is on one exchange, above the asks of one of the two others: one opportunity opens with it and closes with it.
The events are compared with the planted opportunities, by exchanges and size.
"""

import contextlib
import gc
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import IO

from alphapulse_cli.apps.arb.watch import Watch
from alphapulse_cli.apps.bench.children import Gone, Lines, child
from alphapulse_cli.apps.bench.ground import RING_CAPACITY, Ground
from alphapulse_cli.apps.bench.report import Result, Samples
from alphapulse_cli.apps.bench.scenarios.book import MID_TICKS, PRICE_DECIMALS, SIZE_DECIMALS, full_book, levels_of, ten_changes
from alphapulse_cli.apps.bench.scenarios.startup import OURS
from alphapulse_cli.errors import IntegrityError
from alphapulse_cli.flow.arbitrage.candidate import ArbitragePolicy
from alphapulse_cli.flow.arbitrage.detector import ArbitrageDetector
from alphapulse_cli.flow.arbitrage.exact import Exact
from alphapulse_cli.flow.arbitrage.opportunity import Event, EventKind
from alphapulse_cli.flow.groups import GroupReader
from alphapulse_cli.flow.keeper import BookKeeper
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.events import Snapshot, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.private import private_directory
from alphapulse_cli.wire import delta

SETS = ("binance-us", "coinbase", "kraken")
SYMBOLS = tuple(f"S{number}-USD" for number in range(10))
PLANTED_SET, BUYERS_SET = (
    "kraken",
    "coinbase",
)  # the others' asks are a twentieth higher, so that a planted bid is above the asks of one exchange only
FEE = "0.001"
DELTAS_PER_S, PLANT_EVERY = 20_000, 100
LEVEL_COUNT = 1_000
TURN_S, BEAT_NS, NEAR_LEVELS = 0.0003, 100_000_000, 200
LEAST_OF_THE_RATE = 0.9
PLANTED_TICKS, PLANTED_LOTS = MID_TICKS + MID_TICKS // 100, 700_000  # 0.007
PLANTED_SIZE = Exact(PLANTED_LOTS, SIZE_DECIMALS)
Spring = tuple[BookKeeper, list[Update]]
LIMIT_S = 30.0
SCRIPT = "a plain script's look at all pairs of the symbol, best prices only, in Decimals"
BARE_READER = "a bare reader that prints the symbol's records"
LEFT_OUT = f"{len(SETS)} exchanges x {len(SYMBOLS)} symbols, {LEVEL_COUNT:,} levels a book"


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    with private_directory(str(ground.directory.path), "bench") as alone:
        yield from _measure(replace(ground, directory=alone))


def _measure(ground: Ground) -> Iterator[Result]:
    place = str(ground.directory.path)
    with child("arb:write", place) as writer:
        assert writer.hear() == "writing"
        ground.progress("arb: change to event")
        yield from _in_process(ground, writer)
        for how in ("wake", "spin"):
            ground.progress(f"arb: ring to printed, {how}")
            yield from _printed(ground, writer, place, how)


def _in_process(ground: Ground, writer: Lines) -> Iterator[Result]:
    """Measure the watch in this process: the time of each step of its loop."""
    fees = dict.fromkeys(SETS, FEE)
    with Watch(ground.directory, Wanted(), ArbitragePolicy(report_every_ns=0), fees, "spin", "bench") as watching:
        watching.settle()
        gc.freeze()  # as the command does
        before = _count(writer)
        eventful, quiet, opened = Samples(), Samples(), 0
        end = time.monotonic() + ground.several(1, 8)
        while time.monotonic() < end:
            for events, spent in _steps(watching):
                opened += sum(_checked(event) for event in events)
                kept = eventful if events else quiet
                if events or len(quiet.work) < 100 * len(eventful.work):
                    reference = _script_ns(watching, events)
                    kept.work.append(spent)
                    kept.reference.append(reference)
                    kept.ratios.append(spent / reference)
        missed = watching.missed
        gc.unfreeze()
    found = _rate(writer, before)
    leaves_out = f"{LEFT_OUT}, {found:,.0f} deltas/s came, {missed} missed. Reading the rings is not in it, applying the group to its book is."
    if found < LEAST_OF_THE_RATE * DELTAS_PER_S:
        ground.leave_out("arb", "change to event", f"the writer managed only {found:,.0f} deltas/s")
        return
    if not opened:
        raise IntegrityError("arb: no planted opportunity was found")
    yield eventful.result("arb", "change to event", SCRIPT, leaves_out)
    yield quiet.result("arb", "change without one", SCRIPT, leaves_out)


def _steps(watching: Watch) -> Iterator[tuple[list[Event], float]]:
    """Iterate over the changes of books: the events of each, and the ns from the group in hand to the events."""
    now = time.perf_counter_ns
    steps = watching.steps(clock.monotonic_ns())
    while True:
        begun = now()
        step = next(steps, None)
        if step is None:
            return
        events = watching.take(step)
        yield events, float(now() - begun)


def _checked(event: Event) -> bool:
    """Whether the event is a birth. IntegrityError if its exchanges or its size are not the planted ones."""
    if event.kind is not EventKind.OPENED:
        return False
    candidate = event.opportunity.candidate
    if (candidate.buy.name, candidate.sell.name, event.finding.size) != (BUYERS_SET, PLANTED_SET, PLANTED_SIZE):
        raise IntegrityError(
            f"arb: {candidate.symbol} was found from {candidate.buy.name} to {candidate.sell.name} with size {event.finding.size.text}"
        )
    return True


def _script_ns(watching: Watch, events: list[Event]) -> float:
    """Time in ns that a plain script would take at that change."""
    symbol = events[0].opportunity.candidate.symbol if events else SYMBOLS[0]
    markets = [market for (_, of), market in watching.detector.markets.items() if of == symbol]
    begun = time.perf_counter_ns()
    naive(watching.detector, symbol, len(markets))
    return float(time.perf_counter_ns() - begun)


def naive(detector: ArbitrageDetector, symbol: str, count: int) -> list[tuple[str, str, Decimal]]:
    """Pairs of exchanges whose best prices of a symbol cross net of fees, with the net difference: the plain script."""
    found = []
    fee = Decimal(FEE)
    for buy in SETS[:count]:
        for sell in SETS[:count]:
            if buy == sell:
                continue
            asks, bids = detector.markets[buy, symbol].book.asks(1), detector.markets[sell, symbol].book.bids(1)
            if not asks or not bids:
                continue
            ask, bid = Decimal(asks[0][0]).scaleb(-PRICE_DECIMALS), Decimal(bids[0][0]).scaleb(-PRICE_DECIMALS)
            net = bid * (1 - fee) - ask * (1 + fee)
            if net > 0:
                found.append((buy, sell, net))
    return found


def _printed(ground: Ground, writer: Lines, place: str, how: str) -> Iterator[Result]:
    """Measure the time from a record's receive stamp to its event's line, read from a pipe."""
    case = f"ring to printed event, {how}"
    fees = [word for name in SETS for word in ("--fee", f"{name}={FEE}")]
    watch = (*OURS, "arb", "watch", "--json", "--no-keep", "--wait", how, "--shm-dir", place, *fees)
    bare = (sys.executable, "-P", "-c", "from alphapulse_cli.apps.bench.scenarios.arb import print_records; print_records()", place)
    samples, before = Samples(), _count(writer)
    with _reader(watch) as events, _reader(bare) as records:
        begun = time.monotonic()
        warm = begun + 1.0
        end = begun + 1.0 + ground.several(1, 6)
        while (now := time.monotonic()) < end:
            ready, _, _ = select.select([events, records], [], [], 0.1)
            for source in ready:
                for received_ns in _stamps(source):
                    if now < warm:
                        continue
                    spent = float(max(clock.realtime_ns() - received_ns, 1))
                    (samples.work if source is events else samples.reference).append(spent)
    found = _rate(writer, before)
    if found < LEAST_OF_THE_RATE * DELTAS_PER_S or not samples.work or not samples.reference:
        ground.leave_out("arb", case, f"the writer managed only {found:,.0f} deltas/s")
        return
    middle = sorted(samples.reference)[len(samples.reference) // 2]
    samples.ratios = [spent / middle for spent in samples.work]
    leaves_out = f"{LEFT_OUT}, {found:,.0f} deltas/s came. From the receive stamp: applying, publishing and the pipe are in it."
    yield samples.result("arb", case, BARE_READER, leaves_out)


def _stamps(source: IO[bytes]) -> list[int]:
    """Receive times in the lines that are in the pipe now: of opened and closed events, or of records."""
    lines = os.read(source.fileno(), 1 << 16).splitlines()
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):  # a line that the read cut
            row = json.loads(line)
            if isinstance(row, int):
                found.append(row)
            elif row["event"] in ("opened", "closed"):
                found.append(row["at_ns"])
    return found


@contextlib.contextmanager
def _reader(command: tuple[str, ...]) -> Iterator[IO[bytes]]:
    """Standard output of a process with that command; killed and reaped at the end."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603 ourselves
    try:
        assert process.stdout is not None
        yield process.stdout
    finally:
        process.kill()
        process.communicate()


def _count(writer: Lines) -> tuple[float, int]:
    """The time now in seconds, and the number of deltas written so far."""
    writer.send("count")
    return time.monotonic(), int(writer.hear())


def _rate(writer: Lines, before: tuple[float, int]) -> float:
    """Deltas per second since `before`."""
    now, count = _count(writer)
    return (count - before[1]) / (now - before[0])


# The other processes


def print_records() -> None:
    """Print the receive stamp of each record of the planted set that has one change: the bare reader's process."""
    out = sys.stdout.buffer
    with open_directory(sys.argv[1]) as directory:
        reader = GroupReader(directory, PLANTED_SET, SegmentKind.DELTAS)
        count_at = delta.offsets()["change_count"]
        while True:
            polled = reader.poll(clock.monotonic_ns())
            for at in range(0, len(polled.records), delta.DELTA_BYTES):
                if polled.records[at + count_at] == 1:
                    out.write(b"%d\n" % int.from_bytes(polled.records[at : at + 8], "little"))
            out.flush()
            if not polled.record_count:
                time.sleep(200e-6)


def write(parent: Lines, path: str) -> None:
    """Publish at the rate until the parent has gone; answer "count" with the number of deltas so far."""
    rows = full_book()
    half = len(rows) // 2
    book = [*rows[: LEVEL_COUNT // 2], *rows[half : half + LEVEL_COUNT // 2]]
    dearer = [(ticks + ticks // 20 if is_ask else ticks, lots, is_ask) for ticks, lots, is_ask in book]
    with open_directory(path) as directory, contextlib.ExitStack() as stack:
        springs: list[Spring] = []
        outlets = [
            stack.enter_context(Outlet(directory, name, name, SYMBOLS, RING_CAPACITY, clock.monotonic_ns())) for name in SETS
        ]
        for name, outlet in zip(SETS, outlets, strict=True):
            held = book if name == BUYERS_SET else dearer
            for symbol in SYMBOLS:
                instrument = Instrument(name, symbol, symbol, PRICE_DECIMALS, SIZE_DECIMALS)
                keeper = BookKeeper(instrument, outlet, None)
                keeper.apply(Snapshot(instrument, levels_of(held)), clock.realtime_ns())
                springs.append((keeper, [Update(instrument, levels) for levels in ten_changes(NEAR_LEVELS, held)]))
        springs.sort(key=lambda spring: spring[0].instrument.symbol)  # the exchanges by turns
        with contextlib.suppress(Gone):  # the parent has gone
            _write_on(parent, outlets, springs)


def _write_on(parent: Lines, outlets: list[Outlet], springs: list[Spring]) -> None:
    plants = {
        keeper.instrument.symbol: (keeper, *_plant(keeper)) for keeper, _ in springs if keeper.instrument.exchange == PLANTED_SET
    }
    parent.send("writing")
    begun, published, beat = clock.monotonic_ns(), 0, 0
    while True:
        if select.select([parent.reading], [], [], TURN_S)[0]:
            parent.hear()
            parent.send(published)
        now = clock.monotonic_ns()
        if now - beat > BEAT_NS:
            beat = now
            for outlet in outlets:
                outlet.beat(now)
        for turn in range(published, (now - begun) * DELTAS_PER_S // 1_000_000_000):
            if turn % PLANT_EVERY == 0:
                number = turn // PLANT_EVERY
                keeper, *pair = plants[SYMBOLS[number // 2 % len(SYMBOLS)]]
                keeper.apply(pair[number % 2], clock.realtime_ns())
            else:
                keeper, updates = springs[turn % len(springs)]
                keeper.apply(updates[turn // len(springs) % 2], clock.realtime_ns())
            published = turn + 1


def _plant(keeper: BookKeeper) -> tuple[Update, Update]:
    """Update that plants a bid above another exchange's asks, and the one that removes it."""
    bid, gone = levels_of([(PLANTED_TICKS, PLANTED_LOTS, False)]), levels_of([(PLANTED_TICKS, 0, False)])
    return Update(keeper.instrument, bid), Update(keeper.instrument, gone)
