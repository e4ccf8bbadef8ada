"""Arrays for hftbacktest, by its own rules (H1 to H5 in the module), and mutants that break each."""

import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.exports import EXCH, LOCAL, SECOND, Feed, books_of, capture, hft_books

from alphapulse_cli.apps.export import hftbacktest
from alphapulse_cli.apps.export.export import export_to
from alphapulse_cli.apps.export.from_captures import CaptureEvents
from alphapulse_cli.apps.export.hftbacktest import EVENT_FIELDS, HftBacktest, TwoOrders, both_orders
from alphapulse_cli.apps.export.output import Output
from alphapulse_cli.apps.verify.verify import chosen

KIND = np.uint64(0xFF)
DTYPE = np.dtype(  # as hftbacktest 2.4.4 declares it: types.event_dtype
    {
        "names": ["ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval"],
        "formats": ["<u8", "<i8", "<i8", "<f8", "<f8", "<u8", "<i8", "<f8"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56],
        "itemsize": 64,
    }
)


@pytest.fixture
def written(tmp_path):
    """Write events with the writer; the array, and what the JSON says of it."""

    def write(*events):
        with Output(tmp_path / "out", force=True) as output:
            writer = HftBacktest(output)
            for event in events:
                writer.take(event)
            facts = writer.finish()
            output.finish({"files": output.names})
        return np.load(tmp_path / "out" / "kraken-BTC-USD.npz")["data"], next(iter(facts.values()))

    return write


def kinds(data, flag=LOCAL):
    return (data["ev"] & KIND)[data["ev"] & np.uint64(flag) != 0].tolist()


def test_the_event_is_that_of_hftbacktest(written):
    data, _ = written(Feed().snapshot(SECOND, [(10, 1)], [(12, 1)]))
    assert np.dtype(EVENT_FIELDS) == DTYPE
    assert (data.dtype, data.dtype.itemsize) == (DTYPE, 64)


class TestH1ClearAndSnapshotBegin:
    def test_first_and_after_each_gap(self, written):
        feed = Feed()
        first = feed.snapshot(SECOND, [(10, 1), (9, 2)], [(12, 1)])
        group, gap = feed.group(2 * SECOND, (11, 1, False)), feed.gap(3 * SECOND)
        data, _ = written(first, group, gap, feed.snapshot(4 * SECOND, [(8, 5)], [(12, 1)]))
        assert kinds(data) == [3, 4, 4, 4, 1, 3, 4, 4]

    def test_trades_before_the_first_book_are_counted(self, written):
        feed = Feed()
        data, facts = written(feed.trade(1), feed.snapshot(2, [(10, 1)], []), feed.trade(3), feed.trade(4, history=True))
        assert kinds(data) == [3, 4, 2]
        assert facts["cleaned"] | {"without_exchange_time": 0} == {
            "trades_before_the_first_book": 1,
            "history_trades_left_out": 1,
            "without_exchange_time": 0,
        }


