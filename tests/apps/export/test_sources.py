"""Events of captures and of datasets: the same stream from both, exact books, gaps with a snapshot behind each, and what was lost."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.captures import write_rows
from support.datasets import row, trade, write
from support.exports import SECOND, books_of, capture
from support.small_captures import BTC, HEAD, MS, T0, done, frame, opened, said, shut

import alphapulse_cli as ap
from alphapulse_cli.apps.export import from_captures, from_dataset
from alphapulse_cli.apps.export.from_captures import CaptureEvents
from alphapulse_cli.apps.export.from_dataset import DatasetEvents
from alphapulse_cli.apps.export.stream import BookEvent, GapEvent, TradeEvent
from alphapulse_cli.apps.verify.verify import chosen
from alphapulse_cli.cli import app
from alphapulse_cli.edges.capture.rows import Row
from alphapulse_cli.errors import NoSegment, StorageError

NS = 1_795_780_800_000_000_000


def said_of(event):
    """All that an event says, so that it can be kept."""
    if isinstance(event, BookEvent):
        book = event.book
        return (*event[:9], tuple(event.changes), book.book_hash, book.price_decimals, book.size_decimals)
    return tuple(event)


def stream(source):
    """Books and gaps, and trades: the order between the two at the same time is the writer's, and is tested apart."""
    with source as events:
        found = [said_of(event) for event in events]
    is_trade = [len(one) == len(TradeEvent._fields) for one in found]
    return [one for one, yes in zip(found, is_trade, strict=True) if not yes], [
        one for one, yes in zip(found, is_trade, strict=True) if yes
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return capture(tmp_path_factory.mktemp("export") / "captures")


@pytest.fixture(scope="module")
def captured(place):
    return stream(CaptureEvents(chosen([place])))


class TestCaptures:
    def test_every_book_is_that_of_replay(self, place):
        wanted = {}
        for update in ap.replay(place):
            if update.version and update.state.name in ("LIVE", "STALE"):
                wanted[update.version] = (update.timestamp_ns, update.book.bids(), update.book.asks())
        with CaptureEvents(chosen([place])) as events:
            found = {
                one.version: (one.timestamp_ns, one.book.bids(), one.book.asks()) for one in events if isinstance(one, BookEvent)
            }
        assert len(found) > 100
        assert {version: one[1:] for version, one in wanted.items()} == {version: one[1:] for version, one in found.items()}

    def test_a_gap_has_a_snapshot_behind_it(self, captured):
        books, _ = captured
        (at,) = (number for number, one in enumerate(books) if len(one) == len(GapEvent._fields))
        assert books[at][2] == "disconnected"
        assert [one[1] for one in books[: at + 3] if len(one) > 3] == [True, *([False] * (at - 1)), True, False]
        assert books[at + 1][8] is True, "resynced: it holds the changes, too"

    def test_they_are_in_order_of_time(self, place):
        with CaptureEvents(chosen([place])) as events:
            times = [event.timestamp_ns for event in events]
        assert times == sorted(times)

    def test_from_a_time_on_the_whole_book_comes_first(self, place, captured):
        books, _ = captured
        middle = books[30]
        from_ns = middle[6] + 1
        with CaptureEvents(chosen([place]), (from_ns, None)) as events:
            found = [said_of(event) for event in events]
        first, rest = found[0], [one for one in found[1:] if len(one) != len(TradeEvent._fields)]
        assert (first[1], first[5], first[6], first[10]) == (True, middle[5], from_ns, middle[10])
        assert [one[-3:] for one in rest] == [one[-3:] for one in books[31:]]

    def test_the_end_is_left_out(self, place, captured):
        books, _ = captured
        with CaptureEvents(chosen([place]), (None, books[30][6])) as events:
            last = max(event.timestamp_ns for event in events)
        assert books[29][6] <= last < books[30][6]

    def test_lost_rows_and_damaged_files_are_told(self, place, tmp_path):
        (path,) = place.glob("*.cap.zst")
        torn = tmp_path / path.name
        torn.write_bytes(path.read_bytes()[:-100])
        with CaptureEvents(chosen([torn])) as events:
            assert sum(1 for _ in events) > 50
        assert len(events.losses.damages) == 1
        assert path.name in events.losses.damages[0]
        assert events.losses

    def test_rows_that_the_capture_lost_are_counted(self, tmp_path):
        lost = Row(b"lost", T0 + 20 * MS, 0, said(rows=7, bytes=70, from_ns=T0, to_ns=T0 + MS, reason="slow"))
        rows = [opened(0), frame(5, b'{"channel":"heartbeat"}'), lost, shut(30), done(31)]
        write_rows(tmp_path, replace(HEAD, instruments=(BTC,)), rows)
        with CaptureEvents(chosen([tmp_path])) as events:
            assert list(events) == []
        assert events.losses.rows_lost == 7

    def test_nothing_is_left_behind(self, place, tmp_path, monkeypatch):
        monkeypatch.setattr(from_captures, "usual_path", lambda: tmp_path / "shm")
        with CaptureEvents(chosen([place])) as events:
            next(iter(events))
            assert len(list(tmp_path.glob("**/alphapulse-export-*"))) == 1
        assert list(tmp_path.glob("**/alphapulse-export-*")) == []


@pytest.fixture(scope="module", params=["10m", "1s"])
def dataset(request, place, tmp_path_factory):
    """The dataset that `record` makes of the capture, in one file of each table or in many."""
    folder = tmp_path_factory.mktemp("dataset") / "data"
    assert app.main(["record", str(folder), str(place), "--roll", request.param]) == 0
    return folder


class TestADatasetGivesTheSame:
    def test_events_books_sequences_and_trades(self, dataset, captured):
        books, trades = stream(DatasetEvents(dataset))
        wanted_books, wanted_trades = captured

        assert [one[:1] + one[2:] for one in trades] == [one[:1] + one[2:] for one in wanted_trades]
        assert len(books) == len(wanted_books) > 100
        assert [one[:3] + one[4:] if len(one) > 3 else one for one in books] == [
            one[:3] + one[4:] if len(one) > 3 else one for one in wanted_books
        ]

    def test_from_a_time_on_the_whole_book_comes_first(self, dataset, captured):
        books, _ = captured
        middle = books[30]
        with DatasetEvents(dataset, span_ns=(middle[6] + 1, None)) as events:
            found = [said_of(event) for event in events]
        rest = [one for one in found if len(one) > 3 and len(one) != len(TradeEvent._fields)]
        assert rest[0][1] is True
        assert [one[-3:] for one in rest if one[5] > middle[5]] == [one[-3:] for one in books[31:] if len(one) > 3]

    def test_what_it_does_not_have_is_told_beside_what_it_has(self, dataset):
        with pytest.raises(NoSegment, match=r"not in the dataset: krakn\n") as refused:
            DatasetEvents(dataset, exchanges=["krakn"], symbols=["BTC-USD"])
        assert "BTC-USD" in refused.value.hint
        assert "it has" in refused.value.hint
        with pytest.raises(NoSegment, match="nothing to export in that time"):
            DatasetEvents(dataset, symbols=["BTC-USD"], span_ns=(None, 1))

    def test_mutant_a_lost_row_is_found(self, dataset, captured, monkeypatch):
        real = from_dataset._rows

        def rows(files, table, symbols):
            for number, one in enumerate(real(files, table, symbols)):
                if not (table == "deltas" and number == 300):
                    yield one

        monkeypatch.setattr(from_dataset, "_rows", rows)
        books, _ = stream(DatasetEvents(dataset))
        assert [one[-3:] for one in books] != [one[-3:] for one in captured[0]]


def change(sequence, version, ticks, lots, **values):
    return row(
        "deltas",
        symbol="BTC-USD",
        epoch=1,
        sequence=sequence,
        version=version,
        timestamp_ns=NS + sequence,
        side="bid",
        price_ticks=ticks,
        size_lots=lots,
        is_last=True,
        price_decimals=2,
        size_decimals=3,
        is_new=True,
        **values,
    )


class TestHolesInADataset:
    def level(self, sequence, version, ticks, lots):
        values = {"symbol": "BTC-USD", "epoch": 1, "sequence": sequence, "version": version, "timestamp_ns": NS + sequence}
        return row("snapshots", **values, side="bid", price_ticks=ticks, size_lots=lots, price_decimals=2, size_decimals=3)

    def status(self, sequence, kind, **values):
        return row("status", epoch=1, sequence=sequence, timestamp_ns=NS + sequence, kind=kind, ring="deltas", **values)

    def events(self, dataset, **more):
        with DatasetEvents(dataset, **more) as source:
            return [
                (type(one).__name__, getattr(one, "version", one[-1]), *([one.is_snapshot] if hasattr(one, "book") else []))
                for one in source
            ], source

    def test_missed_records_are_a_gap_until_the_next_snapshot(self, tmp_path):
        write(tmp_path, "deltas", [change(16, 1, 10, 1), change(32, 2, 11, 1), change(64, 5, 12, 1), change(96, 7, 13, 1)])
        write(tmp_path, "status", [self.status(48, "missed", missed=2)])
        write(tmp_path, "snapshots", [self.level(80, 6, 10, 4)])
        found, source = self.events(tmp_path)
        assert found == [
            ("BookEvent", 1, True),
            ("BookEvent", 2, False),
            ("GapEvent", "rows missed"),
            ("BookEvent", 6, True),
            ("BookEvent", 7, False),
        ]
        assert source.losses.records_missed == {"kraken": 2}

    def test_a_broken_chain_without_a_word_is_a_gap(self, tmp_path):
        write(tmp_path, "deltas", [change(16, 1, 10, 1), change(48, 3, 11, 1)])
        assert self.events(tmp_path)[0] == [("BookEvent", 1, True), ("GapEvent", "rows missed")]

    def test_a_snapshot_that_differs_is_a_gap_and_counts(self, tmp_path):
        write(tmp_path, "deltas", [change(16, 1, 10, 1), change(32, 2, 11, 1)])
        write(tmp_path, "snapshots", [self.level(32, 2, 10, 9)])
        assert self.events(tmp_path)[0][2:] == [("GapEvent", "another book in a snapshot"), ("BookEvent", 2, True)]

    def test_one_that_is_the_same_is_no_event(self, tmp_path):
        write(tmp_path, "deltas", [change(16, 1, 10, 1)])
        write(tmp_path, "snapshots", [self.level(16, 1, 10, 1)])
        assert self.events(tmp_path)[0] == [("BookEvent", 1, True)]

    def test_groups_of_a_book_that_is_not_known_are_no_events(self, tmp_path):
        write(tmp_path, "deltas", [change(16, 5, 10, 1)])
        write(tmp_path, "snapshots", [self.level(32, 8, 10, 1)])
        assert self.events(tmp_path)[0] == [("BookEvent", 8, True)]

    def test_a_new_epoch_begins_anew(self, tmp_path):
        write(tmp_path, "deltas", [change(16, 1, 10, 1), change(32, 2, 11, 1)])
        write(tmp_path, "deltas", [change(16, 1, 20, 1) | {"epoch": 2, "timestamp_ns": NS + SECOND}], part=1)
        found, _ = self.events(tmp_path)
        assert found == [("BookEvent", 1, True), ("BookEvent", 2, False), ("GapEvent", "restarted"), ("BookEvent", 1, True)]

    @pytest.mark.parametrize("more", [{"symbols": ["ETH-USD"]}, {"exchanges": ["okx"]}, {"symbols": ["okx:BTC-USD"]}])
    def test_what_is_not_there_is_refused(self, tmp_path, more):
        write(tmp_path, "deltas", [change(16, 1, 10, 1)])
        with pytest.raises(NoSegment, match="not in the dataset"):
            DatasetEvents(tmp_path, **more)


def test_a_file_that_keep_removed_or_the_disk_damaged_meanwhile_is_told(tmp_path):
    paths = write(tmp_path, "trades", [trade(16 * number, 100, 1) for number in range(50)])
    for spoil, message in (
        (lambda path: path.write_bytes(path.read_bytes()[:4] + bytes(40)), "parquet"),
        (Path.unlink, "no such file any more"),
    ):
        with DatasetEvents(tmp_path, (), (), (None, None)) as events:
            spoil(paths[0])
            with pytest.raises(StorageError, match=f"(?i)kraken.*{message}"):
                list(events)
        if paths[0].exists():
            write(tmp_path, "trades", [trade(16 * number, 100, 1) for number in range(50)])


def test_books_are_whole(place):
    with CaptureEvents(chosen([place])) as events:
        assert all(len(bids) == len(asks) == 10 for bids, asks in books_of(events).values())
