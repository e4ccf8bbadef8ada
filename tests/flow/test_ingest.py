"""Frames in, books and trades out: each rule of ingest with the exchanges' real decoders and their other side, and no socket."""

from itertools import pairwise

import pytest
from support.binance import diff
from support.coinbase_frames import frame as advanced_frame
from support.coinbase_frames import trade as advanced_trade
from support.feeds import DEPTHS, EXCHANGES, FEEDS, feed_id
from support.flow_parts import SECOND, Desk, Replica, River, assert_one_book, listed

from alphapulse_cli.errors import StorageError
from alphapulse_cli.flow import outlet as outlet_module
from alphapulse_cli.flow.ingest import UNREADABLE_IN_A_ROW
from alphapulse_cli.flow.metadata import PAUSE_NS
from alphapulse_cli.market.events import ClosingSoon, GapFound, GapReason, OffGrid, Side, SubscriptionRefused, Trade, TradesMissed
from alphapulse_cli.market.requests import FetchInstruments, FetchSnapshot, Reconnect, Send
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.wire import trade as trade_record
from alphapulse_cli.wire.delta import BookReason, BookState, RecordKind

LIVE, SYNCING, HALTED, STALE = BookState.LIVE, BookState.SYNCING, BookState.HALTED, BookState.STALE
GARBAGE = b'{"garbage": [1, 2'
BOTH = [listed("kraken"), listed("kraken", "ETH-USD")]
DEEP = [
    (ticks, 3, is_ask) for is_ask, ticks_of in ((False, range(9_000, 9_020)), (True, range(11_000, 11_020))) for ticks in ticks_of
]


@pytest.fixture
def kraken(directory):
    river = River(directory, "kraken", BOTH)
    for symbol in ("BTC-USD", "ETH-USD"):
        river.truth.change(symbol, DEEP)
    return river.connect()


class TestAStream:
    @pytest.mark.parametrize(("exchange", "mode", "depth"), [(*feed, DEPTHS.get(feed)) for feed in FEEDS], ids=map(feed_id, FEEDS))
    def test_becomes_the_exchanges_book(self, directory, exchange, mode, depth):
        river = River(directory, exchange, mode=mode)
        river.truth.change("BTC-USD", DEEP)
        river.connect().settle()
        replica = Replica(river.outlet, "BTC-USD").follow()
        for step in range(30):
            river.change([(9_010 + step, step, False), (11_010 - step, 5, True), (9_000 + step, 0, False)])
        river.assert_true(depth=depth)
        assert_one_book(river.keeper(), replica)
        assert river.warnings == []
        assert replica.joins == 1

    def test_frames_and_bytes_are_counted(self, kraken):
        frames, size = kraken.count(Counter.FRAMES), kraken.count(Counter.BYTES)
        (frame,) = kraken.change([(9_020, 1, False)])
        assert (kraken.count(Counter.FRAMES) - frames, kraken.count(Counter.BYTES) - size) == (1, len(frame))
        assert kraken.count(Counter.LAST_FRAME_NS) == kraken.now

    def test_krakens_levels_beyond_the_depth_leave(self, kraken):
        kraken.change([(9_050, 1, False)])
        assert (9_010, 0, False) in kraken.groups()[-1].changes
        kraken.assert_true(depth=10)


class TestAWrongChecksum:
    def test_makes_the_book_syncing_and_asks_once(self, kraken):
        kraken.change([(9_020, 1, False)], spoil=True)
        assert kraken.states()[-1] == (SYNCING, BookReason.BAD_CHECKSUM)
        assert kraken.keeper("ETH-USD").state is LIVE
        asked = [request for request in kraken.take_requests() if isinstance(request, Send)]
        assert [b'"unsubscribe"' in asked[0].frame, b'"subscribe"' in asked[1].frame, len(asked)] == [True, True, 2]
        kraken.change([(9_021, 1, False)], spoil=True)
        assert kraken.take_requests() == []

    def test_heals_without_breaking_a_readers_chain(self, kraken):
        replica = Replica(kraken.outlet, "BTC-USD").follow()
        kraken.change([(9_020, 1, False)], spoil=True)
        replica.follow()
        kraken.truth.change("BTC-USD", [(9_021, 4, False)])
        kraken.ask()
        assert kraken.keeper().state is LIVE
        assert kraken.groups("BTC-USD", RecordKind.DELTA)[-1].resynced
        kraken.assert_true(depth=10)
        assert_one_book(kraken.keeper(), replica)
        assert replica.joins == 1

    def test_again_and_again_asks_ever_more_rarely(self, kraken):
        asked_at = []
        for step in range(3000):
            kraken.tick(0.1)
            before = kraken.count(Counter.CHECKSUMS_BAD, "BTC-USD")
            kraken.change([(9_020, 1 + step, False)], spoil=True)
            requests = kraken.take_requests()
            frames = [getattr(each, "frame", b"") for each in requests]
            if any(b'"unsubscribe"' in frame and b"BTC/USD" in frame for frame in frames):
                asked_at.append(kraken.now)
            for request in requests:
                if isinstance(request, Send):
                    kraken.hear(*kraken.encoder.receive(request.frame, kraken.now))
            assert kraken.count(Counter.CHECKSUMS_BAD, "BTC-USD") <= before + 1
        gaps = [round((later - earlier) / SECOND) for earlier, later in pairwise(asked_at)]
        assert gaps == sorted(gaps)
        assert gaps[:6] == [1, 2, 4, 8, 16, 32]
        assert set(gaps[6:]) == {60}


