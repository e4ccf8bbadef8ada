"""Coinbase's Exchange feed of 2021-04-17, replayed over a real WebSocket into `collect`, and read by other processes.

Frames and metadata are the recording's; the model is a dict of decimals. Where the whole recording is absent, a slice of one product.
"""

import os
import signal
import time
from dataclasses import dataclass
from decimal import Decimal

import orjson
import pytest
from support.e2e import exact, totals, wait_for, wait_for_frames
from support.recorded import recorded_answers, recorded_folder, recorded_frames
from support.replay_server import Frame, ReplayServer
from support.shm_processes import child

from alphapulse_cli.readers.api import Book


@dataclass(frozen=True)
class Recording:
    """The files of a recording, and how many messages of each kind are in it."""

    frames: str
    metadata: str
    products: int
    updates: int
    trades: int
    stub_ticks: dict[str, int]  # of the furthest asks of some products
    small_ring: int  # records; all updates do not fit


if (recorded_folder() / "COINBASE.ws.28.0").is_file():
    STUBS = {"BAND-BTC": 8_690_000_000, "CRV-EUR": 8_888_880_040_000, "SKL-USD": 9_999_990_000}
    RECORDED = Recording("COINBASE.ws.28.0", "COINBASE.0", 10, 9719, 107, STUBS, 256)
else:
    RECORDED = Recording("coinbase-exchange.txt", "coinbase-products.txt", 1, 94, 2, {"SKL-GBP": 10_005_018}, 64)


def model():
    """Each product's final book as the frames say it, and nothing else of ours."""
    books: dict[str | None, dict[tuple[str, Decimal], Decimal]] = {}
    for _, frame in recorded_frames(RECORDED.frames):
        message = orjson.loads(frame)
        book = books.setdefault(message.get("product_id"), {})
        if message["type"] == "snapshot":
            book.update({("bid", Decimal(price)): Decimal(size) for price, size in message["bids"]})
            book.update({("ask", Decimal(price)): Decimal(size) for price, size in message["asks"]})
        for side, price, size in message["changes"] if message["type"] == "l2update" else ():
            book[{"buy": "bid", "sell": "ask"}[side], Decimal(price)] = Decimal(size)
    return {product: {place: size for place, size in book.items() if size} for product, book in books.items() if product}


@pytest.fixture(scope="module")
def truth():
    return model()


def replay():
    """The recording and the metadata of that day, to be played."""
    [products] = [body for url, body in recorded_answers(RECORDED.metadata) if url.endswith("/products")]
    return ReplayServer([Frame(frame) for _, frame in recorded_frames(RECORDED.frames)], {"/products": products})


def collect(alphapulse, exchange, products, **environment):
    """`collect` of all products, subscribed, nothing played yet."""
    line = ["--exchange", "coinbase", "--mode", "exchange", "--symbols", ",".join(sorted(products)), "--url", exchange.url]
    process = alphapulse.start("collect", *line, **environment)
    wait_for(lambda: exchange.subscribed.is_set() or process.poll() is not None, "a subscription")
    assert process.poll() is None, process.communicate()
    return process


def play(exchange, shm_dir):
    """All of it, until the collector has taken it in."""
    exchange.play()
    wait_for_frames(shm_dir, "coinbase", exchange.frame_count)


@pytest.fixture(scope="module")
def exchange():
    with replay() as server:
        yield server


@pytest.fixture(scope="module")
def collector(exchange, truth, module_alphapulse):
    return collect(module_alphapulse, exchange, truth)


@pytest.fixture(scope="module")
def told(exchange, collector, module_alphapulse, record_testsuite_property):
    """The whole recording collected; what a reader tells that was attached before the first frame. The collector goes on."""
    shm_dir = module_alphapulse.shm_dir
    with child("support.e2e:follow_set", shm_dir, "coinbase") as reader:
        assert reader.line() == "attached"
        began = time.monotonic()
        play(exchange, shm_dir)
        record_testsuite_property("coinbase_frames_per_second", round(exchange.frame_count / (time.monotonic() - began)))
        reader.say()
        yield reader.line()


