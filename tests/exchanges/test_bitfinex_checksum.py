"""Bitfinex's number text and book checksum: real frames, the worked example, and a reference that shares no code with ours."""

import json
import re
from decimal import Decimal
from zlib import crc32

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.kraken_client import Top
from support.recorded import recorded_frames

from alphapulse_cli.exchanges.bitfinex.checksum import book_checksum, book_text, signed, unsigned
from alphapulse_cli.exchanges.bitfinex.numbers import number_text, plain_text, price_grid
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import decimals_of, to_text, to_ticks

# tXRPBTC as recorded in bitfinexcom/bitfinex-api-go, tests/integration/v2/mock_ws_public_test.go (2019), after its first update
BIDS = (
    "0.0000011*266122.94, 0.00000109*500793.10790141, 0.00000108*776367.43, 0.00000107*23329.54842056, 0.00000106*116868.87735849,"
    "0.00000105*205000, 0.00000103*227308.25386407, 0.00000102*105000, 0.00000101*2970, 0.000001*21000, 7e-7*10000, 6.6e-7*10000,"
    "6e-7*100000, 4.9e-7*10000, 2.5e-7*2000, 6e-8*100000, 5e-8*200000, 1e-8*640000"
)
ASKS = (
    "0.00000111*4847.13, 0.00000112*528102.69042633, 0.00000113*302397.07, 0.00000114*339088.93, 0.00000126*245944.06, 0.00000127*5000,"
    "0.0000013*5000, 0.00000134*8249.18938656, 0.00000136*13161.25184766, 0.00000145*2914, 0.0000015*54448.5, 0.00000152*5538.54849594,"
    "0.00000153*62691.75475079, 0.00000159*2914, 0.0000016*52631.10296831, 0.00000164*4000, 0.00000166*3831.46784605,"
    "0.00000171*14575.17730379, 0.00000174*3124.81815395, 0.0000018*18000, 0.00000182*16000, 0.00000186*4000, 0.00000189*10000.686624,"
    "0.00000191*14500, 0.00000193*2422"
)
EXPECTED, OF_PLAIN_NUMBERS = -1175357890, 1293492257


def levels(words, price_decimals=8, size_decimals=8):
    """Levels of "price*amount, price*amount"."""
    pairs = (pair.strip().split("*") for pair in words.split(","))
    return [(to_ticks(price, price_decimals), to_ticks(size, size_decimals)) for price, size in pairs]


def javascript(number):
    """Text that JavaScript gives a double: ECMAScript's Number::toString over the shortest digits, which Python's repr has too."""
    digits = Decimal(repr(number)).normalize().as_tuple().digits
    k, n = len(digits), Decimal(repr(number)).adjusted() + 1
    text = "".join(map(str, digits))
    if text == "0":
        return "0"
    if k <= n <= 21:
        shown = text + "0" * (n - k)
    elif 0 < n <= 21:
        shown = f"{text[:n]}.{text[n:]}"
    elif -6 < n <= 0:
        shown = "0." + "0" * -n + text
    else:
        e = n - 1
        shown = f"{text[0]}{'.' + text[1:] if k > 1 else ''}e{'+' if e >= 0 else '-'}{abs(e)}"
    return shown


class TestNumberText:
    @pytest.mark.parametrize(
        ("units", "decimals", "text"),
        [(0, 8, "0"), (57000, 0, "57000"), (5700010, 2, "57000.1"), (1, 6, "0.000001"), (7, 7, "7e-7"), (66, 8, "6.6e-7"),
         (1, 8, "1e-8"), (10, 8, "1e-7"), (100, 8, "0.000001"), (10**21 - 10**5, 0, "999999999999999900000"), (10**21, 0, "1e+21"),
         (12 * 10**21, 1, "1.2e+21"), (5, 0, "5"), (50, 1, "5"), (123456789, 18, "1.23456789e-10"), (10**18, 18, "1")],
    )  # fmt: skip
    def test_examples(self, units, decimals, text):
        assert number_text(units, decimals) == text

    @given(st.integers(0, 10**15 - 1), st.integers(0, 15), st.integers(0, 30))
    @example(1, 0, 7)
    @example(1, 15, 18)
    def test_it_is_what_javascript_writes(self, digits, zeros, decimals):
        """Tiny and huge numbers included: at most 15 digits prove any decimal, whatever zeros follow."""
        units = digits * 10**zeros
        assert number_text(units, decimals) == javascript(float(f"{units}e-{decimals}"))

    @given(st.floats(1e-17, 1e17))
    def test_a_number_of_17_digits_keeps_its_text_through_our_integers(self, number):
        text = javascript(number)
        decimals = decimals_of(text)
        assert number_text(to_ticks(text, decimals), decimals) == text

    @given(st.integers(0, 10**20), st.integers(0, 18), st.integers(0, 12))
    def test_a_finer_grid_changes_nothing(self, units, decimals, finer):
        assert number_text(units * 10**finer, decimals + finer) == number_text(units, decimals)

    @given(st.integers(0, 10**20), st.integers(0, 18))
    def test_plain_text_is_the_number_without_an_exponent(self, units, decimals):
        text = plain_text(units, decimals)
        assert re.fullmatch(r"0|[1-9][0-9]*|(0|[1-9][0-9]*)\.[0-9]*[1-9]", text)
        assert Decimal(text) == Decimal(units).scaleb(-decimals)

    @pytest.mark.parametrize(("name", "least"), [("bitfinex-book.txt", 900), ("BITFINEX.ws.11.0", 4000)])
    def test_every_recorded_number_has_the_text_that_follows_from_its_integers(self, name, least):
        """On its own grid, and on one of 8 decimals and more as books have it. Tickers are sums of doubles, and left out."""
        tokens = 0
        for _, frame in recorded_frames(name):
            message = json.loads(frame, parse_float=str, parse_int=str)
            if not isinstance(message, list) or not isinstance(message[1], list) or len(message[1]) == 10:
                continue
            rows = message[1] if message[1] and isinstance(message[1][0], list) else [message[1]]
            for row in rows:
                for token in row:
                    text = token.removeprefix("-")
                    for decimals in (decimals_of(text), max(decimals_of(text), 12)):
                        assert number_text(to_ticks(text, decimals), decimals) == text
                    tokens += 1
        assert tokens > least


