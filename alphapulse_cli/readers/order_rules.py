"""An exchange's rules for orders, read from a book's image."""

from contextlib import suppress

from alphapulse_cli.errors import SegmentError, StorageError
from alphapulse_cli.flow.arbitrage.terms import Rules
from alphapulse_cli.market.scan import MAX_DECIMALS
from alphapulse_cli.shm.directory import Directory, segment_name
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.segment import Segment


def order_rules(directory: Directory, set_name: str, symbol: str) -> Rules | None:
    """Lot size and minimum size from a book's image; None if there is no image or it does not say them."""
    with suppress(SegmentError, StorageError):
        rules = ImageReader(Segment.attach(directory, segment_name(SegmentKind.BOOK, set_name, symbol))).rules()
        if rules is not None and rules.size_decimals <= MAX_DECIMALS:  # shared memory may hold any bytes
            return Rules(rules.lot_size_lots, rules.min_size_lots, rules.size_decimals)
    return None
