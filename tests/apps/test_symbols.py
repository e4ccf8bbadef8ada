"""`symbols` lists an exchange's markets from its own metadata, here from simulators over loopback."""

import asyncio

import pytest
from support.feeds import FEEDS

from alphapulse_cli.apps.symbols import symbols
from alphapulse_cli.errors import ExchangeError, UsageError
from alphapulse_cli.sim.exchange import SimulatedExchange


def listed(exchange, pattern="", mode=""):
    async def ask():
        async with SimulatedExchange(exchange, rate=0, mode=mode) as simulated:
            return await symbols(exchange, mode, "", simulated.rest_url, pattern, lambda *_: None)

    return asyncio.run(ask())


@pytest.mark.parametrize(("exchange", "mode"), [*FEEDS, ("binance", "")])
def test_every_exchange_lists_its_markets(exchange, mode):
    rows = listed(exchange, mode=mode)
    assert [row.symbol for row in rows] == sorted(row.symbol for row in rows)
    assert any(row.symbol.startswith("BTC-") for row in rows)
    assert all(row.exchange == exchange and row.tick_size and row.lot_size for row in rows)


def test_the_grid_is_exact_decimal_text():
    row = next(row for row in listed("kraken") if row.symbol == "BTC-USD")
    assert (row.native, row.tick_size, row.lot_size) == ("BTC/USD", "0.1", "0.00000001")


@pytest.mark.parametrize("pattern", ["btc", "BTC-*", "b?c-usd"])
def test_a_pattern_in_any_case(pattern):
    found = [row.symbol for row in listed("kraken", pattern)]
    assert "BTC-USD" in found
    assert "SOL-USD" not in found


async def test_what_cannot_be_asked():
    with pytest.raises(UsageError, match="no mode"):
        await symbols("kraken", "v9", "", "http://127.0.0.1:1", "", lambda *_: None)
    with pytest.raises(ExchangeError):
        await symbols("kraken", "", "", "http://127.0.0.1:1", "", lambda *_: None)
