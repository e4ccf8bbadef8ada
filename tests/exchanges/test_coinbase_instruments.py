"""Coinbase's facts, its product records and its REST side."""

import subprocess
import sys

import orjson
import pytest
from support.coinbase_frames import BTC, BTC_USDC, ETH, TIME_NS
from support.exchange_truth import PlainTruth

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.coinbase import FACTS, Decoder, Encoder, RestEncoder, parse_instruments
from alphapulse_cli.market.instrument import Instrument

MODES = ["advanced", "exchange"]
RECORD = {
    "product_id": "BTC-USD",
    "price_increment": "0.01",
    "quote_increment": "0.01",
    "base_increment": "0.00000001",
    "base_min_size": "0.0001",
    "product_type": "SPOT",
    "status": "online",
    "trading_disabled": False,
    "is_disabled": False,
    "view_only": False,
    "alias": "",
    "alias_to": ["BTC-USDC"],
}


def parsed(**changed):
    return list(parse_instruments(orjson.dumps({"products": [{**RECORD, **changed}]})))


def test_an_advanced_record():
    assert parsed() == [Instrument("coinbase", "BTC-USD", "BTC-USD", 2, 8, min_size_lots=10_000)]


def test_an_exchange_record():
    record = {
        "id": "BAND-BTC",
        "quote_increment": "0.00000001",
        "base_increment": "0.01",
        "base_min_size": "0.1",
        "status": "online",
    }
    assert parse_instruments(orjson.dumps([record]), "exchange") == [
        Instrument("coinbase", "BAND-BTC", "BAND-BTC", 8, 2, min_size_lots=10)
    ]


def test_an_alias_names_the_product_whose_book_it_shares():
    assert parsed(product_id="BTC-USDC", alias="BTC-USD", alias_to=[])[0].alias_of == "BTC-USD"


@pytest.mark.parametrize(
    ("changed", "grid"),
    [
        ({"price_increment": "0.05"}, (2, 8, 5, 1)),
        ({"price_increment": "10"}, (0, 8, 10, 1)),
        ({"base_increment": "0.250"}, (2, 2, 1, 25)),
        ({"base_increment": "1"}, (2, 0, 1, 1)),
    ],
)
def test_increments_become_grids_and_multiples(changed, grid):
    (found,) = parsed(**changed)
    assert (found.price_decimals, found.size_decimals, found.tick_size_ticks, found.lot_size_lots) == grid


def test_a_smallest_size_between_two_lots_is_rounded_up():
    assert parsed(base_increment="0.1", base_min_size="0.25")[0].min_size_lots == 3


@pytest.mark.parametrize(
    "changed",
    [{"status": "delisted"}, {"trading_disabled": True}, {"is_disabled": True}, {"view_only": True}, {"cancel_only": True}],
)
def test_what_is_not_traded_is_kept_and_says_so(changed):
    assert [found.trading for found in parsed(**changed)] == [False]


@pytest.mark.parametrize(
    "changed",
    [
        {"product_type": "FUTURE"},
        {"product_id": "BIT-28JUL23-CDE"},
        {"product_id": None},
        {"price_increment": ""},
        {"price_increment": "0"},
        {"price_increment": 0.01},
        {"base_increment": "1e-19"},
        {"base_min_size": "-1"},
        {"alias": 7},
    ],
)
def test_a_record_that_cannot_be_collected_is_left_out(changed):
    assert parsed(**changed) == []


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"products":{}}', b'{"products":[7]}'])
def test_another_shape_is_refused(body):
    with pytest.raises(DecodeError):
        parse_instruments(body)


@pytest.mark.parametrize("mode", MODES)
class TestRest:
    """The simulator's REST side, in either mode."""

    @pytest.fixture
    def truth(self):
        made = PlainTruth([BTC, ETH, BTC_USDC])
        made.change("BTC-USD", [(999, 5, False), (1000, 5, False), (1001, 7, True)])
        return made

    def test_its_products_are_read_back(self, truth, mode):
        rest = RestEncoder(truth, mode)
        path = FACTS.mode(mode).instruments_path or FACTS.instruments_path
        status, body = rest.respond(path, {}, TIME_NS)
        found = Decoder([BTC], {"book"}, mode=mode).receive_instruments(body)
        assert status == 200
        assert {each.symbol: (each.price_decimals, each.size_decimals, each.trading) for each in found} == dict.fromkeys(
            ["BTC-USD", "ETH-USD", "BTC-USDC"], (2, 8, True)
        )
        assert rest.respond(f"{path}/BTC-USD", {}, TIME_NS)[0] == 200

    def test_what_it_does_not_know_is_404(self, truth, mode):
        for path in ("/", "/products/DOGE-USD", "/products/DOGE-USD/book", "/api/v3/brokerage/market/products/DOGE-USD"):
            status, body = RestEncoder(truth, mode).respond(path, {}, TIME_NS)
            assert status == 404
            assert orjson.loads(body)["message"]

    def test_its_book(self, truth, mode):
        rest = RestEncoder(truth, mode)
        if mode == "advanced":
            status, body = rest.respond("/api/v3/brokerage/market/product_book", {"product_id": "BTC-USDC", "limit": "1"}, TIME_NS)
            assert orjson.loads(body)["pricebook"]["bids"] == [{"price": "10", "size": "0.00000005"}]
        else:
            status, body = rest.respond("/products/BTC-USD/book", {"level": "2"}, TIME_NS)
            assert orjson.loads(body)["bids"] == [["10.00", "0.00000005", 1], ["9.99", "0.00000005", 1]]
        assert status == 200


def test_the_aliases_of_the_rest_side_are_read_back():
    status, body = RestEncoder(PlainTruth([BTC, BTC_USDC])).respond(FACTS.instruments_path, {}, TIME_NS)
    assert status == 200
    assert [each.alias_of for each in parse_instruments(body)] == ["", "BTC-USD"]


def test_there_are_two_modes_and_no_third():
    assert [mode.name for mode in FACTS.modes] == MODES
    for make in (
        lambda: Decoder([BTC], {"book"}, mode="pro"),
        lambda: Encoder(PlainTruth([BTC]), "pro"),
        lambda: parse_instruments(b"[]", "pro"),
    ):
        with pytest.raises(KeyError):
            make()


def test_importing_it_imports_nothing_heavy():
    code = "import sys, alphapulse_cli.exchanges.coinbase; print({'numpy', 'asyncio', 'websockets', 'rich'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "set()"
