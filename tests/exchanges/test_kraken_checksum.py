"""Kraken's book checksum: the worked examples of its documentation, real frames, and grids finer than the pair's precision."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.kraken_client import Top
from support.recorded import recorded_answers, recorded_frames

from alphapulse_cli.book.book import Book
from alphapulse_cli.exchanges.kraken import parse_instruments
from alphapulse_cli.exchanges.kraken.checksum import book_checksum, levels_checksum
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.market.ticks import to_ticks

BTC_USD = Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8)


def levels(text, price_decimals=1, size_decimals=8):
    """Levels of "price*size, price*size"."""
    pairs = (pair.strip().split("*") for pair in text.split(","))
    return [(to_ticks(price, price_decimals), to_ticks(size, size_decimals)) for price, size in pairs]


class TestWorkedExamples:
    """Frames that are known to be right."""

    def test_the_documentations_own_book(self):
        """docs.kraken.com, guide "book checksum v2"."""
        asks = levels(
            "45285.2*0.00100000, 45286.4*1.54571953, 45286.6*1.54571109, 45289.6*1.54560911, 45290.2*0.15890660, 45291.8*1.54553491,"
            "45294.7*0.04454749, 45296.1*0.35380000, 45297.5*0.09945542, 45299.5*0.18772827"
        )
        bids = levels(
            "45283.5*0.10000000, 45283.4*1.54582015, 45282.1*0.10000000, 45281.0*0.10000000, 45280.3*1.54592586, 45279.0*0.07990000,"
            "45277.6*0.03310103, 45277.5*0.30000000, 45277.3*1.54602737, 45276.6*0.15445238"
        )
        assert levels_checksum(asks, bids) == 3310070434

    def test_a_snapshot_and_four_updates(self):
        """BTC/USD at depth 10 as ccxt recorded it (ts/src/test/static/ws/kraken.json); step 4 is right only if 85608 was cut."""
        bids = levels(
            "85600.4*0.20401971, 85599.6*0.04385864, 85599.5*0.17523456, 85597.8*0.00005, 85597.7*2.92063885, 85596.3*0.000051,"
            "85595.8*0.00596174, 85595.2*0.58888844, 85593.6*2.92077632, 85592*0.000051"
        )
        asks = dict(
            levels(
                "85600.5*0.90679198, 85601.6*0.21608516, 85601.7*2.92050281, 85602.1*0.000233, 85603*0.0077, 85603.7*2.92043523,"
                "85604.4*0.87632208, 85604.8*0.000051, 85606.2*0.00116814, 85607.7*2.92029921"
            )
        )
        steps = [
            ("85601.6*0, 85608*0.04358176", 3973935795),
            ("85600.5*1.12287714", 402752521),
            ("85600.5*0.90679198", 3973935795),
            ("85601.6*0.21608516", 817831036),
        ]
        assert levels_checksum(sorted(asks.items()), bids) == 817831036
        for changed, expected in steps:
            asks.update(levels(changed))
            asks = dict(sorted((ticks, lots) for ticks, lots in asks.items() if lots)[:10])
            assert levels_checksum(sorted(asks.items()), bids) == expected

    def test_a_snapshot_and_an_update_that_brings_a_level_from_below(self):
        """The same file, 2026-08-12."""
        bids = levels(
            "63299.4*0.00209987, 63298.7*0.000051, 63298.1*0.05742569, 63298*0.01534518, 63297.8*0.504238, 63297.7*0.78991808,"
            "63296.7*1.27336513, 63295.8*0.56593064, 63295.7*0.78994295, 63295.5*0.000051"
        )
        asks = levels(
            "63299.5*0.4388201, 63303.3*0.05742569, 63303.4*0.78984756, 63305*0.000051, 63305.4*0.03159716, 63305.5*0.789821,"
            "63306*0.0789929, 63307*0.31581476, 63307.8*0.06, 63308*0.00650419"
        )
        assert levels_checksum(asks, bids) == 1490766955
        bids = [level for level in bids if level[0] != 632967] + levels("63294.6*0.31581476")
        assert levels_checksum(asks, bids) == 1153589921


class TestShape:
    """What goes into the sum."""

    def test_only_ten_levels_a_side_count(self):
        asks, bids = [(100 + i, 7) for i in range(25)], [(99 - i, 7) for i in range(25)]
        assert levels_checksum(asks, bids) == levels_checksum(asks[:10], bids[:10])

    def test_a_thin_book_uses_what_it_has(self):
        assert levels_checksum([(12, 34)], []) == levels_checksum([], [(12, 34)])
        assert levels_checksum([], []) == 0

    def test_asks_come_first(self):
        assert levels_checksum([(12, 3)], [(11, 4)]) != levels_checksum([(11, 4)], [(12, 3)])


class TestFinerGrid:
    """A book may stand on a finer grid than the pair's precision; the digits are those of the precision all the same."""

    ASKS, BIDS = [(452852, 100000), (452864, 154571953)], [(452835, 10000000)]

    @pytest.mark.parametrize(("prices", "sizes"), [(0, 0), (1, 0), (0, 2), (3, 4)])
    def test_a_finer_grid_gives_the_same_sum(self, prices, sizes):
        def finer(side):
            return [(ticks * 10**prices, lots * 10**sizes) for ticks, lots in side]

        assert levels_checksum(finer(self.ASKS), finer(self.BIDS), prices, sizes) == levels_checksum(self.ASKS, self.BIDS)

    def test_a_level_that_needs_the_finer_grid_proves_a_new_precision(self):
        asks = [*self.ASKS, (4528655, 1)]
        assert levels_checksum(asks, self.BIDS, 1, 0) == levels_checksum(asks, self.BIDS)

    def test_a_coarser_grid_is_filled_with_zeros(self):
        finer = [(ticks * 100, lots) for ticks, lots in self.ASKS]
        assert levels_checksum(self.ASKS, [], -2) == levels_checksum(finer, [])

    def test_the_hook_takes_the_excess_from_the_instruments_grid(self):
        finer = BTC_USD.on_grid(3, 8)
        assert finer is not None
        asks, bids = ([(ticks * 100, lots) for ticks, lots in side] for side in (self.ASKS, self.BIDS))
        assert (
            book_checksum(finer, Top(bids, asks), 1, 8)
            == book_checksum(BTC_USD, Top(self.BIDS, self.ASKS))
            == levels_checksum(self.ASKS, self.BIDS)
        )


