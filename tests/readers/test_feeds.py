"""Scorecards: windows between checkpoints, sums over books, and what is not known."""

import dataclasses

import pytest

from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.readers import feeds
from alphapulse_cli.readers.feeds import MEANINGS, FeedCard, base, cards_of, share
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.readers.status import BookStatus, SetStatus
from alphapulse_cli.shm.scores import EVERY_NS, SECOND_NS, RowKind, Score, ScoresWriter, read_past, read_scores, scored_sets
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.wire.delta import BookReason, BookState

HOUR, DAY = 3600 * SECOND_NS, 86_400 * SECOND_NS
START = 50 * HOUR
LIVE, SYNCING = BookState.LIVE, BookState.SYNCING


def held(directory):
    """Scores of the set, which has some."""
    found = read_scores(directory, "kraken")
    assert found is not None
    return found


class Set:
    """A set whose one symbol gains a gap a minute, and a healing of as many ms as the hour has."""

    def __init__(self, directory):
        self.directory, self.at, self.epoch = directory, START, 0
        self.begin()

    def begin(self):
        """Another writer."""
        self.epoch += 1
        self.file = ScoresWriter(self.directory, "kraken", "kraken", self.epoch, self.at)
        self.rows = [self.file.set_row, *(self.file.row(RowKind.SYMBOL, name, self.at) for name in ("BTC-USD", "ETH-USD"))]
        self.rows.append(self.file.row(RowKind.CONNECTION, "1", self.at))
        for row in self.rows[1:]:
            row.on_connection(1)

    def collect(self, minutes):
        for _ in range(minutes):
            self.at += 60 * SECOND_NS
            for row in self.rows:
                row.add(Score.OBSERVED_NS, 60 * SECOND_NS)
                row.seen(self.at)
            btc = self.rows[1]
            btc.add(Score.GAPS)
            btc.add(Score.VALID_NS, 59 * SECOND_NS)
            btc.healed((self.at - START) // HOUR * 1_000_000)
            self.rows[3].add(Score.OPEN_NS, 30 * SECOND_NS)
            self.file.updated(self.at)
            if self.file.is_due(self.at):
                self.file.checkpoint(self.at)

    def cards(self, window, **books):
        status = SetStatus("kraken", "kraken", Liveness.LIVE, books=[BookStatus("kraken", *one) for one in books.get("books", ())])
        found = cards_of(held(self.directory), read_past(self.directory, "kraken"), status, window, self.at)
        return {(card.kind, card.symbol): card for card in found}


@pytest.fixture
def kraken(directory):
    return Set(directory)


BTC = "symbol", "BTC-USD"


class TestWindows:
    def test_before_they_are_full_begin_with_the_file(self, kraken):
        kraken.collect(30)
        for window in feeds.WINDOWS_NS:
            card = kraken.cards(window)[BTC]
            assert (card.gaps, card.to_ns - card.from_ns, card.ran_ns) == (30, HOUR // 2, HOUR // 2)

    @pytest.mark.parametrize("minutes", [61, 64, 65, 66, 200, 1439, 1441, 1500, 3000])
    def test_hold_what_happened_in_them_and_no_more(self, kraken, minutes):
        kraken.collect(minutes)
        for window, length, slack in (("hour", HOUR, EVERY_NS), ("day", DAY, HOUR)):
            card = kraken.cards(window)[BTC]
            held_ns = card.to_ns - card.from_ns
            assert min(length, minutes * 60 * SECOND_NS) <= held_ns <= length + slack
            assert card.gaps * 60 * SECOND_NS == held_ns == card.observed_ns == card.ran_ns

    def hold_what_happened(self, kraken):
        self.test_hold_what_happened_in_them_and_no_more(kraken, 200)

    def test_percentiles_are_of_the_window_alone(self, kraken):
        kraken.collect(300)
        assert kraken.cards("hour")[BTC].healing_ms["p99"] == 5
        assert kraken.cards("hour")[BTC].healing_ms["p50"] == 4
        assert kraken.cards("day")[BTC].healing_ms["p50"] == 2

    def test_of_the_start_is_of_this_writer(self, kraken):
        kraken.collect(90)
        kraken.begin()
        kraken.collect(7)
        card = kraken.cards("start")[BTC]
        assert (card.gaps, card.to_ns - card.from_ns) == (7, 7 * 60 * SECOND_NS)
        assert kraken.cards("day")[BTC].gaps == 97

    def test_a_pause_between_writers_is_not_observed(self, kraken):
        kraken.collect(90)
        kraken.at += 20 * 60 * SECOND_NS
        kraken.begin()
        kraken.collect(30)
        card = kraken.cards("hour")[BTC]
        assert card.ran_ns == card.observed_ns == card.to_ns - card.from_ns - 20 * 60 * SECOND_NS
        assert 40 <= card.gaps <= 45

    def test_that_begins_in_a_pause_holds_exactly_what_came_after(self, kraken):
        kraken.collect(90)
        kraken.at += 50 * 60 * SECOND_NS
        kraken.begin()
        kraken.collect(30)
        card = kraken.cards("hour")[BTC]
        assert (card.gaps, card.to_ns - card.from_ns) == (30, HOUR)

    def test_of_a_collector_that_ended_before_it_holds_nothing(self, kraken):
        kraken.collect(90)
        kraken.at += 2 * HOUR
        assert ("symbol", "BTC-USD") in kraken.cards("hour")
        assert kraken.cards("hour")[BTC].gaps == 0
        assert kraken.cards("hour")[BTC].valid_percent is None
        assert kraken.cards("day")[BTC].gaps == 90
        started = kraken.cards("start")[BTC]
        assert (started.gaps, started.to_ns - started.from_ns) == (90, 90 * 60 * SECOND_NS)

    def test_without_a_past_say_from_when_they_are(self, kraken):
        kraken.collect(200)
        kraken.directory.unlink("kraken.scores-past")
        card = kraken.cards("hour")[BTC]
        assert (card.gaps, card.to_ns - card.from_ns) == (200, 200 * 60 * SECOND_NS)

    def test_another_is_refused(self, directory):
        with pytest.raises(UsageError, match="fortnight"):
            feeds.cards(directory, Wanted(), "fortnight")

    @pytest.mark.parametrize("wrong", ["begin_of_the_file", "the_oldest_checkpoint", "taken_not_held"])
    def test_the_tests_above_would_notice(self, kraken, monkeypatch, wrong):
        """Broken variants of `base`."""

        def broken(scores, past, window, now_ns):
            begin, end, rows = base(scores, past, window, now_ns)
            if window == "start" or not past:
                return begin, end, rows
            if wrong == "begin_of_the_file":
                return begin, end, {}
            if wrong == "taken_not_held":
                past = [one._replace(held_from_ns=one.taken_ns) for one in past]
                return base(scores, past, window, now_ns)
            return begin, end, {row.key: row for row in past[0].rows()}

        monkeypatch.setattr(feeds, "base", broken)
        is_pause = wrong == "taken_not_held"
        test = self.test_that_begins_in_a_pause_holds_exactly_what_came_after if is_pause else self.hold_what_happened
        with pytest.raises(AssertionError):
            test(kraken)


class TestSets:
    def test_whose_segments_were_swept_still_have_their_cards(self, kraken):
        kraken.collect(3)
        directory = kraken.directory
        found = feeds.cards(directory, Wanted.of(["kraken"], None), "day")
        assert [(card.kind, card.live, card.state) for card in found[:1]] == [("exchange", False, None)]
        assert len(found) == 4
        assert feeds.cards(directory, Wanted.of(["coinbase"], None), "day") == []

    def test_of_names_that_no_set_can_have_are_not_looked_for(self, kraken):
        for name in ("..scores", "UP.scores", f"{'a' * 33}.scores", "kraken.scores-past", "x\x1b.scores"):
            (kraken.directory.path / name).write_bytes(b"")
        assert scored_sets(kraken.directory) == ["kraken"]


class TestSums:
    def test_of_an_exchange_are_those_of_its_books(self, kraken):
        kraken.collect(10)
        kraken.rows[0].add(Score.GAPS, 2)  # that name no symbol
        kraken.rows[0].add(Score.MESSAGES, 600)
        kraken.rows[2].add(Score.GAPS, 5)
        kraken.rows[2].add(Score.CHECKSUMS_OK, 3)
        found = kraken.cards("hour")
        whole, link = found["exchange", ""], found["connection", ""]
        assert (whole.gaps, link.gaps) == (17, 15)
        assert (whole.observed_ns, whole.valid_ns, whole.ran_ns) == (1200 * SECOND_NS, 590 * SECOND_NS, 600 * SECOND_NS)
        assert (whole.healings, whole.checksums_ok, whole.messages_per_s) == (10, 3, 1.0)
        assert (whole.open_percent, link.open_percent, found[BTC].open_percent) == (50.0, 50.0, None)

    def test_the_state_is_that_of_now(self, kraken):
        kraken.collect(1)
        books = [("BTC-USD", LIVE, BookReason.NONE), ("ETH-USD", SYNCING, BookReason.SEQUENCE_GAP)]
        found = kraken.cards("hour", books=books)
        assert (found["exchange", ""].books, found["exchange", ""].books_live, found["exchange", ""].state) == (2, 1, None)
        assert (found[BTC].state, found["symbol", "ETH-USD"].state) == ("LIVE", "SYNCING")

    def test_the_trading_status_is_the_strictest(self, kraken):
        kraken.collect(1)
        status = SetStatus("kraken", "kraken", Liveness.LIVE)
        for name, of in (("BTC-USD", TradingStatus.TRADING), ("ETH-USD", TradingStatus.CANCEL_ONLY)):
            status.books.append(BookStatus("kraken", name, LIVE, BookReason.NONE, trading_status=of))
        found = cards_of(held(kraken.directory), [], status, "hour", kraken.at)
        assert [card.trading_status for card in found] == ["CANCEL_ONLY", "CANCEL_ONLY", "TRADING", "CANCEL_ONLY"]

    def test_a_symbol_that_was_given_up_belongs_to_no_connection(self, kraken):
        kraken.collect(5)
        kraken.begin()
        kraken.rows = [kraken.rows[0], kraken.rows[1], kraken.file.set_row, kraken.rows[3]]
        kraken.collect(1)
        found = kraken.cards("day")
        assert (found[BTC].connection, found["symbol", "ETH-USD"].connection) == (1, 1)
        later = held(kraken.directory)
        later = dataclasses.replace(later, started_ns=kraken.at)
        status = SetStatus("kraken", "kraken", Liveness.LIVE)
        symbols = {card.symbol: card.connection for card in cards_of(later, [], status, "day", kraken.at) if card.symbol}
        assert symbols == {"BTC-USD": 1, "ETH-USD": None}


class TestFiguresThatAreNotKnown:
    def test_are_none(self, kraken):
        card = kraken.cards("hour")[BTC]
        assert (card.valid_percent, card.checksums_percent, card.bytes, card.bytes_per_s, card.messages_per_s) == (None,) * 5
        assert card.healing_ms == {"p50": None, "p99": None}
        assert card.feed_delay_us == {"count": 0, "below_zero": 0, "p50": None, "p99": None, "p99.9": None}

    def test_delays_below_zero_are_among_those_that_are_ranked(self, kraken):
        for _ in range(60):
            kraken.rows[1].feed_delay.record(-1)
        for _ in range(40):
            kraken.rows[1].feed_delay.record(5_000_000)
        delay = kraken.cards("hour")[BTC].feed_delay_us
        assert (delay["count"], delay["below_zero"], delay["p50"]) == (100, 60, None)
        assert 5000 <= delay["p99"] <= 5160

    def test_shares_are_rounded_down(self):
        assert share(999_999_999, 1_000_000_000) == 99.9999
        assert share(1_000_000_000, 1_000_000_000) == 100.0
        assert share(0, 5) == 0.0
        assert share(0, 0) is None


def test_every_member_has_a_meaning(kraken):
    kraken.collect(1)
    card = kraken.cards("hour")[BTC]
    assert list(card.to_dict()) == list(MEANINGS)
    assert {field.name for field in dataclasses.fields(FeedCard)} < set(MEANINGS)
