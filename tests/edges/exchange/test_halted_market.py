"""A market that its exchange halts while it is collected, over real sockets: told in its words, no arbitrage, and back."""

import json

import pytest
from support.feeds import FEEDS, NO_STATUS, feed_id
from support.reader_sets import Writer
from support.session_parts import Rig
from support.sim_parts import until

from alphapulse_cli import exchanges
from alphapulse_cli.apps.arb.watch import Watch
from alphapulse_cli.apps.tail import Tail
from alphapulse_cli.errors import UsageError
from alphapulse_cli.flow.arbitrage.candidate import ArbitragePolicy, RejectReason
from alphapulse_cli.flow.arbitrage.opportunity import EventKind
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.readers.items import DeltaGroup
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.layout import SegmentKind as Holds
from alphapulse_cli.wire.delta import BookState

SYMBOL = "ETH-BTC"
CANCEL_ONLY, TRADING = TradingStatus.CANCEL_ONLY, TradingStatus.TRADING
BY_REST = [feed for feed in FEEDS if feed[0] != "kraken" and feed[0] not in NO_STATUS]


class TestHalted:
    async def test_kraken_tells_it_in_band_and_arbitrage_is_silent_until_it_trades_again(self, directory):
        """The book stays LIVE; the other side is a set of its own, dearer than any price here."""
        async with Rig(directory, "kraken") as rig:
            with Writer(directory, [SYMBOL], "coinbase", "coinbase") as dear:
                await rig.live()
                dear.snapshot([(100, 10**8, False), (200, 10**8, True)], SYMBOL)
                fees = {"kraken": "0", "coinbase": "0"}
                tail = Tail(directory, Holds.DELTAS, Wanted.of(("kraken",), None), "oldest", how="sleep")
                with Watch(directory, Wanted(), ArbitragePolicy(max_age_ns=10**12, max_skew_us=10**9), fees, "sleep") as watching:
                    events = []

                    def happened(kind, why=None):
                        dear.beat()
                        rig.outlet.beat(clock.monotonic_ns())
                        events.extend(watching.poll())
                        return any((event.kind, event.why) == (kind, why) for event in events)

                    await until(lambda: happened(EventKind.OPENED))
                    rig.sim.set_trading_status(SYMBOL, CANCEL_ONLY)
                    await until(lambda: happened(EventKind.CLOSED, RejectReason.NOT_TRADABLE))
                    assert rig.keeper().state is BookState.LIVE
                    assert watching.status().not_tradable == (f"kraken:{SYMBOL} cancel only",)
                    assert watching.counts()["held_back"] == {"not_tradable": 1}
                    assert f"kraken:{SYMBOL}: trading status CANCEL_ONLY (the exchange says 'cancel_only')" in rig.warnings
                    (look,) = [one for one in watching.looks(True) if one["buy"] == "kraken"]
                    assert (look["verdict"], look["trading_statuses"]) == ("not_tradable", ["CANCEL_ONLY", "TRADING"])
                    events.clear()
                    rig.sim.set_trading_status(SYMBOL, TRADING)
                    await until(lambda: happened(EventKind.OPENED))
                told = [one.row() for one in tail.poll() if isinstance(one, DeltaGroup) and one.kind.name == "STATUS"]
                assert [row["trading_status"] for row in told] == ["TRADING", "CANCEL_ONLY", "TRADING"]
                assert json.dumps(told)
                tail.close()

    @pytest.mark.parametrize("feed", BY_REST, ids=feed_id)
    async def test_the_others_tell_it_with_the_metadata(self, directory, feed):
        """Which is read again beside a reconnect."""
        async with Rig(directory, feed[0], mode=feed[1]) as rig:
            await rig.live()
            status = CANCEL_ONLY if feed[0] == "coinbase" else TradingStatus.SUSPENDED
            rig.sim.set_trading_status(SYMBOL, status)
            rig.ingest.receive_instruments(rig.metadata(exchanges.get(feed[0])), clock.realtime_ns())
            assert rig.keeper().trading_status is status
            assert rig.keeper().state is BookState.LIVE
            rig.sim.set_trading_status(SYMBOL, TRADING)
            rig.ingest.receive_instruments(rig.metadata(exchanges.get(feed[0])), clock.realtime_ns())
            assert rig.keeper().trading_status is TRADING

    async def test_the_mischief_halts_a_market_and_lets_it_go_on(self, directory):
        async with Rig(directory, "kraken") as rig:
            await rig.live()
            rig.sim.inject("halted", SYMBOL, seconds=2.0)
            await rig.moves_until(lambda: rig.keeper().trading_status is CANCEL_ONLY)
            assert rig.sim.injection_counts["halted"] == 1
            sequence = rig.sim.truth.sequence(SYMBOL)
            await rig.sim.advance(5)
            assert rig.sim.truth.sequence(SYMBOL) == sequence, "something happened in a halted market"
            await rig.moves_until(lambda: rig.keeper().trading_status is TRADING)
            await rig.settles()

    async def test_a_status_that_the_exchange_has_no_word_for_is_refused(self, directory):
        async with Rig(directory, "binance-us") as rig:
            with pytest.raises(UsageError, match="has no trading status POST_ONLY"):
                rig.sim.set_trading_status(SYMBOL, TradingStatus.POST_ONLY)
            assert rig.sim.truth.instruments[SYMBOL].trading_status is TRADING
