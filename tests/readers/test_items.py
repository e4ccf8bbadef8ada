"""Records as items: any bytes become rows, and the layouts read are those of the tables."""

from hypothesis import given
from hypothesis import strategies as st

from alphapulse_cli.flow.groups import Polled
from alphapulse_cli.readers import items
from alphapulse_cli.readers.items import KEPT_NAMES, Names, TradeItem, delta_groups, trade_items
from alphapulse_cli.wire import delta, trade


@given(octets=st.binary(min_size=256, max_size=256))
def test_any_bytes_become_rows(octets):
    """A damaged ring is shown as far as it goes; it raises nothing."""
    told = delta_groups(Polled(memoryview(octets * 2), 2, 0, 0, False), "kraken", Names(None))
    assert all(item.row() for item in told)
    assert len([item.row() for item in trade_items(memoryview(octets), "kraken", Names(None))]) == 2


def test_layouts_are_those_of_the_tables():
    at = delta.offsets()
    assert items.HEADER.size == at["changes"]
    assert trade.RECORD.size == trade.TRADE_BYTES
    assert items.CHECK.size == at["check.state"] + 1 - at["check.book_hash"]
    assert TradeItem._fields[3] == "timestamp_ns"


def test_names_are_of_wanted_symbols_and_boundedly_many():
    names = Names(frozenset({"BTC-USD"}))
    keys = [symbol.ljust(16, b"\0") + b"kraken".ljust(16, b"\0") for symbol in (b"BTC-USD", b"ETH-USD")]
    assert [names.of(key) for key in keys] == [("BTC-USD", "kraken"), None]
    for number in range(2 * KEPT_NAMES):
        names.of(b"%032d" % number)
        assert len(names._known) <= KEPT_NAMES
    assert names.of(keys[0]) == ("BTC-USD", "kraken")
