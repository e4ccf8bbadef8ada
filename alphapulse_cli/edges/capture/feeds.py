"""Feeds that are recognized by their frames, in recordings that do not say what they are of; their depths and grids.

Each is told by a mark that is in every update of a book. Names of symbols are read from the frames that begin books.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from alphapulse_cli.exchanges.protocol import Decoder, Mode
from alphapulse_cli.market.events import OffGrid
from alphapulse_cli.market.instrument import Instrument


class Known(NamedTuple):
    """A feed that can be replayed from its frames alone, with the marks of its frames."""

    mark: bytes  # in every update of a book
    exchange: str
    mode: str
    snapshot_mark: bytes
    symbol: re.Pattern[bytes]
    one_sequence: bool  # the connection has one sequence: no frame may be left out
    depth: re.Pattern[bytes] | None = None  # the depth in the frame with the snapshot's mark, where it is told
    snapshot_after: int = 0  # frames from the one with the mark to the snapshot


PRODUCT = re.compile(rb'"product_id":"([^"]{1,16})"')
FEEDS = (
    Known(b'"channel":"l2_data"', "coinbase", "advanced", b'"type":"snapshot"', PRODUCT, one_sequence=True),
    Known(b'"type":"l2update"', "coinbase", "exchange", b'"type":"snapshot"', PRODUCT, one_sequence=False),
    Known(
        b'"channel":"book","type":"update"',
        "kraken",
        "",
        b'"channel":"book","type":"snapshot"',
        re.compile(rb'"symbol":"([^"]{1,16})"'),
        one_sequence=False,
    ),
    Known(
        b'"action":"update"',
        "okx",
        "",
        b'"action":"snapshot"',
        re.compile(rb'"channel":"books","instId":"([^"]{1,16})"'),
        one_sequence=False,
    ),
    Known(
        b'"type":"delta"',
        "bybit",
        "",
        b'"type":"snapshot"',
        re.compile(rb'"topic":"orderbook\.[0-9]{1,4}\.([^"]{1,16})"'),
        one_sequence=False,
        depth=re.compile(rb'"topic":"orderbook\.([0-9]{1,4})\.'),
    ),
    Known(  # data name only the channel of the ack
        b'"event":"subscribed","channel":"book"',
        "bitfinex",
        "",
        b'"event":"subscribed","channel":"book"',
        re.compile(rb'"symbol":"(t[^"]{1,15})"'),
        one_sequence=True,
        depth=re.compile(rb'"len":"([0-9]{1,3})"'),
        snapshot_after=1,
    ),
)


def depth_of(feed: Known, mode: Mode, snapshot: bytes) -> int | None:
    """Depth of the recorded subscription, from the frame or derived from the size of the snapshot; None for one of former times."""
    if feed.depth is not None:
        found = feed.depth.search(snapshot)
        depth = int(found[1]) if found is not None else mode.default_depth
        return depth if depth in mode.depths else None
    held = max(snapshot.partition(b'"bids"')[2].partition(b'"asks"')[0].count(b'"price"'), 1)
    return next((depth for depth in sorted(mode.depths) if depth >= held), mode.default_depth)


def on_their_grids(decoder: Decoder, frames: Iterable[bytes]) -> list[Instrument]:
    """Instruments on the finest grid that any frame needs, in place of the exchange's metadata."""
    decoder.connected(0)
    for frame in frames:
        while True:
            off_grid = next((event for event in decoder.receive(frame, 0) if isinstance(event, OffGrid)), None)
            if off_grid is None:
                break
            finer = off_grid.instrument.on_grid(off_grid.price_decimals, off_grid.size_decimals)
            if finer is None or finer == decoder.instruments[finer.native]:
                break
            decoder.use_instrument(finer)
        decoder.pending_requests()
    return list(decoder.instruments.values())
