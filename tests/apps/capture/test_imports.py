"""Imports of public recordings: they replay through today's code to the books that a model in decimals has, checksums and all.

Each on a slice; on the whole recording where its folder is there (`support.recorded`).
"""

import asyncio
import gzip
import json
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from support.e2e import exact, totals
from support.recorded import recorded_answers, recorded_file, recorded_frames
from support.small_captures import read

from alphapulse_cli.apps.capture import imports
from alphapulse_cli.apps.replay.plan import MAX, ReplayPlan
from alphapulse_cli.apps.replay.replay import Replay
from alphapulse_cli.apps.replay.timeline import recordings
from alphapulse_cli.edges.capture import foreign
from alphapulse_cli.edges.capture.files import capture_files
from alphapulse_cli.errors import UsageError
from alphapulse_cli.readers.api import Book
from alphapulse_cli.shm.directory import open_directory


def run(folder, names, form="cryptofeed", **more):
    reader = {"cryptofeed": foreign.cryptofeed, "tardis": foreign.tardis}.get(form) or foreign.ndjson("ts", "ms")
    return imports.run(imports.ImportPlan(form, reader, names, folder, **more))


def replayed(folder, shm_dir):
    """Play the capture to its end, as fast as it goes."""
    plan = ReplayPlan(capture_files([folder]), MAX, shm_dir=str(shm_dir))
    with open_directory(plan.shm_dir, create=True) as directory:
        asyncio.run(Replay(plan, recordings(plan.places), directory, lambda *_: None).run())


class Model:
    """Books as dicts of decimals, in the few lines that each exchange's documentation describes; by native name."""

    def __init__(self, depth=0):
        self.depth = depth
        self.books, self.checksums = {}, 0

    def set(self, native, rows, is_ask):
        side = self.books.setdefault(native, ({}, {}))[is_ask]
        for price, size in rows:
            side.pop(Decimal(price), None)
            if Decimal(size):
                side[Decimal(price)] = Decimal(size)

    def cut(self, native):
        bids, asks = self.books[native]
        for side, best in ((bids, sorted(bids, reverse=True)), (asks, sorted(asks))):
            for price in best[self.depth :]:
                del side[price]

    def levels(self, native):
        """Book of a symbol as `support.e2e.exact` has it."""
        return {
            (name, price): size
            for name, side in zip(("bid", "ask"), self.books[native], strict=True)
            for price, size in side.items()
        }

    def kraken_v1(self, frames, _answers):
        for message in frames:
            if isinstance(message, list) and message[-2].startswith("book"):
                native = message[-1].replace("XBT", "BTC")
                for part in message[1:-2]:
                    for name, rows in part.items():
                        if name == "c":
                            self.checksums += 1
                        else:
                            self.set(native, [row[:2] for row in rows], name[0] == "a")
                self.cut(native)

    def coinbase(self, frames, _answers):
        for message in frames:
            native = message.get("product_id")
            if message["type"] == "snapshot":
                self.set(native, message["bids"], is_ask=False)
                self.set(native, message["asks"], is_ask=True)
            elif message["type"] == "l2update":
                for side, price, size in message["changes"]:
                    self.set(native, [(price, size)], side == "sell")

    def binance(self, frames, answers):
        last = {}
        for native, whole in answers:
            last[native] = whole["lastUpdateId"]
            self.set(native, whole["bids"], is_ask=False)
            self.set(native, whole["asks"], is_ask=True)
        for message in frames:
            data = message["data"]
            if data.get("e") == "depthUpdate" and data["u"] > last[data["s"]]:
                self.set(data["s"], data["b"], is_ask=False)
                self.set(data["s"], data["a"], is_ask=True)

    def okx(self, frames, _answers):
        for message in frames:
            if message["arg"]["channel"] == "books" and "data" in message:
                [row] = message["data"]
                self.checksums += 1
                self.set(message["arg"]["instId"], [each[:2] for each in row["bids"]], is_ask=False)
                self.set(message["arg"]["instId"], [each[:2] for each in row["asks"]], is_ask=True)

    def bitfinex(self, frames, _answers):
        channels = {}
        for message in frames:
            if isinstance(message, dict):
                if message["event"] == "subscribed" and message["channel"] == "book":
                    channels[message["chanId"]] = message["symbol"]
            elif message[0] in channels and message[1] != "hb":
                rows = message[1] if isinstance(message[1][0], list) else [message[1]]
                for price, count, amount in rows:
                    self.set(channels[message[0]], [(price, abs(amount) if count else 0)], is_ask=amount < 0)

    def bybit(self, frames, _answers):
        for message in frames:
            self.set(message["data"]["s"], message["data"]["b"], is_ask=False)
            self.set(message["data"]["s"], message["data"]["a"], is_ask=True)


