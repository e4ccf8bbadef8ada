"""What a session tells its recorder stands in the files, in that order, with the head in force and without secrets."""

from dataclasses import replace

import orjson
import pytest
from support.session_parts import QUICK, Rig
from support.sim_parts import play, until

from alphapulse_cli.edges.capture import files, keeping, recorder
from alphapulse_cli.edges.capture.files import LeastFree
from alphapulse_cli.edges.capture.head import Head, instrument_of
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.recorder import Recorder, kept_headers, public_url
from alphapulse_cli.edges.capture.rolling import RollingFiles
from alphapulse_cli.edges.exchange.fetch import Answer, Fetcher
from alphapulse_cli.errors import ExchangeError
from alphapulse_cli.exchanges.protocol import Silence
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory

BTC = Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8)
ETH = Instrument("kraken", "ETH-USD", "ETH/USD", 2, 8)
HEAD = Head("kraken", "v2", 10, ("book",), "kraken", "ws://127.0.0.1:1/v2", 1_000)
T0 = 1_764_324_000_000_000_000
SECOND = 10**9


def recorder_in(folder, rotate="1h"):
    made = RollingFiles(folder, lambda *_: None, keeping.rotation(rotate), LeastFree(0.0, 0))
    return Recorder(made, HEAD)


def rows_in(folder):
    """(kind, connection, payload) of the rows of all files, a file each."""
    found = []
    for path in files.capture_files([folder]):
        with CaptureFile(path) as file:
            found.append([(row.kind, row.connection, row.payload) for row in file.rows()])
            assert not file.damages
    return found


def members(rows, kind):
    return [orjson.loads(payload.partition(b"\n")[0]) for each, _, payload in rows if each == kind]


