"""Candles, rules B1 to B8, and a property against DuckDB, polars and plain Python on the same trades. The mutants at the end must each be caught."""

import random
from fractions import Fraction

import duckdb
import polars as pl
import pytest

from alphapulse_cli.market import candles
from alphapulse_cli.market.candles import MOST_EMPTY, WIDTHS, Candle, CandleMaker, CandleTrade
from alphapulse_cli.market.trade_summary import Span

S = 1_000_000_000
MINUTE = 60 * S
MONDAY = 1_795_392_000 * S  # 2026-11-23T00:00:00Z
NAMES = ("kraken", "kraken", "BTC-USD")


def trade(
    sequence,
    time_ns,
    ticks=100,
    lots=1,
    *,
    receive_ns=None,
    exchange=True,
    side=0,
    decimals=(2, 8),
    name="",
    history=False,
    epoch=1,
):
    """Trade at `time_ns` by the exchange's clock, and by ours where nothing else is said."""
    received, exchange_ns = time_ns if receive_ns is None else receive_ns, time_ns if exchange else 0
    prices, sizes = decimals
    known_as = name or f"{epoch}-{sequence}"
    return CandleTrade(received, exchange_ns, epoch, sequence, ticks, lots, prices, sizes, side, known_as, history)


def maker(width="1m", began_ns=MONDAY, late_ns=None, **options):
    return CandleMaker(NAMES, width, began_ns, late_ns, **options)


def made(trades, clock_ns, **options):
    one = maker(**options)
    for each in trades:
        one.add(each)
    return list(one.finish(clock_ns))


class TestB1Borders:
    @pytest.mark.parametrize("width", WIDTHS)
    def test_the_begin_is_within_and_the_end_is_not(self, width):
        length = WIDTHS[width].seconds * S
        border = WIDTHS[width].begin_ns(MONDAY + 3 * length)
        first, second = made(
            [trade(1, border + length - 1), trade(2, border + length)], border + length, width=width, began_ns=border
        )
        assert (first.begin_ns, first.end_ns, first.count) == (border, border + length, 1)
        assert (second.begin_ns, second.count) == (border + length, 1)
        assert first.width == width

    @pytest.mark.parametrize("width", [name for name in WIDTHS if name != "1w"])
    def test_they_are_multiples_of_the_width_since_1970(self, width):
        assert WIDTHS[width].begin_ns(MONDAY + 12_345_678_901_234_567) % (WIDTHS[width].seconds * S) == 0

    def test_weeks_begin_on_mondays(self):
        (one,) = made([trade(1, MONDAY + 6 * 86_400 * S)], MONDAY + 7 * 86_400 * S - 1, width="1w")
        assert (one.begin_ns, one.end_ns) == (MONDAY, MONDAY + 7 * 86_400 * S)


class TestB2Time:
    def test_it_is_the_exchanges(self):
        before, after = made([trade(1, MONDAY + MINUTE - 1, receive_ns=MONDAY + MINUTE + 5)], MONDAY + MINUTE + 5)
        assert (before.count, after.count) == (1, 0)

    def test_without_one_it_is_that_of_receipt(self):
        before, after = made([trade(1, MONDAY + MINUTE, exchange=False)], MONDAY + MINUTE)
        assert (before.count, after.count) == (0, 1)


class TestB3Order:
    def test_open_and_close_are_the_first_and_last_in_time(self):
        (one,) = made([trade(1, MONDAY + 30, 7), trade(2, MONDAY + 10, 8), trade(3, MONDAY + 20, 9)], MONDAY + 30)
        assert (one.open, one.close, one.high, one.low) == ("0.08", "0.07", "0.09", "0.07")

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
    def test_of_equal_times_the_sequence_counts_however_they_are_read(self, order):
        trades = [trade(number, MONDAY + 10, 10 + number) for number in (1, 2, 3)]
        (one,) = made([trades[number] for number in order], MONDAY + 10)
        assert (one.open_ticks, one.close_ticks) == (11, 13)

    def test_an_earlier_epoch_comes_first(self):
        (one,) = made([trade(9, MONDAY + 10, 1), trade(0, MONDAY + 10, 2, epoch=2)], MONDAY + 10)
        assert (one.open_ticks, one.close_ticks) == (1, 2)