class TestH2TwoOrders:
    def test_a_late_trade_stands_twice(self, written):
        feed = Feed()
        snapshot, group = feed.snapshot(10_000_000, [(10, 1)], [(12, 1)]), feed.group(20_000_000, (10, 2, False), delay_us=1000)
        late = feed.trade(21_000_000, exchange_ns=15_000_000)
        data, _ = written(snapshot, group, late)
        assert [(int(row["ev"]) >> 30, int(row["ev"]) & 0xFF) for row in data[-3:]] == [(2, 2), (3, 1), (1, 2)]
        assert (np.diff(data["exch_ts"][data["ev"] & np.uint64(EXCH) != 0]) >= 0).all()

    rows = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=60)

    @given(rows=rows, every=st.integers(1, 20))
    @settings(max_examples=200)
    def test_every_row_stands_once_in_each_order(self, rows, every):
        orders, made, local = TwoOrders(), list[hftbacktest.Row](), 0
        for number, (delay, step) in enumerate(rows):
            local += step
            orders.add((number << 8, max(local - delay, 0), local, 0.0, 0.0))
            if number % every == 0:
                made += orders.rows(is_end=False) if len(orders._coming) > hftbacktest.SORTED_ROWS else []
        made += orders.rows(is_end=True)
        for flag, clock in ((EXCH, 1), (LOCAL, 2)):
            of = [row for row in made if row[0] & flag]
            assert [row[clock] for row in of] == sorted(row[clock] for row in of)
            assert sorted(row[0] & ~(EXCH | LOCAL) for row in of) == [number << 8 for number in range(len(rows))]

    @given(rows=rows)
    @settings(max_examples=100)
    def test_so_it_is_where_few_rows_are_held(self, rows):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hftbacktest, "SORTED_ROWS", 3)
            orders, made, local = TwoOrders(), list[hftbacktest.Row](), 0
            for number, (delay, step) in enumerate(rows):
                local += step
                orders.add((number << 8, max(local - delay, 0), local, 0.0, 0.0))
                if orders.is_due:
                    made += orders.rows(is_end=False)
            made += orders.rows(is_end=True)
        for flag, clock in ((EXCH, 1), (LOCAL, 2)):
            of = [row for row in made if row[0] & flag]
            assert [row[clock] for row in of] == sorted(row[clock] for row in of)
            assert len({row[0] & ~(EXCH | LOCAL) for row in of}) == len(of) == len(rows)
        assert all(row[1] <= row[2] for row in made)

    def test_rows_in_one_order_are_not_doubled(self):
        rows = [(1, at, at + 5, 0.0, 0.0) for at in range(50)]
        assert len(list(both_orders(rows, rows))) == 50


class TestH3NoNegativeLatency:
    def test_it_becomes_0_and_is_counted(self, written):
        feed = Feed()
        data, facts = written(feed.snapshot(SECOND, [(10, 1)], []), feed.group(2 * SECOND, (9, 1, False), delay_us=-3000))
        assert (data["exch_ts"] <= data["local_ts"]).all()
        assert data["exch_ts"][-1] == data["local_ts"][-1] == 2 * SECOND
        assert facts["cleaned"] == {"negative_latencies": 1}

    def test_times_that_go_back_are_held_and_counted(self, written):
        feed = Feed()
        events = [feed.snapshot(SECOND, [(10, 1)], []), feed.group(2 * SECOND, (9, 1, False), delay_us=1000)]
        data, facts = written(*events, feed.group(2 * SECOND - 5, (8, 1, False), delay_us=500_000))
        assert data["local_ts"].tolist()[-2:] == [2 * SECOND] * 2
        assert data["exch_ts"].tolist()[-2:] == [2 * SECOND - 1_000_000] * 2
        assert facts["cleaned"] == {"receive_times_that_went_back": 1, "exchange_times_that_went_back": 1}

    def test_no_exchange_time_is_ours(self, written):
        feed = Feed()
        data, facts = written(feed.snapshot(SECOND, [(10, 1)], [], delay_us=None))
        assert data["exch_ts"].tolist() == data["local_ts"].tolist()
        assert facts["cleaned"] == {"without_exchange_time": 1}


def crossing():
    """A group in which a bid comes to where an ask goes, and a book that is crossed for a while."""
    feed = Feed()
    yield feed.snapshot(1, [(10, 1)], [(12, 1), (13, 2), (15, 1)])
    yield feed.group(2, (12, 7, False), (12, 0, True))
    yield feed.group(3, (14, 1, False))  # crossed
    yield feed.group(4, (14, 0, False))
    yield feed.group(5, (15, 3, False))  # crossed by far
    yield feed.group(6, (13, 0, True), (15, 0, False), (12, 1, False))


def seen(data, facts):
    return hft_books(data, LOCAL, float(facts["tick_size"]), float(facts["lot_size"]))


