"""Trading status from the exchange's words to the image, the ring and stderr: the stricter of a pair's and the whole exchange's."""

import orjson
import pytest
from support.flow_parts import SECOND, Desk, Replica, River, assert_one_book, listed

from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.shm import clock, layout
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire.delta import BookReason, BookState, RecordKind

TRADING, CANCEL_ONLY, SUSPENDED = TradingStatus.TRADING, TradingStatus.CANCEL_ONLY, TradingStatus.SUSPENDED
BTC = listed("kraken")


def system(word, **more):
    return orjson.dumps({"channel": "status", "type": "update", "data": [{"system": word, "version": "2.0.10", **more}]})


def pair(status, symbol="BTC/USD"):
    base, quote = symbol.split("/")
    said = {"symbol": symbol, "base": base, "quote": quote, "status": status, "price_precision": 2, "price_increment": 0.01}
    said |= {"qty_precision": 4, "qty_increment": 0.0001, "qty_min": 0.0001}
    return orjson.dumps({"channel": "instrument", "type": "update", "data": {"assets": [], "pairs": [said]}})


@pytest.fixture
def river(directory):
    return River(directory, "kraken").connect().settle()


def told(desk, symbol="BTC-USD"):
    return [group.trading for group in desk.groups(symbol, RecordKind.STATUS)]


def image_of(desk, symbol="BTC-USD"):
    return ImageReader(desk.keeper(symbol).image.segment).peek()


class TestFromTheStart:
    def test_the_first_snapshot_tells_it(self, river):
        """In the image before, in the ring with LIVE."""
        first = river.groups("BTC-USD", RecordKind.STATUS)[0]
        assert (first.state, first.trading) == (BookState.LIVE, TRADING)
        assert image_of(river).trading_status == TRADING

    def test_a_market_that_does_not_trade_is_told_once_in_words(self, directory):
        desk = Desk(directory, [BTC.with_status(CANCEL_ONLY, "cancel_only")])
        assert image_of(desk).trading_status == CANCEL_ONLY
        for _ in range(2):
            desk.ingest.connected(desk.monotonic)
        assert desk.warnings == ["kraken:BTC-USD: trading status CANCEL_ONLY (the exchange says 'cancel_only')"]


class TestAtEachChange:
    def test_image_ring_and_talk(self, river):
        """The book itself is what it was: same version, same levels, LIVE."""
        version = river.keeper().version
        river.hear(pair("cancel_only"))
        status = river.groups("BTC-USD", RecordKind.STATUS)[-1]
        assert (status.version, status.prev_version) == (version, version)
        assert (status.state, status.reason, status.trading) == (BookState.LIVE, BookReason.NONE, CANCEL_ONLY)
        assert image_of(river).trading_status == CANCEL_ONLY
        assert river.warnings[-1] == "kraken:BTC-USD: trading status CANCEL_ONLY (the exchange says 'cancel_only')"
        assert_one_book(river.keeper(), Replica(river.outlet, "BTC-USD"))
        river.hear(pair("online"))
        assert told(river)[-2:] == [CANCEL_ONLY, TRADING]
        assert image_of(river).trading_status == TRADING

    def test_what_is_no_news_is_not_told(self, river):
        river.hear(pair("cancel_only"))
        before = len(told(river))
        river.hear(pair("cancel_only"), pair("reduce_only"))
        assert len(told(river)) == before

    def test_metadata_read_again_over_rest_tells_it_too(self, river):
        """At a reconnect, and hourly."""
        instrument = river.truth.instruments["BTC-USD"]
        river.truth.instruments["BTC-USD"] = instrument.with_status(SUSPENDED, "maintenance")
        rest = river.exchange.rest_encoder(river.truth, "")
        river.ingest.receive_instruments(rest.respond("/0/public/AssetPairs", {}, river.now)[1], river.now)
        assert image_of(river).trading_status == SUSPENDED

    def test_an_unknown_word_is_unknown_and_told(self, river):
        river.hear(pair("frobnicated\x1b[2J"))
        assert told(river)[-1] is TradingStatus.UNKNOWN
        assert "which this version does not know" in river.warnings[-1]
        assert "\x1b" not in river.warnings[-1]

    def test_a_book_that_is_not_live_has_one_too(self, river):
        river.disconnect()
        river.hear(pair("maintenance"))
        status = river.groups("BTC-USD", RecordKind.STATUS)[-1]
        assert (status.state, status.trading) == (BookState.SYNCING, SUSPENDED)

    def test_a_larger_image_and_a_checkpoint_keep_it(self, river):
        river.hear(pair("cancel_only"))
        keeper = river.keeper()
        river.outlet.grow_image(keeper.image, 4096)
        river.outlet.wake.request_checkpoint(0)
        river.outlet.serve_checkpoints(SECOND)
        reader = ImageReader(Segment.attach(river.outlet.directory, "kraken_book_BTC-USD"))
        assert reader.copy().trading_status == reader.copy_checkpoint().trading_status == CANCEL_ONLY


