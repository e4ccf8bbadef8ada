"""Books of the past: at an instant, at a version, in a series, and replayed in Python, equal to what a live follower noted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from support.captures import tape_rows, write_rows, write_with_checkpoints
from typer.testing import CliRunner

import alphapulse_cli as ap
from alphapulse_cli.apps.bench.frames import FEEDS, STARTED_NS, STEP_NS
from alphapulse_cli.apps.replay.timeline import recordings
from alphapulse_cli.apps.travel import Travel, series
from alphapulse_cli.edges.capture.files import capture_files, index_path
from alphapulse_cli.edges.capture.head import parse_head
from alphapulse_cli.edges.capture.index import HOLDS_CHECKPOINTS
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.errors import NoSegment, UsageError
from alphapulse_cli.readers.moments import moment

COUNT = 150
BY_CASE = {feed.case: feed for feed in FEEDS}


def no_damage(path, what):
    raise AssertionError(f"{path}: {what}")


@pytest.fixture(scope="module")
def captures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captures")
    for case in ("kraken", "binance-us", "okx", "bitfinex"):
        head, rows, _ = tape_rows(BY_CASE[case], COUNT)
        write_rows(folder, head, rows)
    return folder


def invoke(*words):
    """Run `alphapulse reconstruct` with these words in this process."""
    from alphapulse_cli.cli import reconstruct

    return CliRunner().invoke(reconstruct.app, [str(word) for word in words])


def test_the_book_of_an_instant_is_what_a_follower_noted_then(captures):
    """Each update of a replay is noted with its time; the book asked for at that time is the same, level for level."""
    noted = {}
    with ap.replay(captures) as updates:
        for number, update in enumerate(updates):
            if number % 40 == 7:
                noted[update.exchange, update.timestamp_ns] = update.copy()
    assert {exchange for exchange, _ in noted} == {"kraken", "binance-us", "okx", "bitfinex"}
    for (exchange, time_ns), book in noted.items():
        then = ap.at(captures, exchange, book.symbol, time_ns)
        assert then.rows() == book.rows()
        assert (then.version, then.timestamp_ns) >= (book.version, book.timestamp_ns)


def test_a_replay_gives_every_version_in_order(captures):
    versions: dict[int, int] = {}
    with ap.replay([captures / path.name for path in captures.glob("okx*.zst")], symbols=["BTC-USD"]) as updates:
        for update in updates:
            versions.setdefault(update.version, update.timestamp_ns)
    assert list(versions) == list(range(min(versions), max(versions) + 1))
    assert list(versions.values()) == sorted(versions.values())


@pytest.mark.parametrize("form", ["text", "ns", "datetime", "offset"])
def test_an_instant_may_be_written_in_several_ways(captures, form):
    time_ns = STARTED_NS + 150 * STEP_NS
    aware = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_ns // 1000)
    forms: dict[str, str | int | datetime] = {
        "text": moment(time_ns),
        "ns": time_ns,
        "datetime": aware,
        "offset": moment(time_ns, local=True),
    }
    assert ap.at(captures, "kraken", "BTC-USD", forms[form]).rows() == ap.at(captures, "kraken", "BTC-USD", time_ns).rows()


def test_times_without_an_offset_and_outside_are_refused(captures):
    for wrong in ("2026-09-21T14:14:00", datetime(2026, 9, 21, 14, 14)):  # noqa: DTZ001 - that is the point
        with pytest.raises(UsageError, match="without an offset"):
            ap.at(captures, "kraken", "BTC-USD", wrong)
    with pytest.raises(UsageError, match="not in the capture"):
        ap.at(captures, "kraken", "BTC-USD", 1)
    with pytest.raises(NoSegment, match="no book of DOGE-USD"):
        ap.at(captures, "kraken", "DOGE-USD", STARTED_NS + STEP_NS)
    with pytest.raises(NoSegment, match="no capture of gemini"):
        ap.at(captures, "gemini", "BTC-USD", STARTED_NS + STEP_NS)
    with pytest.raises(NoSegment, match="DOGE-USD"):
        ap.replay(captures, symbols=["DOGE-USD"])


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Folder with two sets that have one symbol each, of which the second begins later."""
    folder = tmp_path_factory.mktemp("mixed")
    head, rows, _ = tape_rows(BY_CASE["kraken"], COUNT)
    write_rows(folder, head, rows)
    payload = head.to_payload().replace(b"BTC-USD", b"ETH-USD")
    later = [row._replace(time_ns=row.time_ns + 10**9) for row in rows]
    write_rows(folder, replace(parse_head(payload), set_name="other", run_ns=head.run_ns + 10**9), later)
    return folder


