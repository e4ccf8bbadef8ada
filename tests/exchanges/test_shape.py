"""The fast road of each feed answers what the JSON road answers, or nothing; and it is the road that is taken.

Two decoders of one feed hear the same frames, one of them without its shape. They must say the same, ask the same and refuse the same,
whatever is done to the frames.
"""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.campaigns import size
from support.exchange_truth import instrument
from support.recorded import recorded_frames
from support.two_roads import Blind, blinded, opened, said

from alphapulse_cli import exchanges
from alphapulse_cli.apps.bench.frames import FEEDS, STARTED_NS, tape
from alphapulse_cli.exchanges import shape as shape_module
from alphapulse_cli.exchanges.coinbase import exchange as coinbase_exchange
from alphapulse_cli.exchanges.protocol import BOOK
from alphapulse_cli.exchanges.shape import Shape
from alphapulse_cli.market.events import OffGrid, Snapshot, Update

EXAMPLE = '{"s":"<name>","b":[<bids>["<price>","<size>"]</bids>],"a":[<asks>["<price>","<size>"]</asks>],"n":<first>,"t":"<time>"}'
USUAL = b'{"s":"BTC-USD","b":[["1.5","2"],["1","0"]],"a":[["2.25","3"]],"n":7,"t":"2026-08-12T19:27:47.5Z"}'
BTC = instrument("coinbase", "BTC-USD", "BTC-USD", 2, 4)
AT_NS = 1_786_562_867_500_000_000
compiled = pytest.mark.skipif(
    not shape_module.SOURCE_HASH, reason="interpreted, shapes read nothing: the JSON library is the faster road"
)


def assert_alike(made, frames):
    """Both decoders say the same to these frames, one after the other."""
    fast, slow = opened(made, blind=False), opened(made, blind=True)
    for frame in frames:
        assert said(fast, frame) == said(slow, frame), frame


def shape_of(example=EXAMPLE, instrument=BTC, **kept):
    """A shape that may read that instrument."""
    shape = Shape(example, **kept)
    shape.instruments = {instrument.native: instrument}
    return shape


def read(frame, example=EXAMPLE, **kept):
    return shape_of(example, **kept).read(frame)


class TestExamples:
    @pytest.mark.parametrize(
        "example",
        [
            *("<nonsense>", "[<bids>", "<bids><asks></asks></bids>", "</bids>", "<bids></asks>", "<literal>"),
            *("<optional>", "</optional>", "<optional><price></optional>", "<bids><optional></bids>"),
        ],
    )
    def test_with_a_name_that_means_nothing_there_are_refused(self, example):
        with pytest.raises(ValueError, match=r"<[/a-z]+>"):
            Shape(example)


CHECKSUM_ALONE = '[<channel>,"cs",<signed>,<first>,<millis>]'


@compiled
class TestAChecksumAlone:
    """An update without levels; the first example's frames are read as before."""

    @staticmethod
    def shape():
        shape = Shape(
            "[<channel>,[<price>,<count>,<amount><level>],<first>,<millis>]", checksum_alone=CHECKSUM_ALONE, is_counted=True
        )
        shape.instruments, shape.expected = {"17": BTC}, 5
        return shape

    @pytest.mark.parametrize(
        ("signed", "unsigned"),
        [(b"0", 0), (b"7", 7), (b"-1", 2**32 - 1), (b"-2147483648", 2**31), (b"2147483647", 2**31 - 1), (b"4294967295", 2**32 - 1)],
    )
    def test_a_checksum_frame_is_an_update_without_levels(self, signed, unsigned):
        shape = self.shape()
        update = shape.read(b'[17,"cs",%s,5,1786562867500]' % signed)
        assert (list(update.levels), update.checksum, update.exchange_ns) == ([], unsigned, AT_NS)
        assert (shape.checksum, shape.expected) == (unsigned, 6)
        update = shape.read(b"[17,[1.5,2,-0.25],6,1786562867501]")
        assert (list(update.levels), update.checksum, shape.expected) == ([(150, 2500, True)], None, 7)

    @pytest.mark.parametrize(
        "frame",
        [
            *(
                b'[17,"cs",%s,5,1786562867500]' % each
                for each in (b"-0", b"-2147483649", b"4294967296", b"1.5", b"--1", b"", b'"7"')
            ),
            b'[17,"cs",7,6,1786562867500]',
            b'[18,"cs",7,5,1786562867500]',
            b'[17,"cs",7,5]',
            b'[17,"cs",7,5,0]',
            b'[17,"hb",5,1786562867500]',
        ],
    )
    def test_of_another_form_or_number_is_left_to_the_decoder(self, frame):
        shape = self.shape()
        assert shape.read(frame) is None
        assert shape.expected == 5


