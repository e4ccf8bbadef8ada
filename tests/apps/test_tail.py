"""The tail: exact text, filters, sets that come and go, and nothing lost silently."""

import random

import pytest
from support.reader_sets import Writer, ladder, random_rows

from alphapulse_cli.apps.tail import Tail
from alphapulse_cli.errors import NoSegment, UsageError
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.readers import sets
from alphapulse_cli.readers.items import NO_QUOTE, DeltaGroup, Missed, Restarted
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm.cursor import list_cursors
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.delta import BookReason, BookState


@pytest.fixture
def directory(tmp_path):
    with open_directory(tmp_path / "segments", create=True) as opened:
        yield opened


@pytest.fixture
def writer(directory):
    with Writer(directory, ("BTC-USD", "ETH-USD")) as made:
        made.snapshot(ladder(40))
        made.snapshot(ladder(40), "ETH-USD")
        yield made


def of(items, kind):
    return [item for item in items if isinstance(item, kind)]


class TestGroups:
    def test_a_group_is_one_item_however_many_records_it_has(self, directory, writer):
        with Tail(directory, SegmentKind.DELTAS, Wanted()) as tail:
            writer.update(ladder(1000, 5))
            writer.update([(7, 3, False)], "ETH-USD")
            large, small = tail.poll()
            assert (large.symbol, len(large.changes)) == ("BTC-USD", 1000)
            assert (small.symbol, small.changes) == ("ETH-USD", [("bid", "0.07", "0.00000003", True)])
            assert small.row()["changes"] == [("bid", "0.07", "0.00000003")]

    def test_the_largest_numbers_are_exact(self, directory, writer):
        with Tail(directory, SegmentKind.DELTAS, Wanted()) as tail:
            writer.update([((1 << 63) - 1, (1 << 62) - 1, True)])
            (group,) = tail.poll()
            assert group.changes == [("ask", "92233720368547758.07", "46116860184.27387903", True)]

    def test_symbols_and_exchanges_are_filtered(self, directory, writer):
        with (
            Writer(directory, set_name="second") as second,
            Tail(directory, SegmentKind.DELTAS, Wanted.of(["kraken"], ["second:BTC-USD", "ETH-USD"])) as tail,
        ):
            second.snapshot(ladder(4))
            writer.update([(7, 3, False)])
            writer.update([(7, 3, False)], "ETH-USD")
            assert {(group.set_name, group.symbol) for group in tail.poll()} == {("second", "BTC-USD"), ("kraken", "ETH-USD")}

    def test_trades(self, directory, writer):
        with Tail(directory, SegmentKind.TRADES, Wanted()) as tail:
            writer.trades(("a", 1, 2, 2), ("b", 3, 4, 1), exchange_ns=99)
            one, two = tail.poll()
            assert (one.side, one.price, one.size, one.exchange_ns) == ("unknown", "0.01", "0.00000002", 99)
            assert (two.row()["set"], two.row()["trade_id"], two.side) == ("kraken", "b", "sell")


class TestNothingIsLostSilently:
    def test_a_lap_is_an_item(self, directory):
        with Writer(directory, capacity=64) as writer, Tail(directory, SegmentKind.DELTAS, Wanted()) as tail:
            for number in range(200):
                writer.snapshot([(999_000, 1 + number, False)])
            items = tail.poll()
            (missed,) = of(items, Missed)
            assert missed.missed + len(of(items, DeltaGroup)) == writer.outlet.deltas.published
            assert items.index(missed) == 0

    def test_a_restart_is_an_item_before_the_new_records(self, directory):
        with Writer(directory):
            tail = Tail(directory, SegmentKind.DELTAS, Wanted())
        with Writer(directory) as writer:
            writer.snapshot(ladder(4))
            assert [type(item) for item in tail.poll()] == [Restarted, DeltaGroup, DeltaGroup]
        tail.close()

    def test_a_set_that_appears_is_read_from_its_first_record(self, directory, writer, monkeypatch):
        monkeypatch.setattr(sets, "LOOK_EVERY_NS", 0)
        with Tail(directory, SegmentKind.DELTAS, Wanted()) as tail, Writer(directory, set_name="second") as second:
            second.snapshot(ladder(4))
            assert [item.version for item in tail.poll() if item.set_name == "second"] == [1, 1]


