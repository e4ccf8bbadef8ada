"""Tardis CSV: columns, the marks of snapshots, times in microseconds; the books that its rules give are ours."""

import csv
import gzip

import pytest
from support.exports import Feed, books_of, capture

from alphapulse_cli.apps.export import tardis
from alphapulse_cli.apps.export.export import export_to
from alphapulse_cli.apps.export.from_captures import CaptureEvents
from alphapulse_cli.apps.export.output import Output
from alphapulse_cli.apps.export.tardis import Tardis
from alphapulse_cli.apps.verify.verify import chosen
from alphapulse_cli.market.ticks import to_ticks

BOOK, TRADES = "kraken_incremental_book_L2_BTC-USD.csv.gz", "kraken_trades_BTC-USD.csv.gz"


@pytest.fixture
def written(tmp_path):
    """Write events with the writer; the text of the book's file and of the trades'."""

    def write(*events):
        with Output(tmp_path / "out", force=True) as output:
            writer = Tardis(output)
            for event in events:
                writer.take(event)
            facts = writer.finish()
            output.finish({"files": output.names})
        folder = tmp_path / "out"
        return *(gzip.open(folder / name, "rt").read() if (folder / name).exists() else "" for name in (BOOK, TRADES)), facts

    return write


def replayed(path, decimals, in_a_row=True):
    """Books by microsecond of our time, by the documented rule: a snapshot behind changes discards the book."""
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    found, was_snapshot = {}, False
    with gzip.open(path, "rt", newline="") as lines:
        for row in csv.DictReader(lines):
            is_snapshot = {"true": True, "false": False}[row["is_snapshot"]]
            if is_snapshot and not was_snapshot:
                sides = ({}, {})
            was_snapshot = is_snapshot
            side = sides[("bid", "ask").index(row["side"])]
            ticks, lots = to_ticks(row["price"], decimals[0]), to_ticks(row["amount"], decimals[1])
            if lots:
                side[ticks] = lots
            else:
                side.pop(ticks, None)
            found[int(row["local_timestamp"])] = (sorted(sides[0].items(), reverse=True), sorted(sides[1].items()))
    return found


def test_the_columns_and_words_are_those_of_tardis(written):
    feed = Feed(2, 3)
    first = feed.snapshot(1_000_999, [(10, 1)], [(12, 2)], delay_us=100)
    book, trades, _ = written(
        first, feed.group(2_000_000, (10, 0, False)), feed.trade(2_000_000, 11, 7, exchange_ns=1_500_000, side=1, name='a,"b')
    )
    assert book.splitlines() == [
        "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount",
        "kraken,BTC-USD,900,1000,true,bid,0.10,0.001",
        "kraken,BTC-USD,900,1000,true,ask,0.12,0.002",
        "kraken,BTC-USD,2000,2000,false,bid,0.10,0.000",
    ]
    assert trades.splitlines() == [
        "exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
        'kraken,BTC-USD,1500,2000,"a,""b",sell,0.11,0.007',
    ]


def test_history_is_left_out_and_a_missing_time_is_ours(written):
    feed = Feed()
    book, trades, facts = written(feed.snapshot(5000, [(1, 1)], [], delay_us=None), feed.trade(6000, history=True))
    assert (",5,5," in book, trades) == (True, "")
    assert next(iter(facts.values()))["cleaned"] == {"without_exchange_time": 1, "history_trades_left_out": 1}


class TestT1TwoSnapshotsInARow:
    def events(self):
        feed = Feed()
        yield feed.snapshot(1000, [(10, 1), (9, 1)], [(12, 1)])
        yield feed.snapshot(2000, [(9, 2)], [(13, 1)])
        yield feed.group(3000, (8, 1, False))
        yield feed.snapshot(4000, [(7, 1)], [(13, 1)])

    def test_the_second_is_a_difference(self, written, tmp_path):
        book, *_ = written(*self.events())
        assert [line.split(",")[4] for line in book.splitlines()[1:]] == ["true"] * 3 + ["false"] * 5 + ["true"] * 2
        wanted = {time // 1000: sides for time, sides in books_of(self.events()).items()}
        assert replayed(tmp_path / "out" / BOOK, (2, 3)) == wanted

    def test_mutant_two_snapshots_are_read_as_one(self, written, tmp_path, monkeypatch):
        monkeypatch.setattr(tardis.Tardis, "_book", forgetful(tardis.Tardis._book))
        written(*self.events())
        assert replayed(tmp_path / "out" / BOOK, (2, 3))[2] != ([(9, 2)], [(13, 1)])


def forgetful(real):
    """The method without the memory of the last snapshot."""

    def mutant(self, event):
        self._latest.clear()
        real(self, event)

    return mutant


def test_books_of_a_capture_are_ours(tmp_path):
    place = capture(tmp_path / "captures")
    market = export_to([place], "tardis-csv", tmp_path / "out", (), ()).summary["markets"][0]
    with CaptureEvents(chosen([place])) as events:
        wanted = {time // 1000: sides for time, sides in books_of(events).items()}
    assert len(wanted) > 100
    assert replayed(tmp_path / "out" / BOOK, (market["price_decimals"], market["size_decimals"])) == wanted
    assert market["files"] == [BOOK, TRADES]
