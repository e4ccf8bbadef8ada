"""Last frames of a set: within their bytes whatever comes, the last seconds whole, each span behind checkpoints of its own moment."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.small_captures import BTC, HEAD

from alphapulse_cli.edges.capture import keeping, last_frames
from alphapulse_cli.edges.capture.keeping import LastBounds
from alphapulse_cli.edges.capture.last_frames import LastFrames
from alphapulse_cli.edges.capture.last_rows import ROW_BYTES
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.errors import UsageError
from alphapulse_cli.flow.checkpoint import Taken

SECOND = 10**9
START_NS = 5 * SECOND
MIB = 1 << 20
BOUNDS = LastBounds(3.0, MIB)
KEPT_NS = 3 * SECOND


class Kept:
    """Last frames beside a list of all that was put in. A checkpoint says how many rows there were when it was taken."""

    def __init__(self, bounds=BOUNDS, make=LastFrames):
        self.last = make(bounds, HEAD, START_NS)
        self.bounds = bounds
        self.all: list[tuple[bytes, int, int, bytes]] = []
        self.now_ns = START_NS
        self.held_bytes: int | None = 160  # of a checkpoint; None while there is none, 0 for never
        self.last.begin(HEAD, self.take)

    def take(self, most):
        if self.held_bytes is None:
            return None
        if not 0 < self.held_bytes <= most:
            return ()
        return [(1, Taken(orjson.dumps(len(self.all)), [b"\0" * (self.held_bytes // 16 * 16), b""]))]

    def put(self, size):
        row = (b"recv", self.now_ns, 1, b"%09d" % len(self.all) + b"x" * (size - 9))
        self.all.append(row)
        self.last.put(*row)

    def wait(self, seconds):
        """Let time pass, with a beat each 100 ms."""
        until_ns = self.now_ns + int(seconds * SECOND)
        while self.now_ns < until_ns:
            self.now_ns += SECOND // 10
            self.last.beat(self.now_ns)

    def spans(self):
        parts = self.last.parts()
        self.last.written()
        return [part.span for part in parts]

    def rows(self):
        return [row for span in self.spans() for row in span.rows]

    def counted_bytes(self):
        """Bytes that the spans hold, counted anew."""
        return sum(ROW_BYTES + len(row[3]) for row in self.rows()) + sum(span.held_size for span in self.spans())

    def is_within(self):
        return self.counted_bytes() <= self.last.held_bytes <= self.bounds.most_bytes

    def checks(self):
        rows = self.rows()
        assert self.is_within()
        assert rows == self.all[len(self.all) - len(rows) :], "the last rows, none left out between them"
        for span in self.spans():
            for _, taken in span.held:
                assert not span.rows or span.rows[0] == self.all[orjson.loads(taken.line)]


STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(9, 40_000), st.integers(1, 12)),
    st.tuples(st.just("wait"), st.sampled_from((0.1, 0.5, 1.0, 4.0)), st.just(0)),
    st.tuples(st.just("held"), st.sampled_from((None, 0, 160, 40_000, 200_000, 390_000, 2 * MIB)), st.just(0)),
)


@given(st.lists(STEPS, max_size=60))
def test_whatever_comes_it_keeps_within_its_bytes_and_its_checkpoints_are_of_their_moments(steps):
    kept = Kept()
    for what, value, count in steps:
        if what == "put":
            for _ in range(count):
                kept.put(value)
        elif what == "wait":
            kept.wait(value)
        else:
            kept.held_bytes = value
        kept.checks()


class ForgetsCheckpoints(LastFrames):
    """A broken variant: the bytes of checkpoints are not counted."""

    def _begin(self, monotonic_ns, held):
        super()._begin(monotonic_ns, held)
        self._rows.room += self._spans[-1].held_size


@pytest.mark.parametrize(("make", "holds"), [(LastFrames, True), (ForgetsCheckpoints, False)])
def test_checkpoints_are_counted(make, holds):
    kept = Kept(make=make)
    kept.held_bytes = 200_000
    within = []
    for _ in range(40):
        kept.put(40_000)
        kept.wait(0.5)
        within.append(kept.is_within())
    assert all(within) is holds


@pytest.mark.parametrize("size", [9, 300, 20_000])
def test_small_and_large_rows_are_bounded_alike(size):
    kept = Kept()
    for _ in range(3 * MIB // (size + ROW_BYTES)):
        kept.put(size)
        if len(kept.all) % 50 == 0:
            kept.wait(0.1)
    kept.checks()
    assert kept.counted_bytes() > MIB // 4, "and it is used"


def test_a_row_that_is_larger_than_all_leaves_a_mark_and_what_follows_is_kept():
    kept = Kept()
    kept.put(100)
    kept.put(2 * MIB)
    kept.put(100)
    assert [row[0] for row in kept.rows()] == [b"recv", b"lost", b"recv"]
    lost = orjson.loads(kept.rows()[1][3])
    assert (lost["rows"], lost["bytes"]) == (1, 2 * MIB)
    assert kept.is_within()
    kept.wait(1.1)
    assert kept.spans()[-1].held, "books are known again as soon as may be"


def test_after_a_burst_the_connections_are_those_that_were_open_at_the_first_row_that_is_kept():
    kept = Kept()
    for kind, connection in ((b"open", 1), (b"open", 2), (b"shut", 1)):
        kept.last.put(kind, kept.now_ns, connection, b'{"symbols":[]}')
    for _ in range(60):
        kept.put(20_000)
    [span] = kept.spans()
    assert [(kind, connection) for kind, connection, _ in span.preamble] == [(b"open", 2)]
    assert orjson.loads(span.preamble[0][2])["again"] is True


class TestSeconds:
    def test_the_last_ones_are_whole_behind_a_checkpoint_and_older_ones_are_dropped(self):
        kept = Kept()
        for _ in range(200):
            kept.put(200)
            kept.wait(0.1)
            rows = kept.rows()
            assert rows[0] == kept.all[0] or rows[0][1] <= kept.now_ns - KEPT_NS
        kept.checks()
        assert rows[0][1] >= kept.now_ns - 2 * KEPT_NS
        assert all(span.held for span in kept.spans())

    def test_while_a_book_heals_the_last_good_books_stay(self):
        kept = Kept()
        for _ in range(100):
            kept.put(200)
            kept.wait(0.1)
        kept.held_bytes, before = None, kept.spans()[0]
        for _ in range(100):
            kept.put(200)
            kept.wait(0.1)
        assert kept.spans()[0] is before
        assert before.held
        kept.held_bytes = 160
        for _ in range(100):
            kept.put(200)
            kept.wait(0.1)
        assert kept.spans()[0] is not before

    def test_but_not_beyond_the_bytes(self):
        kept = Kept()
        for _ in range(50):
            kept.put(200)
            kept.wait(0.1)
        kept.held_bytes = None
        for _ in range(100):
            kept.put(20_000)
            kept.wait(0.1)
        kept.checks()
        parts = kept.last.parts()
        assert not parts[0].span.held
        assert kept.last.remarks(parts) == ["books are not known before their next snapshot: a book was healing"]

    def test_large_books_have_two_checkpoints_at_most_and_too_large_ones_none(self):
        kept = Kept()
        kept.held_bytes = MIB // 5
        for _ in range(200):
            kept.put(200)
            kept.wait(0.1)
            assert len([span for span in kept.spans() if span.held]) <= 2
        assert kept.rows()[0][1] <= kept.now_ns - KEPT_NS
        kept.held_bytes = MIB // 2
        for _ in range(200):
            kept.put(200)
            kept.wait(0.1)
        assert not any(span.held for span in kept.spans())
        assert kept.rows()[0][1] <= kept.now_ns - KEPT_NS
        assert "hold no checkpoint of all its books" in kept.last.remarks(kept.last.parts())[0]

    @pytest.mark.parametrize("eighths", [1, 2, 3])
    def test_beside_large_checkpoints_there_are_always_the_last_rows(self, eighths):
        """The next checkpoints take their room from the oldest rows, never from the last ones."""
        kept = Kept()
        kept.held_bytes = MIB * eighths // 8
        for number in range(1500):
            kept.put(3_000)
            if number % 5 == 0:
                kept.wait(0.1)
            rows = sum(ROW_BYTES + len(row[3]) for row in kept.rows())
            assert rows >= min(number * 3_000, MIB // 12)
        kept.checks()
        assert kept.spans()[0].held

    def test_in_an_hour_without_a_row_nothing_changes(self):
        kept = Kept()
        kept.put(100)
        kept.wait(3600)
        assert len(kept.spans()) <= 2
        assert kept.rows() == kept.all


class TestFile:
    def written(self, kept, tmp_path):
        path = last_frames.write(kept.last.parts(), tmp_path)
        kept.last.written()
        with CaptureFile(path) as file:
            rows = list(file.rows())
            assert not file.damages
            return file.head, rows

    def test_begins_with_the_start_of_the_set_or_with_checkpoints(self, tmp_path):
        kept = Kept()
        kept.last.preamble = ((b"open", 1, b'{"url":"ws://h","symbols":["BTC/USD"],"again":true}'),)
        kept.put(100)
        (tmp_path / "a").mkdir()
        head, rows = self.written(kept, tmp_path / "a")
        assert ([row.kind for row in rows], list(head.instruments)) == ([b"head", b"recv", b"done"], [BTC])
        for _ in range(200):
            kept.put(100)
            kept.wait(0.1)
        (tmp_path / "b").mkdir()
        _, rows = self.written(kept, tmp_path / "b")
        assert [row.kind for row in rows[:4]] == [b"head", b"head", b"held", b"recv"]
        assert [tuple(row) for row in rows if row.kind == b"recv"] == kept.rows()
        assert rows[-1].kind == b"done"

    def test_without_known_books_it_begins_with_the_open_connections(self, tmp_path):
        kept = Kept()
        kept.held_bytes = 0
        for _ in range(50):
            kept.put(100)
            kept.wait(0.1)
        kept.last.preamble = ((b"open", 1, b'{"url":"ws://h","symbols":["BTC/USD"],"again":true}'),)
        for _ in range(100):
            kept.put(100)
            kept.wait(0.1)
        _, rows = self.written(kept, tmp_path)
        assert [row.kind for row in rows[:3]] == [b"head", b"open", b"recv"]

    def test_rows_that_come_while_it_is_written_do_not_change_it(self, tmp_path):
        """The file has what was kept when it was asked for, though all of that is dropped meanwhile."""
        kept = Kept()
        for _ in range(100):
            kept.put(3_000)
            kept.wait(0.1)
        rows, parts = kept.rows(), kept.last.parts()
        for _ in range(1000):
            kept.put(3_000)
            kept.wait(0.1)
        assert kept.last.held_bytes <= MIB
        path = last_frames.write(parts, tmp_path)
        with CaptureFile(path) as file:
            assert [tuple(row) for row in file.rows() if row.kind == b"recv"] == rows

    def test_of_nothing_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match="nothing was received yet"):
            last_frames.write(Kept().last.parts(), tmp_path)
        assert not list(tmp_path.iterdir())


class TestBounds:
    def test_are_a_duration_a_size_or_both(self):
        assert keeping.last_frames("2m") == LastBounds(120.0, 8 * MIB)
        assert keeping.last_frames("16MiB") == LastBounds(30.0, 16 * MIB)
        assert keeping.last_frames("5s,1MiB") == keeping.last_frames("1MiB, 5s") == LastBounds(5.0, MIB)
        assert keeping.last_frames(keeping.DEFAULT_LAST) == LastBounds()
        assert keeping.last_frames("off") is None

    @pytest.mark.parametrize("text", ["", "on", "0s", "0.5s", "2h", "1s,2s", "1KiB", "257MiB", "1TiB", "30s,", "1s,1MiB,x", "-1s"])
    def test_others_are_refused(self, text):
        with pytest.raises(ValueError, match="expected"):
            keeping.last_frames(text)
