"""REST of `serve`: every answer is what the images, counters and rings hold, and says so to proxies, browsers and clients without a token."""

import random

import pytest
from support.reader_sets import PAST_NS, Writer, kept_alive, ladder, random_rows
from support.rest_parts import Served, levels_of, scaled
from support.seen_opportunities import seen

pytest.importorskip("fastapi")

from alphapulse_cli.apps.candles.live import LiveCandles
from alphapulse_cli.apps.candles.markets import Rule
from alphapulse_cli.apps.serve import facts, images, markets, models, recent
from alphapulse_cli.edges.opportunities import store
from alphapulse_cli.edges.opportunities.store import OpportunityStore
from alphapulse_cli.edges.opportunities.watch_counters import Tally
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.readers.feeds import MEANINGS, cards
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import CountersReader
from alphapulse_cli.shm.directory import segment_name
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.scores import RowKind, Score, ScoresWriter
from alphapulse_cli.shm.segment import Segment

BOOK = "/api/v1/book/kraken/BTC-USD"
STATS = "/api/v1/delta-stats/kraken/BTC-USD"
TRADES = "/api/v1/trades/kraken/BTC-USD/recent"
LISTS = ("/api/v1/exchanges", "/api/v1/symbols", "/api/v1/bbo")
OF_SERVER = ("/health", "/ready", "/api/v1/system/health", STATS, "/api/v1/delta-stats/summary")
OF_NOW = (*LISTS, BOOK, TRADES, "/api/v1/candles/kraken/BTC-USD", "/api/v1/arbitrage/opportunities")
SECOND_NS = 1_000_000_000


