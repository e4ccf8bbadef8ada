"""Binance's own side: what a client is answered, and decode(encode(e)) == e."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.binance import BTC, ETH, SECOND, kinds, sent, started
from support.exchange_truth import PlainTruth

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.binance import Decoder, Encoder, RestEncoder, parse_instruments
from alphapulse_cli.exchanges.protocol import BOOK, TRADES
from alphapulse_cli.market.events import Side, Snapshot, Subscribed, Trade, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.trading_status import TradingStatus

NOW = 1_633_998_274_793_000_000


@pytest.fixture
def truth():
    return PlainTruth([BTC, ETH])


def ask(encoder, **request):
    return [orjson.loads(frame) for frame in encoder.receive(orjson.dumps(request), NOW)]


class TestRequests:
    def test_each_has_one_ack_with_its_id(self, truth):
        encoder = Encoder(truth)
        assert ask(encoder, method="SUBSCRIBE", params=["btcusdt@trade", "nosuch@trade"], id=7) == [{"result": None, "id": 7}]
        assert ask(encoder, method="UNSUBSCRIBE", params=["nosuch@trade"], id=8) == [{"result": None, "id": 8}]
        assert ask(encoder, method="LIST_SUBSCRIPTIONS", id=9) == [{"result": ["btcusdt@trade"], "id": 9}]

    @pytest.mark.parametrize(
        ("frame", "code"),
        [
            (b"nonsense", 3),
            (b"[]", 2),
            (b'{"method":"SUBSCRIBE","params":["a@trade"]}', 2),
            (b'{"method":"SUBSCRIBE","params":["a@trade"],"id":1.5}', 2),
            (b'{"method":"SUBSCRIBE","params":"a@trade","id":1}', 2),
            (b'{"method":"SUBSCRIBE","params":[1],"id":1}', 2),
            (b'{"method":"DANCE","id":1}', 2),
        ],
    )
    def test_nonsense_is_answered_with_an_error_in_the_operators_shape(self, truth, frame, code):
        [flat] = Encoder(truth, exchange="binance-us").receive(frame, NOW)
        [nested] = Encoder(truth, exchange="binance").receive(frame, NOW)
        assert orjson.loads(flat)["code"] == code
        assert orjson.loads(nested)["error"]["code"] == code

    def test_a_connection_carries_so_many_streams(self, truth):
        encoder = Encoder(truth)
        assert ask(encoder, method="SUBSCRIBE", params=[f"a{n}@trade" for n in range(1024)], id=1)[0]["result"] is None
        assert ask(encoder, method="SUBSCRIBE", params=["one@more"], id=2)[0]["code"] == 2
        assert ask(encoder, method="SUBSCRIBE", params=["a1@trade"], id=3)[0]["result"] is None

    def test_streams_without_a_subscription_are_not_sent(self, truth):
        encoder = Encoder(truth)
        trade = truth.trade("BTC-USDT", 1, 1)
        assert (encoder.connected(NOW), encoder.heartbeat(NOW)) == ((), [])
        assert encoder.update("BTC-USDT", [(1, 1, False)], NOW) == ()
        assert encoder.trades("BTC-USDT", [trade], NOW) == ()
        ask(encoder, method="SUBSCRIBE", params=["ethusdt@depth@100ms", "ethusdt@trade"], id=1)
        assert encoder.update("BTC-USDT", [(1, 1, False)], NOW) == ()
        ask(encoder, method="UNSUBSCRIBE", params=["ethusdt@depth@100ms"], id=2)
        assert encoder.update("ETH-USDT", [(1, 1, False)], NOW) == []


class TestFrames:
    def test_a_diff_counts_level_changes_and_writes_eight_decimals(self, truth):
        encoder = Encoder(truth)
        ask(encoder, method="SUBSCRIBE", params=["btcusdt@depth@100ms"], id=1)
        truth.change("BTC-USDT", [(1, 1, False)] * 5)
        changes = [(29732, 190871, True), (29731, 0, False)]
        truth.change("BTC-USDT", changes)
        [frame] = encoder.update("BTC-USDT", changes, NOW)
        assert orjson.loads(frame) == {
            "stream": "btcusdt@depth@100ms",
            "data": {
                "e": "depthUpdate",
                "E": 1633998274793,
                "s": "BTCUSDT",
                "U": 6,
                "u": 7,
                "b": [["297.31000000", "0.00000000"]],
                "a": [["297.32000000", "19.08710000"]],
            },
        }

    def test_pictures_are_sent_at_the_subscription_at_each_change_and_each_second(self, truth):
        encoder = Encoder(truth)
        changes = [(price, price, price > 100) for price in range(70, 130)]
        truth.change("BTC-USDT", changes)
        ack, picture = ask(encoder, method="SUBSCRIBE", params=["btcusdt@depth20@100ms"], id=1)
        assert ack == {"result": None, "id": 1}
        assert (len(picture["data"]["bids"]), len(picture["data"]["asks"]), picture["data"]["lastUpdateId"]) == (20, 20, 60)
        assert picture["data"]["bids"][0] == ["1.00000000", "0.01000000"]
        for frames in (encoder.update("BTC-USDT", changes, NOW), encoder.heartbeat(NOW)):
            assert [orjson.loads(frame) for frame in frames] == [picture]


levels = st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**12), st.booleans()), min_size=1, max_size=30)


class TestRoundTrip:
    @given(levels)
    def test_an_update_survives_the_round_trip(self, changes):
        truth = PlainTruth([BTC])
        decoder, encoder = Decoder([BTC], {BOOK}), Encoder(truth)
        decoder.connected(NOW)
        [ack] = encoder.receive(orjson.dumps(sent(decoder)[0]), NOW)
        assert decoder.receive(ack, NOW) == [Subscribed("book", ["BTCUSDT"])]
        decoder.tick(NOW + 2 * SECOND)
        [fetch] = decoder.pending_requests()
        assert fetch.path == "/api/v3/depth?symbol=BTCUSDT&limit=5000"
        status, body = RestEncoder(truth).respond("/api/v3/depth", {"symbol": "BTCUSDT", "limit": "5000"}, NOW)
        assert (status, kinds(decoder.receive_snapshot(BTC, body, NOW))) == (200, [Snapshot])
        truth.change("BTC-USDT", changes)
        [update] = decoder.receive(encoder.update("BTC-USDT", changes, NOW)[0], NOW)
        assert (type(update), update.exchange_ns) == (Update, NOW)
        assert sorted(update.levels) == sorted(changes)

    @given(levels)
    def test_a_picture_survives_the_round_trip(self, changes):
        truth = PlainTruth([BTC])
        truth.change("BTC-USDT", changes)
        encoder = Encoder(truth, "depth20")
        _, frame = encoder.receive(b'{"method":"SUBSCRIBE","params":["btcusdt@depth20@100ms"],"id":1}', NOW)
        [picture] = started(mode="depth20").receive(frame, NOW)
        bids, asks = truth.book("BTC-USDT", 20)
        assert list(picture.levels) == [*((*level, False) for level in bids), *((*level, True) for level in asks)]

    @given(st.integers(0, 10**18), st.integers(0, 10**18), st.sampled_from([Side.BUY, Side.SELL]), st.integers(0, 2**60))
    def test_a_trade_survives_the_round_trip(self, ticks, lots, side, number):
        encoder = Encoder(PlainTruth([BTC]))
        encoder.receive(b'{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}', NOW)
        trade = Trade(BTC, str(number), ticks, lots, side, NOW)
        [frame] = encoder.trades("BTC-USDT", [trade], NOW)
        assert started().receive(frame, NOW) == [trade]

    def test_a_finer_grid_than_eight_decimals_is_written_in_full(self):
        fine = Instrument("binance-us", "PEPE-USDT", "PEPEUSDT", 12, 0)
        encoder = Encoder(PlainTruth([fine]))
        encoder.receive(b'{"method":"SUBSCRIBE","params":["pepeusdt@trade"],"id":1}', NOW)
        trade = Trade(fine, "1", 123456789, 7, Side.BUY, NOW)
        assert started(fine).receive(encoder.trades("PEPE-USDT", [trade], NOW)[0], NOW) == [trade]


class TestRest:
    def get(self, truth, path, **query):
        status, body = RestEncoder(truth).respond(path, query, NOW)
        return status, orjson.loads(body)

    def test_depth_is_cut_to_its_limit_best_first(self, truth):
        truth.change("BTC-USDT", [(price, 1, price > 150) for price in range(1, 300)])
        status, body = self.get(truth, "/api/v3/depth", symbol="BTCUSDT", limit="5")
        assert (status, body["lastUpdateId"]) == (200, 299)
        assert [row[0] for row in body["bids"]] == [f"1.{cents}000000" for cents in (50, 49, 48, 47, 46)]
        assert len(self.get(truth, "/api/v3/depth", symbol="BTCUSDT")[1]["asks"]) == 100
        assert len(self.get(truth, "/api/v3/depth", symbol="BTCUSDT", limit="999999")[1]["asks"]) == 149

    @pytest.mark.parametrize(
        ("path", "query", "status", "code"),
        [
            ("/api/v3/depth", {"symbol": "NOSUCH"}, 400, -1121),
            ("/api/v3/depth", {}, 400, -1102),
            ("/api/v3/depth", {"symbol": "BTCUSDT", "limit": "0"}, 400, -1100),
            ("/api/v3/depth", {"symbol": "BTCUSDT", "limit": "ten"}, 400, -1100),
            ("/api/v3/exchangeInfo", {"symbols": '["BTCUSDT","NOSUCH"]'}, 400, -1121),
            ("/api/v3/exchangeInfo", {"symbols": "BTCUSDT"}, 400, -1100),
            ("/api/v3/exchangeInfo", {"symbol": "btcusdt"}, 400, -1100),
            ("/nowhere", {}, 404, -1000),
        ],
    )
    def test_invalid_requests_get_the_exchanges_errors(self, truth, path, query, status, code):
        assert self.get(truth, path, **query)[0] == status
        assert self.get(truth, path, **query)[1]["code"] == code

    def test_instruments_come_back_as_they_were(self):
        listed = [
            Instrument("binance", "BTC-USDT", "BTCUSDT", 2, 5, 5, 1, 10),
            Instrument("binance", "SHIB-USDT", "SHIBUSDT", 8, 0, 1, 1, 1, trading_status=TradingStatus.SUSPENDED),
        ]
        rest = RestEncoder(PlainTruth(listed), exchange="binance")
        for query, wanted in (({}, listed), ({"symbols": '["SHIBUSDT"]'}, listed[1:]), ({"symbol": "BTCUSDT"}, listed[:1])):
            _, body = rest.respond("/api/v3/exchangeInfo", query, NOW)
            assert parse_instruments(body, exchange="binance") == wanted


class TestInstruments:
    def body(self, tick="0.01000000", step="0.00100000", smallest="0.00100000", **fields):
        filters = [
            {"filterType": "PRICE_FILTER", "tickSize": tick},
            {"filterType": "LOT_SIZE", "stepSize": step, "minQty": smallest},
            {"filterType": "NEW_IN_2027"},
        ]
        row = {"symbol": "ABCDUSDT", "status": "TRADING", "baseAsset": "ABCDUS", "quoteAsset": "DT", "filters": filters}
        return orjson.dumps({"symbols": [row | fields]})

    def test_names_are_read_and_never_split_by_guessing(self):
        [found] = parse_instruments(self.body())
        assert (found.symbol, found.native, found.exchange) == ("ABCDUS-DT", "ABCDUSDT", "binance-us")

    @pytest.mark.parametrize(
        ("tick", "step", "smallest", "grid"),
        [
            ("0.01000000", "0.00100000", "0.00100000", (2, 3, 1, 1, 1)),
            ("0.05000000", "1.00000000", "10.00000000", (2, 0, 5, 1, 10)),
            ("10.00000000", "0.00500000", "0.00100000", (0, 3, 10, 5, 1)),
            ("0.00000000", "0.00000000", "0.00000000", (8, 8, 1, 1, 0)),  # not enforced
        ],
    )
    def test_increments_give_the_grid(self, tick, step, smallest, grid):
        [found] = parse_instruments(self.body(tick, step, smallest))
        assert grid == (
            found.price_decimals,
            found.size_decimals,
            found.tick_size_ticks,
            found.lot_size_lots,
            found.min_size_lots,
        )

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"{}",
            b'{"symbols":[1]}',
            b'{"symbols":[{"symbol":"X","filters":[]}]}',
            b'{"code":-1121,"msg":"Invalid symbol."}',
        ],
    )
    def test_an_unreadable_answer_is_refused(self, body):
        with pytest.raises(DecodeError):
            parse_instruments(body)
        with pytest.raises(DecodeError):
            Decoder([BTC], {TRADES}).receive_instruments(body)

    @pytest.mark.parametrize("odd", [7, {"symbol": "X"}, {"symbol": "X", "filters": [{"filterType": "PRICE_FILTER"}]}])
    def test_a_row_that_is_not_understood_does_not_take_the_others_along(self, odd):
        rows = [odd, *orjson.loads(self.body())["symbols"]]
        assert [found.symbol for found in parse_instruments(orjson.dumps({"symbols": rows}))] == ["ABCDUS-DT"]

    def test_invalid_increments_are_refused(self):
        for tick in ("x", "-1", 5, None):
            with pytest.raises(DecodeError):
                parse_instruments(self.body(tick=tick))

    @pytest.mark.parametrize(
        "odd", [{"baseAsset": "\u5e01\u5b89"}, {"quoteAsset": "LONGERTHANALL"}, {"baseAsset": ""}, {"symbol": "X" * 33}]
    )
    def test_a_symbol_that_records_cannot_name_does_not_take_the_others_along(self, odd):
        rows = [orjson.loads(body)["symbols"][0] for body in (self.body(**odd), self.body())]
        assert [found.symbol for found in parse_instruments(orjson.dumps({"symbols": rows}))] == ["ABCDUS-DT"]
        assert parse_instruments(self.body(tick="1e-20")) == []

    def test_a_suspended_symbol_has_its_trading_status(self):
        assert parse_instruments(self.body(status="BREAK"))[0].trading is False