class TestB4History:
    def test_one_that_was_counted_is_left_out(self):
        (one,) = made([trade(1, MONDAY + 5, name="a"), trade(2, MONDAY + 5, name="a", history=True)], MONDAY + 9)
        assert (one.count, one.history, one.left_out) == (1, 0, 1)

    def test_one_that_fills_a_hole_counts_once(self):
        filled = [trade(number, MONDAY + 5, name="a", history=True) for number in (1, 2)]
        (one,) = made(filled, MONDAY + 9)
        assert (one.count, one.history, one.left_out) == (1, 1, 1)

    def test_one_from_before_the_watch_is_left_out(self):
        (one,) = made([trade(1, MONDAY + 5, history=True, receive_ns=MONDAY + 7)], MONDAY + 9, began_ns=MONDAY + 6)
        assert (one.count, one.left_out) == (0, 1)

    def test_one_without_a_time_of_the_exchanges_is_left_out(self):
        (one,) = made([trade(1, MONDAY + 5, history=True, exchange=False)], MONDAY + 9)
        assert (one.count, one.left_out) == (0, 1)

    def test_one_from_before_the_oldest_remembered_id_is_left_out(self, monkeypatch):
        monkeypatch.setattr(candles, "MOST_IDS", 3)
        live = [trade(number, MONDAY + 10 * number) for number in range(1, 6)]
        (one,) = made([*live, trade(9, MONDAY + 20, history=True), trade(10, MONDAY + 21, name="new", history=True)], MONDAY + 60)
        assert (one.count, one.history, one.left_out) == (6, 1, 1)

    def test_an_id_is_remembered_as_often_as_it_was_met(self, monkeypatch):
        monkeypatch.setattr(candles, "MOST_IDS", 3)
        live = [trade(number, MONDAY + number, name=name) for number, name in enumerate("aabc")]
        (one,) = made([*live, trade(9, MONDAY + 9, name="a", history=True)], MONDAY + 60)
        assert (one.count, one.left_out) == (4, 1)


class TestB5Late:
    def test_a_candle_is_open_for_that_long_and_no_longer(self):
        one = maker(late_ns=2 * S)
        end = MONDAY + MINUTE
        one.add(trade(1, end - 5, receive_ns=end + 2 * S - 1))
        one.add(trade(2, end - 5, receive_ns=end + 2 * S))
        assert list(one.close(end + 2 * S - 1)) == []
        (first,) = one.close(end + 2 * S)
        assert (first.count, first.late) == (1, 0)
        (second,) = one.finish(end + 3 * S)
        assert (second.begin_ns, second.count, second.late) == (end, 0, 1)

    def test_what_comes_behind_a_candle_that_was_handed_out_is_told_by_the_next(self):
        one = maker(late_ns=0)
        assert len(list(one.close(MONDAY + MINUTE))) == 1
        one.add(trade(1, MONDAY + 5, receive_ns=MONDAY + 6))
        assert one.late == 1
        (second,) = one.close(MONDAY + 2 * MINUTE)
        assert (second.late, one.late) == (1, 0)

    def test_files_wait_for_all(self):
        first, *_, last = made([trade(1, MONDAY + 5, receive_ns=MONDAY + 30 * MINUTE)], MONDAY + 30 * MINUTE)
        assert (first.count, first.late, last.late) == (1, 0, 0)

    def test_whether_candles_are_handed_out_meanwhile_changes_none(self):
        dice = random.Random(20)
        trades = [
            trade(number, MONDAY + dice.randrange(300) * S, dice.randrange(1, 99), receive_ns=MONDAY + number * S)
            for number in range(300)
        ]
        at_once = made(trades, MONDAY + 300 * S, late_ns=2 * S)
        one, bit_by_bit = maker(late_ns=2 * S), []
        for each in trades:
            bit_by_bit += one.close(each.receive_ns)
            one.add(each)
        bit_by_bit += one.finish(MONDAY + 300 * S)
        assert bit_by_bit == at_once
        assert sum(each.count + each.late for each in at_once) == 300
        assert sum(each.late for each in at_once) > 0