class TestHead:
    def test_what_was_asked_before_the_symbols_were_known_stands_behind_the_first_head(self, tmp_path):
        made = recorder_in(tmp_path)
        heard = made.listen_to_set("/volumes")
        heard(Answer("/list", 0, (), b"", T0, "cannot fetch"))
        heard(Answer("/list", 200, [("Content-Type", "application/json")], b"[1]\n[2]", T0 + 1))
        heard(Answer("/volumes", 200, (), b"{}", T0 + 2))
        made.beat(SECOND)
        made.beat(3 * SECOND)
        assert not list(tmp_path.iterdir()), "the head waits for the symbols"
        made.begin(lambda: [BTC], lambda symbol: symbol == "BTC-USD")
        made.close("ended")
        [rows] = rows_in(tmp_path)
        assert [kind for kind, _, _ in rows] == [b"head", b"fail", b"rest", b"rest", b"done"]
        [head] = members(rows, b"head")
        assert ([one["symbol"] for one in head["instruments"]], head["checksum_warns"]) == (["BTC-USD"], ["BTC-USD"])
        assert [one["request"] for one in members(rows, b"rest")] == ["instruments", "volumes"]
        assert rows[2][2].partition(b"\n")[2] == b"[1]\n[2]"

    def test_checkpoints_that_could_not_be_made_are_tried_again(self, tmp_path):
        """A book was healing at the first try: the next one is a second later, not in the next file."""
        answers = iter([(), (), [(1, b"{}\n")], ()])
        made = recorder_in(tmp_path)
        made.begin(lambda: [BTC], checkpoints=lambda: next(answers))
        made.opened(1, "ws://127.0.0.1:1/v2", ["BTC/USD"], T0)
        begun = clock.monotonic_ns()
        made.beat(begun)
        made.beat(begun + SECOND)
        play(until(lambda: made.totals.files))
        for second in range(6, 11):
            made.beat(begun + second * SECOND)
        made.close("ended")
        kinds = [kind for rows in rows_in(tmp_path) for kind, _, _ in rows]
        assert kinds.count(b"held") == 1

    def test_a_set_that_never_began_leaves_no_file(self, tmp_path):
        made = recorder_in(tmp_path)
        made.listen_to_set("")(Answer("/list", 200, (), b"[]", T0))
        made.close("failed: kraken does not list NO-NO")
        assert not list(tmp_path.iterdir())

    def test_rows_of_hours_of_maintenance_are_bounded_and_the_loss_is_said(self, tmp_path, monkeypatch):
        monkeypatch.setattr(recorder, "MOST_QUEUED_BYTES", 1000)
        made = recorder_in(tmp_path)
        for number in range(50):
            made.listen_to_set("")(Answer("/list", 503, (), b"%03d" % number, T0 + number, "unavailable"))
        made.begin(lambda: [BTC])
        made.close("ended")
        [rows] = rows_in(tmp_path)
        kept = [payload[-3:] for kind, _, payload in rows if kind == b"rest"]
        assert kept[-1] == b"049"
        [lost] = members(rows, b"lost")
        assert lost["rows"] + len(kept) == 50

    def test_the_next_file_has_the_present_grids_and_the_open_connections(self, tmp_path):
        present = [BTC, ETH]
        made = recorder_in(tmp_path, "64KiB")
        first, second = made.connection(), made.connection()
        assert (first, second) == (1, 2)
        made.begin(lambda: present)
        made.opened(first, "ws://h/v2", ["BTC/USD"], T0)
        made.opened(second, "ws://h/v2", ["ETH/USD"], T0)
        made.shut(second, "closed", T0)
        present[:] = [replace(BTC, price_decimals=2)]
        made.changed((), ["ETH-USD"])
        frame = bytes(range(256)) * 200
        for number in range(60):
            made.received(first, b"%d" % number + recorder_noise(number) + frame, T0 + number)
        made.close("ended")
        one, *later = rows_in(tmp_path)
        assert later, "there is a second file"
        assert members(one, b"open") == [{"url": "ws://h/v2", "symbols": [native]} for native in ("BTC/USD", "ETH/USD")]
        assert members(one, b"memb") == [{"added": [], "removed": ["ETH-USD"]}]
        for rows in later:
            assert [kind for kind, _, _ in rows[:2]] == [b"head", b"open"]
            assert members(rows, b"open") == [{"url": "ws://h/v2", "symbols": ["BTC/USD"], "again": True}]
            [head] = members(rows, b"head")
            assert [instrument_of("kraken", one) for one in head["instruments"]] == [replace(BTC, price_decimals=2)]
        assert sum(kind == b"recv" for rows in (one, *later) for kind, _, _ in rows) == 60


def recorder_noise(number):
    """Bytes that do not compress: the files must grow."""
    import random

    return random.Random(number).randbytes(4_000)


class TestSecrets:
    def test_only_headers_that_matter_are_kept(self):
        sent = [
            ("Content-Type", "application/json"),
            ("Set-Cookie", "session=1"),
            ("Authorization", "Bearer x"),
            ("Retry-After", "3"),
            ("x-mbx-used-weight-1m", "20"),
            ("Date", "d" * 1_000),
            ("X-Secret", "y"),
        ]
        assert kept_headers(sent) == {
            "content-type": "application/json",
            "retry-after": "3",
            "x-mbx-used-weight-1m": "20",
            "date": "d" * recorder.MOST_HEADER,
        }

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("wss://ws.kraken.com/v2", "wss://ws.kraken.com/v2"),
            ("wss://user:secret@h:9/v2?a=1&a=2", "wss://h:9/v2?a=1&a=2"),
            ("wss://h/stream?streams=a/b&apiKey=x#y", "wss://h/stream?streams=a%2Fb&apiKey=hidden"),
        ],
    )
    def test_an_address_loses_its_secrets(self, given, kept):
        assert public_url(given) == kept