class TestTheWholeExchange:
    @pytest.mark.parametrize(
        ("word", "status"),
        [("maintenance", SUSPENDED), ("cancel_only", CANCEL_ONLY), ("post_only", TradingStatus.POST_ONLY),
         ("limit_only", TradingStatus.LIMIT_ONLY), ("novel", TradingStatus.UNKNOWN)],
    )  # fmt: skip
    def test_its_word_holds_for_all_its_books_until_it_is_online_again(self, directory, word, status):
        desk = River(directory, "kraken", [BTC, listed("kraken", "ETH-USD")]).connect().settle()
        desk.hear(system(word))
        assert [told(desk, symbol)[-1] for symbol in ("BTC-USD", "ETH-USD")] == [status, status]
        assert f"the exchange says: {word}" in desk.warnings
        desk.hear(system("online"))
        assert [told(desk, symbol)[-1] for symbol in ("BTC-USD", "ETH-USD")] == [TRADING, TRADING]

    def test_the_stricter_of_the_two_counts(self, river):
        river.hear(pair("cancel_only"), system("post_only"))
        assert image_of(river).trading_status == CANCEL_ONLY
        river.hear(pair("limit_only"))
        assert image_of(river).trading_status == TradingStatus.POST_ONLY
        river.hear(system("online"))
        assert image_of(river).trading_status == TradingStatus.LIMIT_ONLY

    def test_online_at_first_is_not_worth_a_warning(self, river):
        assert not [line for line in river.warnings if "exchange says" in line]

    def test_announced_maintenance_is_told_once_in_words(self, river):
        window = {"title": "Scheduled\x1b[2J", "expected_start_utc": "2026-10-05T09:00:00.000000Z"}
        for _ in range(3):
            river.hear(system("online", upcoming_maintenance=[window], emergency=[]))
        said = [line for line in river.warnings if "announces" in line]
        assert said == ["the exchange announces: maintenance: Scheduled\x1b[2J, from 2026-10-05T09:00:00.000000Z"]

    @pytest.mark.parametrize("odd", ["soon", 7, {"at": 1}, [None], [[]], [{"title": ["x"]}], None])
    def test_an_announcement_of_another_shape_harms_nothing(self, river, odd):
        river.hear(system("cancel_only", upcoming_maintenance=odd, emergency=odd))
        assert image_of(river).trading_status == CANCEL_ONLY
        assert river.keeper().state is BookState.LIVE


class TestReaders:
    def test_a_follower_knows_it_from_image_and_ring(self, river):
        with_image = SetFollower(river.outlet.directory, "kraken")
        assert with_image.trading_status("BTC-USD") is TRADING
        river.hear(pair("cancel_only"))
        with_image.poll(clock.monotonic_ns())
        assert with_image.trading_status("BTC-USD") is CANCEL_ONLY
        assert SetFollower(river.outlet.directory, "kraken").trading_status("BTC-USD") is CANCEL_ONLY

    def test_a_status_lost_in_a_lap_is_found_in_the_image(self, directory):
        """Version, state and reason are the same as before: only the trading status is not."""
        river = River(directory, "kraken", [BTC, listed("kraken", "ETH-USD")], ring=64).connect().settle()
        follower = SetFollower(directory, "kraken")
        river.hear(pair("cancel_only"))
        for lots in range(1, 100):
            river.change([(9_000, lots, False)], "ETH-USD")
        assert follower.poll(clock.monotonic_ns()).missed
        assert follower.trading_status("BTC-USD") is CANCEL_ONLY

    def test_a_writer_of_layout_1_1_does_not_tell(self, river):
        """Its page is the same but for the number, its STATUS records end with a 0: readers know no status, and take it for none."""
        for name in ("kraken_book_BTC-USD", "kraken_orderbook_deltas"):
            segment = Segment.attach(river.outlet.directory, name, writable=True)
            segment._words.store_relaxed(layout.WORD["layout_minor"], 1)
        follower = SetFollower(river.outlet.directory, "kraken")
        assert follower.trading_status("BTC-USD") is None
        keeper = river.keeper()
        river.outlet.deltas.publish(keeper.batch.records, keeper.batch.status(river.now, keeper.version, 3, 5, 0))
        follower.poll(clock.monotonic_ns())
        assert (follower.books["BTC-USD"].book_state, follower.trading_status("BTC-USD")) == (BookState.STALE, None)
        assert ImageReader(segment_of_book(river)).copy().trading_status == -1


def segment_of_book(river):
    return Segment.attach(river.outlet.directory, "kraken_book_BTC-USD")