class TestAGap:
    @pytest.fixture
    def binance(self, directory):
        river = River(directory, "binance-us", [listed("binance-us"), listed("binance-us", "ETH-USD")])
        for symbol in ("BTC-USD", "ETH-USD"):
            river.truth.change(symbol, DEEP)
        return river.connect().settle()

    def test_makes_its_book_syncing_at_once_and_heals_it_alone(self, binance):
        replica, fetched = Replica(binance.outlet, "BTC-USD").follow(), binance.done.snapshots
        binance.change([(9_030, 1, False)], lose=True)
        binance.change([(9_031, 1, False)])
        assert binance.states()[-1] == (SYNCING, BookReason.SEQUENCE_GAP)
        assert binance.keeper("ETH-USD").state is LIVE
        assert binance.count(Counter.GAPS, "BTC-USD") == 1
        assert binance.count(Counter.GAPS) == 0, "the total is the sum"
        binance.settle()
        assert binance.done.snapshots == fetched + 1
        binance.assert_true()
        assert_one_book(binance.keeper(), replica)
        assert replica.joins == 1

    def test_a_snapshot_that_cannot_be_had_is_asked_for_again(self, binance):
        binance.change([(9_030, 1, False)], lose=True)
        binance.change([(9_031, 1, False)])
        for _ in range(3):
            binance.ask(fail=True)
            binance.tick(10)
        assert binance.done.failed >= 3
        assert binance.count(Counter.FETCHES_FAILED) == binance.done.failed
        assert binance.keeper().state is SYNCING
        binance.settle()
        binance.assert_true()

    def test_a_snapshot_that_is_not_understood_harms_no_other_book(self, binance):
        binance.change([(9_030, 1, False)], lose=True)
        binance.change([(9_031, 1, False)])
        (request,) = binance.take_requests()
        for _ in range(UNREADABLE_IN_A_ROW + 1):
            binance.ingest.receive_snapshot(request.instrument, b"<html>busy</html>", binance.now)
        assert binance.keeper("ETH-USD").state is LIVE
        assert not any(isinstance(each, Reconnect) for each in binance.take_requests())
        assert binance.count(Counter.DECODE_ERRORS) > 0
        binance.tick(60)
        binance.settle()
        binance.assert_true()

    def test_coinbases_heals_on_the_same_connection(self, directory):
        river = River(directory, "coinbase")
        river.truth.change("BTC-USD", DEEP)
        river.connect()
        replica = Replica(river.outlet, "BTC-USD").follow()
        river.change([(9_030, 1, False)], lose=True)
        river.change([(9_031, 1, False)])
        assert river.keeper().state is SYNCING
        river.settle()
        assert river.done.reconnects == []
        river.assert_true()
        assert_one_book(river.keeper(), replica)
        assert replica.joins == 1

    def test_of_the_whole_connection_is_the_exchanges(self, kraken):
        kraken.ingest.handle([GapFound((), GapReason.SEQUENCE)], kraken.now)
        assert kraken.count(Counter.GAPS) == 1