class TestB6WithoutTrades:
    def test_they_have_no_prices_and_do_not_repeat_the_last(self):
        first, second = made([trade(1, MONDAY + 5)], MONDAY + MINUTE + 1)
        assert first.open == "1.00"
        assert (second.open, second.high, second.low, second.close, second.vwap) == (None,) * 5
        assert (second.count, second.volume, second.notional, second.gap) == (0, "0.00000000", "0.0000000000", "the watch ended")

    def test_there_are_some_up_to_the_clock(self):
        assert [one.begin_ns for one in made([], MONDAY + 3 * MINUTE)] == [MONDAY + number * MINUTE for number in range(4)]

    def test_a_time_far_ahead_makes_none_before_it(self):
        near, far = made([trade(1, MONDAY + 10**6 * MINUTE)], MONDAY + 1)
        assert (near.begin_ns, near.count) == (MONDAY, 0)
        assert (far.begin_ns, far.count) == (MONDAY + 10**6 * MINUTE, 1)

    def test_a_clock_far_ahead_is_bounded_and_counted(self):
        one = maker()
        one.add(trade(1, MONDAY + 5))
        one.add(trade(2, MONDAY + 10**9 * MINUTE))
        made_of_it = list(one.finish(MONDAY + 10**9 * MINUTE))
        assert len(made_of_it) == MOST_EMPTY + 2
        assert len(made_of_it) + one.skipped == 10**9 + 1
        assert made_of_it[-1].count == 1


class TestB7Gaps:
    def test_the_first_and_the_last_are_cut(self):
        first, second, third = made([], MONDAY + 2 * MINUTE + 5, began_ns=MONDAY + 5)
        assert (first.gap, second.gap, third.gap) == ("the watch began", "", "the watch ended")

    def test_a_watch_from_border_to_border_has_none(self):
        assert [one.gap for one in made([], MONDAY + 2 * MINUTE - 1)] == ["", "the watch ended"]
        assert [one.gap for one in made([], MONDAY + 5 * MINUTE, to_ns=MONDAY + 2 * MINUTE)] == ["", ""]

    def test_each_candle_that_it_touches_is_one(self):
        one = maker()
        one.down("book", MONDAY + MINUTE - 1, "sequence gap")
        one.up("book", MONDAY + 2 * MINUTE)
        assert [each.gap for each in one.finish(MONDAY + 3 * MINUTE)] == ["sequence gap", "sequence gap", "", "the watch ended"]

    def test_a_moment_is_one(self):
        one = maker()
        one.down("book", MONDAY + 7, "unreadable")
        one.up("book", MONDAY + 7)
        assert next(one.finish(MONDAY + MINUTE)).gap == "unreadable"

    def test_one_that_lasts_is_told_by_each_candle_closed_meanwhile(self):
        one = maker(late_ns=0)
        one.down("book", MONDAY + 7, "disconnected")
        one.down("book", MONDAY + 8, "disconnected")
        assert [each.gap for each in one.close(MONDAY + 2 * MINUTE)] == ["disconnected"] * 2
        one.down("book", MONDAY + 2 * MINUTE + 5, "silent")
        assert [each.gap for each in one.close(MONDAY + 4 * MINUTE)] == ["disconnected, silent", "silent"]

    def test_the_number_stands_where_they_were_found_missing(self):
        one = maker()
        one.missed(MONDAY + 5, MONDAY + MINUTE + 5, 17, "trades missed")
        first, second = one.finish(MONDAY + MINUTE + 6)
        assert (first.gap, first.missed) == ("trades missed", 0)
        assert (second.gap, second.missed) == ("trades missed, the watch ended", 17)