class TestSession:
    """A real session against a simulator: the order of rows is that in which ingest was told."""

    def test_frames_requests_and_judgements(self, tmp_path, shm_dir):
        folder = tmp_path / "c"
        folder.mkdir()
        made = recorder_in(folder)
        told = []

        async def scene():
            with open_directory(shm_dir) as directory:
                timing = replace(QUICK, dead_after_s=60.0)
                async with Rig(directory, "binance-us", recorder=made, timing=timing, silence=Silence(0.3, 50.0)) as rig:
                    made.begin(lambda: list(rig.ingest.decoder.instruments.values()))
                    real = rig.ingest._real

                    def receive(frame, receive_ns):
                        told.append(frame)
                        real.receive(frame, receive_ns)

                    rig.ingest.receive = receive
                    await rig.live()
                    for _ in range(5):
                        await rig.sim.advance(3)
                    await until(lambda: members(SO_FAR, b"mark"))
                    await rig.moves_until(lambda: {"verdict": "heard"} in members(SO_FAR, b"mark"))
                    rig.sim.inject("disconnect")
                    await rig.moves_until(lambda: len(rig.opened_at) > 1)
                    await rig.live()
                    await rig.sim.__aexit__()
                    await until(lambda: len(members(SO_FAR, b"shut")) > 2)

        made._put = _noting(made._put)
        play(scene())
        made.close("ended")
        [rows] = rows_in(folder)
        frames = [payload for kind, _, payload in rows if kind == b"recv"]
        assert frames == told
        assert {connection for kind, connection, _ in rows if kind in (b"recv", b"sent", b"open", b"mark")} == {1}
        verdicts = [one["verdict"] for one in members(rows, b"mark")]
        assert verdicts[0] in ("silent", "mute")
        assert "heard" in verdicts
        snapshots = [one for one in members(rows, b"rest") if one["request"] == "snapshot"]
        assert {one["symbol"] for one in snapshots} == {"ETHBTC"}
        assert len(members(rows, b"open")) == 2
        kinds = [kind for kind, _, _ in rows]
        assert kinds.index(b"open") < kinds.index(b"sent") < kinds.index(b"rest")
        opens = [place for place, kind in enumerate(kinds) if kind == b"open"]
        assert b"shut" in kinds[opens[0] : opens[1]]
        assert "refused" in members(rows, b"shut")[-1]["reason"].lower(), "a connection that could not be made"


SO_FAR: list[tuple[bytes, int, bytes]] = []


def _noting(put):
    SO_FAR.clear()

    def both(kind, time_ns, connection, payload):
        SO_FAR.append((bytes(kind), connection, payload))
        put(kind, time_ns, connection, payload)

    return both


class TestAnswers:
    @pytest.mark.parametrize(
        ("body", "status", "error"),
        [(b'{"a":1}', 200, ""), (b"<html>", 200, "HTML"), (b"busy", 503, "answers 503"), (b"slow down", 429, "too many requests")],
    )
    def test_every_answer_is_heard_as_it_was(self, body, status, error):
        import http.server
        import threading

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Set-Cookie", "a=b")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        heard: list[Answer] = []
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()

        async def scene():
            with pytest.raises(ExchangeError) if error else _nothing():
                return await Fetcher(f"http://127.0.0.1:{server.server_port}", on_answer=heard.append).get("/x")

        try:
            found = play(scene())
        finally:
            server.shutdown()
            server.server_close()
        assert found == (None if error else body)
        [answer] = heard
        assert (answer.path, answer.status, answer.body) == ("/x", status, body)
        assert error in answer.error
        assert bool(answer.error) is bool(error)
        assert answer.receive_ns > T0

    def test_no_answer_is_heard_too(self):
        heard: list[Answer] = []

        async def scene():
            with pytest.raises(ExchangeError):
                await Fetcher("http://127.0.0.1:1", on_answer=heard.append).get("/x")

        play(scene())
        assert [(answer.status, answer.body) for answer in heard] == [(0, b"")]
        assert "refused" in heard[0].error


def _nothing():
    import contextlib

    return contextlib.nullcontext()
