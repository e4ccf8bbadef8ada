"""The records' tables: what numpy makes of them, what design.md draws, and what `struct` packs are the same offsets."""

import struct

import pytest

from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.wire import delta, trade

DESIGN_DELTA = {  # design.md section 2
    "timestamp_ns": 0, "symbol": 8, "exchange": 24, "version": 40, "prev_version": 48, "change_count": 56, "flags": 57,
    "price_decimals": 58, "size_decimals": 59, "feed_delay_us": 60, "changes": 64,
}  # fmt: skip
DESIGN_PAYLOADS = {
    "check.book_hash": 64, "check.bid_levels": 72, "check.ask_levels": 76, "check.checksum": 80, "check.state": 81,
    "status.state": 64, "status.reason": 65, "status.trading_status": 66,
}  # fmt: skip
DESIGN_TRADE = {
    "timestamp_ns": 0, "symbol": 8, "exchange": 24, "price": 40, "volume": 48, "side": 56, "trade_id": 57, "reserved": 89,
    "price_ticks": 96, "size_lots": 104, "exchange_ns": 112, "price_decimals": 120, "size_decimals": 121, "flags": 122, "padding": 123,
}  # fmt: skip


class TestDelta:
    def test_the_table_the_dtype_and_the_design_agree(self):
        """One table, three readings of it."""
        dtype = delta.dtype()
        assert {name: field[1] for name, field in dtype.fields.items()} == DESIGN_DELTA
        assert delta.offsets() == DESIGN_DELTA | DESIGN_PAYLOADS
        assert dtype.itemsize == delta.DELTA_BYTES == 256

    def test_twelve_changes_of_sixteen_bytes_follow_the_header(self):
        """One cache line of header and three of changes."""
        changes = delta.dtype()["changes"]
        assert changes.shape == (delta.MAX_CHANGES,)
        assert changes.base.itemsize == delta.CHANGE_BYTES
        assert delta.HEADER_BYTES + delta.MAX_CHANGES * delta.CHANGE_BYTES == delta.DELTA_BYTES

    def test_bits_do_not_overlap(self):
        """Size, newness and side share one word; kind and marks one byte."""
        assert delta.SIZE_MASK + delta.LEVEL_IS_NEW == (1 << 63) - 1 - delta.SIZE_MASK + delta.SIZE_MASK
        assert delta.SIZE_MASK & delta.LEVEL_IS_NEW == delta.SIZE_MASK & delta.IS_ASK == delta.LEVEL_IS_NEW & delta.IS_ASK == 0
        assert len({delta.KIND_MASK & 4, delta.FIRST, delta.LAST, delta.RESYNCED}) == 4
        assert max(delta.RecordKind) <= delta.KIND_MASK


class TestTrade:
    INSTRUMENT = Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8)

    def test_the_table_the_dtype_and_the_design_agree(self):
        """The first 89 bytes are the seed's."""
        dtype = trade.dtype()
        assert {name: field[1] for name, field in dtype.fields.items()} == DESIGN_TRADE
        assert dtype.itemsize == trade.TRADE_BYTES == trade.RECORD.size == 128

    def test_what_is_packed_is_what_the_dtype_reads(self):
        """Every field, by name."""
        import numpy as np

        packed = trade.pack(
            Trade(self.INSTRUMENT, "42", 1217060, 150000000, Side.SELL, 77, history=True), 99, trade.FIRST | trade.LAST
        )
        row = np.frombuffer(packed, trade.dtype())[0]
        assert (row["timestamp_ns"], row["symbol"], row["exchange"], row["trade_id"]) == (99, b"BTC-USD", b"kraken", b"42")
        assert (row["price"], row["volume"], row["side"]) == (121706.0, 1.5, 1)
        assert (row["price_ticks"], row["size_lots"], row["exchange_ns"]) == (1217060, 150000000, 77)
        assert (row["price_decimals"], row["size_decimals"]) == (1, 8)
        assert row["flags"] == trade.HISTORY | trade.FIRST | trade.LAST
        assert packed[89:96] == bytes(7)
        assert packed[123:] == bytes(5)

    @pytest.mark.parametrize(
        "wrong",
        [
            Trade(INSTRUMENT, "x" * 33, 1, 1, Side.BUY, None),
            Trade(INSTRUMENT, "x\0", 1, 1, Side.BUY, None),
            Trade(INSTRUMENT, "1", 1 << 63, 1, Side.BUY, None),
            Trade(INSTRUMENT, "1", 1, 1 << 63, Side.BUY, None),
        ],
    )
    def test_what_does_not_fit_is_refused_and_never_cut(self, wrong):
        """The caller counts it."""
        with pytest.raises(ValueError, match=r"trade|fit"):
            trade.pack(wrong, 1, 0)

    def test_the_exchange_may_give_no_time(self):
        """0 then."""
        packed = trade.pack(Trade(self.INSTRUMENT, "", 1, 1, Side.UNKNOWN, None), 1, 0)
        assert struct.unpack_from("<Q", packed, 112) == (0,)