@dataclass(frozen=True)
class Recorded:
    """Files of a recording, and what is in it."""

    kind: str
    files: tuple[str, ...]
    exchange: str
    mode: str
    books: int
    updates: int  # of books, with their snapshots
    depth: int = 0
    checksums: int = 0
    form: str = "cryptofeed"


RECORDED = [
    Recorded("kraken_v1", ("kraken-v1-book.txt", "kraken-pairs.txt"), "kraken", "v2", 1, 21, 1000, 20),
    Recorded("kraken_v1", ("KRAKEN.ws.50.0", "KRAKEN.0"), "kraken", "v2", 10, 4279, 1000, 4269),
    Recorded("coinbase", ("coinbase-exchange.txt", "coinbase-products.txt"), "coinbase", "exchange", 1, 95),
    Recorded("coinbase", ("COINBASE.ws.28.0", "COINBASE.0"), "coinbase", "exchange", 10, 9729),
    Recorded("binance", ("binance-us-diffs.txt", "binance-us-snapshot.txt", "binance-us-symbols.txt"), "binance-us", "diff", 2, 70),
    Recorded("binance", ("BINANCE_US.ws.1.0", "BINANCE_US.http.0.0", "BINANCE_US.0"), "binance-us", "diff", 4, 336),
    Recorded("okx", ("okx-books.txt", "okx-instruments.txt"), "okx", "books", 1, 41, 400, 41),
    Recorded("okx", ("OKX.ws.1.0", "OKX.0"), "okx", "books", 3, 290, 400, 290),
    Recorded("bitfinex", ("bitfinex-book.txt", "bitfinex-pairs.txt"), "bitfinex", "v2", 1, 67, 100),
    Recorded("bitfinex", ("BITFINEX.ws.11.0", "BITFINEX.0"), "bitfinex", "v2", 7, 1600, 100),
    Recorded("bybit", ("bybit-book.txt",), "bybit", "spot", 1, 3, 1000),
    Recorded("bybit", ("BYBIT.v5.orderbook.500.XRPUSDT",), "bybit", "spot", 1, 50, 1000, 0, "ndjson"),
]


def frames_of(one):
    name = one.files[0]
    if one.form == "ndjson":
        return [json.loads(line) for line in recorded_file(name).read_bytes().splitlines()]
    return [json.loads(frame, parse_float=Decimal) for _, frame in recorded_frames(name)]


def answers_of(one):
    for name in one.files[1:]:
        for url, body in recorded_answers(name):
            if urlsplit(url).path.endswith("/depth"):
                yield parse_qs(urlsplit(url).query)["symbol"][0], json.loads(body)


@pytest.mark.parametrize("one", RECORDED, ids=lambda one: one.files[0])
def test_a_recording_replays_to_the_models_books(one, tmp_path):
    folder, shm_dir = tmp_path / "made", tmp_path / "shm"
    done = run(folder, [recorded_file(name) for name in one.files], one.form)
    assert (done.exchange, done.mode, len(done.symbols)) == (one.exchange, one.mode, one.books)
    [recording] = recordings(capture_files([folder]))
    head = recording.heads[0]
    assert (head.exchange, head.depth, len(head.instruments)) == (one.exchange, one.depth, one.books)
    assert head.source.startswith(one.form)
    replayed(folder, shm_dir)
    counted = totals(shm_dir, one.exchange)
    wrong = "gaps", "resyncs", "decode_errors", "levels_kept_out", "checksums_bad", "updates_ignored"
    assert {label: counted[label] for label in wrong} == dict.fromkeys(wrong, 0)
    assert counted["checksums_ok"] >= one.checksums
    assert counted["book_updates"] == one.updates
    model = Model(one.depth)
    getattr(model, one.kind)(frames_of(one), list(answers_of(one)))
    assert model.checksums == one.checksums
    assert len(model.books) == one.books
    for instrument in head.instruments:
        image = Book(one.exchange, instrument.symbol, shm_dir=str(shm_dir)).read()
        assert exact(image.rows()) == model.levels(instrument.native), instrument.symbol


