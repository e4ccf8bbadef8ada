"""Binance.US of 2021-10-12, replayed over WebSocket and REST: the splice of diffs onto snapshots, held by `collect` itself.

The server answers each snapshot where the recording has it, between the diffs that were received before and after. Where the whole recording
is absent, a slice of two symbols.
"""

import signal
from decimal import Decimal
from urllib.parse import urlsplit

import orjson
from support.e2e import counters, exact, totals, wait_for, wait_for_frames
from support.recorded import recorded_file, recorded_folder, recorded_frames
from support.replay_server import Answer, Frame, Pause, ReplayServer
from support.shm_processes import child

from alphapulse_cli.readers.api import Book

if (recorded_folder() / "BINANCE_US.ws.1.0").is_file():
    FRAMES, SNAPSHOTS, METADATA = "BINANCE_US.ws.1.0", "BINANCE_US.http.0.0", "BINANCE_US.0"
    SYMBOLS = {"CRVUSDT": "CRV-USDT", "COMPUSDT": "COMP-USDT", "OMGBUSD": "OMG-BUSD", "ZRXUSDT": "ZRX-USDT"}
    DIFFS = 336
    LOST = "OMGBUSD", 50  # the symbol, and which of its diffs
else:
    FRAMES, SNAPSHOTS, METADATA = "binance-us-diffs.txt", "binance-us-snapshot.txt", "binance-us-symbols.txt"
    SYMBOLS = {"CRVUSDT": "CRV-USDT", "ZRXUSDT": "ZRX-USDT"}
    DIFFS = 70
    LOST = "ZRXUSDT", 20


def answers(name):
    """(receive_ns, path with query, body) of a recording's REST answers."""
    for line in recorded_file(name).read_bytes().splitlines():
        url, arrow, rest = line.partition(b" -> ")
        if arrow:
            stamp, _, body = rest.partition(b": ")
            parts = urlsplit(url.decode())
            yield round(Decimal(stamp.decode()) * 10**9), parts.path + (f"?{parts.query}" if parts.query else ""), body


def timeline():
    """Frames and snapshots in the order in which they were received."""
    steps: list[tuple[int, Frame | Answer]] = [(stamp, Frame(frame)) for stamp, frame in recorded_frames(FRAMES)]
    steps += [(stamp, Answer(path, body)) for stamp, path, body in answers(SNAPSHOTS)]
    return [step for _, step in sorted(steps, key=lambda timed: timed[0])]


def yes(frame):
    """How the exchange confirms a SUBSCRIBE."""
    return [orjson.dumps({"result": None, "id": orjson.loads(frame)["id"]})]


def played(steps):
    return ReplayServer(steps, {path: body for _, path, body in answers(METADATA)}, yes)


def model():
    """The exchange's own steps with dicts of decimals: the snapshot, then every diff with a later last id."""
    books, last = {}, {}
    for _, path, body in answers(SNAPSHOTS):
        native, whole = path.partition("symbol=")[2].partition("&")[0], orjson.loads(body)
        last[native], sides = whole["lastUpdateId"], {"bid": whole["bids"], "ask": whole["asks"]}
        books[native] = {(side, Decimal(price)): Decimal(size) for side, rows in sides.items() for price, size in rows}
    for _, frame in recorded_frames(FRAMES):
        diff = orjson.loads(frame)["data"]
        if diff.get("e") == "depthUpdate" and diff["u"] > last[diff["s"]]:
            for side, rows in (("bid", diff["b"]), ("ask", diff["a"])):
                books[diff["s"]].update({(side, Decimal(price)): Decimal(size) for price, size in rows})
    return {SYMBOLS[native]: {place: size for place, size in book.items() if size} for native, book in books.items()}


def collect(alphapulse, exchange):
    # A snapshot of 1,000 levels is what the recording holds.
    line = ["--exchange", "binance-us", "--symbols", ",".join(SYMBOLS.values()), "--depth", "1000", "--url", exchange.url]
    return alphapulse.start("collect", *line)


def in_states(shm_dir, expected):
    """The images, once they are in these states."""
    books = {symbol: Book("binance-us", symbol, shm_dir=str(shm_dir)).read() for symbol in expected}
    return books if {symbol: image.state.name for symbol, image in books.items()} == expected else None


class TestTheSplice:
    def test_it_holds(self, alphapulse):
        """All diffs, no gap, and both the images and a reader's replicas end as the model."""
        with played(timeline()) as exchange:
            process = collect(alphapulse, exchange)
            wait_for(exchange.subscribed.is_set, "a subscription")
            with child("support.e2e:follow_set", alphapulse.shm_dir, "binance-us") as reader:
                assert reader.line() == "attached"
                exchange.play()
                wait_for(exchange.played.is_set, "the whole timeline played")
                frames = exchange.frame_count + len(exchange.heard)  # and a confirmation of each subscription
                expected = dict.fromkeys(SYMBOLS.values(), "LIVE")
                wait_for(
                    lambda: in_states(alphapulse.shm_dir, expected), "LIVE books"
                )  # from their snapshots on, whatever is held for them
                wait_for_frames(alphapulse.shm_dir, "binance-us", frames)
                books = in_states(alphapulse.shm_dir, expected)
                reader.say()
                told = reader.line()
            process.send_signal(signal.SIGTERM)
            _, stderr = process.communicate(timeout=30)
        assert (process.returncode, stderr) == (0, b"")
        assert exchange.refused == []
        counted, diffs = totals(alphapulse.shm_dir, "binance-us"), sum(b'"depthUpdate"' in step.body for step in timeline())
        assert (diffs, counted["gaps"], counted["resyncs"], counted["decode_errors"], counted["fetches_failed"]) == (
            DIFFS,
            0,
            0,
            0,
            0,
        )
        truth = model()
        assert {symbol: exact(image.rows()) for symbol, image in books.items()} == truth
        assert {symbol: exact(rows) for symbol, rows in told["books"].items()} == truth
        assert (told["missed"], told["breaks"], told["checks_bad"]) == (0, 0, 0)
        assert told["got"] == told["published"]

    def test_a_lost_diff_is_seen_and_its_book_is_not_called_live(self, alphapulse):
        """The same recording without one diff: that book waits for a snapshot, the others end as the model."""
        native, number = LOST
        symbol, said, steps = SYMBOLS[native], f'"s":"{native}","U"'.encode(), timeline()
        lost = [index for index, step in enumerate(steps) if isinstance(step, Frame) and said in step.body][number]
        with played([*steps[:lost], Pause(), *steps[lost + 1 :]]) as exchange:
            collect(alphapulse, exchange)
            exchange.play()
            wait_for(lambda: in_states(alphapulse.shm_dir, {symbol: "LIVE"}), "a LIVE book, which can lose a diff")
            exchange.play()
            wait_for(exchange.played.is_set, "the whole timeline played")
            wait_for(lambda: exchange.refused, "another snapshot asked for")
            frames = exchange.frame_count + len(exchange.heard)
            expected = dict.fromkeys(SYMBOLS.values(), "LIVE") | {symbol: "SYNCING"}
            wait_for(lambda: in_states(alphapulse.shm_dir, expected), "a SYNCING book, the others LIVE")
            wait_for_frames(alphapulse.shm_dir, "binance-us", frames)
            books = in_states(alphapulse.shm_dir, expected)
            counted = counters(alphapulse.shm_dir, "binance-us")
        assert counted[symbol]["gaps"] == 1
        truth = model()
        assert {name for name, image in books.items() if exact(image.rows()) != truth[name]} == {symbol}