class TestUnreadableFrames:
    def test_make_every_live_book_suspect(self, kraken):
        kraken.hear(GARBAGE)
        assert [kraken.keeper(symbol).state for symbol in ("BTC-USD", "ETH-USD")] == [SYNCING, SYNCING]
        assert kraken.states()[-1] == (SYNCING, BookReason.UNREADABLE)
        assert kraken.count(Counter.DECODE_ERRORS) == 1
        kraken.settle().assert_true(depth=10)

    @pytest.mark.parametrize("channel", ["status", "heartbeat", "trade"])
    def test_of_a_channel_that_tells_nothing_of_books_are_counted_and_no_more(self, kraken, channel):
        kraken.hear(*[b'{"channel":"%s","data":[7],"type":"update"}' % channel.encode()] * 2 * UNREADABLE_IN_A_ROW)
        assert [kraken.keeper(symbol).state for symbol in ("BTC-USD", "ETH-USD")] == [LIVE, LIVE]
        assert kraken.count(Counter.DECODE_ERRORS) == (0 if channel == "heartbeat" else 2 * UNREADABLE_IN_A_ROW)
        assert kraken.take_requests() == []

    def test_five_in_a_row_end_the_connection(self, kraken):
        kraken.hear(*[GARBAGE] * (UNREADABLE_IN_A_ROW - 1))
        assert not any(isinstance(each, Reconnect) for each in kraken.take_requests())
        kraken.hear(GARBAGE)
        assert [each.reason for each in kraken.take_requests()] == ["5 unreadable messages in a row"]

    def test_what_the_exchange_announces_to_all_is_answered_apart_from_others(self, kraken):
        """Our own reconnects are at once; after an announcement all clients come back at the same moment."""
        kraken.hear(*[GARBAGE] * UNREADABLE_IN_A_ROW)
        kraken.ingest.handle([ClosingSoon("serverShutdown")], kraken.now)
        asked = [each for each in kraken.take_requests() if isinstance(each, Reconnect)]
        assert [(each.reason, each.others_too) for each in asked] == [
            ("5 unreadable messages in a row", False),
            ("announced by the exchange: serverShutdown", True),
        ]

    def test_but_not_with_others_between(self, kraken):
        for _ in range(2 * UNREADABLE_IN_A_ROW):
            kraken.hear(GARBAGE, b'{"channel":"heartbeat"}')
        assert not any(isinstance(each, Reconnect) for each in kraken.take_requests())

    def test_an_unknown_kind_of_message_is_counted_and_no_more(self, kraken):
        kraken.hear(b'{"channel":"mystery"}')
        assert kraken.count(Counter.UNRECOGNISED) == 1
        assert kraken.keeper().state is LIVE


class TestANumberOffTheGrid:
    def finer(self, kraken, price):
        """A frame of an update at that price, with the checksum that it had."""
        (frame,) = kraken.change([(9_030, 1, False)], lose=True)
        assert b'"price":90.30' in frame
        kraken.truth.change("BTC-USD", [(9_030, 0, False)])
        return frame.replace(b'"price":90.30', b'"price":' + price)

    def test_makes_the_grid_finer_and_takes_the_same_frame(self, kraken):
        replica = Replica(kraken.outlet, "BTC-USD").follow()
        kraken.hear(self.finer(kraken, b"90.3001"))
        keeper = kraken.keeper()
        assert keeper.instrument.price_decimals == 4
        assert keeper.book.bids(1) == [(903_001, 1)]
        assert kraken.groups("BTC-USD", RecordKind.RESET)[-1].decimals == (4, 4)
        assert kraken.count(Counter.OFF_GRID, "BTC-USD") == 1
        assert kraken.keeper("ETH-USD").instrument.price_decimals == 2
        assert_one_book(keeper, replica)

    def test_asks_for_the_metadata_at_most_once_a_minute(self, kraken):
        for at, expected in ((0, 1), (PAUSE_NS - 1, 0), (1, 1)):
            kraken.tick(at / SECOND)
            kraken.ingest._regrid(OffGrid(kraken.keeper().instrument, 5, 5), kraken.now, may_refine=True)
            assert sum(isinstance(each, FetchInstruments) for each in kraken.take_requests()) == expected

    @pytest.mark.parametrize(("exchange", "mode"), FEEDS)
    def test_asks_for_it_where_the_mode_keeps_it(self, directory, exchange, mode):
        desk = Desk(directory, [listed(exchange)], mode=mode)
        desk.ingest._regrid(OffGrid(desk.instruments[0], 5, 5), 10**18, may_refine=True)
        (request,) = desk.take_requests()
        facts = desk.exchange.facts
        assert request.paths[0] == (facts.mode(mode).instruments_path or facts.instruments_path)
        assert request.paths[1:] == tuple(facts.further_metadata)

    def test_a_decoder_that_is_never_satisfied_ends_in_a_resync_not_in_a_wrong_book(self, kraken):
        keeper = kraken.keeper()
        stubborn = OffGrid(keeper.instrument, 3, 3)
        kraken.ingest.handle(kraken.ingest._on_grid([stubborn], lambda: [stubborn], kraken.now), kraken.now)
        assert keeper.state is SYNCING
        kraken.settle().assert_true  # noqa: B018 - on a finer grid than the truth's
        assert keeper.state is LIVE

    def test_new_metadata_makes_it_finer_never_coarser(self, kraken):
        finer = listed("kraken", price_decimals=3, size_decimals=4)
        coarser = listed("kraken", "ETH-USD", price_decimals=1, size_decimals=1)
        kraken.ingest.decoder.receive_instruments = lambda _: [finer, coarser, listed("kraken", "SOL-USD")]
        kraken.ingest.receive_instruments(b"", kraken.now)
        assert kraken.keeper().instrument.price_decimals == 3
        assert kraken.keeper("ETH-USD").instrument.price_decimals == 2

    def test_metadata_that_is_not_understood_is_counted(self, kraken):
        kraken.ingest.receive_instruments(b"<html>", kraken.now)
        assert kraken.count(Counter.DECODE_ERRORS) == 1
        kraken.ingest.fetch_failed(None, kraken.monotonic)
        assert kraken.count(Counter.FETCHES_FAILED) == 1


