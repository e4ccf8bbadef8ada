"""Columns of records: exact, signed, of their own memory; the lines of the reference run as they stand there."""

import ast
import decimal
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reader_sets import Writer, ladder

import alphapulse_cli as ap
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.readers import columns
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.wire import delta, trade

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"
EIGHT = 8
RECEIVED_NS, AHEAD_NS = 1_700_000_000_000_000_000, 250_000_001


def trades(*rows):
    """(ticks, lots, price decimals, size decimals, exchange's time) each."""
    made = np.zeros(len(rows), dtype=trade.dtype())
    made["timestamp_ns"] = RECEIVED_NS
    for index, row in enumerate(rows):
        for name, value in zip(("price_ticks", "size_lots", "price_decimals", "size_decimals", "exchange_ns"), row, strict=True):
            made[name][index] = value
    return made


def deltas(*records):
    """(price decimals, size decimals, feed delay, changes of (ticks, lots, is ask, is new)) each."""
    made = np.zeros(len(records), dtype=delta.dtype())
    made["timestamp_ns"] = RECEIVED_NS
    for record, (price_decimals, size_decimals, delay, changes) in zip(made, records, strict=True):
        record["price_decimals"], record["size_decimals"], record["feed_delay_us"] = price_decimals, size_decimals, delay
        record["change_count"] = len(changes)
        for place, (ticks, lots, is_ask, is_new) in enumerate(changes):
            record["changes"][place] = (ticks, lots | is_new << 62 | is_ask << 63)
    return made


class TestNumbers:
    def test_eight_decimals_and_a_mixed_grid_are_exact(self):
        records = trades((12_345_678_901, 1, EIGHT, EIGHT, 0), (-5, 3, 0, 18, 0), (121_706_01, 7, 2, 1, 0))
        assert ap.prices(records).tolist() == [Decimal("123.45678901"), Decimal(-5), Decimal("121706.01")]
        assert ap.prices(records, "text").tolist() == ["123.45678901", "-5", "121706.01"]
        assert ap.prices(records, "float").tolist() == [123.45678901, -5.0, 121706.01]
        assert ap.sizes(records, "text").tolist() == ["0.00000001", "0.000000000000000003", "0.7"]

    def test_what_numpy_does_by_itself_is_wrong(self):
        """The mutants: the formulas that were documented once, on the record's own unsigned byte."""
        records = trades((12_345_678_901, 1, EIGHT, EIGHT, 0))
        with np.errstate(all="ignore"):
            by_hand = records["price_ticks"] * 10.0 ** -records["price_decimals"]
            divided = records["price_ticks"] / 10 ** records["price_decimals"]
        assert by_hand[0] > 1e200
        assert not np.isclose(divided[0], 123.45678901)
        assert np.isclose(records["price_ticks"] * 10.0 ** -ap.price_decimals(records), 123.45678901)
        assert np.isclose(records["price_ticks"] / 10 ** ap.price_decimals(records), 123.45678901)

    @given(st.lists(st.tuples(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 18)), min_size=1, max_size=20))
    def test_any_number_on_any_grid(self, drawn):
        """Decimal and text are the number itself; the float is the nearest there is, which is what `float` of the text gives."""
        records = trades(*((ticks, 1, places, 0, 0) for ticks, places in drawn))
        texts = [to_text(ticks, places) for ticks, places in drawn]
        assert ap.prices(records, "text").tolist() == texts
        assert [format(number, "f") for number in ap.prices(records)] == [format(Decimal(text), "f") for text in texts]
        assert ap.prices(records, "float").tolist() == [float(text) for text in texts]

    def test_the_persons_own_decimal_context_rounds_nothing(self):
        with decimal.localcontext() as context:
            context.prec = 3
            assert str(ap.prices(trades((12_345_678_901, 1, EIGHT, EIGHT, 0)))[0]) == "123.45678901"

    def test_a_damaged_record_is_told(self):
        with pytest.raises(ValueError, match="damaged record: 200 decimals"):
            ap.prices(trades((1, 1, 200, 0, 0)))

    def test_an_unknown_form_and_another_array_are_refused(self):
        with pytest.raises(ValueError, match="decimal, text, float"):
            ap.prices(trades((1, 1, 0, 0, 0)), "complex")  # type: ignore[arg-type]  # no such form
        for other in (np.zeros(3), [1, 2]):
            with pytest.raises(TypeError, match="not records of a reader"):
                ap.prices(other)  # type: ignore[arg-type]  # a list is no array
        with pytest.raises(TypeError, match="DeltaReader"):
            ap.changes(trades())

    def test_one_record_is_an_array_of_one(self):
        records = trades((5, 1, 1, 0, 0), (6, 1, 1, 0, 0))
        assert ap.prices(records[1]).tolist() == [Decimal("0.6")]
        assert ap.prices(records[:0]).tolist() == []


