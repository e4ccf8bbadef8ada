"""`--verify` proves what is right and fails what is wrong; views are exact; against a real simulator and collector, too."""

import asyncio
import random
import threading

import pytest
from support.reader_sets import Writer, ladder, random_rows

from alphapulse_cli.apps import reconstruct
from alphapulse_cli.apps.collect.collect import collect
from alphapulse_cli.apps.collect.plan import CollectPlan
from alphapulse_cli.apps.reconstruct import Books, ProofVerdict, verify
from alphapulse_cli.errors import NoSegment
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.sim.serve import SimSpec, run
from alphapulse_cli.wire.delta import BookState, ChecksumState, RecordKind


@pytest.fixture
def directory(tmp_path):
    with open_directory(tmp_path / "segments", create=True) as opened:
        yield opened


@pytest.fixture
def writer(directory):
    with Writer(directory) as made:
        made.snapshot(ladder(60))
        yield made


def proved(directory, work, duration_s=0.3, wanted=None):
    """The proofs, with `work` done again and again meanwhile by another thread."""
    done = threading.Event()

    def write():
        while not done.wait(0.01):
            work()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        return verify(directory, wanted or Wanted(), duration_s, lambda _: None)
    finally:
        done.set()
        thread.join()


def lively(writer):
    dice = random.Random(5)

    def work():
        writer.update(random_rows(dice))
        writer.check()
        writer.beat()

    return work


class TestWhatIsRightIsProved:
    def test_a_busy_book(self, directory, writer):
        (proof,) = proved(directory, lively(writer))
        assert (proof.verdict, proof.image, proof.why, proof.checks_bad) == (ProofVerdict.PROVED, "equal", "", 0)
        assert proof.checks_ok > 3

    def test_over_a_reset(self, directory, writer):
        work = lively(writer)

        def regridding():
            keeper = writer.keepers["BTC-USD"]
            if keeper.instrument.price_decimals < 6:
                keeper.regrid(keeper.instrument.price_decimals + 1, 8, writer.now_ns)
            work()

        (proof,) = proved(directory, regridding)
        assert proof.verdict is ProofVerdict.PROVED

    def test_laps_are_counted_and_no_failure(self, directory, monkeypatch):
        with Writer(directory, capacity=64) as writer:
            writer.snapshot(ladder(60))
            work = lively(writer)
            monkeypatch.setattr(Books, "wait", lambda self, timeout_s: clock.pause(50_000_000))

            def flood():
                for _ in range(200):
                    writer.update([(999_000, random.randrange(1, 10**6), False)])
                work()

            (proof,) = proved(directory, flood, 0.6)
            assert proof.laps > 0
            assert proof.verdict is not ProofVerdict.FAILED


class TestWhatIsWrongFails:
    """Each a deliberately wrong writer; a verifier that cannot fail proves nothing."""

    def failed(self, directory, work):
        (proof,) = proved(directory, work)
        assert proof.verdict is ProofVerdict.FAILED
        return proof.why

    def test_a_change_in_the_image_that_was_never_told(self, directory, writer):
        keeper, work = writer.keepers["BTC-USD"], lively(writer)

        def dishonest():
            keeper.image.begin()
            keeper.book.set(1_000_500, 1 << 63 | random.randrange(1, 9))
            keeper._commit(writer.now_ns)
            work()

        keeper.book.reserve(8)
        assert "check failed" in self.failed(directory, dishonest)

    def test_a_group_that_was_left_out(self, directory, writer):
        keeper, work = writer.keepers["BTC-USD"], lively(writer)

        def forgetful():
            keeper.version += 1
            work()

        assert "chain broken" in self.failed(directory, forgetful)

    def test_an_image_whose_levels_are_not_its_hash(self, directory, writer):
        writer.keepers["BTC-USD"].image.bids[8] ^= 0x40  # the worst bid's size
        assert self.failed(directory, writer.beat) == "image damaged"

    def test_an_image_that_differs_from_its_deltas_at_the_end(self, directory, writer, monkeypatch):
        """The replica was loaded before the damage: only the comparison can see it."""
        compare = reconstruct._compare
        image = writer.keepers["BTC-USD"].image

        def damaged_then_compared(*arguments):
            image.bids[8] ^= 0x40
            return compare(*arguments)

        monkeypatch.setattr(reconstruct, "_compare", damaged_then_compared)
        proofs = proved(directory, lambda: (writer.check(), writer.beat()))
        assert [(proof.verdict, proof.why) for proof in proofs] == [(ProofVerdict.FAILED, "image different")]

    def test_a_book_that_is_live_though_its_checksum_is_bad(self, directory, writer):
        keeper = writer.keepers["BTC-USD"]
        keeper.checksum = ChecksumState.BAD
        assert "checksum" in self.failed(directory, lively(writer))

    def test_a_delta_of_another_size_than_the_books(self, directory, writer):
        keeper, work = writer.keepers["BTC-USD"], lively(writer)

        def lying():
            batch = keeper.batch
            keeper.version += 1
            batch.clear()
            batch.append(999_990, random.randrange(1, 9))
            keeper.image.begin()
            keeper._commit(writer.now_ns)
            records = batch.finish(RecordKind.DELTA, writer.now_ns, keeper.version, keeper.version - 1)
            writer.outlet.deltas.publish(batch.records, records)
            work()

        assert "check failed" in self.failed(directory, lying)