class TestB8ExactNumbers:
    def test_a_finer_grid_in_the_middle(self):
        coarse, fine = trade(1, MONDAY + 1, 650_001, 3, decimals=(1, 2)), trade(2, MONDAY + 2, 6_500_011, 5, decimals=(2, 4))
        for trades in ([coarse, fine], [fine, coarse]):
            (one,) = made(trades, MONDAY + 3)
            assert (one.open, one.high, one.low, one.close) == ("65000.10", "65000.11", "65000.10", "65000.11")
            assert (one.volume, one.price_decimals, one.size_decimals) == ("0.0305", 2, 4)
            assert Fraction(one.notional) == Fraction("65000.1") * Fraction("0.03") + Fraction("65000.11") * Fraction("0.0005")

    def test_sums_beyond_64_bits(self):
        (one,) = made([trade(number, MONDAY + number, 2**62, 2**62) for number in range(9)], MONDAY + 9)
        assert (one.volume_lots, one.notional_units) == (9 * 2**62, 9 * 2**124)
        assert one.row()["notional_units"] == str(9 * 2**124)

    @pytest.mark.parametrize(
        ("ticks", "text"), [((1, 2), "1.5000"), ((1, 1, 2), "1.3333"), ((1, 2, 2), "1.6667"), ((1,) * 15 + (2,), "1.0625")]
    )
    def test_vwap(self, ticks, text):
        (one,) = made([trade(number, MONDAY, each, decimals=(0, 0)) for number, each in enumerate(ticks)], MONDAY)
        assert one.vwap == text

    @pytest.mark.parametrize(
        ("lots", "text"), [((20_000 - 1, 1), "0.0000"), ((20_000 - 3, 3), "0.0002"), ((20_000 - 5, 5), "0.0002")]
    )
    def test_a_half_goes_to_the_even_digit(self, lots, text):
        (one,) = made([trade(number, MONDAY, number, each, decimals=(0, 0)) for number, each in enumerate(lots)], MONDAY)
        assert one.vwap == text

    def test_sides(self):
        (one,) = made([trade(number, MONDAY, lots=10**number, side=number, decimals=(0, 0)) for number in range(3)], MONDAY)
        assert (one.buy_volume, one.sell_volume, one.volume) == ("1", "10", "111")


# ---- against DuckDB, polars and plain Python -------------------------------------------------------------------------


def market(seed, width):
    """Trades in order of publication: times go back and forth, many are equal or on a border, some are history that was published before."""
    dice = random.Random(seed)
    length = WIDTHS[width].seconds * S
    trades: list[CandleTrade] = []
    for sequence in range(400):
        time_ns = MONDAY + dice.choice([0, length, 2 * length, 3 * length, dice.randrange(4 * length)]) + dice.choice([0, 0, -1, 1])
        if trades and dice.random() < 0.1:
            trades.append(dice.choice(trades)._replace(sequence=sequence, is_history=True))
        else:
            trades.append(
                trade(
                    sequence,
                    max(time_ns, MONDAY),
                    dice.randrange(6_000_000, 6_000_050),
                    dice.randrange(1, 10**9),
                    receive_ns=MONDAY + 4 * length,
                    side=dice.randrange(3),
                    exchange=dice.random() < 0.97,
                )
            )
    return trades


COLUMNS = (
    "begin_ns",
    "end_ns",
    "open_ticks",
    "high_ticks",
    "low_ticks",
    "close_ticks",
    "volume_lots",
    "notional_units",
    "buy_lots",
    "count",
)


def ours(trades, width):
    length = WIDTHS[width].seconds * S
    found = [one for one in made(trades, MONDAY + 4 * length, width=width) if one.count]
    return [tuple(getattr(one, name) for name in COLUMNS) for one in found]


def rows(trades):
    """Rows of the trades that count, as a dataset has them."""
    seen, kept = set(), []
    for each in trades:
        if not (each.is_history and (each.trade_id in seen or not each.exchange_ns)):
            kept.append(each)
        seen.add(each.trade_id)
    return {
        "time": [each.exchange_ns or each.receive_ns for each in kept],
        "sequence": [each.sequence for each in kept],
        "price_ticks": [each.price_ticks for each in kept],
        "size_lots": [each.size_lots for each in kept],
        "side": [each.side for each in kept],
    }


