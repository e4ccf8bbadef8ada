"""REST books that can be compared with followed ones: what a simulator answers is its own book, and anything else is refused."""

import json
from urllib.parse import parse_qsl

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphapulse_cli import exchanges
from alphapulse_cli.errors import DecodeError
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.sim.exchange import SimulatedExchange

NAMES = ("binance", "binance-us", "okx")
TEXTS = st.sampled_from(["1.5", "0", "-1", "1e5", "", "0.001", "x"])
KEYS = st.sampled_from(["bids", "asks", "data", "code", "msg", "ts", "lastUpdateId", "seqId"])
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
SIDES = st.fixed_dictionaries({"bids": ANY, "asks": ANY, "ts": ANY})
BODIES = st.one_of(ANY, SIDES, st.fixed_dictionaries({"code": st.just("0"), "data": st.lists(SIDES, max_size=2)})).map(orjson.dumps)


def test_those_with_one_are_named():
    assert tuple(sorted(name for name in exchanges.BUILT_IN if exchanges.get(name).rest_book is not None)) == NAMES


@pytest.mark.parametrize("name", NAMES)
async def test_the_answer_is_the_books_best_levels(name):
    exchange = exchanges.get(name)
    async with SimulatedExchange(name, seed=3, symbols=("ETH-BTC",), rate=0) as sim:
        await sim.advance(20)
        known = sim.truth.instruments["ETH-BTC"]
        path, _, query = exchange.rest_book.path(known.native).partition("?")
        status, body = sim.answer(path, dict(parse_qsl(query)))
        bids, asks = sim.truth.book("ETH-BTC", 100)
    levels = list(exchange.rest_book.levels(known, body))
    assert status == 200
    assert sorted((ticks, lots) for ticks, lots, is_ask in levels if is_ask) == sorted(asks)
    assert sorted((ticks, lots) for ticks, lots, is_ask in levels if not is_ask) == sorted(bids)
    coarse = Instrument(name, "ETH-BTC", known.native, 0, 0)
    with pytest.raises(DecodeError, match="finer than the book's grid"):
        exchange.rest_book.levels(coarse, body)
    assert json.loads(body)


@pytest.mark.parametrize("name", NAMES)
@given(body=BODIES | st.binary(max_size=20))
def test_another_answer_is_levels_or_refused(name, body):
    try:
        found = exchanges.get(name).rest_book.levels(Instrument(name, "A-B", "AB", 2, 3), body)
    except DecodeError:
        return
    assert isinstance(found, Levels)
