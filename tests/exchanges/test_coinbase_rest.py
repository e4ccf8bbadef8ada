"""Coinbase's public REST of simulators, in both interfaces: answers in their recorded shapes, and every figure out of the market."""

from itertools import pairwise

import orjson
import pytest
from support.coinbase_frames import BTC, BTC_USDC, ETH
from support.exchange_truth import PlainTruth

from alphapulse_cli.exchanges.coinbase import RestEncoder
from alphapulse_cli.exchanges.timestamps import rfc3339_ns
from alphapulse_cli.market.events import Side
from alphapulse_cli.market.instrument import Instrument

MARKET = "/api/v3/brokerage/market"
ETH_BTC = Instrument("coinbase", "ETH-BTC", "ETH-BTC", 5, 8)
NOON_NS = rfc3339_ns("2026-09-21T12:00:00Z")
NOON_S = NOON_NS // 10**9
MINUTE_NS = 60 * 10**9


def market():
    """BTC-USD at 100.00 and 102.00, trades a minute apart: 98.00, 99.50, 101.00 for 0.5 each; ETH-BTC at 0.05."""
    truth = PlainTruth([BTC, ETH, ETH_BTC, BTC_USDC])
    truth.change("BTC-USD", [(9_900, 3 * 10**8, False), (10_000, 2 * 10**8, False), (10_200, 10**7, True), (10_300, 7, True)])
    truth.change("ETH-BTC", [(4_999, 1, False), (5_001, 1, True)])
    for minutes, ticks, side in ((3, 9_800, Side.SELL), (2, 9_950, Side.BUY), (1, 10_100, Side.BUY)):
        truth.trade("BTC-USD", ticks, 5 * 10**7, side, exchange_ns=NOON_NS - minutes * MINUTE_NS)
    return truth


def get(path, mode="", truth=None, **query):
    """Status and parsed answer."""
    status, body = RestEncoder(truth or market(), mode).respond(path, query, NOON_NS)
    return status, orjson.loads(body)


def good(path, mode="", truth=None, **query):
    status, answer = get(path, mode, truth, **query)
    assert status == 200
    return answer


class TestAdvancedProducts:
    def test_a_record_has_each_key_of_the_real_one(self):
        """Keys of the recorded answer of April 2026 for BTC-USD."""
        keys = (
            "product_id price price_percentage_change_24h volume_24h volume_percentage_change_24h base_increment quote_increment "
            "quote_min_size quote_max_size base_min_size base_max_size base_name quote_name watched is_disabled new status cancel_only "
            "limit_only post_only trading_disabled auction_mode product_type quote_currency_id base_currency_id "
            "fcm_trading_session_details mid_market_price alias alias_to base_display_symbol quote_display_symbol view_only "
            "price_increment display_name product_venue approximate_quote_24h_volume new_at market_cap base_cbrn quote_cbrn "
            "product_cbrn icon_color icon_url display_name_overwrite is_alpha_testing about_description best_bid_price best_ask_price"
        )
        assert set(good(f"{MARKET}/products/BTC-USD")) == set(keys.split())

    def test_its_figures_are_the_markets(self):
        record = good(f"{MARKET}/products/BTC-USD")
        figures = {
            "price": "101",
            "volume_24h": "1.5",
            "price_percentage_change_24h": "3.06122448979592",
            "approximate_quote_24h_volume": "149.25",
            "best_bid_price": "100",
            "best_ask_price": "102",
            "base_increment": "0.00000001",
            "price_increment": "0.01",
            "base_name": "Bitcoin",
            "alias_to": ["BTC-USDC"],
            "display_name": "BTC-USD",
        }
        assert {key: record[key] for key in figures} == figures

    def test_before_the_first_trade_there_is_no_price(self):
        record = good(f"{MARKET}/products/ETH-USD")
        assert (record["price"], record["volume_24h"], record["price_percentage_change_24h"]) == ("", "0", "")

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ({}, ["BTC-USD", "ETH-USD", "ETH-BTC", "BTC-USDC"]),
            ({"product_type": "SPOT", "limit": "2", "offset": "1"}, ["ETH-USD", "ETH-BTC"]),
            ({"product_type": "FUTURE"}, []),
            ({"product_ids": "ETH-BTC,BTC-USD"}, ["BTC-USD", "ETH-BTC"]),
            ({"limit": "x", "offset": "-1"}, ["BTC-USD", "ETH-USD", "ETH-BTC", "BTC-USDC"]),
        ],
    )
    def test_a_query_chooses(self, query, names):
        answer = good(f"{MARKET}/products", **query)
        assert [record["product_id"] for record in answer["products"]] == names
        assert answer["num_products"] == len(names)