class TestTrades:
    @pytest.fixture
    def coinbase(self, directory):
        river = River(directory, "coinbase", channels=("trades",), ring=64)
        return river.connect()

    def test_of_one_frame_are_one_group(self, directory):
        desk = Desk(directory, [listed("coinbase")])
        rows = [advanced_trade(number) for number in (7, 8, 9)]
        desk.hear(advanced_frame(0, "market_trades", {"type": "update", "trades": rows}))
        first, last = trade_record.FIRST, trade_record.LAST
        assert desk.trades() == [("BTC-USD", "7", first), ("BTC-USD", "8", 0), ("BTC-USD", "9", last)]
        assert desk.count(Counter.TRADES, "BTC-USD") == 3

    def test_also_with_something_else_between_them(self, directory):
        """A skipped id is told between two trades; they are of one frame all the same."""
        desk = Desk(directory, [listed("coinbase")])
        rows = [advanced_trade(number) for number in (7, 10)]
        desk.hear(advanced_frame(0, "market_trades", {"type": "update", "trades": rows}))
        assert [flags for *_, flags in desk.trades()] == [trade_record.FIRST, trade_record.LAST]
        assert desk.count(Counter.TRADES_MISSED, "BTC-USD") == 2

    def test_more_than_a_quarter_of_the_ring_are_several_groups(self, coinbase):
        rows = [advanced_trade(number) for number in range(1, 101)]
        coinbase.hear(advanced_frame(coinbase.ingest.decoder._expected or 0, "market_trades", {"type": "snapshot", "trades": rows}))
        kept = coinbase.trades()
        assert [trade_id for _, trade_id, _ in kept] == [str(number) for number in range(37, 101)]
        history = trade_record.HISTORY
        assert [flags - history for *_, flags in kept[-4:]] == [trade_record.FIRST, 0, 0, trade_record.LAST]

    def test_one_that_does_not_fit_its_record_is_counted_never_cut(self, directory):
        desk = Desk(directory, [listed("kraken")])
        trades = [Trade(desk.instruments[0], name, 1, 1, Side.BUY, None) for name in ("1", "x" * 33, "ü", "2")]
        desk.ingest.handle(trades, desk.now)
        assert [name for _, name, _ in desk.trades()] == ["1", "2"]
        assert [flags for *_, flags in desk.trades()] == [trade_record.FIRST, trade_record.LAST]
        assert desk.count(Counter.TRADES_REFUSED, "BTC-USD") == 2
        desk.ingest.handle(trades[1:3], desk.now)
        assert len(desk.trades()) == 2

    def test_tell_the_feed_delay_unless_they_are_history(self, directory):
        desk = Desk(directory, [listed("kraken")])
        instrument = desk.instruments[0]
        desk.ingest.handle([Trade(instrument, "1", 1, 1, Side.BUY, desk.now - 3_000_000, history=True)], desk.now)
        assert desk.count(Counter.FEED_DELAY_US, "BTC-USD") == 0
        desk.ingest.handle([Trade(instrument, "2", 1, 1, Side.BUY, desk.now - 3_000_000)], desk.now)
        assert desk.count(Counter.FEED_DELAY_US, "BTC-USD") == 3_000

    def test_missed_ones_are_counted(self, directory):
        desk = Desk(directory, [listed("kraken")])
        desk.ingest.handle([TradesMissed(desk.instruments[0], 5)], desk.now)
        assert desk.count(Counter.TRADES_MISSED, "BTC-USD") == 5

    def test_alone_they_need_no_book(self, coinbase):
        assert coinbase.ingest.keepers == {}
        assert not any(name.endswith("_book_BTC-USD") for name in coinbase.outlet.directory.names())