@pytest.mark.parametrize("symbols", [["BTC-USD"], ["ETH-USD"], ["ETH-USD", "BTC-USD"], None], ids=str)
def test_a_symbol_that_only_some_sets_have_is_replayed_from_these(mixed, symbols):
    with ap.replay(mixed, symbols=symbols) as updates:
        seen = {(update.exchange, update.symbol) for update in updates}
    assert {symbol for _, symbol in seen} == set(symbols or ["BTC-USD", "ETH-USD"])


def test_a_closed_replay_says_so(captures):
    for reads in (0, 1):
        updates = ap.replay(captures)
        reading = iter(updates)
        for _ in range(reads):
            next(reading)
        updates.close()
        updates.close()
        with pytest.raises(UsageError, match="this replay is closed"):
            next(reading)
        with pytest.raises(UsageError, match="this replay is closed"):
            next(iter(updates))


def test_a_replay_that_is_over_has_no_more(captures):
    with ap.replay(captures, symbols=["BTC-USD"]) as updates:
        assert [sum(1 for _ in updates) > 0 for _ in range(2)] == [True, False]


@pytest.mark.parametrize("is_left", [False, True], ids=["to its end", "left"])
def test_a_replay_leaves_nothing_behind_its_loop(captures, tmp_path, monkeypatch, is_left):
    monkeypatch.setattr("alphapulse_cli.apps.past.usual_path", lambda: tmp_path / "segments")
    replay = ap.replay(captures, symbols=["BTC-USD"])
    assert len(list(tmp_path.iterdir())) == 1
    for update in replay:
        if is_left and update.version:
            break
    assert list(tmp_path.iterdir()) == []
    assert update.book.best_bid() is not None


@pytest.mark.parametrize("time", [1.5e18, None, datetime(2026, 9, 21, tzinfo=UTC).date(), [], b"2026-09-21T00:00:00Z"], ids=str)
def test_what_is_no_time_is_refused_with_a_hint(captures, time):
    start: Any = time or []
    for ask in (lambda: ap.at(captures, "kraken", "BTC-USD", time), lambda: ap.replay(captures, start=start)):
        with pytest.raises(UsageError, match="not a time") as caught:
            ask()
        assert "whole ns since 1970" in caught.value.hint


def test_wrong_arguments_of_a_replay_are_refused(captures):
    begin = STARTED_NS + 50 * STEP_NS
    with pytest.raises(UsageError, match="is not after start"):
        ap.replay(captures, start=begin, end=begin)
    with pytest.raises(UsageError, match="no capture is named"):
        ap.replay([])
    with pytest.raises(UsageError, match="symbols are a list"):
        ap.replay(captures, symbols="BTC-USD")


