"""A level that no grid holds is a gap, then a halt that heals when it goes; a trade that no record holds is counted and no more.

Every exchange and mode, by the exchange's own encoder: a level of the truth is written as something absurd on its way to us.
"""

import re
from itertools import pairwise

import pytest
from support.feeds import DEPTHS, FEEDS, PICTURES, feed_id
from support.flow_parts import SECOND, Replica, River, assert_one_book, listed

from alphapulse_cli.market.requests import FetchSnapshot, Send
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.wire.delta import BookReason, BookState, RecordKind

LIVE, SYNCING, HALTED = BookState.LIVE, BookState.SYNCING, BookState.HALTED
OFF_GRID = BookReason.OFF_GRID
MARKED = (9_123, 7_777, False)  # the level that is written otherwise: 91.23, 0.7777
ABSURD = {
    "too fine for any grid": (rb"91\.230*(?=\D)", b"1e-30"),
    "as long as a double may be": (rb"91\.230*(?=\D)", b"5e-324"),
    "fine enough for a grid on which the book has no room": (rb"0\.77770*(?=\D)", b"0.77770000123456"),
    "beyond 63 bits": (rb"91\.230*(?=\D)", b"9223372036854775808"),
    "a size beyond 62 bits": (rb"0\.77770*(?=\D)", b"461168601842738.7904"),
    "a size too fine": (rb"0\.77770*(?=\D)", b"1e-30"),
}
TRADE_PRICE = rb"(?<=[\":])120(\.0+)?(?=[\",}])|(?<=,)120(?=\])"  # at 12 000 ticks
SYMBOLS = ("BTC-USD", "ETH-USD")
every_feed = pytest.mark.parametrize(("exchange", "mode"), FEEDS, ids=map(feed_id, FEEDS))
every_way = pytest.mark.parametrize("absurd", ABSURD.values(), ids=ABSURD)


class Distorted:
    """An exchange's REST side whose answers are written otherwise."""

    def __init__(self, rest, river):
        self.rest, self.river = rest, river

    def respond(self, *arguments):
        status, body = self.rest.respond(*arguments)
        return status, self.river.distorted(body)


class Scene(River):
    """Both symbols' books; what is said of BTC-USD is distorted while `absurd` says how."""

    def __init__(self, directory, exchange, mode):
        super().__init__(directory, exchange, [listed(exchange, symbol) for symbol in SYMBOLS], mode=mode)
        self.is_pictures = (exchange, mode) in PICTURES
        self.absurd: tuple[bytes, bytes] | None = None
        self.rest = Distorted(self.rest, self)
        self.asked_at: list[float] = []
        for symbol in SYMBOLS:
            self.truth.change(symbol, [(9_120, 10**10, False), (10_010, 1, True)])
        self.connect().settle([(9_121, 7, False), (10_011, 7, True)])
        assert self.take_requests() == []
        self.asked_at = []

    def distorted(self, frame):
        return frame if self.absurd is None or b"ETH" in frame else re.sub(*self.absurd, frame)

    def hear(self, *frames):
        super().hear(*map(self.distorted, frames))

    def take_requests(self):
        taken = super().take_requests()
        asks = [each for each in taken if self.is_ask(each)]
        self.asked_at += [self.now] * bool(asks)
        return taken

    def is_ask(self, request):
        """For a snapshot of BTC-USD; the quiet ETH-USD is checked besides."""
        if isinstance(request, Send):
            verbs = (b'"unsubscribe"', b'"event":"subscribe"')  # Bitfinex ends a channel by its number
            return b"BTC" in request.frame and any(verb in request.frame for verb in verbs)
        return isinstance(request, FetchSnapshot) and request.instrument.symbol == "BTC-USD"

    def halt(self, absurd):
        """The level comes, and the snapshot has it too."""
        self.absurd = absurd
        self.change([MARKED])
        self.ask()
        if self.is_pictures:
            self.change([(10_011, 9, True)])  # the next picture
        return self


@pytest.fixture
def scene(directory, exchange, mode):
    return Scene(directory, exchange, mode)