class TestAdvancedMarket:
    def test_a_book_says_its_middle_and_spread(self):
        answer = good(f"{MARKET}/product_book", product_id="BTC-USD", limit="1")
        book = answer.pop("pricebook")
        assert (book["bids"], book["asks"]) == ([{"price": "100", "size": "2"}], [{"price": "102", "size": "0.1"}])
        middle = {"last": "101", "mid_market": "101"}
        assert answer == {**middle, "spread_bps": "198.019801980198", "spread_absolute": "2"}

    def test_an_empty_book_has_no_middle(self):
        assert good(f"{MARKET}/product_book", product_id="ETH-USD")["mid_market"] == ""

    def test_trades_newest_first_with_the_makers_side_and_the_best_prices(self):
        answer = good(f"{MARKET}/products/BTC-USD/ticker", limit="2")
        assert [(each["trade_id"], each["price"], each["side"]) for each in answer["trades"]] == [
            ("3", "101", "SELL"),
            ("2", "99.5", "SELL"),
        ]
        assert answer["trades"][0]["exchange"] == "coinbase"
        assert (answer["best_bid"], answer["best_ask"]) == ("100", "102")

    def test_trades_of_a_span(self):
        answer = good(f"{MARKET}/products/BTC-USDC/ticker", start=str(NOON_S - 180), end=str(NOON_S - 120))
        assert [(each["trade_id"], each["product_id"]) for each in answer["trades"]] == [("2", "BTC-USDC"), ("1", "BTC-USDC")]

    def test_candles_newest_first_without_those_that_had_no_trade(self):
        candles = f"{MARKET}/products/BTC-USD/candles"
        span = {"start": str(NOON_S - 3600), "end": str(NOON_S)}
        assert [each["start"] for each in good(candles, granularity="ONE_MINUTE", **span)["candles"]] == [
            str(NOON_S - ago) for ago in (60, 120, 180)
        ]
        (candle,) = good(candles, granularity="FIVE_MINUTE", **span)["candles"]
        assert candle == {"start": str(NOON_S - 300), "low": "98", "high": "101", "open": "98", "close": "101", "volume": "1.5"}
        assert good(candles, granularity="ONE_MINUTE", start=str(NOON_S - 120), end=str(NOON_S - 60), limit="1")["candles"][0][
            "start"
        ] == str(NOON_S - 60)

    @pytest.mark.parametrize("name", ["ONE_MINUTE", "FIVE_MINUTE", "FIFTEEN_MINUTE", "THIRTY_MINUTE", "ONE_HOUR", "TWO_HOUR", "FOUR_HOUR", "SIX_HOUR", "ONE_DAY"])  # fmt: skip
    def test_each_granularity_holds_all_trades(self, name):
        rows = good(f"{MARKET}/products/BTC-USD/candles", granularity=name)["candles"]
        assert sum(float(row["volume"]) for row in rows) == 1.5
        assert all(int(newer["start"]) > int(older["start"]) for newer, older in pairwise(rows))

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ({}, "granularity argument is invalid"),
            ({"granularity": "TWO_MINUTE"}, "granularity argument is invalid"),
            (
                {"granularity": "ONE_MINUTE", "start": "0", "end": str(NOON_S)},
                "number of candles requested should be less than 350",
            ),
            ({"granularity": "ONE_DAY", "start": str(NOON_S), "end": "7"}, "start and end argument is invalid"),
        ],
    )
    def test_candles_that_cannot_be_had_are_refused(self, query, words):
        status, answer = get(f"{MARKET}/products/BTC-USD/candles", **query)
        assert (status, answer["error"]) == (400, "INVALID_ARGUMENT")
        assert words in answer["message"]

    @pytest.mark.parametrize(
        "path",
        [
            "products/DOGE-USD",
            "products/DOGE-USD/ticker",
            "product_book",
            "products/BTC-USD/dance",
            "dance",
            "products/BTC-USD/ticker/x",
        ],
    )
    def test_what_there_is_not_is_404(self, path):
        assert get(f"{MARKET}/{path}")[0] == 404

    def test_the_time_in_both_interfaces(self):
        assert good("/api/v3/brokerage/time") == {
            "iso": "2026-09-21T12:00:00Z",
            "epochSeconds": str(NOON_S),
            "epochMillis": f"{NOON_S}000",
        }
        assert good("/v2/time") == {"data": {"iso": "2026-09-21T12:00:00Z", "epoch": NOON_S}}