class TestTimes:
    def test_a_clock_ahead_is_a_negative_delay(self):
        records = trades((1, 1, 0, 0, RECEIVED_NS + AHEAD_NS), (1, 1, 0, 0, RECEIVED_NS - 5), (1, 1, 0, 0, 0))
        with np.errstate(over="ignore"):
            assert (records["timestamp_ns"] - records["exchange_ns"])[0] > 1 << 63, "the mutant: numpy's own difference wraps"
        assert ap.feed_delays(records).tolist()[:2] == [-AHEAD_NS, 5]
        assert np.isnat(ap.feed_delays(records)[2])
        assert np.isnat(ap.exchange_times(records)[2])
        assert ap.times(records).dtype == "datetime64[ns]"
        assert str(ap.times(records)[0]) == "2023-11-14T22:13:20.000000000"
        assert (ap.times(records) - ap.exchange_times(records))[0] == np.timedelta64(-AHEAD_NS, "ns")

    def test_deltas_keep_the_delay_itself(self):
        records = deltas((2, EIGHT, -250_000, []), (2, EIGHT, delta.NO_FEED_DELAY, []))
        assert ap.feed_delays(records)[0] == np.timedelta64(-250_000_000, "ns")
        assert ap.exchange_times(records)[0] == ap.times(records)[0] + np.timedelta64(250_000_000, "ns")
        assert np.isnat(ap.feed_delays(records)[1])
        assert np.isnat(ap.exchange_times(records)[1])

    def test_a_time_that_no_clock_reaches_does_not_wrap(self):
        records = trades((1, 1, 0, 0, (1 << 64) - 1))
        assert ap.feed_delays(records)[0] < np.timedelta64(0, "ns")


class TestChanges:
    def test_a_row_a_change_in_signed_numbers(self):
        records = deltas(
            (2, EIGHT, 5, [(10_000, 7, False, True), (10_001, (1 << 62) - 1, True, False)]),
            (2, EIGHT, 5, []),
            (3, 1, 6, [(1, 0, True, False)]),
        )
        rows = ap.changes(records)
        assert rows["price_ticks"].tolist() == [10_000, 10_001, 1]
        assert rows["size_lots"].tolist() == [7, (1 << 62) - 1, 0]
        assert rows["is_ask"].tolist() == [False, True, True]
        assert rows["is_new"].tolist() == [True, False, False]
        assert ap.prices(rows).tolist() == ap.prices(records).tolist() == [Decimal("100.00"), Decimal("100.01"), Decimal("0.001")]
        assert all(rows.dtype[name].kind != "u" for name in rows.dtype.names)
        assert ap.times(rows).tolist() == [RECEIVED_NS] * 3
        assert ap.feed_delays(rows).tolist() == [5_000, 5_000, 6_000]
        assert (-ap.price_decimals(rows)).tolist() == [-2, -2, -3]

    def test_versions_go_both_ways(self):
        """Several symbols' versions stand in one column; numpy and pandas take differences and nearest values of it."""
        records = deltas((2, EIGHT, 0, [(1, 1, False, True)]), (2, EIGHT, 0, [(2, 1, False, True)]))
        records["version"] = 100, 3
        assert np.diff(records["version"])[0] > 1 << 63, "the mutant: the record's own versions wrap"
        assert np.diff(ap.changes(records)["version"]).tolist() == [-97]
        records["version"] = (1 << 64) - 1
        assert ap.changes(records)["version"].tolist() == [(1 << 63) - 1] * 2, "of a damaged record; not a negative one"


