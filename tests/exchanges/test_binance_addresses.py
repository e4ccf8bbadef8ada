"""What Binance makes of the address that a client opened: streams named in it, bare and wrapped frames, the unit of times."""

import orjson
import pytest
from support.binance import BTC, ETH
from support.exchange_truth import PlainTruth

from alphapulse_cli.exchanges.binance import Encoder
from alphapulse_cli.exchanges.protocol import opened

NOW = 1_633_998_274_793_456_000
MARKET = [(29731, 5, False), (29732, 7, True)]


def at(address, exchange="binance"):
    """An encoder whose client opened that address, its market and the refusal."""
    truth = PlainTruth([BTC, ETH])
    truth.change("BTC-USDT", MARKET)
    encoder = Encoder(truth, exchange=exchange)
    return encoder, truth, opened(encoder, address)


def update(encoder, truth):
    truth.change("BTC-USDT", MARKET[:1])
    return [orjson.loads(frame) for frame in encoder.update("BTC-USDT", MARKET[:1], NOW)]


def ask(encoder, **request):
    return [orjson.loads(frame) for frame in encoder.receive(orjson.dumps(request), NOW)]


class TestStreamsNamedInIt:
    @pytest.mark.parametrize(
        ("address", "wrapped"),
        [
            ("/stream?streams=btcusdt@depth@100ms", True),
            ("/stream?streams=ethusdt@trade/btcusdt@depth", True),
            ("/ws/btcusdt@depth@100ms", False),
            ("/ws/ethusdt@trade/btcusdt@depth", False),
        ],
    )
    def test_streams_in_the_address_are_fed_without_a_request(self, address, wrapped):
        encoder, truth, refusal = at(address)
        assert refusal is None
        [frame] = update(encoder, truth)
        assert ("stream" in frame) is wrapped
        assert frame.get("data", frame)["e"] == "depthUpdate"
        [listed] = ask(encoder, method="LIST_SUBSCRIPTIONS", id=1)
        assert listed["result"] == (address.partition("streams=")[2] or address[4:]).split("/")

    def test_pictures_of_streams_in_the_address_come_at_once(self):
        encoder, _, _ = at("/ws/btcusdt@depth5")
        [picture] = map(orjson.loads, encoder.connected(NOW))
        assert (picture["bids"], picture["asks"]) == ([["297.31000000", "0.00050000"]], [["297.32000000", "0.00070000"]])

    def test_more_may_be_subscribed_to_and_these_unsubscribed_from(self):
        encoder, truth, _ = at("/ws/btcusdt@depth")
        assert ask(encoder, method="UNSUBSCRIBE", params=["btcusdt@depth"], id=1) == [{"result": None, "id": 1}]
        assert update(encoder, truth) == []
        ask(encoder, method="SUBSCRIBE", params=["btcusdt@depth@100ms"], id=2)
        assert len(update(encoder, truth)) == 1

    def test_a_stream_of_an_unknown_symbol_stays_silent(self):
        encoder, truth, refusal = at("/ws/nosuch@depth")
        assert (refusal, list(encoder.connected(NOW)), update(encoder, truth)) == (None, [], [])


