"""Each exchange's words for what a market takes, by REST and in band, to our trading statuses and back."""

from urllib.parse import parse_qsl

import orjson
import pytest
from support.exchange_truth import PlainTruth
from support.feeds import FEEDS, NO_STATUS
from support.flow_parts import listed

from alphapulse_cli import exchanges
from alphapulse_cli.exchanges.kraken.status import read_status
from alphapulse_cli.market.trading_status import TradingStatus

T = TradingStatus
TELLING = [feed for feed in FEEDS if feed[0] not in NO_STATUS]
CAN_SAY = {
    "kraken": {T.TRADING, T.LIMIT_ONLY, T.POST_ONLY, T.CANCEL_ONLY, T.SUSPENDED, T.DELISTED},
    "coinbase": {T.TRADING, T.LIMIT_ONLY, T.POST_ONLY, T.AUCTION, T.CANCEL_ONLY, T.SUSPENDED, T.DELISTED},
    "binance-us": {T.TRADING, T.AUCTION, T.SUSPENDED},
    "okx": {T.TRADING, T.SUSPENDED},
    "bybit": {T.TRADING, T.SUSPENDED, T.DELISTED},
}
ROWS = {  # the records of an answer
    "kraken": lambda answer: answer["result"].values(),
    "coinbase": lambda answer: answer["products"],
    "coinbase-exchange": lambda answer: answer,
    "binance-us": lambda answer: answer["symbols"],
    "okx": lambda answer: answer["data"],
    "bybit": lambda answer: answer["result"]["list"],
}


def body_of(name, mode, status=T.TRADING, said=()):
    """The exchange's metadata of one market that is so, its record changed by what is said."""
    truth = PlainTruth([listed(name).with_status(status, "")])
    facts = exchanges.get(name).facts
    path, _, query = (facts.mode(mode).instruments_path or facts.instruments_path).partition("?")
    code, body = exchanges.get(name).rest_encoder(truth, mode).respond(path, dict(parse_qsl(query)), 0)
    assert code == 200
    answer = orjson.loads(body)
    for row in ROWS["coinbase-exchange" if mode == "exchange" else name](answer):
        row.update(said)
    return orjson.dumps(answer)


def record(name, mode, **said):
    """The same of a market that trades; `status` is the record's field here."""
    return body_of(name, mode, T.TRADING, said)


def read(name, mode, body):
    (found,) = exchanges.get(name).parse_instruments(body, mode)
    return found


class TestThereAndBack:
    @pytest.mark.parametrize("status", [one for one in T if one is not T.UNKNOWN])
    @pytest.mark.parametrize(("name", "mode"), TELLING)
    def test_a_simulator_says_what_its_exchange_has_a_word_for(self, name, mode, status):
        """What it has none for is UNKNOWN to who reads it: nothing is taken for another thing."""
        expected = status if status in CAN_SAY[name] else T.UNKNOWN
        assert read(name, mode, body_of(name, mode, status)).trading_status is expected