@compiled
class TestReading:
    def test_an_update_in_full(self):
        shape = shape_of(depth=10)
        update = shape.read(USUAL)
        assert type(update) is Update
        assert list(update.levels) == [(150, 20_000, False), (100, 0, False), (225, 30_000, True)]
        assert (update.instrument, update.exchange_ns, update.checksum, update.depth) == (BTC, AT_NS, None, 10)
        assert shape.first == 7

    def test_sides_by_their_words_and_the_newest_time(self):
        example = '"<name>"[<rows>{"s":"<side>","p":<price>,"q":<size>,"t":"<time>"}</rows>]<checksum>'
        rows = [
            b'{"s":"%s","p":%d,"q":0.5,"t":"2026-08-12T19:27:%02dZ"}' % row
            for row in ((b"bid", 1, 40), (b"offer", 2, 47), (b"bid", 3, 41))
        ]
        update = read(b'"BTC-USD"[%s]4294967295' % b",".join(rows), example=example, bid_word="bid", ask_word="offer")
        assert list(update.levels) == [(100, 5_000, False), (200, 5_000, True), (300, 5_000, False)]
        assert (update.exchange_ns, update.checksum) == (AT_NS - 500_000_000, 4_294_967_295)

    def test_times_in_milliseconds_are_read(self):
        update = read(b'"BTC-USD"[[1,2]]1786562867500', example='"<name>"[<asks>[<price>,<size>]</asks>]<millis>')
        assert update.exchange_ns == AT_NS

    def test_one_side_may_be_empty_but_not_both(self):
        assert read(USUAL.replace(b'["2.25","3"]', b"")).levels.count == 2
        assert read(re.sub(rb"\[\[.*?\]\]", b"[]", USUAL)) is None

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b"}", b"} "), (b"}", b""), (b"}", b"}}"), (b'{"s"', b'{ "s"'), (b"BTC-USD", b"ETH-USD"), (b"BTC-USD", b"BTC\\u002dUSD"),
            (b'"1.5"', b'"1.501"'), (b'"1.5"', b'"-1.5"'), (b'"1.5"', b'"1.5e0"'), (b'"1.5"', b'""'), (b'"1.5"', b'"."'), (b'"1.5"', b'"1."'),
            (b'"1.5"', b'".5"'), (b'"1.5"', b'"01.5"'), (b'"1.5"', b"1.5"), (b'"1.5"', b'"1.5.5"'), (b'"1.5"', b'"92233720368547758.08"'),
            (b'"2"]', b'"461168601842738.7904"]'), (b"7", b"7.0"), (b"7", b"07"), (b"7", b"-7"), (b"7", b'"7"'), (b"7", b"9223372036854775808"),
            (b".5Z", b".5+00:00"), (b".5Z", b".5z"), (b"2026-08", b"2026-13"), (b"2026-08-12T19:27:47.5Z", b"1970-01-01T00:00:00Z"),
            (b"]],", b"],],"), (b"],[", b"] ,["), (b"],[", b"][" ), (b'"]', b'",1]'),
        ],
    )  # fmt: skip
    def test_what_is_not_usual_is_left_to_the_slow_road(self, old, new):
        frame = USUAL.replace(old, new, 1)
        assert frame != USUAL
        assert read(frame) is None

    def test_every_beginning_of_a_frame_is_not_the_frame(self):
        assert [size for size in range(len(USUAL)) if read(USUAL[:size]) is not None] == []

    def test_what_is_no_bytes_object_is_left_to_the_slow_road(self):
        assert read(bytearray(USUAL)) is None
        assert read(memoryview(USUAL)) is None

    def test_prices_before_the_name_have_no_grid(self):
        assert read(b'[[1,2]]"BTC-USD"5', example='[<asks>[<price>,<size>]</asks>]"<name>"<millis>') is None

    def test_the_grid_is_that_of_each_frames_instrument(self):
        shape, finer = shape_of(), instrument("coinbase", "BTC-USD", "BTC-USD", 8, 8)
        for each, ticks in ((BTC, 150), (finer, 150_000_000), (BTC, 150)):
            shape.instruments = {"BTC-USD": each}
            assert next(iter(shape.read(USUAL).levels))[0] == ticks

    def test_optional_bytes_may_be_missing_and_nothing_else_may_be_there(self):
        example = EXAMPLE.replace('"n":', '<optional>"id":"",</optional>"n":')
        with_it = USUAL.replace(b'"n":', b'"id":"","n":')
        assert list(read(with_it, example).levels) == list(read(USUAL, example).levels) == list(read(USUAL).levels)
        for other in (b'"id":"x","n":', b'"id":"","id":"","n":', b'"id":"', b'"id":"",'):
            assert read(USUAL.replace(b'"n":', other), example) is None
        assert read(with_it) is None

    def test_a_counted_feed_only_in_its_order(self):
        """The number moves on with each frame that is read, and with no other."""
        shape = shape_of(is_counted=True)
        assert shape.read(USUAL) is None
        shape.expected = 7
        assert shape.read(USUAL.replace(b"7", b"8", 1)) is None
        assert shape.read(USUAL.replace(b"1.5", b"x")) is None
        assert shape.expected == 7
        assert shape.read(USUAL) is not None
        assert shape.expected == 8
        assert shape.read(USUAL) is None