class TestChecksum:
    def test_the_worked_example(self):
        """A real book with exponents among its prices, and more asks than bids."""
        book = Top(levels(BIDS), levels(ASKS))
        xrp = Instrument("bitfinex", "XRP-BTC", "tXRPBTC", 8, 8)
        assert signed(book_checksum(xrp, book)) == EXPECTED
        text = book_text(levels(BIDS), levels(ASKS), 8, 8)
        assert text.startswith("0.0000011:266122.94:0.00000111:-4847.13:0.00000109:500793.10790141:")
        assert text.endswith(":1e-8:640000:0.00000171:-14575.17730379:0.00000174:-3124.81815395:0.0000018:-18000:0.00000182:-16000:"
                             "0.00000186:-4000:0.00000189:-10000.686624:0.00000191:-14500:0.00000193:-2422")  # fmt: skip

    @pytest.mark.parametrize("finer", [(1, 0), (0, 2), (4, 6)])
    def test_on_a_finer_grid_it_is_the_same(self, finer):
        prices, sizes = 8 + finer[0], 8 + finer[1]
        xrp = Instrument("bitfinex", "XRP-BTC", "tXRPBTC", prices, sizes)
        assert signed(book_checksum(xrp, Top(levels(BIDS, prices, sizes), levels(ASKS, prices, sizes)))) == EXPECTED

    def test_a_few_levels(self):
        book = Top([(6000, 1), (5999, 2)], [(6001, 1), (6002, 2)])
        assert book_text(book.bids(25), book.asks(25), 0, 0) == "6000:1:6001:-1:5999:2:6002:-2"
        assert book_checksum(Instrument("bitfinex", "BTC-USD", "tBTCUSD", 0, 0), book) == 1332972658

    def test_levels_beyond_the_25th_are_not_in_it(self):
        bids, asks = [(1000 - i, 7) for i in range(40)], [(1001 + i, 7) for i in range(40)]
        btc = Instrument("bitfinex", "BTC-USD", "tBTCUSD", 0, 8)
        assert book_checksum(btc, Top(bids, asks)) == book_checksum(btc, Top(bids[:25], asks[:25]))
        assert book_checksum(btc, Top(bids, asks)) != book_checksum(btc, Top(bids[:24], asks[:25]))

    def test_of_an_empty_book(self):
        assert book_checksum(Instrument("bitfinex", "BTC-USD", "tBTCUSD", 0, 8), Top([], [])) == 0

    def test_of_plain_numbers_too_where_that_is_the_announced_one(self):
        """The exchange's newer library writes small prices plainly: no gap, if that is what it sent."""
        xrp, book = Instrument("bitfinex", "XRP-BTC", "tXRPBTC", 8, 8), Top(levels(BIDS), levels(ASKS))
        plain = unsigned(OF_PLAIN_NUMBERS)
        assert book_checksum(xrp, book, plain) == plain
        assert book_checksum(xrp, book, plain ^ 1) == unsigned(EXPECTED)
        large = Top([(6000, 1)], [(6001, 1)])
        assert book_checksum(Instrument("bitfinex", "BTC-USD", "tBTCUSD", 0, 0), large, plain) == crc32(b"6000:1:6001:-1")

    @pytest.mark.parametrize(
        "text",
        [
            plain_text,
            to_text,
            lambda units, decimals: repr(units / 10**decimals),
            lambda units, decimals: format(units / 10**decimals, "g"),
        ],
        ids=["fixed decimals", "trailing zeros", "Python's", "six digits"],
    )
    def test_other_number_texts_are_wrong_on_the_worked_example(self, text):
        """Broken on purpose: each is what a careless reader would write."""
        assert signed(crc32(book_text(levels(BIDS), levels(ASKS), 8, 8, text).encode())) != EXPECTED

    @given(st.integers(0, (1 << 32) - 1))
    def test_signed_and_back(self, checksum):
        assert -(1 << 31) <= signed(checksum) < 1 << 31
        assert unsigned(signed(checksum)) == checksum

    @pytest.mark.parametrize("checksum", [1 << 32, -(1 << 31) - 1, 1.0, "7", True, None])
    def test_what_is_no_32_bit_integer_is_refused(self, checksum):
        with pytest.raises(ValueError, match="32 bits"):
            unsigned(checksum)


class TestPriceGrid:
    @pytest.mark.parametrize(
        ("exponent", "grid"),
        [(4, (0, 1)), (3, (1, 1)), (0, (4, 1)), (-1, (5, 1)), (-4, (8, 1)), (-8, (8, 1)), (5, (0, 10)), (7, (0, 1000))],
    )
    def test_five_significant_digits_and_eight_decimals_at_most(self, exponent, grid):
        assert price_grid(exponent) == grid