class TestTheFormOfFrames:
    @pytest.mark.parametrize(
        ("address", "wrapped"),
        [("/ws", False), ("/ws/", False), ("/stream", True), ("/stream?timeUnit=MICROSECOND", True), ("/", True)],
    )
    def test_frames_are_wrapped_or_bare_by_the_path(self, address, wrapped):
        encoder, truth, _ = at(address)
        ask(encoder, method="SUBSCRIBE", params=["btcusdt@depth"], id=1)
        [frame] = update(encoder, truth)
        assert ("stream" in frame) is wrapped

    def test_the_property_combined_sets_wrapped_frames(self):
        encoder, truth, _ = at("/ws/btcusdt@depth")
        assert ask(encoder, method="GET_PROPERTY", params=["combined"], id=1) == [{"result": False, "id": 1}]
        assert ask(encoder, method="SET_PROPERTY", params=["combined", True], id=2) == [{"result": None, "id": 2}]
        assert "stream" in update(encoder, truth)[0]
        assert ask(encoder, method="GET_PROPERTY", params=["combined"], id=3)[0]["result"] is True

    @pytest.mark.parametrize(
        ("params", "code"), [(["combined", 1], 1), (["combined"], 1), (["splendid", True], 0), ([7], 2), ("combined", 2), ([], 2)]
    )
    def test_another_property_is_refused(self, params, code):
        encoder, _, _ = at("/ws")
        assert ask(encoder, method="SET_PROPERTY", params=params, id=1)[0]["error"]["code"] == code

    @pytest.mark.parametrize(
        ("exchange", "query", "event_time"),
        [
            ("binance", "?timeUnit=MICROSECOND", 1_633_998_274_793_456),
            ("binance", "?timeUnit=microsecond", 1_633_998_274_793_456),
            ("binance", "?timeUnit=MILLISECOND", 1_633_998_274_793),
            ("binance", "", 1_633_998_274_793),
            ("binance-us", "?timeUnit=MICROSECOND", 1_633_998_274_793),
        ],
    )
    def test_times_have_the_unit_that_was_asked_for(self, exchange, query, event_time):
        encoder, truth, _ = at(f"/ws/btcusdt@depth{query}", exchange)
        assert update(encoder, truth)[0]["E"] == event_time


class TestRefused:
    @pytest.mark.parametrize("address", ["/v2", "/stream/btcusdt@depth", "/ws-api/v3", "/streams?streams=a@trade"])
    def test_an_unknown_path_is_refused(self, address):
        assert at(address)[2] == (404, b"")

    @pytest.mark.parametrize("stream", ["btcusdt@avgPrice", "btcusdt@kline_1m@+08:00", "btcusdt@ticker_1h", "!ticker_4h@arr"])
    def test_a_stream_that_only_the_real_exchange_has_is_refused_by_name(self, stream):
        """Accepted and silent it would look like a fault of the client's."""
        status, body = at(f"/ws/{stream}")[2]
        assert (status, stream in body.decode()) == (400, True)
        encoder, truth, _ = at("/ws")
        [answer] = ask(encoder, method="SUBSCRIBE", params=["btcusdt@depth", stream], id=1)
        assert (answer["error"]["code"], stream in answer["error"]["msg"]) == (2, True)
        assert update(encoder, truth) == [], "the request was refused as a whole"

    def test_more_streams_than_a_connection_carries_are_refused(self):
        assert at("/stream?streams=" + "/".join(f"a{number}@trade" for number in range(1025)))[2][0] == 400
        assert at("/stream?streams=" + "/".join(f"a{number}@trade" for number in range(1024)))[2] is None


class TestIds:
    @pytest.mark.parametrize("number", [0, 7, (1 << 63) - 1])
    @pytest.mark.parametrize("exchange", ["binance", "binance-us"])
    def test_both_operators_accept_unsigned_integers_as_ids(self, exchange, number):
        encoder, _, _ = at("/ws", exchange)
        assert ask(encoder, method="LIST_SUBSCRIPTIONS", id=number) == [{"result": [], "id": number}]

    @pytest.mark.parametrize("number", [None, "", "25ee63c4-321b-44e0-8440-2cd53a306e10", -1, -(1 << 63)])
    def test_binance_accepts_text_null_and_signed_integers_as_ids(self, number):
        encoder, _, _ = at("/ws", "binance")
        assert ask(encoder, method="SUBSCRIBE", params=["btcusdt@trade"], id=number) == [{"result": None, "id": number}]
        other, _, _ = at("/ws", "binance-us")
        assert ask(other, method="SUBSCRIBE", params=["btcusdt@trade"], id=number)[0]["code"] == 2

    @pytest.mark.parametrize("number", ["x" * 37, 1.5, True, [], {}, 1 << 63])
    def test_other_ids_are_refused_by_both_operators(self, number):
        for exchange in ("binance", "binance-us"):
            if exchange == "binance-us" and number == 1 << 63:
                continue  # an unsigned integer
            encoder, _, _ = at("/ws", exchange)
            [answer] = ask(encoder, method="SUBSCRIBE", params=["btcusdt@trade"], id=number)
            assert answer.get("error", answer)["code"] == 2