class TestH4DeletesBeforeAdds:
    def wanted(self):
        found = {}
        for event in crossing():
            if not (event.book.is_crossed or event.book.is_locked):
                found[event.timestamp_ns] = (event.book.bids(), event.book.asks())
        return found

    def test_no_ask_stays_hidden(self, written):
        data, facts = written(*crossing())
        found = seen(data, facts)
        assert {time: found[time] for time in self.wanted()} == self.wanted()
        assert facts["cleaned"] == {"crossed_books": 2}

    def test_removals_stand_first(self, written):
        data, _ = written(*crossing())
        assert data["qty"][data["local_ts"] == 2].tolist() == [0.0, 0.007]
        assert data["qty"][data["local_ts"] == 6].tolist() == [0.0, 0.0, 0.001, 0.001, 0.001]

    def test_mutant_without_the_best_levels_again(self, written, monkeypatch):
        monkeypatch.setattr(hftbacktest, "_hides", lambda _: False)
        found = seen(*written(*crossing()))
        assert found[4] != self.wanted()[4]


class TestH5TickAndLotSize:
    def test_they_are_those_of_the_finest_grid(self, written):
        feed = Feed(2, 3)
        first = feed.snapshot(1, [(10, 1)], [])
        finer = Feed(4, 5)
        _, facts = written(first, finer.snapshot(2, [(1000, 100)], []))
        assert (facts["tick_size"], facts["lot_size"]) == ("0.0001", "0.00001")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return capture(tmp_path_factory.mktemp("export") / "captures")


@pytest.fixture(scope="module")
def exported(place, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hft") / "out"
    made = export_to([place], "hftbacktest", folder, (), ())
    return np.load(folder / "kraken-BTC-USD.npz")["data"], made.summary["markets"][0], folder


def capture_books(place):
    with CaptureEvents(chosen([place])) as events:
        return books_of(events)


class TestOfACapture:
    def test_its_depth_is_our_book_after_every_frame(self, place, exported):
        data, market, _ = exported
        found = hft_books(data, LOCAL, float(market["tick_size"]), float(market["lot_size"]))
        wanted = capture_books(place)
        assert len(wanted) > 100
        assert {time: found[time] for time in wanted} == wanted

    def test_the_exchanges_side_ends_with_the_same_book(self, exported):
        data, market, _ = exported
        sizes = float(market["tick_size"]), float(market["lot_size"])
        ours, theirs = (list(hft_books(data, flag, *sizes).values()) for flag in (LOCAL, EXCH))
        assert ours[-1] == theirs[-1]

    def test_counts_are_told(self, exported):
        data, market, _ = exported
        assert kinds(data).count(3) == market["counts"]["snapshots"] == 2
        assert kinds(data).count(2) == market["counts"]["trades"] > 3
        assert market["counts"]["gaps"] == len(market["gaps"]) == 1
        assert market["rows"] == len(data)

    @pytest.mark.parametrize("what", ["a lot more", "no delete", "no clear"])
    def test_mutants_of_the_file_are_found(self, place, exported, what):
        data, market, _ = exported
        is_depth, data = data["ev"] & KIND == 1, data.copy()
        if what == "a lot more":
            data["qty"][np.flatnonzero(is_depth & (data["qty"] > 0))[40]] += float(market["lot_size"])
        elif what == "no delete":
            data = np.delete(data, np.flatnonzero(is_depth & (data["qty"] == 0))[10])
        else:
            data = np.delete(data, np.flatnonzero(data["ev"] & KIND == 3)[1:])
        found = hft_books(data, LOCAL, float(market["tick_size"]), float(market["lot_size"]))
        wanted = capture_books(place)
        assert {time: found.get(time) for time in wanted} != wanted

    def test_the_same_capture_gives_the_same_bytes(self, place, exported, tmp_path):
        export_to([place], "hftbacktest", tmp_path / "again", (), ())
        again = tmp_path / "again" / "kraken-BTC-USD.npz"
        assert again.read_bytes() == (exported[2] / "kraken-BTC-USD.npz").read_bytes()
        assert zipfile.ZipFile(again).namelist() == ["data.npy"]
        assert json.loads((tmp_path / "again" / "export.json").read_text())["markets"][0]["tick_size"] == "0.1"