class TestWhatIsKept:
    """What a reader gave stays as it was, whatever its writer and its next poll do."""

    def test_records_and_books_do_not_change_under_their_holder(self, tmp_path):
        where = str(tmp_path / "segments")
        with (
            open_directory(where, create=True) as directory,
            Writer(directory, capacity=64) as writer,
            ap.DeltaReader("kraken", shm_dir=where) as reader,
            ap.DeltaReader("kraken", shm_dir=where) as lender,
            ap.follow("kraken", shm_dir=where) as following,
        ):
            writer.snapshot(ladder(4))
            writer.update([(999_999, 7, False)])
            kept, lent = reader.poll(), lender.poll(copy=False)
            (update,) = following.poll()
            book = update.copy()
            writer.update([(999_999, 8, False)])
            following.poll()
            assert update.book.size_at(999_999, False) == 8, "the mutant: the replica does change"
            was, lent_was = kept.tobytes(), lent.tobytes()
            for lots in range(1, 400):  # laps the ring
                writer.update([(999_999, lots, False)])
                reader.poll(1)
                lender.poll(1, copy=False)
            assert kept.tobytes() == was
            assert lent.tobytes() != lent_was, "the mutant: what is lent does change"
            assert book.sizes("bid", "text").tolist()[1] == "0.00000007"
            assert book.prices("ask").tolist() == [Decimal("10000.01"), Decimal("10000.02")]
            assert len(book.bids) == len(book.asks) == 2
            assert len(update.copy(1).bids) == 1
            kept["version"] = 0  # ours to write to
            with pytest.raises(ValueError, match="read-only"):
                lent["version"] = 0
            with pytest.raises(ValueError, match="bid and ask"):
                book.prices("offer")


class TestTheReference:
    """The lines that the reference shows, run on eight decimals and a clock ahead."""

    def lines(self):
        page = REFERENCE.read_text()
        shown = [line.strip() for line in page.splitlines() if re.match(r" {4}\w[\w, ]* = .*\bap\.", line)]
        assert len(shown) == 9
        return [line for line in shown if "Reader(" not in line]

    def test_they_give_what_their_comments_say(self):
        known = {
            "ap": ap,
            "trades": trades((12_345_678_901, 200_000_000, EIGHT, EIGHT, RECEIVED_NS + AHEAD_NS)),
            "deltas": deltas((EIGHT, EIGHT, -250_000, [(12_345_678_901, 200_000_000, True, True)])),
        }
        found: dict[str, list[Any]] = {}
        for line in self.lines():
            ast.parse(line)
            exec(line, known)
            name = line.partition(" =")[0]
            found.setdefault(name, []).append(known[name])
        assert [values.tolist() for values in found["notional"]] == [[Decimal("246.9135780200000000")]] * 2
        assert [values.tolist() for values in found["price"]] == [[123.45678901]] * 2
        assert [values.tolist() for values in found["late"]] == [[-AHEAD_NS]] * 2
        assert found["asks"][0].tolist() == ["123.45678901"]


def test_the_row_of_a_change_has_one_name_for_one_thing():
    """Fields of a change that a record has too are called the same."""
    shared = set(columns.change_dtype().names or ()) & set(delta.dtype().names or ())
    assert shared == {"timestamp_ns", "symbol", "exchange", "version", "price_decimals", "size_decimals", "feed_delay_us"}