class TestCurrencies:
    def test_money_and_coins_are_two_lists(self):
        assert good("/v2/currencies") == {"data": [{"id": "USD", "name": "US Dollar", "min_size": "0.01"}]}
        coins = good("/v2/currencies/crypto")["data"]
        assert [(coin["code"], coin["name"], coin["exponent"], coin["type"]) for coin in coins] == [
            ("BTC", "Bitcoin", 8, "crypto"),
            ("ETH", "Ethereum", 8, "crypto"),
            ("USDC", "USDC", 6, "crypto"),
        ]
        assert len({coin["asset_id"] for coin in coins}) == 3

    def test_rates_are_the_middles_of_the_books_also_over_two_products(self):
        """ETH-USD has no book here: a dollar buys 1/101 BTC, and a BTC buys 20 ETH. BTC-USDC is BTC-USD's book."""
        worth = {"BTC": "0.009900990099009901", "ETH": "0.19801980198019802", "USD": "1", "USDC": "1"}
        assert good("/v2/exchange-rates") == {"data": {"currency": "USD", "rates": worth}}
        assert good("/v2/exchange-rates", currency="btc")["data"]["rates"]["USD"] == "101"

    def test_a_currency_that_is_not_traded_is_refused(self):
        status, answer = get("/v2/exchange-rates", currency="XXX")
        assert (status, answer["errors"][0]["id"]) == (400, "invalid_request")
        assert get("/v2/accounts")[1] == {"errors": [{"id": "not_found", "message": "Not found"}]}

    def test_the_exchanges_list_has_all(self):
        found = {each["id"]: each for each in good("/currencies", "exchange")}
        assert {code: (each["details"]["type"], each["max_precision"]) for code, each in found.items()} == {
            "BTC": ("crypto", "0.00000001"),
            "ETH": ("crypto", "0.00000001"),
            "USD": ("fiat", "0.01"),
            "USDC": ("crypto", "0.000001"),
        }
        assert good("/currencies/BTC", "exchange") == found["BTC"]
        assert get("/currencies/XXX", "exchange") == (404, {"message": "NotFound"})