@pytest.fixture(autouse=True)
def no_store(monkeypatch, tmp_path):
    """The user's own store of opportunities is not looked at."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def writer(directory):
    with Writer(directory, ("BTC-USD", "ETH-USD")) as made:
        made.snapshot(ladder(40))
        made.snapshot(ladder(40), "ETH-USD")
        yield made


@pytest.fixture
def served(directory, writer):
    with Served(directory) as made:
        made.writers.append(writer)
        made.poll()
        yield made


def differing(served, writer, depth):
    """What of a book's answer differs from the collector's own book."""
    row, (bids, asks) = served.row(f"{BOOK}?depth={depth}"), levels_of(writer.book(), depth)
    whole = levels_of(writer.book())
    truth = {"bids": bids, "asks": asks, "bid_levels": len(whole[0]), "ask_levels": len(whole[1]), "state": "LIVE"}
    truth["version"] = writer.keepers["BTC-USD"].version
    return [name for name, value in truth.items() if row[name] != value]


def say(writer, status):
    """Let the exchange say which orders the market takes."""
    keeper = writer.keepers["BTC-USD"]
    assert keeper.use_status(keeper.instrument.with_status(status, "word"), TradingStatus.TRADING, writer.now_ns)


class TestBooks:
    @pytest.mark.parametrize("depth", [1, 7, 1_000_000])
    def test_a_book_is_the_collectors_own_at_every_version(self, served, writer, depth):
        dice = random.Random(depth)
        for _ in range(30):
            writer.update(random_rows(dice, 5))
            assert differing(served, writer, depth) == []

    def test_a_book_of_floats_would_be_noticed(self, served, writer, monkeypatch):
        """The mutant: the same texts by way of a float."""
        exact = images.texts_of
        monkeypatch.setattr(
            markets, "texts_of", lambda levels, image: [(f"{float(price):.9g}", size) for price, size in exact(levels, image)]
        )
        writer.update([((1 << 53) + 1, 3, True)])
        assert differing(served, writer, 50) == ["bids", "asks"]

    def test_the_largest_numbers_are_exact(self, served, writer):
        writer.update([((1 << 63) - 1, (1 << 62) - 1, True)])
        assert served.row(f"{BOOK}?depth=100")["asks"][-1] == ["92233720368547758.07", "46116860184.27387903"]

    def test_many_levels_are_made_in_parts_and_all_are_there(self, served, writer):
        writer.snapshot(ladder(4 * markets.AT_ONCE_LEVELS + 2))
        assert differing(served, writer, 1_000_000) == []
        assert differing(served, writer, markets.AT_ONCE_LEVELS) == []

    def test_a_book_that_changes_during_each_copy_is_its_checkpoint(self, served, writer, monkeypatch):
        monkeypatch.setattr(images.Images, "copy", lambda *_: None)
        monkeypatch.setattr(facts, "COPY_PAUSE_S", 0)
        status, code, _, hint = served.error(BOOK)
        assert (status, code, hint) == (503, "unavailable", "ask for fewer levels")
        assert served.get(BOOK).headers["retry-after"] == "2"
        assert writer.outlet.wake.take_checkpoint_requests() == [0]
        asked = []

        def made_when_asked(_images, _market, levels):
            asked.append(levels)
            writer.keepers["BTC-USD"].image.checkpoint()

        monkeypatch.setattr(images.Images, "copy", made_when_asked)
        assert differing(served, writer, 3) == []
        assert asked

    def test_a_book_without_a_live_writer_is_stale(self, directory, served, writer):
        writer.update([(1_000_000, 9, False)])
        assert served.row(BOOK)["state"] == "LIVE"
        served.writers.clear()
        writer.close()
        row = served.row(BOOK)
        assert (row["state"], row["reason"]) == ("STALE", "RETIRED")
        assert row["bids"][0] == ["10000.00", "0.00000009"]
        assert served.row("/api/v1/bbo")[0]["state"] == "STALE"

    def test_a_silent_writer_makes_its_books_stale(self, served, monkeypatch):
        served.writers.clear()
        real = clock.monotonic_ns
        monkeypatch.setattr(clock, "monotonic_ns", lambda: real() + 3 * SECOND_NS)
        assert {(row["state"], row["reason"]) for row in served.row("/api/v1/bbo")} == {("STALE", "SILENT")}
        assert served.row("/api/v1/system/health")["status"] == "down"

    def test_a_new_writer_is_found_at_once(self, directory, served, writer):
        before = served.row(BOOK)
        served.writers.clear()
        writer.close()
        with Writer(directory, ("BTC-USD", "ETH-USD")) as later:
            later.snapshot(ladder(10, 77))
            row = served.row(BOOK)
            assert row["epoch"] > before["epoch"]
            assert (row["bids"], row["asks"]) == levels_of(later.book())

    def test_a_replay_is_marked(self, directory):
        with Writer(directory, replay=True) as writer, Served(directory) as served:
            writer.snapshot(ladder(4))
            writer.update([(1_000_000, 9, False)])
            writer.trades(("a", 1, 2, 0))
            served.poll()
            assert served.row(BOOK)["timestamp_ns"] == PAST_NS
            for path in (BOOK, TRADES, STATS, "/api/v1/candles/kraken/BTC-USD"):
                assert served.row(path)["replay"] is True, path
            for path in LISTS:
                assert [row["replay"] for row in served.row(path)] == [True], path
            assert served.row("/api/v1/system/health")["sets"][0]["replay"] is True
            assert served.row(STATS)["last_update_latency_us"] is None

    def test_the_set_of_that_name_comes_before_another_of_the_exchange(self, directory, served, writer):
        with Writer(directory, set_name="second") as second:
            second.snapshot(ladder(4))
            assert served.row(BOOK)["set"] == "kraken"
            assert served.row("/api/v1/book/second/BTC-USD")["set"] == "second"
            served.writers.clear()
            writer.close()
            assert served.row("/api/v1/book/kraken/BTC-USD")["set"] == "kraken"  # by its name, though it is not live

    @pytest.mark.parametrize("spelled", ["btc-usd", "BTCUSD", "btc_usd", "XBT-USD"])
    def test_symbols_may_be_spelled_as_people_do(self, served, spelled):
        assert served.row(f"/api/v1/book/kraken/{spelled}")["symbol"] == "BTC-USD"


class TestLists:
    def test_best_prices_are_those_of_the_images(self, served, writer):
        dice = random.Random(3)
        for number in range(20):
            writer.update(random_rows(dice, 4), ("BTC-USD", "ETH-USD")[number % 2])
            for row in served.row("/api/v1/bbo"):
                book = writer.book(row["symbol"])
                bid, ask = book.best_bid(), book.best_ask()
                assert row["bid"] == scaled(bid[0], 2)
                assert row["ask_size"] == scaled(ask[1], 8)
                assert (row["version"], row["timestamp_ns"]) == (writer.keepers[row["symbol"]].version, writer.now_ns)
        assert [row["symbol"] for row in served.row("/api/v1/bbo?symbol=eth-usd&exchange=kraken")] == ["ETH-USD"]
        assert served.error("/api/v1/bbo?exchange=coinbase")[0] == 404
        assert served.error("/api/v1/symbols?symbol=BTC-EUR")[0] == 404

    def test_an_empty_side_is_null(self, served, writer):
        writer.snapshot([(5, 6, True)])
        row = served.row("/api/v1/bbo?symbol=BTC-USD")[0]
        assert (row["bid"], row["bid_size"], row["ask"], row["ask_size"]) == (None, None, "0.05", "0.00000006")

    def test_symbols_have_the_exchanges_rules_and_the_trading_status(self, directory, served, writer):
        (row,) = served.row("/api/v1/symbols?symbol=BTC-USD")
        instrument = writer.keepers["BTC-USD"].instrument
        assert row["tick_size"] == scaled(instrument.tick_size_ticks, 2)
        assert row["lot_size"] == scaled(instrument.lot_size_lots, 8)
        assert row["min_size"] is None
        say(writer, TradingStatus.CANCEL_ONLY)
        assert served.row("/api/v1/symbols?symbol=BTC-USD")[0]["trading_status"] == "CANCEL_ONLY"
        assert served.row(BOOK)["trading_status"] == "CANCEL_ONLY"

    def test_a_book_before_its_snapshot_is_cold_and_knows_nothing(self, directory):
        with Writer(directory) as writer, kept_alive(writer), Served(directory) as served:
            (row,) = served.row("/api/v1/symbols")
            assert (row["state"], row["price_decimals"], row["size_decimals"]) == ("COLD", None, None)
            (row,) = served.row("/api/v1/bbo")
            assert (row["bid"], row["ask"], row["time"], row["timestamp_ns"]) == (None, None, None, None)

    def test_sets_have_the_counters_of_their_collector(self, directory, served, writer):
        for lots in (7, 8, 9):
            writer.update([(1_000_000, lots, False)])
        counters = CountersReader(Segment.attach(directory, segment_name(SegmentKind.COUNTERS, "kraken"))).total()
        (row,) = served.row("/api/v1/exchanges")
        for name in ("groups", "trades", "gaps", "resyncs", "reconnects", "frames", "connections", "connections_open"):
            assert row[name] == counters[name], name
        assert row["groups"] == 5
        assert (row["symbols"], row["liveness"], row["epoch"]) == (["BTC-USD", "ETH-USD"], "live", writer.outlet.epoch)
        assert row["last_frame"] is None  # none was received: not 1970

    def test_only_what_is_served_is_told(self, directory, writer):
        with (
            Writer(directory, set_name="coinbase", exchange="coinbase"),
            Served(directory, Wanted.of(["kraken"], ["ETH-USD"])) as one,
        ):
            assert [(row["set"], row["symbols"]) for row in one.row("/api/v1/exchanges")] == [("kraken", ["ETH-USD"])]
            assert [row["symbol"] for row in one.row("/api/v1/bbo")] == ["ETH-USD"]
            assert one.error(BOOK)[:2] == (404, "not_found")


class TestTrades:
    def test_the_last_trades_are_there_newest_first(self, served, writer):
        for number in range(7):
            writer.trades((f"t{number}", 100 + number, 5, number % 3), exchange_ns=None if number == 6 else 9)
        writer.trades(("other", 1, 2, 0), symbol="ETH-USD")
        served.poll()
        row = served.row(f"{TRADES}?limit=3")
        assert [one["trade_id"] for one in row["trades"]] == ["t6", "t5", "t4"]
        newest = row["trades"][0]
        assert (newest["price"], newest["size"], newest["side"], newest["exchange_ns"]) == ("1.06", "0.00000005", "buy", None)
        assert [one["side"] for one in row["trades"]] == ["buy", "unknown", "sell"]
        assert row["missed"] == 0
        assert len(served.row(TRADES)["trades"]) == 7

    def test_trades_that_the_ring_held_at_the_start_are_there(self, directory, writer):
        writer.trades(("before", 100, 5, 0))
        with Served(directory) as served:
            served.poll()
            assert [one["trade_id"] for one in served.row(TRADES)["trades"]] == ["before"]

    def test_what_is_kept_is_bounded_and_what_is_missed_is_told(self, directory):
        with Writer(directory, capacity=64) as writer, Served(directory) as served:
            writer.snapshot(ladder(4))
            served.poll()
            for number in range(200):
                writer.trades((f"t{number}", 1, 1, 0))
            served.poll()
            row = served.row(f"{TRADES}?limit=1000")
            assert row["missed"] + len(row["trades"]) == 200
            assert row["missed"] > 0
        kept = recent.RecentTrades(most=5)
        with Writer(directory) as writer, Served(directory) as served:
            served.source.listeners.append(kept)
            writer.trades(*[(f"t{number}", 1, 1, 0) for number in range(9)])
            served.poll()
            assert [one.trade_id for one in kept.last("kraken", "BTC-USD", 10)] == ["t8", "t7", "t6", "t5", "t4"]

    def test_candles_are_those_of_the_candles_command(self, directory, writer, served):
        begin = clock.realtime_ns() // SECOND_NS * SECOND_NS - 60 * SECOND_NS
        for second in range(30):
            writer.now_ns = begin + second * SECOND_NS
            writer.trades((f"t{second}", 1_000_000 + second, 5, second % 2), exchange_ns=writer.now_ns)
        row = served.row("/api/v1/candles/kraken/BTC-USD?width=10s&limit=1000")
        with LiveCandles(directory, Wanted(), Rule("10s", recent.LATE_NS), "oldest") as live:
            truth = [one.row() for one in live.poll() if one.symbol == "BTC-USD"]
        assert [one["begin_ns"] for one in row["candles"]] == [one["begin_ns"] for one in truth][: len(row["candles"])]
        assert len(row["candles"]) >= 3
        for mine, theirs in zip(row["candles"], truth, strict=False):
            assert {name: theirs[name] for name in mine if name != "begin"} == {
                name: mine[name] for name in mine if name != "begin"
            }
        assert served.row("/api/v1/candles/kraken/BTC-USD?width=10s&limit=1")["candles"] == row["candles"][-1:]

    def test_what_is_kept_of_candles_is_bounded(self, directory, writer, served, monkeypatch):
        monkeypatch.setattr(recent, "MOST_OF_WIDTH", 12)
        begin = clock.realtime_ns() // SECOND_NS * SECOND_NS - 60 * SECOND_NS
        for second in range(30):
            writer.now_ns = begin + second * SECOND_NS
            for symbol in ("BTC-USD", "ETH-USD"):
                writer.trades((f"t{second}", 1_000_000, 5, 0), symbol=symbol, exchange_ns=writer.now_ns)
        for symbol in ("BTC-USD", "ETH-USD"):
            row = served.row(f"/api/v1/candles/kraken/{symbol}?width=1s&limit=1000")
            assert len(row["candles"]) == 6

    def test_an_unknown_width_is_refused_with_the_known_ones(self, served):
        status, _, message, hint = served.error("/api/v1/candles/kraken/BTC-USD?width=2m")
        assert (status, message) == (400, "unknown width: '2m'")
        assert "15m" in hint


def truth_of(groups, records):
    """Bytes of whole books and of records, counted group by group as they happened: [(levels after it)], [records]."""
    return sum(16 * levels for levels in groups), 256 * records


class TestDeltaStats:
    def applied(self, writer, dice, count):
        """Make groups; the levels after each, and the number of records of all."""
        levels, before = [], writer.outlet.deltas.published
        for _ in range(count):
            version = writer.keepers["BTC-USD"].version
            writer.update(random_rows(dice, dice.choice([1, 5, 30])))
            if writer.keepers["BTC-USD"].version > version:  # else all of it was there already
                levels.append(writer.book().bid_count + writer.book().ask_count)
        return levels, writer.outlet.deltas.published - before

    def test_bytes_are_counted_group_by_group_however_many_come_at_once(self, served, writer):
        dice = random.Random(1)
        levels: list[int] = []
        records = 0
        for count in (1, 17, 2, 40):
            more, published = self.applied(writer, dice, count)
            levels, records = levels + more, records + published
            served.poll()
        row = served.row(STATS)
        full, mine = truth_of(levels, records)
        assert (row["full_book_bytes"], row["delta_bytes"], row["measured_groups"]) == (full, mine, len(levels))
        assert row["bandwidth_saved_bytes"] == full - mine
        assert row["compression_ratio"] == full / mine
        assert row["last"]["full_levels"] == levels[-1]
        assert row["last"]["version"] == writer.keepers["BTC-USD"].version

    def test_levels_as_of_the_end_of_a_batch_would_be_noticed(self, served, writer, monkeypatch):
        """The mutant: the book after the batch stands for the book after each group."""
        counted = recent._counted
        monkeypatch.setattr(recent, "_counted", lambda records: (*counted(records)[:2], 0))
        writer.update(ladder(400))
        levels, records = self.applied(writer, random.Random(1), 40)
        served.poll()
        assert len(set(levels)) > 1
        assert served.row(STATS)["full_book_bytes"] != truth_of(levels, records)[0]

    def test_the_last_group_is_told_as_it_is(self, served, writer):
        writer.update([(1_000_000, 5, False), (999_999, 0, False), (1_000_001, 7, True)])
        served.poll()
        last = served.row(STATS)["last"]
        assert (last["bid_changes"], last["ask_changes"], last["full_levels"]) == (2, 1, 39)
        assert last["timestamp_ns"] == writer.now_ns

    def test_counts_are_the_collectors(self, directory, served, writer):
        levels, _ = self.applied(writer, random.Random(2), 9)
        counters = CountersReader(Segment.attach(directory, segment_name(SegmentKind.COUNTERS, "kraken"))).blocks()["BTC-USD"]
        row = served.row(STATS)  # nothing was polled: they are read, not counted here
        assert (row["total_deltas_processed"], row["total_changes"]) == (counters["groups"], counters["changes"])
        assert row["avg_changes_per_update"] == counters["changes"] / counters["groups"]
        assert row["total_deltas_processed"] == len(levels) + 1

    def test_before_the_first_group_nothing_is_claimed(self, served):
        row = served.row(STATS)
        for name in (
            "delta_bytes",
            "full_book_bytes",
            "compression_ratio",
            "bandwidth_saved_bytes",
            "last",
            "last_update_latency_us",
        ):
            assert row[name] is None, name
        assert row["measured_groups"] == 0

    def test_a_new_book_begins_anew_behind_its_reset(self, served, writer):
        writer.update([(1_000_000, 5, False)])
        served.writers.clear()
        writer.outlet.close()
        served.poll()
        groups = served.row(STATS)["measured_groups"]
        with Writer(writer.directory, ("BTC-USD", "ETH-USD")) as later:
            later.snapshot(ladder(10))
            later.update([(1_000_000, 5, False)])
            served.poll()
            row = served.row(STATS)
            assert row["measured_groups"] == groups + 1
            assert row["last"]["full_levels"] == 10

    def test_the_latency_is_that_of_the_last_new_group(self, directory, served, writer, monkeypatch):
        writer.update([(1_000_000, 5, False)])
        monkeypatch.setattr(clock, "realtime_ns", lambda: writer.now_ns + 250_000)
        served.poll()
        assert served.row(STATS)["last_update_latency_us"] == 250
        with Served(directory) as later:  # for that one all groups are old
            later.poll()
            assert later.row(STATS)["last_update_latency_us"] is None

    def test_the_summary_is_the_sum(self, served, writer):
        self.applied(writer, random.Random(5), 20)
        writer.update([(1_000_000, 5, False)], "ETH-USD")
        served.poll()
        row = served.row("/api/v1/delta-stats/summary")
        for name in (
            "total_deltas_processed",
            "total_changes",
            "measured_groups",
            "delta_bytes",
            "full_book_bytes",
            "bandwidth_saved_bytes",
        ):
            assert row[name] == sum(one[name] for one in row["by_book"]), name
        assert (row["books"], row["missed"]) == (2, 0)
        assert row["by_book"][0] == served.row(STATS)


class TestFeeds:
    @pytest.fixture
    def scored(self, directory, served):
        """Scores of a collector that ran for a minute: a gap, healed in 40 ms."""
        now_ns = clock.monotonic_ns()
        file = ScoresWriter(directory, "kraken", "kraken", 1, now_ns - 60 * SECOND_NS)
        for row in (file.set_row, file.row(RowKind.SYMBOL, "BTC-USD", now_ns - 60 * SECOND_NS)):
            row.add(Score.OBSERVED_NS, 60 * SECOND_NS)
            row.add(Score.VALID_NS, 59 * SECOND_NS)
            row.add(Score.GAPS)
            row.healed(40_000_000)
            row.seen(now_ns)
        file.updated(now_ns)
        return served

    @pytest.mark.parametrize("window", ["start", "hour", "day"])
    def test_they_are_the_cards_of_the_python_api(self, directory, scored, window):
        rows = scored.row(f"/api/v1/feeds?window={window}")
        truth = [one.to_dict() for one in cards(directory, Wanted(), window)]
        moves = {"to_ns", "to", "from_ns", "from", "ran_ns", "live"}  # with the clock
        assert [{name: row[name] for name in row if name not in moves} for row in rows] == [
            {name: one[name] for name in one if name not in moves} for one in truth
        ]
        (book,) = [row for row in rows if row["symbol"] == "BTC-USD"]
        assert (book["gaps"], book["healing_ms"]["p50"], book["valid_percent"]) == (1, 40, 98.3333)
        assert list(book) == list(MEANINGS)

    def test_those_of_a_symbol_or_exchange(self, scored):
        assert {row["symbol"] for row in scored.row("/api/v1/feeds?symbol=btcusd&window=start")} == {"BTC-USD"}
        assert {row["symbol"] for row in scored.row("/api/v1/feeds?exchange=kraken")} == {"", "BTC-USD"}
        assert scored.error("/api/v1/feeds?exchange=krakn")[0] == 404
        assert scored.error("/api/v1/feeds?window=year")[2] == "unknown window: 'year'"

    def test_without_scores_there_is_no_card(self, served):
        assert served.row("/api/v1/feeds") == []


class TestArbitrage:
    def test_without_a_watch_it_says_so(self, served):
        assert served.row("/api/v1/arbitrage/opportunities") == {"watching": False, "watchers": 0, "opportunities": []}

    def test_what_a_watch_kept_is_told_of_this_directory_alone(self, directory, served):
        here = str(directory.path)
        path = store.default_path()
        assert path is not None
        with OpportunityStore(path) as kept:
            kept.record(
                [seen(1, place=here), seen(2, place="/elsewhere"), seen(3, place=here, closed_ns=seen(3).born_ns, why="gone")]
            )
        row = served.row("/api/v1/arbitrage/opportunities")
        assert [(one["id"], one["net"], one["is_open"]) for one in row["opportunities"]] == [
            ("00000003", "3.25", False),
            ("00000001", "3.25", False),
        ]
        with Tally(directory) as tally:
            tally.write({"open": 1}, clock.monotonic_ns())
            row = served.row("/api/v1/arbitrage/opportunities?limit=5")
            assert (row["watching"], row["watchers"]) == (True, 1)
            assert [one["is_open"] for one in row["opportunities"]] == [False, True]
            assert served.row("/api/v1/system/health")["watchers"] == 1

    def test_the_servers_own_store_takes_the_place_of_the_users(self, directory, served, tmp_path):
        served.state.store = tmp_path / "seen.sqlite"
        with OpportunityStore(served.state.store) as kept:
            kept.record([seen(7, place=str(directory.path))])
        assert [one["id"] for one in served.row("/api/v1/arbitrage/opportunities")["opportunities"]] == ["00000007"]

    def test_a_store_that_cannot_be_read_is_an_error(self, served):
        path = store.default_path()
        path.parent.mkdir(parents=True)
        path.write_bytes(b"something else" * 100)
        assert served.error("/api/v1/arbitrage/opportunities")[:2] == (503, "unavailable")


class TestServer:
    def test_it_is_ready_while_a_set_is_live(self, directory, served, writer):
        assert served.row("/ready") == {"ready": True, "sets": 1, "live": 1, "why": ""}
        served.state.is_stopping = True
        assert (served.get("/ready").status_code, served.get("/ready").json()["why"]) == (503, "the server stops")
        served.state.is_stopping = False
        served.writers.clear()
        writer.close()
        response = served.get("/ready")
        assert (response.status_code, response.json()["why"]) == (503, "no set is live")
        assert served.row("/health") == {"status": "ok"}

    def test_it_is_not_ready_before_a_book_is_live(self, directory):
        with Writer(directory) as writer, Served(directory) as served:
            assert served.get("/ready").json()["why"] == "no book is live yet"
            writer.snapshot(ladder(4))
            served.poll()
            assert served.row("/ready")["ready"] is True

    def test_where_nothing_is_collected_it_runs_and_is_not_ready(self, directory):
        with Served(directory) as served:
            assert served.get("/ready").json()["why"] == "nothing is collected"
            assert served.row("/health") == {"status": "ok"}
            assert served.row("/api/v1/exchanges") == []
            status, _, message, hint = served.error(BOOK)
            assert (status, message) == (404, "nothing is collected")
            assert "alphapulse collect" in hint

    def test_health_names_each_book_that_is_not_live(self, directory, served, writer):
        assert served.row("/api/v1/system/health")["status"] == "ok"
        with Writer(directory, set_name="coinbase", exchange="coinbase"), Served(directory) as later:
            row = later.row("/api/v1/system/health")
            assert row["status"] == "degraded"
            (cold,) = [one for one in row["sets"] if one["set"] == "coinbase"]
            assert (cold["books"], cold["live"], cold["not_live"]) == (1, 0, ["BTC-USD COLD STARTING"])
            assert row["memory_bytes"] > 1 << 20


class TestErrors:
    @pytest.mark.parametrize(
        ("path", "status", "words"),
        [
            ("/api/v1/book/kraken/BTC-EUR", 404, "no book of 'BTC-EUR' at kraken"),
            ("/api/v1/book/krakn/BTC-USD", 404, "no exchange and no set 'krakn'"),
            ("/api/v1/book/kraken/%00", 404, "not a symbol"),
            ("/api/v1/book/kraken/BTC-USD?depth=0", 422, "depth: "),
            ("/api/v1/book/kraken/BTC-USD?depth=all", 422, "depth: "),
            ("/api/v1/book/kraken/BTC-USD?at=yesterday", 404, "this server has no captures"),
            ("/api/v1/deltas?exchange=kraken&symbol=BTC-USD&from=x&to=y", 404, "this server has no captures"),
            ("/api/v1/deltas?exchange=kraken", 422, "symbol: "),
            ("/api/v1/nothing", 404, "nothing is at this address"),
            (f"/api/v1/bbo?exchange={'x' * 65}", 422, "exchange: "),
            (f"/api/v1/bbo?exchange={'x' * 5000}", 414, "the query is longer"),
        ],
    )
    def test_an_error_is_json_with_its_reason(self, served, path, status, words):
        found = served.error(path)
        assert (found[0], found[2][: len(words)]) == (status, words)

    def test_near_names_are_offered(self, served):
        assert served.error("/api/v1/book/kraken/BTC-UDS")[3] == "did you mean BTC-USD?"
        assert served.error("/api/v1/book/krakn/BTC-USD")[3] == "there are: kraken"

    def test_other_methods_are_refused(self, served):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert served.get(BOOK, method=method).status_code == 405, method

    def test_a_failure_of_ours_is_an_answer_too(self, directory, writer, monkeypatch):
        monkeypatch.setattr(images.Images, "find", lambda *_: 1 // 0)
        with Served(directory) as served:
            served.transport.raise_app_exceptions = False
            assert served.error(BOOK)[:2] == (500, "internal")


class TestCaches:
    @pytest.mark.parametrize("path", OF_NOW)
    def test_what_has_not_changed_is_not_sent_again(self, served, path):
        response = served.get(path)
        tag = response.headers["etag"]
        assert response.headers["cache-control"] == "no-cache"
        for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            again = served.get(path, if_none_match=known)
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), known
        other = served.get(path, if_none_match='"x"')
        assert (other.status_code, other.content) == (200, response.content)

    @pytest.mark.parametrize("path", OF_SERVER)
    def test_what_is_of_this_moment_is_not_kept(self, served, path):
        response = served.get(path)
        assert response.headers["cache-control"] == "no-store"
        assert "etag" not in response.headers

    def test_a_tag_is_another_one_whenever_the_answer_is(self, directory, served, writer):
        """A state, a status, a version, a depth: each changes the body, and with it the tag."""
        known: dict[str, bytes] = {}

        def look(path):
            response = served.get(path)
            assert known.setdefault(response.headers["etag"], response.content) == response.content
            return response.headers["etag"]

        tags = [look(BOOK), look(f"{BOOK}?depth=3")]
        writer.update([(1_000_000, 5, False)])
        tags.append(look(BOOK))
        writer.now_ns += 1
        say(writer, TradingStatus.POST_ONLY)
        tags.append(look(BOOK))
        served.writers.clear()
        writer.close()
        tags.append(look(BOOK))
        assert len(set(tags)) == len(tags)

    def test_head_is_answered_as_get_is(self, served):
        response = served.get(BOOK, method="HEAD")
        assert (response.status_code, response.headers["etag"]) == (200, served.get(BOOK).headers["etag"])


class TestDoor:
    TOKEN = "a-long-secret"

    @pytest.fixture
    def guarded(self, directory, writer):
        with Served(directory, token=self.TOKEN, origins=("https://desk.example",)) as made:
            yield made

    def test_without_the_token_nothing_is_told(self, guarded):
        for headers in (
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": self.TOKEN},
            {"authorization": f"Basic {self.TOKEN}"},
        ):
            for path in (*OF_NOW, "/api/v1/delta-stats/summary", "/api/v1/system/health", "/api/v1/nothing", "/metrics"):
                response = guarded.get(path, **headers)
                assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer"), path
                assert (b"the token is wrong" if headers else b"a token is needed") in response.content
                assert b"BTC" not in response.content

    def test_with_the_token_all_is(self, guarded):
        for path in OF_NOW:
            response = guarded.get(path, authorization=f"Bearer {self.TOKEN}")
            assert response.status_code == 200, path
            assert "Authorization" in response.headers["vary"]

    @pytest.mark.parametrize("path", ["/health", "/ready", "/docs", "/openapi.json", "/static-offline-docs/swagger-ui.css"])
    def test_some_need_none(self, guarded, path):
        assert guarded.get(path).status_code == 200

    @pytest.mark.parametrize("path", ["/health/../api/v1/bbo", "//health", "/static-offline-docs/../api/v1/bbo", "/health/"])
    def test_no_address_passes_for_one_of_these(self, guarded, path):
        assert guarded.get(path).status_code in (401, 404)

    def test_a_token_in_an_address_is_refused(self, guarded, served):
        for name in ("token", "access_token", "API_KEY"):
            assert guarded.error(f"/api/v1/bbo?{name}={self.TOKEN}")[:2] == (400, "secret_in_url")
            assert served.error(f"/api/v1/bbo?{name}=x")[:2] == (400, "secret_in_url")

    def test_pages_of_allowed_origins_may_read_and_no_others(self, guarded):
        bearer = f"Bearer {self.TOKEN}"
        allowed = guarded.get(BOOK, origin="https://desk.example", authorization=bearer)
        assert allowed.headers["access-control-allow-origin"] == "https://desk.example"
        assert "ETag" in allowed.headers["access-control-expose-headers"]
        other = guarded.get(BOOK, origin="https://evil.example", authorization=bearer)
        assert "access-control-allow-origin" not in other.headers
        for response in (allowed, other, guarded.get(BOOK, authorization=bearer)):
            assert "Origin" in response.headers["vary"]

    def test_a_browser_may_ask_first(self, guarded):
        asks = {"access_control_request_method": "GET", "access_control_request_headers": "authorization"}
        assert guarded.get(BOOK, method="OPTIONS", origin="https://desk.example", **asks).status_code == 200
        assert guarded.get(BOOK, method="OPTIONS", origin="https://evil.example", **asks).status_code == 400

    def test_a_refusal_can_be_read_by_an_allowed_page(self, guarded):
        response = guarded.get(BOOK, origin="https://desk.example")
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (401, "https://desk.example")


class TestDocument:
    @pytest.fixture
    def document(self, served):
        return served.row("/openapi.json")

    def test_it_is_openapi_3_1_and_names_every_answer(self, document):
        assert document["openapi"].startswith("3.1.")
        assert set(document["paths"]) >= {
            path.partition("?")[0].replace("kraken/BTC-USD", "{exchange}/{symbol}") for path in (*OF_NOW, *OF_SERVER)
        }
        for path, operations in document["paths"].items():
            for operation in operations.values():
                assert operation["summary"], path
                assert operation["description"], path
                (content,) = operation["responses"]["200"]["content"].values()
                assert content["schema"], path
                assert "HTTPValidationError" not in str(operation), path

    def test_addresses_and_models_have_examples(self, document):
        for path, operations in document["paths"].items():
            for parameter in operations["get"].get("parameters", ()):
                assert parameter["in"] == "query" or parameter["examples"], path
        for name in ("BookAnswer", "DeltaStats", "BboRow", "Problem"):
            properties = document["components"]["schemas"][name]["properties"].values()
            assert any("examples" in one for one in properties), name

    def test_every_field_has_a_meaning(self, document):
        schemas = document["components"]["schemas"]
        assert len(schemas) > 15
        for name, schema in schemas.items():
            for field, declared in schema["properties"].items():
                assert declared.get("description") or "$ref" in declared, f"{name}.{field}"

    def test_the_token_is_told(self, document):
        assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
        assert document["paths"]["/health"]["get"]["security"] == [{}]
        assert {"token": []} in document["paths"]["/api/v1/bbo"]["get"]["security"]

    def test_every_answer_is_what_its_model_declares(self, served, writer):
        """Read back strictly: no field too many, none missing, no number where text is declared."""
        writer.trades(("a", 1, 2, 0))
        writer.update([(1_000_000, 5, False)])
        served.poll()
        for path, model in (
            (BOOK, models.BookAnswer),
            (TRADES, models.TradesAnswer),
            (STATS, models.DeltaStats),
            ("/api/v1/candles/kraken/BTC-USD", models.CandlesAnswer),
            ("/api/v1/delta-stats/summary", models.DeltaSummary),
            ("/api/v1/system/health", models.SystemHealth),
        ):
            content = served.get(path).content
            assert model.model_validate_json(content).model_dump_json().encode() == content, path

    def test_the_explorer_needs_no_other_host(self, served):
        page = served.get("/docs").text
        assert "http://" not in page
        assert "https://" not in page
        assert served.get("/static-offline-docs/swagger-ui-bundle.js").status_code == 200
