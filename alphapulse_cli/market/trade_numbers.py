"""A trade's price and size, exact on the instrument's grid or on a finer one of its own: a trade never touches the grid of a book.

Every record of a trade names its decimals, so one that is finer than what the book needs is told as it is. What no record can hold
(finer than 18 decimals, ticks or lots beyond i64) is refused: it leaves as a Trade that says so, with its id, so that whoever
counts ids finds no hole where it was.
"""

from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import MAX_TICKS, SHOWN_CHARACTERS, OffGridRow, price_and_size


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
    """The trade of these JSON numbers or decimal texts; NeedsRawText or Malformed as `market.ticks` raises them."""
    grid: Instrument | None = instrument
    ticks = lots = 0
    try:
        ticks, lots = price_and_size(price, size, instrument.price_decimals, instrument.size_decimals)
    except OffGridRow as off:
        grid = instrument.on_grid(off.price_decimals, off.size_decimals)
        if grid is not None:
            ticks, lots = price_and_size(price, size, grid.price_decimals, grid.size_decimals)
    if grid is None or ticks > MAX_TICKS or lots > MAX_TICKS:
        said = f"price {str(price)[:SHOWN_CHARACTERS]} size {str(size)[:SHOWN_CHARACTERS]}"
        return Trade(instrument, trade_id, 0, 0, side, exchange_ns, history, refused=said)
    return Trade(grid, trade_id, ticks, lots, side, exchange_ns, history)