class TestWhatIsCollected:
    def test_every_message_is_taken_in_and_none_is_amiss(self, told, module_alphapulse):
        counted = totals(module_alphapulse.shm_dir, "coinbase")
        assert counted["book_updates"] == RECORDED.updates + RECORDED.products
        assert counted["trades"] == RECORDED.trades
        wrong = "gaps", "resyncs", "decode_errors", "levels_kept_out", "trades_refused", "off_grid", "reconnects", "updates_ignored"
        assert {label: counted[label] for label in wrong} == dict.fromkeys(wrong, 0)

    def test_the_images_hold_the_models_books_level_for_level(self, told, truth, module_alphapulse):
        assert len(truth) == RECORDED.products
        for product, levels in truth.items():
            image = Book("coinbase", product, shm_dir=str(module_alphapulse.shm_dir)).read()
            assert exact(image.rows()) == levels, product
            assert image.state.name == "LIVE"

    def test_stub_orders_far_away_are_there(self, told, module_alphapulse):
        for product, ticks in RECORDED.stub_ticks.items():
            image = Book("coinbase", product, shm_dir=str(module_alphapulse.shm_dir)).read()
            assert int(image.asks[-1, 0]) == ticks


class TestAReaderFromTheStart:
    def test_it_was_given_every_record(self, told):
        assert told["missed"] == 0
        assert told["got"] + told["missed"] == told["published"]

    def test_it_was_given_every_group_in_an_unbroken_chain(self, told, module_alphapulse):
        assert told["kinds"]["DELTA"] + told["kinds"]["RESET"] == totals(module_alphapulse.shm_dir, "coinbase")["groups"]
        assert told["kinds"]["RESET"] == RECORDED.products
        assert told["breaks"] == 0

    def test_its_books_are_the_models_level_for_level(self, told, truth):
        assert {product: exact(rows) for product, rows in told["books"].items()} == truth

    def test_every_check_proved_it(self, told):
        assert told["checks_bad"] == 0


class TestReconstructInAnotherProcess:
    def test_it_prints_the_models_books_level_for_level(self, told, truth, module_alphapulse):
        """`alphapulse reconstruct --format json`, of all products."""
        done = module_alphapulse("reconstruct", "--exchange", "coinbase", "--format", "json")
        assert (done.code, done.stderr) == (0, "")
        rows = {row["symbol"]: row for row in map(orjson.loads, done.stdout.splitlines())}
        printed = {
            product: exact([("bid", *level) for level in row["bids"]] + [("ask", *level) for level in row["asks"]])
            for product, row in rows.items()
        }
        assert printed == truth
        assert {row["state"] for row in rows.values()} == {"LIVE"}


class TestAReaderThatWasTooSlow:
    def test_it_is_told_what_it_missed_and_holds_the_models_books_in_the_end(self, truth, alphapulse):
        """Stopped while a small ring went round many times; nothing of the writer's waits for it."""
        with replay() as exchange:
            collect(alphapulse, exchange, truth, ALPHAPULSE_RING_RECORDS=str(RECORDED.small_ring))
            told = self._told(exchange, alphapulse.shm_dir)
        assert told["missed"] > RECORDED.updates - RECORDED.small_ring
        assert told["got"] + told["missed"] <= told["published"]  # the rest of a group whose first record is gone is left out
        assert told["joins"] >= 1
        assert {product: exact(rows) for product, rows in told["books"].items()} == truth

    def _told(self, exchange, shm_dir):
        with child("support.e2e:follow_set", shm_dir, "coinbase") as reader:
            assert reader.line() == "attached"
            os.kill(reader.pid, signal.SIGSTOP)
            play(exchange, shm_dir)
            os.kill(reader.pid, signal.SIGCONT)
            reader.say()
            return reader.line()


class TestTheEnd:
    def test_the_collector_ends_well_and_the_books_are_no_longer_live(self, truth, alphapulse):
        with replay() as exchange:
            collector = collect(alphapulse, exchange, truth)
            play(exchange, alphapulse.shm_dir)
            collector.send_signal(signal.SIGTERM)
            _, stderr = collector.communicate(timeout=30)
        assert (collector.returncode, b"Traceback" in stderr) == (0, False)
        image = Book("coinbase", next(iter(RECORDED.stub_ticks)), shm_dir=str(alphapulse.shm_dir)).read(1)
        assert image.state.name == "STALE"
