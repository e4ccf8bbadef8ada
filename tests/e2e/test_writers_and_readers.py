"""Collectors come and go, readers stay: real processes on a simulated exchange, segments in between."""

import os
import signal

import pytest
from support.e2e import Simulators, book_states, exact, totals, wait_for, wait_until_live, writer_pid
from support.shm_processes import child

from alphapulse_cli.readers.api import Book

SYMBOLS = ("BTC-USD", "ETH-USD")
COLLECT = ("collect", "--exchange", "kraken", "--symbols", ",".join(SYMBOLS))


@pytest.fixture
def kraken(alphapulse):
    return Simulators(alphapulse, "kraken")


@pytest.fixture
def start(alphapulse, kraken):
    """Starts `collect` of the simulated Kraken, and waits until its books are LIVE."""

    def started(*more, set_name="kraken"):
        process = alphapulse.start(*COLLECT, "--url", kraken.url("kraken"), *more)
        wait_until_live(alphapulse.shm_dir, set_name, SYMBOLS)
        return process

    return started


def images(alphapulse, set_name="kraken"):
    return {symbol: exact(Book(set_name, symbol, shm_dir=str(alphapulse.shm_dir)).read().rows()) for symbol in SYMBOLS}


def ended(process):
    """Ends it as a service manager would; nothing but a clean end is one."""
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, b"Traceback" in stderr) == (0, False), stderr.decode()


def replicas(told):
    return {symbol: exact(rows) for symbol, rows in told["books"].items()}


class TestAReader:
    def test_joins_late_and_holds_the_exact_book(self, alphapulse, start):
        """Long after the snapshots; at the collector's end its books are the images, level for level."""
        collector = start()
        wait_until_live(alphapulse.shm_dir, "kraken", SYMBOLS, after_version=20)
        with child("support.e2e:follow_set", alphapulse.shm_dir, "kraken", 2 * len(SYMBOLS)) as reader:
            assert (reader.line(), reader.line()) == ("attached", "proved")
            ended(collector)
            reader.say()
            told = reader.line()
        assert replicas(told) == images(alphapulse)
        assert (told["missed"], told["breaks"], told["checks_bad"]) == (0, 0, 0)

    def test_follows_a_collector_that_was_killed_into_the_next_ones_set(self, alphapulse, start):
        """By kill -9: within the heartbeat's limit no book is LIVE; the next collector's books are, for the same reader."""
        collector = start()
        with child("support.e2e:follow_set", alphapulse.shm_dir, "kraken") as reader:
            assert reader.line() == "attached"
            collector.kill()
            collector.wait(10)
            dead = dict.fromkeys(SYMBOLS, "STALE")
            wait_for(lambda: book_states(alphapulse.shm_dir, "kraken", SYMBOLS) == dead, "books no longer LIVE", limit_s=10)
            following = start()
            wait_until_live(alphapulse.shm_dir, "kraken", SYMBOLS, after_version=20)
            assert writer_pid(alphapulse.shm_dir, "kraken") == following.pid
            ended(following)
            reader.say()
            told = reader.line()
        assert replicas(told) == images(alphapulse)
        assert (told["missed"], told["checks_bad"]) == (0, 0)

    def test_is_told_the_truth_about_a_collector_that_hangs(self, alphapulse, start):
        """Stopped for longer than the heartbeat's limit: no book is LIVE; going on, they are, and the same replicas are exact."""
        collector = start()
        with child("support.e2e:follow_set", alphapulse.shm_dir, "kraken") as reader:
            assert reader.line() == "attached"
            os.kill(collector.pid, signal.SIGSTOP)
            hung = dict.fromkeys(SYMBOLS, "STALE")
            wait_for(lambda: book_states(alphapulse.shm_dir, "kraken", SYMBOLS) == hung, "books no longer LIVE", limit_s=10)
            os.kill(collector.pid, signal.SIGCONT)
            wait_until_live(alphapulse.shm_dir, "kraken", SYMBOLS)
            ended(collector)
            reader.say()
            told = reader.line()
        assert replicas(told) == images(alphapulse)
        assert (told["missed"], told["breaks"], told["checks_bad"]) == (0, 0, 0)


class TestASecondCollector:
    def test_of_the_same_set_is_refused_and_told_what_to_do(self, alphapulse, kraken, start):
        """Exit code 7; the first is not disturbed."""
        first = start()
        done = alphapulse(*COLLECT, "--url", kraken.url("kraken"))
        assert (done.code, done.stdout) == (7, "")
        assert str(first.pid) in done.stderr
        assert "--as NAME" in done.stderr
        assert writer_pid(alphapulse.shm_dir, "kraken") == first.pid
        assert book_states(alphapulse.shm_dir, "kraken", SYMBOLS) == dict.fromkeys(SYMBOLS, "LIVE")

    def test_with_a_name_of_its_own_works_beside_it(self, alphapulse, start):
        """--as: two sets, two writers, both LIVE."""
        first, second = start(), start("--as", "kraken-2", set_name="kraken-2")
        assert writer_pid(alphapulse.shm_dir, "kraken") == first.pid
        assert writer_pid(alphapulse.shm_dir, "kraken-2") == second.pid
        assert Book("kraken-2", "BTC-USD", shm_dir=str(alphapulse.shm_dir)).read(1).exchange == "kraken"


class TestWhatGoesWrongUpstream:
    def test_heals_alone_and_no_readers_chain_breaks(self, alphapulse):
        """Dropped messages at every exchange, wrong checksums at Kraken: one command collects all three and each set resyncs."""
        names, symbols = ("kraken", "coinbase", "binance-us"), ("ETH-USD", "SOL-USD")
        simulated = Simulators(alphapulse, *names, symbols=",".join(symbols), mischief="gap:0.01,checksum:0.01")
        exchanges = [word for name in names for word in ("--exchange", name)]
        # A deep snapshot of Binance's costs much of the requests that are allowed a minute, and seconds of this test.
        environment = simulated.environment | {"ALPHAPULSE_BINANCE_US_DEPTH": "500"}
        collector = alphapulse.start("collect", *exchanges, "--symbols", ",".join(symbols), **environment)
        for name in names:
            wait_until_live(alphapulse.shm_dir, name, symbols)
        readers = [child("support.e2e:follow_set", alphapulse.shm_dir, name) for name in names]
        with readers[0] as kraken, readers[1] as coinbase, readers[2] as binance:
            assert [reader.line() for reader in (kraken, coinbase, binance)] == ["attached"] * 3
            for name in names:
                wait_for(lambda name=name: totals(alphapulse.shm_dir, name)["resyncs"] >= 2, f"resyncs of {name}")
            wait_for(lambda: totals(alphapulse.shm_dir, "kraken")["checksums_bad"], "a wrong checksum")
            ended(collector)
            for name, reader in zip(names, (kraken, coinbase, binance), strict=True):
                reader.say()
                told = reader.line()
                expected = {symbol: exact(Book(name, symbol, shm_dir=str(alphapulse.shm_dir)).read().rows()) for symbol in symbols}
                assert replicas(told) == expected
                assert (told["missed"], told["breaks"], told["checks_bad"], told["kinds"]["RESET"]) == (0, 0, 0, 0)
