"""REST book of OKX: the best 100 levels a side."""

from urllib.parse import quote

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.okx import facts
from alphapulse_cli.exchanges.okx.fields import OffGridFound, book_of, fetched_row
from alphapulse_cli.exchanges.protocol import NOT_UNDERSTOOD, RestBook
from alphapulse_cli.market.events import Snapshot
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels

LEVELS = 100


def _path(native: str) -> str:
    return f"{facts.BOOKS_PATH}?instId={quote(native)}&sz={LEVELS}"


def _levels(instrument: Instrument, body: bytes) -> Levels:
    try:
        return book_of(Snapshot, instrument, fetched_row(body)).levels
    except OffGridFound:
        raise DecodeError("its numbers are finer than the book's grid", body) from None
    except NOT_UNDERSTOOD as error:
        raise DecodeError(f"not a book: {error!r:.200}", body) from None


REST_BOOK = RestBook(_path, 1, _levels)
