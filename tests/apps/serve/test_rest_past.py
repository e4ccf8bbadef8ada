"""The past over REST: books and deltas of captures, by child processes that end with their requests."""

import asyncio
import io
import sys
from itertools import pairwise

import orjson
import pytest
from support.captures import tape_rows, write_rows
from support.rest_parts import Served

pytest.importorskip("fastapi")

import alphapulse_cli as ap
from alphapulse_cli.apps.bench.frames import FEEDS, STARTED_NS, STEP_NS
from alphapulse_cli.apps.serve import markets, past
from alphapulse_cli.apps.serve.past import History, TooBusy, TookTooLong
from alphapulse_cli.errors import StorageError, UsageError
from alphapulse_cli.readers.moments import moment
from alphapulse_cli.shm.directory import usual_path

COUNT = 150
FEED = next(feed for feed in FEEDS if feed.case == "kraken")
END_NS = STARTED_NS + COUNT * STEP_NS


@pytest.fixture(scope="module")
def captures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captures")
    head, rows, _ = tape_rows(FEED, COUNT)
    write_rows(folder, head, rows)
    return folder


@pytest.fixture(scope="module")
def noted(captures):
    """Book after each update of a replay in this process: [(time, version, rows)], the symbol first."""
    with ap.replay(captures) as updates:
        made = [(one.symbol, one.timestamp_ns, one.version, one.copy().rows()) for one in updates]
    assert len(made) > 100
    return made


@pytest.fixture
def served(directory, captures):
    with Served(directory, history=str(captures)) as made:
        yield made


def answered(captures, **request):
    """Lines that a child gives to a request, made in this process."""
    output = io.BytesIO()
    code = past.main([orjson.dumps({"folder": str(captures), "exchange": "kraken", **request}).decode()], output)
    return code, [orjson.loads(line) for line in output.getvalue().splitlines()]


def levels(rows, side):
    return [[price, size] for of, price, size in rows if of == side]


class TestBooks:
    def test_a_book_then_is_that_of_a_replay(self, served, noted):
        symbol, time_ns, version, rows = noted[70]
        row = served.row(f"/api/v1/book/kraken/{symbol}?at={moment(time_ns, digits=9)}&depth=100000")
        assert (row["bids"], row["asks"]) == (levels(rows, "bid"), levels(rows, "ask"))
        assert (row["version"], row["state"], row["replay"], row["epoch"]) == (version, "LIVE", False, None)
        assert (row["at"], row["timestamp_ns"]) == (moment(time_ns, digits=9), time_ns)

    def test_every_book_then_is_that_of_a_replay(self, captures, noted):
        for symbol, time_ns, version, rows in noted[::25]:
            code, (row,) = answered(captures, kind="book", symbol=symbol, at_ns=time_ns, depth=5)
            assert (code, row["version"]) == (0, version)
            assert (row["bids"], row["asks"]) == (levels(rows, "bid")[:5], levels(rows, "ask")[:5])

    def test_an_answer_of_the_past_may_be_kept(self, served, noted):
        path = f"/api/v1/book/kraken/{noted[0][0]}?at={moment(noted[50][1], digits=9)}"
        response = served.get(path)
        assert response.headers["cache-control"] == "max-age=60"
        assert served.get(path, if_none_match=response.headers["etag"]).status_code == 304

    def test_a_time_outside_the_capture_is_told_with_its_span(self, served, captures, noted):
        status, code, message, hint = served.error(f"/api/v1/book/kraken/{noted[0][0]}?at=2001-01-01T00:00:00Z")
        assert (status, code, message) == (404, "not_found", "2001-01-01T00:00:00.000000Z is not in the capture")
        assert moment(STARTED_NS)[:16] in hint

    @pytest.mark.parametrize(
        ("path", "status", "words"),
        [
            ("/api/v1/book/kraken/{symbol}?at=yesterday", 400, "not a time"),
            ("/api/v1/book/kraken/{symbol}?at=2026-01-01T00:00:00", 400, "a time without an offset"),
            ("/api/v1/book/coinbase/{symbol}?at={time}", 404, "no capture of"),
            ("/api/v1/book/kraken/NO-USD?at={time}", 404, "no capture of"),
            ("/api/v1/book/kraken/%20?at={time}", 400, "not a symbol"),
            ("/api/v1/deltas?exchange=kraken&symbol={symbol}&from={time}&to={time}", 400, "the end is not after the begin"),
            ("/api/v1/deltas?exchange=kraken&symbol=NO-USD&from={time}&to={time}", 404, "no capture of"),
        ],
    )
    def test_what_is_wrong_is_told_without_a_path(self, served, captures, noted, path, status, words):
        found = served.error(path.format(symbol=noted[0][0], time=moment(noted[50][1], digits=9)))
        assert (found[0], found[2][: len(words)]) == (status, words)
        assert str(captures) not in str(found)