def test_a_series_has_the_book_of_each_instant(captures):
    [kraken] = [one for one in recordings(capture_files([captures])) if one.set_name == "kraken"]
    span = kraken.first_ns + 5 * 10**9, kraken.last_ns
    rows = list(series(kraken, [], span, 10**9, ["bid", "ask", "mid", "spread", "imbalance"], no_damage))
    assert len(rows) == (span[1] // 10**9) - -(-span[0] // 10**9) + 1
    for row in rows[:3]:
        book = ap.at(captures, "kraken", "BTC-USD", row["time"])
        assert [row["bid"], row["ask"]] == [book.rows(1)[0][1], book.rows(1)[1][1]]
        assert row["state"] == book.state.name
    with pytest.raises(UsageError, match="unknown field"):
        list(series(kraken, [], span, 10**9, ["color"], no_damage))
    with pytest.raises(UsageError, match="less than 1 ns apart"):
        list(series(kraken, [], span, 0, ["bid"], no_damage))
    with pytest.raises(UsageError, match="more than"):
        list(series(kraken, [], span, 1, ["bid"], no_damage))


def test_a_version_is_found(captures):
    [okx] = [one for one in recordings(capture_files([captures])) if one.set_name == "okx"]
    with Travel(okx, [], okx.first_ns, no_damage) as travel:
        [book] = travel.to_version(30)
        assert book.keeper.version == 30
    with Travel(okx, [], okx.first_ns, no_damage) as travel, pytest.raises(UsageError, match="version 100000"):
        travel.to_version(100_000)


class TestTheExchangesNumber:
    @pytest.mark.parametrize(
        ("name", "last"), [("binance-us", lambda data: data["data"]["u"]), ("okx", lambda data: data["data"][0]["seqId"])]
    )
    def test_the_book_is_that_behind_the_message(self, captures, name, last):
        """Of a message in the middle, its number read from the raw frame: the book is the one at the frame's own time."""
        [recording] = [one for one in recordings(capture_files([captures])) if one.set_name == name]
        with CaptureFile(recording.files[0]) as file:
            rows = [
                row for row in file.rows() if (row.kind == b"recv" and b'"seqId"' in row.payload) or b'"depthUpdate"' in row.payload
            ]
        row = rows[len(rows) // 2]
        number = last(orjson.loads(row.payload))
        with Travel(recording, [], recording.first_ns, no_damage) as travel:
            [book] = travel.to_sequence(number)
            found, version, sequence = book.row(None), book.keeper.version, book.sequence
        with Travel(recording, [], row.time_ns, no_damage) as travel:
            [expected] = travel.to(row.time_ns)
            assert (found["bids"], found["asks"]) == (expected.row(None)["bids"], expected.row(None)["asks"])
            assert (version, sequence) == (expected.keeper.version, expected.sequence) == (version, number)

    def test_a_number_within_a_message_is_found_with_it(self, captures):
        """Binance's messages have a range U..u: every number of it gives the same book."""
        [recording] = [one for one in recordings(capture_files([captures])) if one.set_name == "binance-us"]
        with CaptureFile(recording.files[0]) as file:
            diffs = [orjson.loads(row.payload)["data"] for row in file.rows() if b'"depthUpdate"' in row.payload]
        first, last = next((diff["U"], diff["u"]) for diff in diffs[50:] if diff["U"] < diff["u"])
        versions = set()
        for number in (first, last):
            with Travel(recording, [], recording.first_ns, no_damage) as travel:
                [book] = travel.to_sequence(number)
                versions.add((book.keeper.version, book.sequence))
        assert len(versions) == 1
        assert versions.pop()[1] == last

    def test_a_search_begins_where_it_is_asked_to(self, captures):
        """A number that came before --from is not found; one behind it is, in the same place as without."""
        [recording] = [one for one in recordings(capture_files([captures])) if one.set_name == "okx"]
        with CaptureFile(recording.files[0]) as file:
            rows = [row for row in file.rows() if row.kind == b"recv" and b'"seqId"' in row.payload]
        early, middle, late = (rows[at] for at in (10, len(rows) // 2, -10))
        numbers = [orjson.loads(row.payload)["data"][0]["seqId"] for row in (early, late)]
        words = ("--from", moment(middle.time_ns, digits=9), "-e", "okx", captures, "--json")
        assert "comes to the number" in str(invoke("--at-sequence", numbers[0], *words).exception)
        found, whole = (orjson.loads(invoke("--at-sequence", numbers[1], *some).stdout) for some in (words, words[2:]))
        assert found == whole
        assert found["sequence"] == numbers[1]

    def test_numbers_that_are_not_there_are_refused(self, captures):
        found = {one.set_name: one for one in recordings(capture_files([captures]))}
        for name, message in (("okx", "they go from"), ("kraken", "--at TIME")):
            with Travel(found[name], [], found[name].first_ns, no_damage) as travel, pytest.raises(UsageError) as refused:
                travel.to_sequence(10**15)
            assert message in refused.value.hint


def test_a_book_says_when_it_was_last_proved(captures):
    """Kraken's checksum is on every message: the last one before the instant; OKX has none."""
    for name, proved in (("kraken", True), ("okx", False)):
        [recording] = [one for one in recordings(capture_files([captures])) if one.set_name == name]
        with Travel(recording, [], recording.last_ns, no_damage) as travel:
            [book] = travel.to(recording.last_ns)
            row = book.row(1)
            assert row["proved_at"] == (moment(book.timestamp_ns, digits=9) if proved else None)


@pytest.mark.parametrize("case", [feed.case for feed in FEEDS])
def test_checkpoints_give_the_same_book_without_what_came_before(tmp_path, case):
    """The part of the file before the last checkpoint is overwritten: only what stands behind it can have been read."""
    head, rows, _ = tape_rows(BY_CASE[case], COUNT)
    symbol = head.instruments[0].symbol
    write_rows(tmp_path / "without", head, rows)
    write_with_checkpoints(tmp_path / "with", head, rows, 50, block_rows=10)
    [path] = capture_files([tmp_path / "with"])
    with CaptureFile(path) as file:
        held = [entry for entry in file.entries() if entry.flags & HOLDS_CHECKPOINTS]
        begin = file.entries()[0].end
    assert len(held) >= 3
    data = bytearray(path.read_bytes())
    data[begin : held[-1].offset] = bytes(held[-1].offset - begin)
    path.write_bytes(data)
    for time_ns in (held[-1].last_ns, held[-1].last_ns + 7 * STEP_NS + 1, rows[-1].time_ns):
        then, expected = (ap.at(tmp_path / name, head.exchange, symbol, time_ns) for name in ("with", "without"))
        assert then.rows() == expected.rows()
        assert (then.version, then.state, then.timestamp_ns) == (expected.version, expected.state, expected.timestamp_ns)


def test_an_index_made_anew_knows_the_checkpoints(tmp_path):
    head, rows, _ = tape_rows(BY_CASE["kraken"], COUNT)
    write_with_checkpoints(tmp_path / "capture", head, rows, 50, block_rows=10)
    [path] = capture_files([tmp_path / "capture"])
    with CaptureFile(path) as file:
        written = file.entries()
    index_path(path).unlink()
    with CaptureFile(path) as file:
        assert file.entries() == written


class TestCommand:
    def test_json_table_and_csv_show_the_same_book(self, captures):
        at = moment(STARTED_NS + 150 * STEP_NS)
        options = ("--at", at, "--exchange", "kraken", "--depth", 3)
        answer = orjson.loads(invoke(*options, "--json", captures).stdout)
        book = ap.at(captures, "kraken", "BTC-USD", at)
        assert [["bid", *level] for level in answer["bids"]] == [list(row) for row in book.rows(3)[:3]]
        assert (answer["state"], answer["version"], answer["checksum"]) == ("LIVE", book.version, "OK")
        table = invoke(*options, "--format", "table", captures).stdout
        rows = invoke(*options, "--format", "csv", captures).stdout
        assert answer["bids"][0][0] in table
        assert f"bid,{answer['bids'][0][0]},{answer['bids'][0][1]}" in rows
        assert f"at {answer['at']}  last matched at {answer['proved_at']}  validated by: CRC32" in table
        unproved = invoke("--at", at, "--exchange", "okx", "--format", "table", captures).stdout
        assert "no checksum or REST answer to compare it with" in unproved
        assert "  sequence " in unproved

    def test_a_series_in_csv(self, captures):
        lines = invoke("--every", "2s", "--fields", "bid,spread", "--format", "csv", "-e", "okx", captures).stdout.splitlines()
        assert lines[0] == "time,set,symbol,state,bid,spread"
        assert len(lines) > 4

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--at", "2026-09-21T14:14:00"], "without an offset"),
            (["--at", "yesterday"], "not a time"),
            (["--at", "1999-01-01T00:00:00Z"], "not in the capture"),
            ([], "books of many times"),
            (["--at", "2026-09-21T14:14:00Z", "--every", "1s"], "contradict"),
            (["--at", "2026-09-21T14:14:00Z", "--watch"], "--watch is for live books"),
            (["--at", "2026-09-21T14:14:00Z", "--fields", "bid"], "go with --every"),
            (["--every", "1s", "--fields", "colour"], "unknown field"),
            (["--at-version", "3"], "several sets"),
            (["--at-sequence", "3"], "several sets"),
            (["--at-sequence", "3", "--at-version", "3"], "contradict"),
            (["--at-sequence", "3", "-e", "kraken"], "no numbers"),
            (["--at-sequence", "3", "-e", "okx"], "comes to the number 3"),
            (["--at", "2026-09-21T14:14:00Z", "--from", "2026-09-21T14:14:00Z"], "--at needs none"),
            (["--at", "2026-09-21T14:14:00Z", "-e", "gemini"], "no capture of gemini"),
        ],
    )
    def test_wrong_words_are_refused(self, captures, words, message):
        result = invoke(*words, captures)
        assert message in str(result.exception)

    def test_completion_has_all_fields(self):
        from alphapulse_cli.apps.travel import FIELDS
        from alphapulse_cli.cli.reconstruct import PAST_FIELDS

        assert PAST_FIELDS == FIELDS

    def test_at_without_a_capture_is_refused(self):
        assert "need a capture" in str(invoke("--at", "2026-09-21T14:14:00Z").exception)