sides = st.dictionaries(st.integers(-(2**63), 2**63 - 1), st.integers(1, 2**62 - 1), max_size=14)


@given(bids=sides, asks=sides, prices=st.integers(0, 2), sizes=st.integers(0, 2))
def test_of_a_book_it_is_that_of_its_levels(bids, asks, prices, sizes):
    """Whatever the levels: the digits that the book writes itself are those of its lists of levels."""
    book = Book(3, 8)
    book.reserve(14)
    for side, side_bit in ((bids, 0), (asks, 1 << 63)):
        for ticks, lots in side.items():
            book.set(ticks, lots | side_bit)
    best = Top(sorted(bids.items(), reverse=True), sorted(asks.items()))
    assert book.top_digits(10) == best.top_digits(10)
    instrument = BTC_USD.on_grid(3, 8)
    assert instrument is not None
    for precisions in ((), (3 - prices, 8 - sizes)):
        plain = levels_checksum(best.asks(10), best.bids(10), *([prices, sizes] if precisions else []))
        assert book_checksum(instrument, book, *precisions) == plain


@pytest.mark.parametrize("count", [0, 1, 2, 3, 11])
def test_the_digits_are_of_so_many_levels_a_side_or_as_many_as_there_are(count):
    book = Book(0, 0)
    book.load(Levels.from_levels(0, 0, [(9, 1, False), (8, 20, False), (10, 300, True)]))
    assert book.top_digits(count) == [b"", b"1030091", b"1030091820", b"1030091820", b"1030091820"][min(count, 4)]


@pytest.mark.parametrize(
    ("metadata", "frames", "count"), [("kraken-pairs.txt", "kraken-v1-book.txt", 20), ("KRAKEN.0", "KRAKEN.ws.50.0", 4269)]
)
def test_every_checksum_of_a_real_recording_is_right(metadata, frames, count):
    """Kraken v1, 2021-04-17, one pair and ten at depth 1000: the same construction, over the decimals that the wire shows."""
    [(_, pairs)] = recorded_answers(metadata)
    grids = {instrument.native: instrument for instrument in parse_instruments(pairs)}
    books: dict[str, tuple[dict[int, int], dict[int, int]]] = {}
    precisions: dict[str, tuple[int, int]] = {}
    right = 0
    for _, frame in recorded_frames(frames):
        message = json.loads(frame)
        if not isinstance(message, list):
            continue
        grid = grids[message[-1].replace("XBT", "BTC")]
        sides, told = books.setdefault(grid.native, ({}, {})), {key: value for part in message[1:-2] for key, value in part.items()}
        for key, rows in told.items():
            if key == "c":
                continue
            side = sides[key.startswith("a")]
            for price, size, *_ in rows:
                precisions[grid.native] = len(price.partition(".")[2]), len(size.partition(".")[2])
                ticks, lots = to_ticks(price, grid.price_decimals), to_ticks(size, grid.size_decimals)
                side.pop(ticks, None)
                if lots:
                    side[ticks] = lots
        bids, asks = sorted(sides[0].items(), reverse=True)[:1000], sorted(sides[1].items())[:1000]
        books[grid.native] = dict(bids), dict(asks)
        if "c" in told:
            assert book_checksum(grid, Top(bids, asks), *precisions[grid.native]) == int(told["c"]), message[-1]
            right += 1
    assert right == count
