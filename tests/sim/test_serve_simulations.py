"""Several simulated exchanges in one process: `run`."""

import asyncio
from collections.abc import Sequence

import pytest
from support.sim_parts import SMALL, SmallClient, client_of, until

from alphapulse_cli import exchanges
from alphapulse_cli.errors import UsageError
from alphapulse_cli.sim.exchange import SimulatedExchange
from alphapulse_cli.sim.serve import SimSpec, run


@pytest.fixture(autouse=True)
def everybody_speaks_the_small_protocol(monkeypatch):
    """The registry's exchanges, in the small protocol: their own are tested elsewhere."""
    monkeypatch.setattr(exchanges, "get", lambda name: SMALL)


SPECS = [SimSpec(name, ["BTC-USD"], rate=100) for name in ("kraken", "coinbase", "binance-us")]


class TestRun:
    """From the ports to the end."""

    async def test_all_exchanges_serve_until_cancelled(self):
        """`on_ready` is told once, when every port is open; afterwards they are closed."""
        told: list[Sequence[SimulatedExchange]] = []
        task = asyncio.create_task(run(SPECS, seed=4, on_ready=told.append))
        await until(lambda: bool(told))
        assert len(told) == 1
        assert len({exchange.port for exchange in told[0]} | {0}) == 4
        for exchange, native in zip(told[0], ["BTC/USD", "BTC-USD", "BTCUSD"], strict=True):
            async with client_of(exchange) as websocket:
                await SmallClient(websocket).subscribe(native)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", told[0][0].port)

    async def test_prices_are_shared(self):
        """The mids of two exchanges are within a thousandth of one another."""

        def check(served):
            mids = []
            for exchange in served:
                bids, asks = exchange.truth.book("BTC-USD", 1)
                mids.append((bids[0][0] + asks[0][0]) / 10 ** exchange.truth.instruments["BTC-USD"].price_decimals)
            assert max(mids) / min(mids) < 1.001

        await run(SPECS, seed=4, duration=0.05, on_ready=check)

    async def test_a_duration_ends_it_and_the_counts_are_still_there(self):
        """Returned stopped."""
        served = await run(SPECS, duration=0.3)
        assert [exchange.name for exchange in served] == ["kraken", "coinbase", "binance-us"]
        assert all(exchange.step_count for exchange in served)

    async def test_a_market_that_breaks_is_not_hidden(self):
        """An error of the timer comes out of `run`."""

        def break_it(served):
            served[0].truth.step = None

        with pytest.raises(TypeError):
            await run(SPECS[:1], duration=20, on_ready=break_it)

    async def test_a_taken_port_stops_the_others_too(self):
        """Two on one port."""
        told: list[Sequence[SimulatedExchange]] = []
        task = asyncio.create_task(run(SPECS[:1], on_ready=told.append))
        await until(lambda: bool(told))
        port = told[0][0].port
        with pytest.raises(UsageError, match=str(port)):
            await run([SPECS[1], SimSpec("kraken", ["BTC-USD"], port=port)])
        task.cancel()
        await asyncio.wait([task])


async def test_invented_markets_have_their_own_names_in_the_form_of_the_exchange():
    (one,) = await run([SimSpec("kraken", more=3)], duration=0.01)
    invented = [each for symbol, each in one.truth.instruments.items() if symbol.startswith("Q")]
    assert [(each.symbol, each.native) for each in invented] == [
        ("QAA-USD", "QAA/USD"),
        ("QAB-USD", "QAB/USD"),
        ("QAC-USD", "QAC/USD"),
    ]
    with pytest.raises(UsageError, match="99999 invented markets"):
        await run([SimSpec("kraken", more=99_999)])
