"""`pipeline`: time from raw JSON bytes to the published group, through `flow.ingest` as in `collect`, without a socket.

After the last frame the book is compared with the simulated market's own, which proves that the timed book was exact.
"""

from collections.abc import Iterator

from alphapulse_cli.apps.bench.frames import STARTED_NS, STEP_NS, Tape
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.measure import frame_by_frame
from alphapulse_cli.apps.bench.report import Result, Samples
from alphapulse_cli.apps.bench.scenarios.decode import LOADS, tapes
from alphapulse_cli.errors import IntegrityError
from alphapulse_cli.exchanges.protocol import BOOK
from alphapulse_cli.flow.ingest import Ingest
from alphapulse_cli.flow.keeper import BookKeeper
from alphapulse_cli.wire.delta import DELTA_BYTES, BookState

LEVEL_BYTES = 16


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    import orjson

    for case, made in tapes(ground, "pipeline"):
        symbols = [instrument.symbol for instrument in made.instruments]
        with ground.outlet("bench-pipeline", made.exchange.facts.name, symbols) as outlet:
            ingest = Ingest(made.exchange, made.receiver(), made.instruments, {BOOK}, outlet, lambda *_: None)
            open_ingest(ingest, made)
            before, receive = outlet.deltas.published, ingest.receive
            samples = frame_by_frame(lambda frame: receive(frame, STARTED_NS), orjson.loads, made.updates)  # noqa: B023 called here
            for keeper in ingest.keepers.values():
                _check(case, made, keeper)
            yield samples.result("pipeline", case, LOADS, "Socket, event loop and trades; image, counters and CHECKs are in it.")
            if not made.depth and made.market is not None:
                yield _bandwidth(case, made, keeper, outlet.deltas.published - before)


def open_ingest(ingest: Ingest, made: Tape) -> None:
    """Feed ingest the opening of a tape; its requests are answered by the tape."""
    ingest.connected(STARTED_NS)
    for heard in made.opening:
        if heard.is_snapshot:
            ingest.receive_snapshot(made.instruments[0], heard.body, STARTED_NS + STEP_NS)
        else:
            ingest.receive(heard.body, STARTED_NS + STEP_NS)
        ingest.pending_requests()


def _check(case: str, made: Tape, keeper: BookKeeper) -> None:
    """Check that the book is LIVE and equal to the market's. IntegrityError if not."""
    if keeper.state is not BookState.LIVE:
        raise IntegrityError(f"pipeline, {case}: the book is {keeper.state.name}, not LIVE")
    if made.market is None:
        return
    bids, asks = made.market.book(keeper.instrument.symbol, made.depth or None)
    if (keeper.book.bids(), keeper.book.asks()) != (list(bids), list(asks)):
        raise IntegrityError(f"pipeline, {case}: the book is not the market's")


def _bandwidth(case: str, made: Tape, keeper: BookKeeper, records: int) -> Result:
    """Line about the bytes of records an update, against the bytes of the full book."""
    book = float((keeper.book.bid_count + keeper.book.ask_count) * LEVEL_BYTES)
    spent = records * DELTA_BYTES / len(made.updates)
    samples = Samples([spent], [book], [spent / book], len(made.updates))
    return samples.result(
        "pipeline",
        f"{case}: bandwidth",
        "the full book's levels, 16 bytes each",
        "Padding is in it: a record is 256 bytes.",
        "bytes",
    )