class TestWords:
    @pytest.mark.parametrize(
        ("word", "status"),
        [("online", T.TRADING), ("limit_only", T.LIMIT_ONLY), ("post_only", T.POST_ONLY), ("cancel_only", T.CANCEL_ONLY),
         ("reduce_only", T.CANCEL_ONLY), ("maintenance", T.SUSPENDED), ("work_in_progress", T.SUSPENDED), ("delisted", T.DELISTED),
         ("frobnicated", T.UNKNOWN), ("", T.UNKNOWN), ("ONLINE", T.UNKNOWN)],
    )  # fmt: skip
    def test_words_of_kraken(self, word, status):
        found = read("kraken", "", record("kraken", "", status=word))
        assert (found.trading_status, found.status_word) == (status, word)

    @pytest.mark.parametrize(
        ("word", "status"),
        [("TRADING", T.TRADING), ("HALT", T.SUSPENDED), ("BREAK", T.SUSPENDED), ("AUCTION_MATCH", T.AUCTION),
         ("PRE_TRADING", T.SUSPENDED), ("POST_TRADING", T.SUSPENDED), ("END_OF_DAY", T.SUSPENDED), ("HALT_BUY_ONLY", T.UNKNOWN)],
    )  # fmt: skip
    def test_words_of_binance(self, word, status):
        found = read("binance-us", "", record("binance-us", "", status=word))
        assert (found.trading_status, found.status_word) == (status, word)

    @pytest.mark.parametrize(
        ("word", "status"),
        [("Trading", T.TRADING), ("PreLaunch", T.SUSPENDED), ("Delivering", T.SUSPENDED), ("Closed", T.DELISTED),
         ("Halted", T.UNKNOWN), ("", T.UNKNOWN), ("TRADING", T.UNKNOWN)],
    )  # fmt: skip
    def test_words_of_bybit(self, word, status):
        found = read("bybit", "", record("bybit", "", status=word))
        assert (found.trading_status, found.status_word) == (status, word)

    @pytest.mark.parametrize(
        ("said", "status", "word"),
        [({}, T.TRADING, "online"), ({"limit_only": True}, T.LIMIT_ONLY, "limit_only"), ({"post_only": True}, T.POST_ONLY, "post_only"),
         ({"auction_mode": True}, T.AUCTION, "auction_mode"), ({"cancel_only": True}, T.CANCEL_ONLY, "cancel_only"),
         ({"trading_disabled": True}, T.SUSPENDED, "trading_disabled"), ({"view_only": True}, T.SUSPENDED, "view_only"),
         ({"is_disabled": True}, T.SUSPENDED, "is_disabled"), ({"status": "offline"}, T.SUSPENDED, "offline"),
         ({"status": "delisted"}, T.DELISTED, "delisted"), ({"status": "novel"}, T.UNKNOWN, "novel"), ({"status": 7}, T.UNKNOWN, "no text"),
         ({"post_only": True, "cancel_only": True}, T.CANCEL_ONLY, "post_only, cancel_only"),
         ({"status": "novel", "limit_only": True}, T.UNKNOWN, "novel, limit_only")],
    )  # fmt: skip
    @pytest.mark.parametrize("mode", ["advanced", "exchange"])
    def test_words_of_coinbase(self, mode, said, status, word):
        """The strictest of all that is said."""
        found = read("coinbase", mode, record("coinbase", mode, **said))
        assert (found.trading_status, found.status_word) == (status, word)

    @pytest.mark.parametrize(
        ("word", "status"),
        [("online", T.TRADING), ("limit_only", T.LIMIT_ONLY), ("post_only", T.POST_ONLY), ("cancel_only", T.CANCEL_ONLY),
         ("maintenance", T.SUSPENDED), ("dancing", T.UNKNOWN)],
    )  # fmt: skip
    def test_words_of_krakens_channel_status(self, word, status):
        said = read_status({"system": word})
        assert (said.status, said.trading_status, list(said.announcements)) == (word, status, [])

    def test_a_long_word_is_cut(self):
        assert len(read("kraken", "", record("kraken", "", status="x" * 1000)).status_word) == 40

    def test_an_answer_of_2021_names_no_status(self):
        answer = orjson.loads(body_of("kraken", ""))
        for row in answer["result"].values():
            del row["status"]
        assert read("kraken", "", orjson.dumps(answer)).trading_status is T.TRADING


class TestInBand:
    def test_krakens_instrument_channel_says_it_to_who_asked(self):
        truth = PlainTruth([listed("kraken")])
        exchange = exchanges.get("kraken")
        encoder = exchange.encoder(truth, "")
        truth.instruments["BTC-USD"] = truth.instruments["BTC-USD"].with_status(T.CANCEL_ONLY, "")
        assert encoder.trading_status("BTC-USD", 0) == []
        encoder.receive(b'{"method":"subscribe","params":{"channel":"instrument"}}', 0)
        (frame,) = encoder.trading_status("BTC-USD", 0)
        (event,) = exchange.decoder([listed("kraken")], {"book"}, 0, "").receive(frame, 0)
        assert event.instruments[0].trading_status is T.CANCEL_ONLY

    @pytest.mark.parametrize(("name", "mode"), [feed for feed in TELLING if feed[0] != "kraken"])
    def test_the_other_exchanges_send_no_trading_status(self, name, mode):
        assert not exchanges.get(name).encoder(PlainTruth([listed(name)]), mode).trading_status("BTC-USD", 0)
