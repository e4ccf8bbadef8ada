"""REST book of Binance.US and Binance: the best 100 levels a side."""

from urllib.parse import quote

from orjson import loads

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.binance import facts
from alphapulse_cli.exchanges.binance.fields import OffGridFound, levels_of
from alphapulse_cli.exchanges.protocol import NOT_UNDERSTOOD, RestBook
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels


def rest_book(exchange: str) -> RestBook:
    """Request and reader of the REST book of that exchange."""
    limit = facts.SNAPSHOT_LIMITS[0]

    def path(native: str) -> str:
        return f"{facts.DEPTH_PATH}?symbol={quote(native)}&limit={limit}"

    def levels(instrument: Instrument, body: bytes) -> Levels:
        try:
            answer = loads(body)
            return levels_of(instrument, answer["bids"], answer["asks"])
        except OffGridFound:
            raise DecodeError("its numbers are finer than the book's grid", body) from None
        except NOT_UNDERSTOOD as error:
            raise DecodeError(f"not a book: {error!r:.200}", body) from None

    return RestBook(path, facts.snapshot_weight(exchange, limit), levels)
