"""Capture files: what was put in comes out, whatever of the file is missing or wrong."""

import os
import stat
from functools import partial

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphapulse_cli.edges.capture import files
from alphapulse_cli.edges.capture.blocks import Block, Damage, compress, read_blocks
from alphapulse_cli.edges.capture.files import LeastFree
from alphapulse_cli.edges.capture.head import Head, parse_head
from alphapulse_cli.edges.capture.index import entry_bytes, entry_of, index_bytes, read_index
from alphapulse_cli.edges.capture.keeping import Rotation
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rolling import RollingFiles
from alphapulse_cli.edges.capture.rows import BrokenRows, Row, parse_rows, row_bytes
from alphapulse_cli.edges.capture.writer import CaptureWriter
from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.shm import clock

BTC = Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8)
HEAD = Head("kraken", "v2", 10, ("book",), "kraken", "ws://127.0.0.1:1/v2", 1_000, 0, (BTC,))
T0 = 1_764_324_000_000_000_000
ROOM = LeastFree(0.0, 0)

rows_strategy = st.lists(
    st.builds(
        Row,
        st.sampled_from([b"recv", b"sent", b"rest", b"news"]),
        st.integers(0, 10**19 - 1),
        st.integers(0, 9_999),
        st.binary(max_size=300),
    ),
    max_size=20,
)


def written(folder, payloads, *, block_rows=3, rotation=None):
    """Files of rows `recv` with these payloads, a millisecond apart, `block_rows` in a block."""
    made = RollingFiles(folder, lambda *_: None, rotation or Rotation(), ROOM)
    from alphapulse_cli.edges.capture.rolling import RowBlock

    for start in range(0, len(payloads), block_rows):
        part = payloads[start : start + block_rows]
        times = [T0 + (start + place) * 1_000_000 for place in range(len(part))]
        rows = b"".join(row_bytes(b"recv", time_ns, 1, payload) for time_ns, payload in zip(times, part, strict=True))
        made.write(RowBlock(rows, len(part), times[0], times[-1], HEAD))
    made.close()
    return sorted(folder.glob("*" + files.SUFFIX))


def received(path):
    with CaptureFile(path) as file:
        return [row.payload for row in file.rows() if row.kind == b"recv"], file.damages


@given(rows_strategy)
@settings(max_examples=50)
def test_rows_are_read_as_they_were_written(rows):
    assert list(parse_rows(b"".join(row_bytes(*row) for row in rows))) == rows


@pytest.mark.parametrize("at", range(60))
def test_a_cut_row_is_no_row(at):
    row = row_bytes(b"recv", T0, 1, b"x" * 20)
    if at in (0, len(row)):
        assert len(list(parse_rows(row[:at]))) == bool(at)
        return
    with pytest.raises(BrokenRows):
        list(parse_rows(row[:at] + b""))


@pytest.mark.parametrize("name", ["../../evil", "a/b", ".", "", "A", "a b", "a\0b", "a\x1b[31m", "-a", "a" * 33])
def test_a_name_of_a_set_that_may_not_reach_a_path_is_refused(name):
    """Cuts and merges name their files after it."""
    with pytest.raises(UsageError, match="the head of this capture cannot be right") as caught:
        parse_head(Head(**{**_members(HEAD), "set_name": name}).to_payload())
    assert "zstd -dc" in caught.value.hint


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"instruments": [5]}, "instruments: not a list of objects"),
        ({"instruments": {}}, "instruments: not a list of objects"),
        ({"depth": -1}, "depth: not an integer"),
        ({"instruments": [{}]}, "no member 'symbol'"),
    ],
)
def test_a_wrong_head_is_refused_in_words(members, reason):
    given = {**orjson.loads(HEAD.to_payload()), **members}
    with pytest.raises(UsageError, match=reason) as caught:
        parse_head(orjson.dumps(given))
    assert caught.value.hint
    for name in ("exchange", "set", "instruments", "run_ns"):
        with pytest.raises(UsageError, match=f"no member '{name}'"):
            parse_head(orjson.dumps({key: value for key, value in orjson.loads(HEAD.to_payload()).items() if key != name}))


def test_a_head_says_what_was_captured():
    assert parse_head(HEAD.to_payload()) == Head(
        **{**_members(HEAD), "channels": ["book"], "instruments": [BTC], "checksum_warns": []}
    )


def _members(head):
    return {name: getattr(head, name) for name in head.__slots__}


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"{}", "not a capture"),
        (b"[1]", "not a capture"),
        (b"nonsense", "not a capture"),
        (HEAD.to_payload().replace(b'"version":1', b'"version":2'), "version 2"),
        (HEAD.to_payload().replace(b'"BTC-USD"', b'"../../x"'), "symbol"),
        (HEAD.to_payload().replace(b'"exchange":"kraken"', b'"exchange":"a/b"'), "exchange"),
        (HEAD.to_payload().replace(b'"price_decimals":1', b'"price_decimals":1.5'), "price_decimals"),
        (HEAD.to_payload().replace(b'"instruments":[', b'"instruments":[3,'), "cannot be right"),
    ],
)
def test_a_head_that_cannot_be_right_is_refused(payload, words):
    with pytest.raises(UsageError, match=words):
        parse_head(payload)