@compiled
def test_coinbases_road_is_for_frames_with_an_empty_client_id_and_without():
    """Its frames of books had one in September 2026, and none a month before."""
    (feed,) = (each for each in FEEDS if each.case == "coinbase")
    made = tape(feed, 20)
    assert all(b'"client_id":"",' in frame for frame in made.updates)
    for cut in (b"", b'"client_id":"",'):
        decoder = opened(made, blind=False)
        assert all(decoder.shape.read(frame.replace(cut, b"")) is not None for frame in made.updates)
    other = opened(made, blind=False)
    assert other.shape.read(made.updates[0].replace(b'"client_id":""', b'"client_id":"7"')) is None


@compiled
@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.case)
class TestEachFeed:
    def test_takes_the_fast_road_with_every_usual_update(self, feed):
        """A checksum that comes in a frame of its own is an update without levels."""
        made = tape(feed, 300)
        fast, slow = opened(made, blind=False), opened(made, blind=True)
        shape = fast.shape or fast._shape
        levels = 0
        for frame in made.updates:
            levels += sum(event.levels.count for event in slow.receive(frame, STARTED_NS))
            assert shape.read(frame) is not None
        assert levels >= 250

    def test_says_on_it_what_it_says_on_the_slow_one(self, feed):
        made = tape(feed, 300)
        assert_alike(made, made.updates)

    def test_also_with_frames_lost_repeated_swapped_and_books_resynced(self, feed):
        made, dice = tape(feed, 300), random.Random(7)
        fast, slow = opened(made, blind=False), opened(made, blind=True)
        for at, frame in enumerate(made.updates):
            chosen = dice.random()
            if chosen < 0.02:
                for decoder in (fast, slow):
                    decoder.resync(made.instruments[0])
            frames = (
                [] if chosen < 0.05 else [frame, frame] if chosen < 0.08 else [made.updates[at - 1]] if chosen < 0.1 else [frame]
            )
            for each in frames:
                assert said(fast, each) == said(slow, each)
            if chosen > 0.9:  # heal: a new connection, and the opening once more
                fast, slow = opened(made, blind=False), opened(made, blind=True)

    @pytest.mark.campaign
    @settings(max_examples=size(50, 300), deadline=None)
    @given(st.data())
    def test_damaged_frames_are_read_alike_on_both_paths(self, feed, data):
        made = tape(feed, 300)
        frames = [mangled(data, made.updates[at]) for at in data.draw(st.lists(st.integers(0, 299), min_size=1, max_size=4))]
        assert_alike(made, [*made.updates[:2], *frames, *made.updates[2:4]])


NASTY = [
    b"0", b"-0", b"00", b"0.0", b"1e5", b"1E-3", b"-1", b"1.", b".1", b"9" * 18, b"9" * 19, b"9" * 30, b"0.000000001", b"1.10", b"007", b"1_0",
    b"NaN", b"null", b"true", b'""', b'"x"', b"[]", b"{}", b"[[]]", b",", b":", b'"', b"\\", b"\\u0031", b" ", b"\n", b"\t", b"\0", b"\x7f", b"\x80",
    b"\xc3\xa9", b"1970-01-01T00:00:00Z", b"0001-01-01T00:00:00Z", b"2262-01-01T00:00:00Z", b"2026-02-29T00:00:00Z", b"buy", b"offer", b"bid",
]  # fmt: skip
TOKEN = re.compile(rb"[0-9.]+|[A-Za-z_]+|.", re.DOTALL)


