"""Exact price and size of a trade, on the instrument's grid or on a finer one of its own: a trade never refines the grid of a book.

Each trade record names its decimals, so a trade finer than the book's grid is recorded exactly. A trade that fits no record (finer
than 18 decimals, ticks or lots beyond i64) leaves as a Trade with `refused` set and its id, so that a reader that counts ids finds
no hole in them.
"""

from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.scan import MAX_TICKS
from alphapulse_cli.market.ticks import SHOWN_CHARACTERS, OffGridRow, price_and_size


def exact_trade(
    instrument: Instrument,
    trade_id: str,
    price: object,
    size: object,
    side: Side,
    exchange_ns: int | None,
    *,
    history: bool = False,
) -> Trade:
    """Make a Trade of JSON numbers or decimal texts. Raises NeedsRawText or Malformed (`market.ticks`)."""
    grid: Instrument | None = instrument
    ticks = lots = 0
    try:
        ticks, lots = price_and_size(price, size, instrument.price_decimals, instrument.size_decimals)
    except OffGridRow as off:
        grid = instrument.on_grid(off.price_decimals, off.size_decimals)
        if grid is not None:
            ticks, lots = price_and_size(price, size, grid.price_decimals, grid.size_decimals)
    if grid is None or ticks > MAX_TICKS or lots > MAX_TICKS:
        refused = f"price {str(price)[:SHOWN_CHARACTERS]} size {str(size)[:SHOWN_CHARACTERS]}"
        return Trade(instrument, trade_id, 0, 0, side, exchange_ns, history, refused=refused)
    return Trade(grid, trade_id, ticks, lots, side, exchange_ns, history)