class TestExchange:
    def test_a_record_has_each_key_of_the_real_one_and_the_smallest_size(self):
        keys = (
            "id base_currency quote_currency quote_increment base_increment display_name min_market_funds margin_enabled post_only "
            "limit_only cancel_only status status_message trading_disabled fx_stablecoin max_slippage_percentage auction_mode "
            "high_bid_limit_percentage"
        )
        assert set(good("/products/BTC-USD", "exchange")) - set(keys.split()) == {"base_min_size"}

    def test_books_of_both_levels(self):
        book = good("/products/BTC-USD/book", "exchange")
        assert (book["bids"], book["asks"]) == ([["100.00", "2.00000000", 1]], [["102.00", "0.10000000", 1]])
        assert (book["sequence"], book["auction_mode"]) == (4, False)
        assert len(good("/products/BTC-USD/book", "exchange", level="2")["asks"]) == 2
        assert get("/products/BTC-USD/book", "exchange", level="3")[0] == 400

    def test_the_ticker(self):
        assert good("/products/BTC-USD/ticker", "exchange") == {
            "ask": "102.00",
            "bid": "100.00",
            "volume": "1.5",
            "trade_id": 3,
            "price": "101.00",
            "size": "0.50000000",
            "time": "2026-09-21T11:59:00.000000Z",
            "rfq_volume": "0",
        }
        assert get("/products/ETH-USD/ticker", "exchange")[0] == 404

    def test_the_stats(self):
        stats = good("/products/BTC-USDC/stats", "exchange")
        figures = {"open": "98", "high": "101", "low": "98", "last": "101", "volume": "1.5", "volume_30day": "1.5"}
        assert {key: stats[key] for key in figures} == figures

    def test_the_volumes_of_all(self):
        found = {each["id"]: each["spot_volume_24hour"] for each in good("/products/volume-summary", "exchange")}
        assert found == {"BTC-USD": "1.5", "ETH-USD": "0", "ETH-BTC": "0", "BTC-USDC": "1.5"}

    def test_candles_are_exact_json_numbers_newest_first(self):
        _, body = RestEncoder(market(), "exchange").respond("/products/BTC-USD/candles", {"granularity": "60"}, NOON_NS)
        assert body.decode() == (
            f"[[{NOON_S - 60},101,101,101,101,0.5],[{NOON_S - 120},99.5,99.5,99.5,99.5,0.5],[{NOON_S - 180},98,98,98,98,0.5]]"
        )

    @pytest.mark.parametrize("start", [str(NOON_S - 120), "2026-09-21T11:58:00Z"])
    def test_candles_of_a_span_in_seconds_or_text(self, start):
        rows = good("/products/BTC-USD/candles", "exchange", granularity="60", start=start, end="nonsense")
        assert [row[0] for row in rows] == [NOON_S - 60, NOON_S - 120]

    @pytest.mark.parametrize(
        ("query", "words"),
        [({"granularity": "120"}, "Unsupported granularity"), ({"granularity": "60", "start": "0"}, "exceeds 300")],
    )
    def test_candles_that_cannot_be_had_are_refused(self, query, words):
        status, answer = get("/products/BTC-USD/candles", "exchange", **query)
        assert status == 400
        assert words in answer["message"]

    @pytest.mark.parametrize(
        ("query", "ids"),
        [({}, [3, 2, 1]), ({"limit": "1"}, [3]), ({"after": "3"}, [2, 1]), ({"before": "1"}, [3, 2]), ({"after": "1"}, [])],
    )
    def test_trades_in_pages_whose_ends_the_headers_say(self, query, ids):
        rest = RestEncoder(market(), "exchange")
        path = "/products/BTC-USD/trades"
        assert [row["trade_id"] for row in orjson.loads(rest.respond(path, query, NOON_NS)[1])] == ids
        cursors = [("CB-BEFORE", str(ids[0])), ("CB-AFTER", str(ids[-1]))] if ids else []
        assert list(rest.headers(path, query, NOON_NS)) == cursors

    def test_other_answers_have_no_cursors(self):
        assert list(RestEncoder(market(), "exchange").headers("/products", {}, NOON_NS)) == []
        assert list(RestEncoder(market()).headers("/products/BTC-USD/trades", {}, NOON_NS)) == []