def mangled(data, frame):
    """A frame with a few of its tokens replaced, dropped, doubled or swapped, or with its end cut off."""
    tokens = TOKEN.findall(frame)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(tokens) - 1))
        match data.draw(st.integers(0, 5)):
            case 0:
                tokens[at] = data.draw(st.sampled_from(NASTY))
            case 1:
                tokens.insert(at, data.draw(st.sampled_from(NASTY)))
            case 2:
                tokens[at : at + data.draw(st.integers(1, 8))] = [b""]
            case 3:
                tokens[at:at] = tokens[at : at + data.draw(st.integers(1, 12))]
            case 4:
                other = data.draw(st.integers(0, len(tokens) - 1))
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case _:
                tokens[at:] = tokens[at : at + data.draw(st.integers(1, 40))]
    return b"".join(tokens)


@compiled
class TestTheComparisonCatches:
    """Roads that answer what the slow one would not; else that nothing differs proves nothing."""

    def wrong(self, read_wrongly):
        made = tape(FEEDS[2], 300)
        fast, slow = opened(made, blind=False), opened(made, blind=True)

        class Wrong(Blind):
            def read(self, frame):
                return read_wrongly(self._real, frame)

        blinded(fast, Wrong)
        hostile = [frame.replace(b"}", b"} x") for frame in made.updates[:20]]
        finer = [re.sub(rb'(\["(?:buy|sell)","[0-9.]+)"', rb'\g<1>000000001"', frame) for frame in made.updates[:20]]
        return any(said(fast, frame) != said(slow, frame) for frame in [*made.updates, *hostile, *finer])

    def test_the_real_shape_passes(self):
        assert not self.wrong(lambda real, frame: real.read(frame))

    @pytest.mark.parametrize(
        "read_wrongly",
        [
            lambda real, frame: real.read(frame.partition(b" x")[0]),
            lambda real, frame: real.read(re.sub(rb"000000001\"", b'"', frame)),
            lambda real, frame: real.read(frame.replace(b'"sell"', b'"buy"')),
            lambda real, frame: real.read(re.sub(rb"\.\d+Z", b"Z", frame)),
            lambda real, frame: real.read(re.sub(rb"\],\[[^\]]*\]\]", b"]]", frame)),
        ],
        ids=["what comes behind the frame", "digits beyond the grid", "the side", "the time's fraction", "the last level"],
    )
    def test_a_road_that_leaves_out(self, read_wrongly):
        assert self.wrong(read_wrongly)


@compiled
class TestRecorded:
    @pytest.mark.parametrize(("name", "least"), [("coinbase-exchange.txt", 80), ("COINBASE.ws.28.0", 1_000)])
    def test_coinbase_frames_are_read_alike_and_all_on_the_fast_road(self, name, least):
        """Every update of one book and of ten, on the grid that its book needs by then."""
        self.play(name, "coinbase", "exchange", re.compile(rb'"product_id":"([^"]+)"'), b'"l2update"', least)

    def play(self, name, exchange_name, mode, symbol, mark, least):
        frames = [frame for _, frame in recorded_frames(name)]
        natives = {found[1].decode() for frame in frames if mark in frame and (found := symbol.search(frame))}
        exchange = exchanges.get(exchange_name)
        books = [instrument(exchange_name, native, native, 2, 2) for native in sorted(natives)]
        fast, slow = (exchange.decoder(books, {BOOK}, 0, mode) for _ in range(2))
        blinded(slow)
        on_the_fast_road = updates = 0
        for decoder in (fast, slow):
            decoder.connected(STARTED_NS)
        for frame in frames:
            while True:
                heard, expected = said(fast, frame), said(slow, frame)
                assert heard == expected
                off_grid = [event for event in heard[0] if isinstance(event, OffGrid)]
                for event in off_grid:
                    finer = event.instrument.on_grid(event.price_decimals, event.size_decimals)
                    assert finer is not None
                    fast.use_instrument(finer)
                    slow.use_instrument(finer)
                if not off_grid:
                    break
            updates += mark in frame
            on_the_fast_road += fast.shape.read(frame) is not None
        assert updates > least
        assert on_the_fast_road == updates


def test_a_snapshot_is_no_business_of_a_shape():
    """Only updates come often enough."""
    assert coinbase_exchange.USUAL_UPDATE.startswith('{"type":"l2update"')
    made = tape(FEEDS[2], 10)
    snapshot = next(heard.body for heard in made.opening if b'"snapshot"' in heard.body)
    decoder = made.receiver()
    decoder.connected(STARTED_NS)
    assert [type(event) for event in decoder.receive(snapshot, STARTED_NS)] == [Snapshot]
