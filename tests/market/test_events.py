"""market/events.py and requests.py: plain values, each of which belongs to who received it."""

import dataclasses
import typing

import pytest

from alphapulse_cli.market import events, requests
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels

BTC = Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8)


class TestEvents:
    """What a decoder may hand on."""

    def test_the_sides_are_the_trade_records(self):
        """0 bought, 1 sold, 2 unknown: bytes of a public layout."""
        assert [(side.name, int(side)) for side in events.Side] == [("BUY", 0), ("SELL", 1), ("UNKNOWN", 2)]

    def test_a_snapshot_is_no_update(self):
        """Both are book events with levels on their instrument's grid."""
        for kind in (events.Snapshot, events.Update):
            event = kind(BTC, Levels(1, 8), exchange_ns=5, checksum=7, depth=10)
            assert (event.exchange_ns, event.checksum, event.depth) == (5, 7, 10)
        assert not issubclass(events.Snapshot, events.Update)
        assert not issubclass(events.Update, events.Snapshot)

    @pytest.mark.parametrize("kind", [kind for kind in typing.get_args(events.Event) if not issubclass(kind, events.BookEvent)])
    def test_slow_side_events_cannot_be_changed(self, kind):
        """They are shared by whoever looks at them."""
        assert dataclasses.is_dataclass(kind)
        assert kind.__dataclass_params__.frozen
        assert "__slots__" in vars(kind)

    @pytest.mark.parametrize("kind", typing.get_args(requests.Request))
    def test_requests_are_values(self, kind):
        """Two that ask the same are the same."""
        assert kind.__dataclass_params__.frozen
        assert requests.Send(b"x") == requests.Send(b"x")