class TestRowsOfAnImport:
    def test_frames_are_the_recordings_own_bytes_at_their_own_times(self, tmp_path):
        name = "coinbase-exchange.txt"
        run(tmp_path / "made", [recorded_file(name)])
        rows = read(tmp_path / "made")
        assert [(row.time_ns, row.payload) for row in rows if row.kind == b"recv"] == list(recorded_frames(name))
        assert [row.kind for row in rows][:2] == [b"head", b"open"]
        assert rows[-1].kind == b"done"
        members = json.loads(rows[1].payload)
        assert members == {"url": "wss://ws-feed.pro.coinbase.com", "symbols": ["SKL-GBP"]}

    def test_without_metadata_the_grids_are_the_finest_that_a_frame_needs(self, tmp_path):
        grids = {}
        for name, files in (("with", ("coinbase-exchange.txt", "coinbase-products.txt")), ("without", ("coinbase-exchange.txt",))):
            run(tmp_path / name, [recorded_file(each) for each in files])
            [instrument] = recordings(capture_files([tmp_path / name]))[0].heads[0].instruments
            grids[name] = instrument.price_decimals, instrument.size_decimals
        assert grids == {"with": (4, 1), "without": (4, 1)}

    def test_a_second_connection_ends_the_first(self, tmp_path):
        lines = recorded_file("coinbase-exchange.txt").read_bytes().splitlines()
        path = tmp_path / "twice"
        later = b"1618677900"
        again = [line.replace(b"16186778", later[:8]) for line in lines[:3]]
        path.write_bytes(b"\n".join([*lines, *again]))
        run(tmp_path / "made", [path])
        kinds = [row.kind for row in read(tmp_path / "made") if row.kind not in (b"recv", b"head")]
        assert kinds == [b"open", b"shut", b"open", b"done"]

    def test_times_are_exact(self):
        assert foreign.scaled_ns("1633998275.1193862", 9) == 1_633_998_275_119_386_200
        assert foreign.scaled_ns("1633998275.123456789999", 9) == 1_633_998_275_123_456_789
        assert foreign.scaled_ns("1633998275119.386", 6) == 1_633_998_275_119_386_000
        assert foreign.scaled_ns("1633998275119386201", 0) == 1_633_998_275_119_386_201
        for text in ("1e9", "-1", "", "1.", "nan", "99999999999999999999", "0"):
            with pytest.raises(foreign.NotUnderstood):
                foreign.scaled_ns(text, 9)