def test_a_newer_writer_may_add_members():
    assert parse_head(HEAD.to_payload()[:-1] + b',"news":{"a":1}}').exchange == "kraken"


def test_a_file_is_its_owners_and_plain_zstd(tmp_path):
    [path] = written(tmp_path, [b"one", b"two\nlines", b""])
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(files.index_path(path).stat().st_mode) == 0o600
    assert received(path) == ([b"one", b"two\nlines", b""], [])


def test_every_truncation_gives_all_whole_blocks_and_says_what_was_cut(tmp_path):
    payloads = [b"frame %d" % number for number in range(12)]
    [path] = written(tmp_path, payloads)
    data, index = path.read_bytes(), files.index_path(path).read_bytes()
    with CaptureFile(path) as file:
        entries = file.entries()
    for keeps_index in (True, False):
        for length in range(len(data) + 1):
            path.write_bytes(data[:length])
            files.index_path(path).write_bytes(index if keeps_index else b"")
            whole = [entry for entry in entries if entry.end <= length]
            found, damages = received(path)
            assert found == payloads[: max(0, 3 * (len(whole) - 1))]
            is_cut = length != (whole[-1].end if whole else 0)
            assert [damage.at_end for damage in damages] == [True] * is_cut


def test_a_flipped_bit_costs_its_block_and_no_more(tmp_path):
    payloads = [b"frame %d" % number for number in range(9)]
    [path] = written(tmp_path, payloads)
    data, index = path.read_bytes(), files.index_path(path)
    with CaptureFile(path) as file:
        entries = file.entries()
    for keeps_index in (True, False):
        if not keeps_index:
            index.unlink()
        for place in range(len(data)):
            path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
            found, damages = received(path)
            [hit] = [number for number, entry in enumerate(entries) if entry.offset <= place < entry.end]
            if damages:
                assert found == [payload for number, payload in enumerate(payloads) if number // 3 + 1 != hit], place
            else:  # a bit that zstd's format leaves unused: the rows, checked by their checksum, are right
                assert found == payloads
    path.write_bytes(data)
    assert received(path) == (payloads, [])


def _part(data, offset, count):
    return data[offset : offset + count]


def test_without_checksums_a_flipped_bit_would_be_believed(monkeypatch):
    """Broken mutant: blocks without checksums give wrong rows in silence."""
    from alphapulse_cli.edges.capture import blocks

    rows = b"".join(row_bytes(b"recv", T0, 1, b'{"price":%d}' % number) for number in range(40))
    sums = {}
    made_with = compress(rows)
    monkeypatch.setattr(blocks, "_OPTIONS", {})
    monkeypatch.setattr(blocks, "FLAGS_AT", 1 << 30)  # and a reader that does not ask for them
    for name, made in (("with", made_with), ("without", compress(rows))):
        flips = [made[:at] + bytes([made[at] ^ 1]) + made[at + 1 :] for at in range(4, len(made))]
        read = [list(read_blocks(partial(_part, data), len(data))) for data in flips]
        sums[name] = sum(any(isinstance(one, Block) and one.rows != rows for one in found) for found in read)
    assert sums["with"] == 0
    assert sums["without"] > 0


def test_a_foreign_or_stale_index_is_not_believed(tmp_path):
    payloads = [b"frame %d" % number for number in range(9)]
    [path] = written(tmp_path, payloads)
    index = files.index_path(path)
    right = index.read_bytes()
    for wrong in (b"", b"nonsense" * 40, right[:-7], right[:56] + right[112:], right[: len(right) - 30] + b"\1" * 30):
        index.write_bytes(wrong)
        assert received(path) == (payloads, [])
    with CaptureFile(path) as file:
        entries = file.entries()
    assert index_bytes(entries) == right
    assert read_index(right, path.stat().st_size) == entries
    assert entry_bytes(entries[0]) in right


def test_other_zstd_data_is_no_capture(tmp_path):
    path = tmp_path / "notes.zst"
    path.write_bytes(compress(b"some text\n"))
    with CaptureFile(path) as file, pytest.raises(UsageError, match="no capture"):
        file.head  # noqa: B018
    with CaptureFile(path) as file:
        assert not list(file.rows())
        assert [damage.reason for damage in file.damages] == ["no row of a capture"]


def test_files_end_with_their_hour_or_size(tmp_path):
    made = RollingFiles(tmp_path, lambda *_: None, Rotation(3600), ROOM)
    from alphapulse_cli.edges.capture.rolling import RowBlock

    hour_ns = 3600 * 10**9
    for time_ns in (T0, T0 + 1, T0 + hour_ns, T0 + 3 * hour_ns):
        made.write(RowBlock(row_bytes(b"recv", time_ns, 1, b"x"), 1, time_ns, time_ns, HEAD, [(b"open", 1, b"{}")]))
    made.close()
    paths = files.capture_files([tmp_path])
    heads = []
    for path in paths:
        with CaptureFile(path) as file:
            heads.append(file.head.file_number)
            kinds = [row.kind for row in file.rows()]
            assert kinds[:2] == [b"head", b"open"]
            assert (kinds[-1] == b"done") is (path != paths[-1])
    assert heads == [0, 1, 2]
    small = tmp_path / "small"
    small.mkdir()
    assert len(written(small, [os.urandom(200) for _ in range(12)], rotation=Rotation(0, 1000))) > 1


class TestWriter:
    def test_it_never_waits_and_counts_what_the_queue_cannot_hold(self, tmp_path):
        """The thread is held up by a folder that takes its time: rows beyond the queue's bound are lost, counted and marked."""
        import threading

        gate = threading.Event()

        class Slow(RollingFiles):
            def write(self, block, *, is_last=False):
                gate.wait(30)
                super().write(block, is_last=is_last)

        made = Slow(tmp_path, lambda *_: None, Rotation(), ROOM)
        writer = CaptureWriter(made, HEAD, most_queued_bytes=200_000)
        for number in range(1_000):
            writer.put(b"recv", T0 + number, 1, b"%4d" % number + b"x" * 1_000)
        lost = writer.totals.rows_lost
        assert lost > 500
        gate.set()
        writer.close("end", T0 + 2_000)
        [path] = files.capture_files([tmp_path])
        with CaptureFile(path) as file:
            rows = list(file.rows())
        import orjson

        marks = [orjson.loads(row.payload) for row in rows if row.kind == b"lost"]
        assert sum(mark["rows"] for mark in marks) == lost
        assert sum(row.kind == b"recv" for row in rows) + lost == 1_000
        assert rows[-1].kind == b"done"

    def test_rows_are_handed_over_after_a_second(self, tmp_path):
        made = RollingFiles(tmp_path, lambda *_: None, Rotation(), ROOM)
        writer = CaptureWriter(made, HEAD)
        writer.put(b"recv", T0, 1, b"x")
        for tick in range(9):
            writer.beat(1_000_000_000 + tick * 100_000_000)
        writer.close("end", T0)
        with CaptureFile(files.capture_files([tmp_path])[0]) as file:
            assert [entry.row_count for entry in file.entries()] == [1, 1, 1]  # head; the row; done


def test_no_room_stops_it_loudly_and_it_goes_on_when_there_is_room(tmp_path, monkeypatch):
    from alphapulse_cli.edges.capture import rolling

    reports, now = [], [0]
    monkeypatch.setattr(clock, "monotonic_ns", lambda: now[0])
    made = RollingFiles(tmp_path, lambda *report: reports.append(report), Rotation(), ROOM)
    for second in range(30):
        now[0] = second * 10**9
        made.least_free = LeastFree(0.0, 2**62 if 5 <= second < 15 else 0)
        time_ns = T0 + second * 10**9
        made.write(rolling.RowBlock(row_bytes(b"recv", time_ns, 1, b"%d" % second), 1, time_ns, time_ns, HEAD))
    made.close()
    [path] = files.capture_files([tmp_path])
    found, _ = received(path)
    assert [level for level, _ in reports] == ["warning", "warning"]
    assert "too little room" in reports[0][1]
    assert made.totals.rows_lost + len(found) == 30
    assert found[:5] == [b"0", b"1", b"2", b"3", b"4"]
    assert found[-1] == b"29"
    assert 10 <= made.totals.rows_lost <= 15
    assert not made.totals.stopped


def test_damage_says_where_and_how_much(tmp_path):
    [path] = written(tmp_path, [b"frame %d" % number for number in range(9)])
    data = path.read_bytes()
    with CaptureFile(path) as file:
        entries = file.entries()
    files.index_path(path).unlink()
    middle = entries[2]
    path.write_bytes(data[: middle.offset] + b"\0" * middle.compressed_bytes + data[middle.end :])
    _, damages = received(path)
    assert damages == [Damage(middle.offset, middle.compressed_bytes, "no block of a capture", at_end=False)]
    assert entry_of(Block(0, 1, row_bytes(b"recv", T0, 1, b"")), 7).first_row == 7


@pytest.mark.parametrize("foreign", ["another file's", "lies about a length", "of the first blocks"])
def test_an_index_that_does_not_fit_costs_no_row(tmp_path, foreign):
    """Its checksums are right: only the file tells."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    [path] = written(tmp_path / "one", [b"a%d" % n for n in range(12)])
    [other] = written(tmp_path / "other", [b"longer payloads %d" % n * 9 for n in range(12)], block_rows=2)
    entries = read_index(files.index_path(path).read_bytes(), path.stat().st_size)
    if foreign == "another file's":
        files.index_path(path).write_bytes(files.index_path(other).read_bytes()[: 56 * 3])
    elif foreign == "lies about a length":
        files.index_path(path).write_bytes(index_bytes([entries[0]._replace(compressed_bytes=entries[0].compressed_bytes - 5)]))
    else:
        files.index_path(path).write_bytes(index_bytes(entries[:2]))
    payloads, damages = received(path)
    assert (payloads, damages) == ([b"a%d" % n for n in range(12)], [])