def of_python(trades, width):
    table = rows(trades)
    length, offset = WIDTHS[width].seconds * S, WIDTHS[width].offset_s * S
    by_begin: dict[int, list[tuple[int, ...]]] = {}
    for row in sorted(zip(*table.values(), strict=True)):
        by_begin.setdefault((row[0] - offset) // length * length + offset, []).append(row)
    return [
        (
            begin,
            begin + length,
            each[0][2],
            max(row[2] for row in each),
            min(row[2] for row in each),
            each[-1][2],
            sum(row[3] for row in each),
            sum(row[2] * row[3] for row in each),
            sum(row[3] for row in each if row[4] == 0),
            len(each),
        )
        for begin, each in sorted(by_begin.items())
    ]


def of_duckdb(trades, width):
    trades = pl.DataFrame(rows(trades)).to_arrow()
    length, offset = WIDTHS[width].seconds * S, WIDTHS[width].offset_s * S
    return duckdb.sql(
        f"""
        SELECT (time - {offset}) // {length} * {length} + {offset} AS begin_ns, begin_ns + {length},
               first(price_ticks ORDER BY time, sequence), max(price_ticks), min(price_ticks), last(price_ticks ORDER BY time, sequence),
               sum(size_lots), sum(price_ticks::HUGEINT * size_lots), coalesce(sum(size_lots) FILTER (side = 0), 0), count(*)
        FROM trades GROUP BY begin_ns ORDER BY begin_ns
        """
    ).fetchall()


def of_polars(trades, width):
    length, offset = WIDTHS[width].seconds * S, WIDTHS[width].offset_s * S
    price, size = pl.col("price_ticks"), pl.col("size_lots")
    return (
        pl.DataFrame(rows(trades))
        .with_columns(begin_ns=(pl.col("time") - offset) // length * length + offset)
        .sort("time", "sequence")
        .group_by("begin_ns")
        .agg(
            (pl.col("begin_ns").first() + length).alias("end_ns"),
            price.first().alias("open"),
            price.max().alias("high"),
            price.min().alias("low"),
            price.last().alias("close"),
            size.sum().alias("volume"),
            (price.cast(pl.Int128) * size).sum().alias("notional"),
            size.filter(pl.col("side") == 0).sum().alias("bought"),
            pl.len(),
        )
        .sort("begin_ns")
        .rows()
    )


ENGINES = (of_python, of_duckdb, of_polars)
SEEDS = range(4)


def disagreements():
    """(engine, width, seed) of each result that differs from ours."""
    return [
        (engine.__name__, width, seed)
        for width in WIDTHS
        for seed in SEEDS
        for trades in [market(seed, width)]
        for engine in ENGINES
        if engine(trades, width) != ours(trades, width)
    ]


def test_all_engines_give_the_same_candles_of_the_same_trades():
    trades = market(0, "1m")
    assert len({each.exchange_ns for each in trades}) < len(trades) * 3 // 4, "equal times"
    assert sum(each.is_history for each in trades) > 10
    assert disagreements() == []


def the_end_is_within(monkeypatch):
    begin = Span.begin_ns
    monkeypatch.setattr(Span, "begin_ns", lambda self, moment_ns: begin(self, moment_ns - 1))
    monkeypatch.setattr(Candle, "add", lambda self, each, time_ns, add=Candle.add: add(self, each, min(time_ns, self.end_ns - 1)))


def later_of_equals_is_first(monkeypatch):
    add = Candle.add
    monkeypatch.setattr(Candle, "add", lambda self, each, time_ns: add(self, each._replace(sequence=-each.sequence), time_ns))


def order_of_reading_counts(monkeypatch):
    add, read = Candle.add, iter(range(10**9))

    def by_reading(self, each, time_ns):
        add(self, each._replace(epoch=next(read)), self.begin_ns)

    monkeypatch.setattr(Candle, "add", by_reading)


def history_counts(monkeypatch):
    add = CandleMaker.add
    monkeypatch.setattr(CandleMaker, "add", lambda self, each: add(self, each._replace(is_history=False)))


def ids_are_forgotten(monkeypatch):
    monkeypatch.setattr(CandleMaker, "_remember", lambda *_: None)


def receipt_counts(monkeypatch):
    add = CandleMaker.add
    monkeypatch.setattr(CandleMaker, "add", lambda self, each: add(self, each if each.is_history else each._replace(exchange_ns=0)))


MUTANTS = (the_end_is_within, later_of_equals_is_first, order_of_reading_counts, history_counts, ids_are_forgotten, receipt_counts)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_comparison_catches(monkeypatch, mutant):
    mutant(monkeypatch)
    assert disagreements()