class TestTardis:
    def lines(self, name="coinbase-exchange.txt"):
        for time_ns, frame in recorded_frames(name):
            seconds, rest = divmod(time_ns, 10**9)
            yield b"2021-04-17T16:%02d:%02d.%07dZ %s" % (43 + (seconds - 1618677780) // 60, seconds % 60, rest // 100, frame)

    def test_lines_are_imported_and_an_empty_one_is_a_lost_connection(self, tmp_path):
        lines = list(self.lines())
        path = tmp_path / "day.gz"
        path.write_bytes(gzip.compress(b"\n".join([*lines[:40], b"", *lines[40:]]) + b"\n"))
        run(tmp_path / "made", [path], "tardis")
        rows = read(tmp_path / "made")
        kinds = [row.kind for row in rows]
        assert kinds.count(b"open") == 2
        at = kinds.index(b"shut")
        assert kinds[at + 1] == b"open"
        assert rows[at].time_ns == rows[at - 1].time_ns
        expected = [(time_ns // 100 * 100, frame) for time_ns, frame in recorded_frames("coinbase-exchange.txt")]
        assert [(row.time_ns, row.payload) for row in rows if row.kind == b"recv"] == expected

    def test_its_snapshots_of_binance_begin_the_books(self, tmp_path):
        frames = [(t, b"%s" % f) for t, f in recorded_frames("binance-us-diffs.txt")]
        lines = []
        bodies = {parse_qs(urlsplit(url).query)["symbol"][0]: body for url, body in recorded_answers("binance-us-snapshot.txt")}
        seen = set()
        for time_ns, frame in frames:
            seconds, rest = divmod(time_ns, 10**9)
            stamp = b"2021-10-12T00:%02d:%02d.%09dZ " % ((seconds - 1633996800) // 60, seconds % 60, rest)
            lines.append(stamp + frame)
            data = json.loads(frame)["data"]
            if data.get("e") == "depthUpdate" and data["s"] not in seen:
                seen.add(data["s"])
                stream = data["s"].lower().encode()
                lines.append(stamp + b'{"stream":"%s@depthSnapshot","generated":true,"data":%s}' % (stream, bodies[data["s"]]))
        (tmp_path / "day").write_bytes(b"\n".join(lines))
        with pytest.raises(UsageError, match="does not say of which"):
            run(tmp_path / "none", [tmp_path / "day"], "tardis")
        assert not (tmp_path / "none").exists()
        done = run(tmp_path / "made", [tmp_path / "day"], "tardis", exchange="binance-us")
        assert done.snapshots == 2
        replayed(tmp_path / "made", tmp_path / "shm")
        model = Model()
        model.binance([json.loads(frame) for _, frame in frames], [(name, json.loads(body)) for name, body in bodies.items()])
        for native, symbol in (("CRVUSDT", "CRV-USDT"), ("ZRXUSDT", "ZRX-USDT")):
            assert exact(Book("binance-us", symbol, shm_dir=str(tmp_path / "shm")).read().rows()) == model.levels(native)


class TestWhatIsNotUnderstood:
    @pytest.mark.parametrize(
        ("form", "text", "words"),
        [
            ("cryptofeed", b"1618677817.1: {}\nnonsense\n", "line 2: neither `<epoch seconds>: <frame>`"),
            ("cryptofeed", b"", "no book of a feed that is known"),
            ("cryptofeed", b"1618677817.1: {}\n", "no book of a feed that is known"),
            ("cryptofeed", b'99999999999.5: {"a":1}\n', "beyond the calendar"),
            ("tardis", b"2021-13-01T00:00:00.0Z {}\n", "line 1: not a time"),
            ("tardis", b"1618677817.1: {}\n", "line 1: not `<time as"),
            ("ndjson", b'{"ts":1}\n{"time":2}\n', "line 2: no member 'ts'"),
            ("ndjson", b"[1\n", "line 1: no JSON"),
            ("ndjson", b'{"ts":"soon"}\n', "line 1: not a time: 'soon'"),
            ("ndjson", b'{"ts":[]}\n', "line 1: 'ts' is no time"),
            ("cryptofeed", b"\x1f\x8b\x08\x00broken", "cannot be read behind line 0"),
        ],
    )
    def test_the_error_names_file_line_and_reason(self, tmp_path, form, text, words):
        path = tmp_path / "recording"
        path.write_bytes(text)
        with pytest.raises(UsageError) as caught:
            run(tmp_path / "made", [path], form)
        assert words in str(caught.value)
        assert str(path) in str(caught.value)
        assert caught.value.hint
        assert not (tmp_path / "made").exists()
        assert [one.name for one in tmp_path.iterdir()] == ["recording"]

    def test_a_bomb_is_bounded(self, tmp_path, monkeypatch):
        monkeypatch.setattr(foreign, "MOST_LINE_BYTES", 10_000)
        monkeypatch.setattr(foreign, "ALWAYS_BYTES", 0)
        monkeypatch.setattr(foreign, "MOST_EXPANSION", 50)
        for name, body, words in (
            ("line", b"x" * 100_000, "longer than 10000 bytes"),
            ("lines", b"\n" * 100_000, "expands to more than"),
        ):
            (tmp_path / name).write_bytes(gzip.compress(body))
            with pytest.raises(UsageError, match=words):
                run(tmp_path / "made", [tmp_path / name])

    def test_two_feeds_at_once_are_refused(self, tmp_path):
        with pytest.raises(UsageError, match="several feeds"):
            run(tmp_path / "made", [recorded_file("coinbase-exchange.txt"), recorded_file("okx-books.txt")])

    def test_a_dead_protocol_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match="as its protocol is today"):
            run(tmp_path / "made", [recorded_file("BYBIT.ws.26.0")])

    def test_a_folder_that_is_there_is_left_alone(self, tmp_path):
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "mine").write_text("x")
        with pytest.raises(UsageError, match="is there already"):
            run(tmp_path / "made", [recorded_file("coinbase-exchange.txt")])
        assert (tmp_path / "made" / "mine").read_text() == "x"