class TestARefusal:
    def test_of_a_books_subscription_halts_it(self, kraken):
        kraken.ingest.handle([SubscriptionRefused("book", "BTC/USD", "no \x1b[2J")], kraken.now)
        assert (kraken.keeper().state, kraken.keeper().reason) == (HALTED, BookReason.REFUSED)
        assert kraken.count(Counter.REFUSALS) == 1

    @pytest.mark.parametrize("channel", ["trades", "", "instrument"])
    def test_of_anything_else_does_not(self, kraken, channel):
        kraken.ingest.handle([SubscriptionRefused(channel, "BTC/USD", "no")], kraken.now)
        assert kraken.keeper().state is LIVE

    def test_is_over_when_a_snapshot_comes_after_all(self, kraken):
        """Kraken asks again by itself after "Exceeded msg rate"."""
        replica = Replica(kraken.outlet, "BTC-USD").follow()
        kraken.ingest.handle([SubscriptionRefused("book", "BTC/USD", "Exceeded msg rate")], kraken.now)
        kraken.change([(9_030, 1, False)])
        assert kraken.keeper().state is HALTED
        kraken.disconnect()
        kraken.connect()
        assert kraken.keeper().state is LIVE
        kraken.assert_true(depth=10)
        assert_one_book(kraken.keeper(), replica)

    def test_that_names_nobody_is_told_once_for_each_reason(self, kraken):
        """A rate that was too high at the start must not keep silent that a channel needs keys, days later."""
        for reason in ("rate limit exceeded", "requires authentication", "rate limit exceeded", "requires authentication"):
            kraken.ingest.handle([SubscriptionRefused("", "", reason, for_now=True)], kraken.now)
        told = [line for line in kraken.warnings if "refused" in line]
        assert [line.partition(": ")[2].partition(";")[0] for line in told] == ["rate limit exceeded", "requires authentication"]

    @pytest.mark.parametrize("live", [True, False])
    def test_for_now_leaves_a_live_book_alone_and_is_told_once(self, directory, live):
        river = River(directory, "kraken").connect()
        if live:
            river.settle()
        state = river.keeper().state
        for _ in range(3):
            river.ingest.handle([SubscriptionRefused("book", "BTC/USD", "Exceeded msg rate", for_now=True)], river.now)
        assert river.keeper().state is state
        assert river.count(Counter.REFUSALS) == 3
        assert sum("Exceeded msg rate" in line for _, line in river.notices) == 1

    @pytest.mark.parametrize(
        ("suffix", "said", "state"),
        [
            ("trade", "Invalid symbol.", LIVE),
            ("depth@100ms", "Invalid symbol.", HALTED),
            ("depth@100ms", "Too many requests", LIVE),
        ],
    )
    def test_in_binances_own_words(self, directory, suffix, said, state):
        river = River(directory, "binance-us", channels=("book",) if suffix != "trade" else ("book", "trades")).connect()
        river.settle()
        subscriptions = river.ingest.decoder._subscriptions
        subscriptions._suffixes, subscriptions._batch_of_id = [suffix], {9: 0}
        subscriptions._owed.ask(0, 0)
        river.hear(b'{"error":{"code":3,"msg":"%s"},"id":9}' % said.encode())
        assert river.keeper().state is state