class TestWhatCannotBeProved:
    def test_nothing_alive_is_no_segment(self, directory, writer):
        writer.close()
        with pytest.raises(NoSegment, match="no collector"):
            verify(directory, Wanted(), 0.1, lambda _: None)

    def test_a_book_without_a_check_is_unproved(self, directory, writer):
        (proof,) = proved(directory, writer.beat)
        assert (proof.verdict, proof.image, proof.why) == (ProofVerdict.UNPROVED, "equal", "no CHECK came")

    def test_a_book_that_is_being_edited_for_ever_is_not_compared(self, directory, writer, monkeypatch):
        monkeypatch.setattr(reconstruct, "COMPARE_TRIES", 3)
        books = Books(directory, Wanted())
        writer.keepers["BTC-USD"].image.begin()
        assert reconstruct._compare(directory, books.followers[0], "BTC-USD") == "not compared"


class TestViews:
    def test_levels_are_exact_and_cumulative(self, directory, writer):
        (view,) = Books(directory, Wanted()).views(2)
        assert view.bids == [("10000.00", "0.00000001", "0.00000001"), ("9999.99", "0.00000002", "0.00000003")]
        assert (view.spread, view.bid_levels, view.state, view.id) == ("0.01", 30, BookState.LIVE, "kraken:BTC-USD")
        assert len(Books(directory, Wanted()).views(None)[0].asks) == 30

    def test_wanted_is_by_set_exchange_and_symbol(self, directory, writer):
        with Writer(directory, ("BTC-USD", "ETH-USD"), set_name="second") as other:
            other.snapshot(ladder(4), "ETH-USD")

            def ids(exchanges, symbols):
                return [view.id for view in Books(directory, Wanted.of(exchanges, symbols)).views(1)]

            assert ids(None, ["BTC-USD"]) == ["kraken:BTC-USD", "second:BTC-USD"]
            assert ids(["second"], ["ETH-USD"]) == ["second:ETH-USD"]
            assert ids(["kraken"], None) == ["kraken:BTC-USD", "second:BTC-USD", "second:ETH-USD"], "both collect kraken"
            assert ids(None, ["second:BTC-USD"]) == ["second:BTC-USD"]
            with pytest.raises(NoSegment, match="no book of DOGE-USD"):
                ids(None, ["DOGE-USD"])


class TestAgainstASimulator:
    """Over real sockets: simulator, collector, and the reader in another thread."""

    async def test_books_are_proved(self, directory):
        def until_live():
            end = clock.monotonic_ns() + 20_000_000_000
            while clock.monotonic_ns() < end:
                try:
                    if Books(directory, Wanted()).views(1)[0].state is BookState.LIVE:
                        return
                except NoSegment:
                    pass
                clock.pause(20_000_000)
            raise AssertionError("no live book")

        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        served = asyncio.create_task(run([SimSpec("kraken", rate=100)], seed=3, on_ready=lambda made: ready.set_result(made[0])))
        where = await asyncio.wait_for(ready, 20)
        plan = CollectPlan("kraken", ("BTC-USD",), url=where.websocket_url, rest_url=where.rest_url, shm_dir=str(directory.path))
        collected = asyncio.create_task(collect(plan, lambda _level, _line: None))
        try:
            await loop.run_in_executor(None, until_live)
            (proof,) = await loop.run_in_executor(None, verify, directory, Wanted(), 2.2, lambda _: None)
        finally:
            for task in (collected, served):
                task.cancel()
            await asyncio.gather(collected, served, return_exceptions=True)
        assert (proof.verdict, proof.image, proof.checksums_bad) == (ProofVerdict.PROVED, "equal", 0)
        assert proof.checksums_ok > 20