@every_feed
class TestALevel:
    @every_way
    def test_that_no_grid_holds_is_a_gap_and_one_resync_heals_it(self, scene, absurd):
        replica, grid = Replica(scene.outlet, "BTC-USD").follow(), scene.keeper().instrument
        scene.absurd = absurd
        scene.change([MARKED])
        assert (scene.keeper().state, scene.keeper().reason) == (SYNCING, OFF_GRID)
        assert scene.keeper("ETH-USD").state is LIVE
        scene.absurd = None
        scene.ask()
        scene.settle([(9_122, 7, False), (10_012, 7, True)])
        scene.assert_true(depth=DEPTHS.get((scene.exchange.facts.name, scene.mode)))
        assert scene.keeper().instrument == grid
        assert_one_book(scene.keeper(), replica)
        assert len(scene.asked_at) == (not scene.is_pictures), "asked once; a picture needs no asking"
        (line,) = scene.warnings
        assert "kraken" not in line or line.startswith("kraken:BTC-USD: a level fits no grid (price ")

    @every_way
    def test_in_the_snapshot_too_halts_its_book_alone_until_it_goes(self, scene, absurd):
        replica = Replica(scene.outlet, "BTC-USD").follow()
        scene.halt(absurd)
        assert (scene.keeper().state, scene.keeper().reason) == (HALTED, OFF_GRID)
        scene.change([(9_122, 3, False)], "ETH-USD")
        assert scene.keeper("ETH-USD").state is LIVE
        assert [line.partition(": ")[2].split(":")[0] for line in scene.warnings][-1] == "HALTED"
        assert len(scene.warnings) == 2
        scene.absurd = None
        scene.tick(60)
        scene.ask()
        scene.change([(9_122, 3, False)])
        assert scene.keeper().state is LIVE
        scene.assert_true(depth=DEPTHS.get((scene.exchange.facts.name, scene.mode)))
        assert_one_book(scene.keeper(), replica)
        for _ in range(30):
            scene.tick(0.1)
        assert scene.notices[-1] == ("info", f"{scene.keeper().instrument.id}: LIVE again")
        assert scene.count(Counter.RESYNCS, "BTC-USD") == 1

    def test_that_stays_is_tried_again_for_ever_more_rarely_and_told_once(self, scene):
        if scene.is_pictures:
            pytest.skip("pictures come by themselves")
        scene.halt(ABSURD["too fine for any grid"])
        halted_at, scene.asked_at = scene.now, []
        for _ in range(2400):
            scene.tick()
            scene.ask()
            assert scene.keeper().state is HALTED
        pauses = [round((later - earlier) / SECOND) for earlier, later in pairwise([halted_at, *scene.asked_at])]
        assert pauses == [60, 120, 300, 600, 600, 600]
        assert len([line for line in scene.warnings if "HALTED" in line]) == 1
        assert scene.keeper("ETH-USD").state is LIVE

    def test_in_the_snapshot_of_the_next_connection_is_told_as_it_was(self, scene):
        scene.halt(ABSURD["too fine for any grid"])
        scene.disconnect()
        scene.connect()
        scene.change([(9_122, 3, False)])
        assert scene.keeper().state is HALTED
        assert len(scene.warnings) == 2
        scene.absurd = None
        scene.disconnect()
        scene.connect()
        scene.settle([(9_122, 7, False), (10_012, 7, True)])
        assert scene.keeper().state is LIVE

    def test_that_a_grid_can_hold_makes_it_finer_as_before(self, scene):
        scene.halt((rb"91\.230*(?=\D)", b"91.2301"))
        assert scene.keeper().state is not HALTED
        scene.absurd = None
        assert scene.keeper().instrument.price_decimals == 4


@every_feed
class TestATrade:
    @pytest.mark.parametrize("price", [b"1e-25", b"1e-300", b"92233720368547758.08", b"0.00000000000000000001"])
    def test_that_no_record_holds_is_counted_and_told_once_and_touches_no_book(self, scene, price):
        before, told = scene.keeper().instrument, len(scene.groups())
        scene.trade(ticks=12_000)
        scene.absurd = (TRADE_PRICE, price)
        scene.trade(ticks=12_000)
        scene.trade(ticks=12_000)
        scene.absurd = None
        scene.trade(ticks=12_000)
        assert len(scene.trades()) == 2
        assert scene.count(Counter.TRADES_REFUSED, "BTC-USD") == 2
        assert scene.count(Counter.TRADES_MISSED, "BTC-USD") == 0, "it came, and its id counts"
        assert (scene.keeper().instrument, scene.keeper().state, len(scene.groups())) == (before, LIVE, told)
        (line,) = scene.warnings
        assert "a trade that fits no record" in line
        assert scene.take_requests() == []

    def test_finer_than_the_book_is_told_on_a_grid_of_its_own(self, scene):
        before = scene.keeper().instrument
        scene.absurd = (TRADE_PRICE, b"120.12345")
        scene.trade(ticks=12_000)
        records = scene.trade_rows()
        assert [(int(row["price_ticks"]), int(row["price_decimals"])) for row in records] == [(12_012_345, 5)]
        assert (scene.keeper().instrument, scene.keeper().state) == (before, LIVE)
        assert scene.count(Counter.OFF_GRID, "BTC-USD") == 1
        assert scene.groups("BTC-USD", RecordKind.RESET)[1:] == []