class TestDeltas:
    def test_they_continue_the_book_of_that_time_to_the_last(self, served, noted):
        """Book at one time, then every group up to another: the book of a replay there."""
        symbol, from_ns, version, rows = noted[40]
        _, to_ns, last_version, last_rows = noted[-1]
        query = f"exchange=kraken&symbol={symbol}&from={moment(from_ns + 1, digits=9)}&to={moment(to_ns + 1, digits=9)}"
        response = served.get(f"/api/v1/deltas?{query}")
        assert (response.status_code, response.headers["content-type"]) == (200, "application/x-ndjson")
        about, *groups = [orjson.loads(line) for line in response.content.splitlines()]
        assert (about["symbol"], about["from"]) == (symbol, moment(from_ns + 1, digits=9))
        groups = [one for one in groups if one["kind"] == "DELTA"]
        book = {(side, price): size for side, price, size in rows}
        for one in groups:
            assert one["prev_version"] == version
            version = one["version"]
            for side, price, size in one["changes"]:
                book[side, price] = size
                if not float(size):
                    del book[side, price]
        assert version == last_version
        assert book == {(side, price): size for side, price, size in last_rows}
        assert all(one["version"] == two["prev_version"] for one, two in pairwise(groups))

    def test_the_begin_counts_and_the_end_does_not(self, captures, noted):
        symbol = noted[0][0]
        for first, last in ((30, 60), (31, 32)):
            code, (_, *groups) = answered(captures, kind="deltas", symbol=symbol, from_ns=noted[first][1], to_ns=noted[last][1])
            times = [one["timestamp_ns"] for one in groups if one["kind"] == "DELTA"]
            truth = [time_ns for _, time_ns, _, _ in noted if noted[first][1] <= time_ns < noted[last][1]]
            assert code == 0
            assert times == sorted(truth)

    def test_from_the_first_moment_on_there_is_the_whole_run(self, captures, noted):
        _, (_, *groups) = answered(captures, kind="deltas", symbol=noted[0][0], from_ns=STARTED_NS, to_ns=END_NS * 2)
        versions = [one["version"] for one in groups if one["kind"] in ("DELTA", "RESET")]
        assert versions == list(range(1, noted[-1][2] + 1))

    def test_a_ring_that_is_smaller_than_the_recording_loses_nothing(self, captures, noted, monkeypatch):
        truth = answered(captures, kind="deltas", symbol=noted[0][0], from_ns=noted[5][1], to_ns=END_NS)
        monkeypatch.setattr(past, "RING_RECORDS", 64)
        monkeypatch.setattr(past, "READ_AT", 8)
        assert answered(captures, kind="deltas", symbol=noted[0][0], from_ns=noted[5][1], to_ns=END_NS) == truth
        monkeypatch.setattr(past, "READ_AT", 1000)  # the mutant: read too late
        code, rows = answered(captures, kind="deltas", symbol=noted[0][0], from_ns=noted[5][1], to_ns=END_NS)
        assert code == 1
        assert "records were lost" in rows[-1]["error"]["message"]


def left_over():
    return set(usual_path().parent.glob("alphapulse-past-*"))


class TestChildren:
    async def test_a_client_that_does_not_read_gives_its_place_back(self, served, noted, monkeypatch):
        """Its connection takes the first part and no more; the child ends, and the answer has no end."""
        monkeypatch.setattr(markets, "STALLED_S", 0.05)
        before, sent = left_over(), []

        async def send(message):
            sent.append(message["type"])
            if len(sent) > 2:
                await asyncio.Event().wait()

        async def receive():
            await asyncio.Event().wait()

        span = f"from={moment(STARTED_NS, digits=9)}&to={moment(END_NS, digits=9)}"
        query = f"exchange=kraken&symbol={noted[0][0]}&{span}".encode()
        scope = {"type": "http", "asgi": {"spec_version": "2.3"}, "method": "GET", "path": "/api/v1/deltas", "query_string": query}
        await served.app({**scope, "headers": [], "root_path": "", "http_version": "1.1"}, receive, send)
        assert sent == ["http.response.start", "http.response.body", "http.response.body"]
        assert left_over() <= before

    async def test_a_child_that_nobody_reads_ends_and_leaves_nothing(self, captures, noted):
        before = left_over()
        history = History(str(captures))
        parts = history.deltas("kraken", noted[0][0], STARTED_NS, END_NS)
        assert orjson.loads(await anext(parts))["symbol"] == noted[0][0]
        await parts.aclose()
        assert left_over() <= before
        assert not history._places.locked()

    async def test_more_at_once_are_refused(self, captures, noted, monkeypatch):
        monkeypatch.setattr(past, "WAIT_S", 0.01)
        history = History(str(captures))
        running = [history.deltas("kraken", noted[0][0], STARTED_NS, END_NS) for _ in range(past.AT_ONCE)]
        for one in running:
            await anext(one)
        with pytest.raises(TooBusy):
            await history.book("kraken", noted[0][0], noted[9][1], 1)
        for one in running:
            await one.aclose()
        assert (await history.book("kraken", noted[0][0], noted[9][1], 1))["version"] == noted[9][2]

    async def test_one_that_takes_too_long_is_ended(self, captures, noted, monkeypatch):
        monkeypatch.setattr(past, "LONGEST_S", 0.001)
        with pytest.raises(TookTooLong):
            await History(str(captures)).book("kraken", noted[0][0], noted[9][1], 1)

    async def test_one_that_dies_is_an_error(self, captures, noted, monkeypatch):
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(StorageError):
            await History(str(captures)).book("kraken", noted[0][0], noted[9][1], 1)

    def test_the_folder_must_hold_captures(self, tmp_path, directory):
        with pytest.raises(UsageError, match="no folder"):
            History(str(tmp_path / "none"))
        (tmp_path / "deltas").mkdir()
        with pytest.raises(UsageError, match="is a dataset"):
            Served(directory, history=str(tmp_path))
