"""When the instruments' metadata is read again: beside each connection, at most once a minute, hourly, and after a failure."""

from urllib.parse import parse_qsl

import orjson
import pytest
from support.feeds import EXCHANGES, NO_STATUS
from support.flow_parts import Desk, River, listed, native_of

from alphapulse_cli.exchanges.protocol import joined
from alphapulse_cli.market.requests import FetchInstruments
from alphapulse_cli.market.trading_status import TradingStatus


@pytest.fixture
def desk(directory):
    desk = Desk(directory, [listed("binance-us")])
    desk.ingest.connected(desk.monotonic)
    return desk


def asked_within(desk, seconds, step=1.0):
    """The seconds from now on at which the metadata was asked for."""
    asked, passed = [], 0.0
    while passed < seconds:
        desk.tick(step)
        passed += step
        asked += [passed for each in desk.take_requests() if isinstance(each, FetchInstruments)]
    return asked


def test_beside_the_first_connection_a_minute_after_it_was_read(desk):
    assert asked_within(desk, 600) == [60]


def test_beside_each_further_connection_never_before_it(desk):
    asked_within(desk, 600)
    desk.ingest.disconnected(desk.now)
    assert asked_within(desk, 100) == []
    desk.ingest.connected(desk.monotonic)
    assert asked_within(desk, 100) == [1]


def test_at_most_once_a_minute_however_often_it_connects(desk):
    asked = []
    for _ in range(60):
        desk.ingest.connected(desk.monotonic)
        asked += asked_within(desk, 5)
    assert len(asked) in (4, 5), "five minutes"


def test_hourly_give_or_take_a_tenth(desk):
    asked_within(desk, 60)
    first, second, third = asked_within(desk, 3 * 3960, step=10.0)[:3]
    assert 3240 <= first <= 3960
    assert second - first == pytest.approx(first, abs=20) == third - second
    assert desk.ingest.outlet.epoch % 201 != 100 or first == pytest.approx(3600, abs=20), "by the set's epoch"


def test_a_failure_is_made_good_a_minute_later(desk):
    asked_within(desk, 60)
    desk.ingest.fetch_failed(None, desk.monotonic)
    assert asked_within(desk, 600) == [60]


def metadata(river):
    """The answers to what was asked first, of the market as it is now."""
    rest = river.exchange.rest_encoder(river.truth, river.mode)
    asked = next(each.paths for each in river.requests if isinstance(each, FetchInstruments))
    parts = [path.partition("?") for path in asked]
    return joined([rest.respond(path, dict(parse_qsl(query)), river.now)[1] for path, _, query in parts])


def without_numbers(body, symbol):
    """The metadata with the names alone in that symbol's row."""
    answer = orjson.loads(body)
    if isinstance(answer, list):
        tickers, sizes = answer
        rows = [row if native_of("bitfinex", symbol) != row[0] else [row[0], *["?"] * 10] for row in tickers]
        return orjson.dumps([rows, sizes])
    listed = answer.get("symbols") or answer.get("products") or answer.get("data") or answer["result"]
    if "list" in listed:
        listed = listed["list"]
    for row in listed.values() if isinstance(listed, dict) else listed:
        names = {key: row[key] for key in ("symbol", "product_id", "wsname", "instId") if key in row}
        if {each.replace("/", "-") for each in names.values()} & {symbol, symbol.replace("-", "")}:
            row.clear()
            row.update(names)
    return orjson.dumps(answer)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_an_instrument_that_is_listed_no_longer_is_delisted_until_it_is_again(directory, exchange):
    """Kraken takes a pair that it delists out of the answer; an answer that lists nothing says nothing."""
    river = River(directory, exchange, [listed(exchange, symbol) for symbol in ("BTC-USD", "ETH-USD")])
    river.ingest.connected(river.monotonic)
    asked_within(river, 130)
    everything = dict(river.truth.instruments)

    def read(*symbols, spoilt=""):
        river.truth.instruments.clear()
        river.truth.instruments.update({symbol: everything[symbol] for symbol in symbols})
        body = metadata(river)
        river.ingest.receive_instruments(without_numbers(body, spoilt) if spoilt else body, river.now)
        return [river.keeper(symbol).trading_status.name for symbol in everything]

    assert read(*everything) == ["TRADING", "TRADING"]
    assert read(*everything, spoilt="ETH-USD") == ["TRADING", "TRADING"], "it is listed, in a row that cannot be read"
    assert read() == ["TRADING", "TRADING"]
    assert read("BTC-USD") == ["TRADING", "DELISTED"]
    assert read("BTC-USD") == ["TRADING", "DELISTED"]
    line = f"{exchange}:ETH-USD: trading status DELISTED: the exchange's metadata lists it no longer"
    assert river.warnings.count(line) == 1
    assert asked_within(river, 130) == [120], "it may be listed again at any moment"
    assert read(*everything) == ["TRADING", "TRADING"]


@pytest.mark.parametrize("exchange", [name for name in EXCHANGES if name != "kraken" and name not in NO_STATUS])
def test_each_two_minutes_while_a_market_is_not_traded_freely(directory, exchange):
    """Where it is told over REST alone, nobody says that it trades again."""
    river = River(directory, exchange)  # whose books are not LIVE: none is quiet
    river.ingest.connected(river.monotonic)
    listed_as = river.truth.instruments["BTC-USD"]

    def read(status):
        river.truth.instruments["BTC-USD"] = listed_as.with_status(status, "")
        river.ingest.receive_instruments(metadata(river), river.now)

    asked_within(river, 130)
    read(TradingStatus.SUSPENDED)
    assert river.keeper().trading_status is not TradingStatus.TRADING
    assert asked_within(river, 300) == [120]
    read(TradingStatus.TRADING)
    assert asked_within(river, 600) == []