class TestWhatHappensToTheConnection:
    def test_its_end_makes_books_syncing_and_the_next_one_heals_them(self, kraken):
        replica = Replica(kraken.outlet, "BTC-USD").follow()
        kraken.disconnect()
        assert kraken.states()[-1] == (SYNCING, BookReason.DISCONNECTED)
        kraken.truth.change("BTC-USD", [(9_030, 1, False), (9_000, 0, False)])
        kraken.connect().settle()
        kraken.assert_true(depth=10)
        assert_one_book(kraken.keeper(), replica)
        assert replica.joins == 1

    def test_what_was_wanted_of_the_old_one_is_not_asked_of_the_new(self, kraken):
        for _ in range(3):
            kraken.change([(9_030, 1 + kraken.now % 9, False)], spoil=True)
            kraken.take_requests()
            kraken.keeper().pacer.want()
        kraken.disconnect()
        assert not kraken.keeper().pacer.wanted

    def test_silence_makes_live_books_stale_and_the_first_word_live_again(self, kraken):
        kraken.disconnect()
        kraken.ingest.silent(kraken.now)
        assert kraken.keeper().state is SYNCING
        kraken.connect()
        kraken.ingest.silent(kraken.now)
        assert kraken.states()[-1] == (STALE, BookReason.SILENT)
        kraken.change([(9_030, 1, False)])
        kraken.assert_true(depth=10)
        kraken.ingest.heard(kraken.now)
        assert kraken.states()[-1] == (LIVE, BookReason.NONE)

    def test_the_end_in_good_order_is_told(self, kraken):
        kraken.ingest.retire(kraken.now)
        assert kraken.states()[-1] == (STALE, BookReason.RETIRED)

    def test_an_announced_end_is_a_reconnect(self, directory):
        desk = Desk(directory, [listed("binance-us")])
        desk.hear(b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}')
        assert [type(each) for each in desk.take_requests()] == [Reconnect]


class TestNoRoom:
    def test_for_one_book_halts_that_one(self, directory, monkeypatch):
        monkeypatch.setattr(outlet_module, "FIRST_CAPACITY", 16)
        river = River(directory, "kraken", BOTH)
        grow = river.outlet.grow_image

        def full(image, levels):
            if image.segment.spec.symbol == "BTC-USD":
                raise StorageError("no room")
            return grow(image, levels)

        monkeypatch.setattr(river.outlet, "grow_image", full)
        for symbol in ("BTC-USD", "ETH-USD"):
            river.truth.change(symbol, DEEP)
        river.connect()
        river.change([(9_030, 1, False)], "ETH-USD")
        assert (river.keeper().state, river.keeper().reason) == (HALTED, BookReason.NO_ROOM)
        river.assert_true("ETH-USD", depth=10)

    def test_at_the_start_is_the_callers_to_handle(self, directory, monkeypatch):
        desk = Desk(directory, [listed("kraken")])
        desk.outlet.close()

        def full(*_):
            raise StorageError("no room")

        monkeypatch.setattr("alphapulse_cli.flow.outlet.Outlet.open_image", full)
        with pytest.raises(StorageError):
            Desk(directory, [listed("kraken")])


def test_books_that_are_not_collected_any_more_vanish(directory):
    Desk(directory, [listed("kraken"), listed("kraken", "ETH-USD")]).outlet.close()
    Desk(directory, [listed("kraken")], channels=("trades",)).outlet.close()
    assert not any("_book_" in name for name in directory.names())


def test_binances_snapshot_on_a_finer_grid_keeps_what_was_buffered(directory):
    """The snapshot is off the grid: it is decoded again on a finer one, the buffered events too."""
    desk = Desk(directory, [listed("binance-us")])
    desk.ingest.connected(desk.monotonic)
    desk.take_requests()
    desk.hear(diff(11, 12, [["90.01", "2.0"]], native="BTCUSD"))
    (request,) = desk.take_requests()
    assert isinstance(request, FetchSnapshot)
    body = b'{"lastUpdateId":11,"bids":[["90.001","1.0"]],"asks":[["91.00","1.0"]]}'
    desk.ingest.receive_snapshot(request.instrument, body, desk.now)
    assert desk.keeper().book.bids() == [(90_010, 20_000), (90_001, 10_000)]
    assert desk.keeper().state is LIVE


class TestTheClockSetBack:
    """Deadlines are of CLOCK_MONOTONIC: however the real-time clock jumps, healing goes on as before."""

    @pytest.mark.parametrize("seconds", [-3600, 3600])
    @pytest.mark.parametrize("name", EXCHANGES)
    def test_stops_no_healing(self, directory, name, seconds):
        river = River(directory, name)
        river.truth.change("BTC-USD", DEEP)
        river.connect().settle()
        river.change([(9_030, 1, False)], lose=True)
        river.change([(9_031, 1, False)])
        river.ask(fail=True)  # where healing is a fetch, it fails once and waits for its time
        river.set_clock(seconds)
        for step in range(100):
            river.tick(0.1)
            river.ask()
            river.change([(9_032, 1 + step, False)])
        river.settle(limit=1)
        river.assert_true(depth=10 if name == "kraken" else None)