class TestBeginningAndEnd:
    def test_since(self, directory, writer):
        writer.now_ns += 1000
        writer.update([(7, 3, False)])
        with Tail(directory, SegmentKind.DELTAS, Wanted(), "oldest", writer.now_ns) as tail:
            assert [group.version for group in tail.poll()] == [2]
            writer.now_ns -= 5000
            writer.update([(7, 4, False)])
            assert [group.version for group in tail.poll()] == [3], "once begun, nothing is left out"

    def test_count_counts_groups(self, directory, writer):
        with Tail(directory, SegmentKind.DELTAS, Wanted(), "oldest") as tail:
            assert len([item for item in tail.items(count=3) if item is not None]) == 3

    def test_duration_ends_it_and_the_cursors_go(self, directory, writer):
        with Tail(directory, SegmentKind.TRADES, Wanted(), how="sleep") as tail:
            assert list_cursors(directory)[0].label == "tail trades"
            assert list(tail.items(duration_s=0.05)) == []
        assert list_cursors(directory) == []

    def test_what_is_not_there_and_what_cannot_be(self, directory, writer):
        with pytest.raises(NoSegment, match="coinbase"):
            Tail(directory, SegmentKind.DELTAS, Wanted.of(["coinbase"], None))
        with pytest.raises(UsageError):
            Tail(directory, SegmentKind.DELTAS, Wanted(), how="nap")


class TestQuotes:
    """`tail --fields bid,ask`: the best of the very book that the group made."""

    def test_each_group_has_its_own_though_many_are_read_at_once(self, directory, writer):
        """Against the writer's own book after each update; the mutant takes the newest book for all groups of a poll."""
        dice = random.Random(7)
        with Tail(directory, SegmentKind.DELTAS, Wanted(), quotes=True) as tail:
            expected = []
            for _ in range(200):
                symbol = dice.choice(["BTC-USD", "ETH-USD"])
                before = writer.keepers[symbol].version
                writer.update(random_rows(dice), symbol)
                if writer.keepers[symbol].version > before:
                    expected.append((symbol, *best(writer.book(symbol))))
            groups = of(tail.poll(), DeltaGroup)
            assert [(group.symbol, *group.quote) for group in groups if group.kind is delta.RecordKind.DELTA] == expected
            newest = {symbol: best(writer.book(symbol)) for symbol in ("BTC-USD", "ETH-USD")}
            assert [(symbol, *newest[symbol]) for symbol, *_ in expected] != expected

    def test_there_is_none_where_the_book_is_not_live_or_not_ours(self, directory, writer):
        with Tail(directory, SegmentKind.DELTAS, Wanted(), "oldest", quotes=True) as tail:
            tail.poll()
            writer.update([(42, 7, False)])
            assert tail.poll()[0].quote[0] == "10000.00"
            writer.keepers["BTC-USD"].set_state(BookState.SYNCING, BookReason.SEQUENCE_GAP, writer.now_ns)
            assert [(group.own_fields["state"], group.quote) for group in tail.poll()] == [("SYNCING", NO_QUOTE)]

    def test_a_side_without_levels_has_none(self, directory):
        with Writer(directory) as writer, Tail(directory, SegmentKind.DELTAS, Wanted(), quotes=True) as tail:
            writer.snapshot([(5, 7, False)])
            assert {group.quote for group in tail.poll()} == {NO_QUOTE}, "the image of a RESET is read after it"
            writer.update([(4, 7, False)])
            assert tail.poll()[-1].quote == ("0.05", "0.00000007", None, None)


def best(book):
    """Best bid, its size, best ask, its size, as text."""
    (bid, bid_lots), (ask, ask_lots) = book.best_bid(), book.best_ask()
    return to_text(bid, 2), to_text(bid_lots, 8), to_text(ask, 2), to_text(ask_lots, 8)
