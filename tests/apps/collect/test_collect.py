"""`alphapulse collect` as real processes against simulated exchanges: exact through mischief, and every way it may end."""

import importlib.util
import os
import resource
import signal
import subprocess
from dataclasses import replace
from decimal import Decimal

import pytest
from support.app_parts import Sims, live_books, processes_of, sample, wait_until
from support.campaigns import size

from alphapulse_cli import exchanges
from alphapulse_cli.apps.collect.plan import CollectPlan
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.wire.delta import BookReason, BookState

NAMES = ("kraken", "coinbase", "binance-us", "okx", "bitfinex")
NO_PICOWS = pytest.mark.skipif(importlib.util.find_spec("picows") is None, reason="picows is not installed (extra `fast`)")
TRANSPORTS = ["websockets", pytest.param("picows", marks=NO_PICOWS)]
TOLD: dict[str, str] = {}  # the environment of every collector
DEPTHS = {"kraken": 10, "okx": 400, "bitfinex": 100}
SYMBOLS = ("ETH-BTC", "DOGE-USD")
MISCHIEF = {
    "kraken": ("checksum", "garbage", "disconnect"),
    "coinbase": ("gap", "reorder", "disconnect"),
    "binance-us": ("gap", "duplicate", "disconnect"),
    "okx": ("gap", "reorder", "disconnect"),
    "bitfinex": ("gap", "checksum", "disconnect"),
}


@pytest.fixture
def sims():
    made = Sims()
    yield made
    made.close()


@pytest.fixture(params=TRANSPORTS)
def transport(request, monkeypatch):
    """What `begin` tells every collector to use."""
    monkeypatch.setitem(TOLD, "ALPHAPULSE_TRANSPORT", request.param)
    return request.param


def begin(alphapulse, sims, *arguments, names=("kraken",), **env):
    env = TOLD | env
    chosen = [word for name in names for word in ("--exchange", name)]
    return alphapulse.start("collect", *chosen, "--symbols", ",".join(SYMBOLS), *arguments, **sims.environment(), **env)


def until_live(alphapulse, sims, *names):
    def all_live():
        sims.move()
        return len(live_books(alphapulse.shm_dir, *names)) == 2 * len(names)

    wait_until(all_live, what=f"live books of {names}")


def strike(sims, name, kind):
    """Inject until it struck; what was armed went with its connection if that is being replaced just now."""
    sim = sims.served[name]
    armed: list[int] = []

    def struck():
        if sim.connections and armed[-1:] != [sim.connection_count]:
            sims.inject(kind, name)
            armed.append(sim.connection_count)
        sims.move()
        return sim.injection_counts[kind]

    wait_until(struck, what=f"{kind} of {name}")


def end(process, number):
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out.decode(), err.decode()


def sides(book):
    return book.bids(), book.asks()


def truth_of(sims, name, symbol):
    async def look():
        bids, asks = sims.served[name].truth.book(symbol, DEPTHS.get(name))
        return list(bids), list(asks)

    return sims.do(look())


class TestSeveralExchanges:
    @pytest.mark.campaign  # each fault over each transport: tests/edges/exchange/test_session.py
    @pytest.mark.parametrize("transport", size(TRANSPORTS[:1], TRANSPORTS), indirect=True)
    def test_are_exact_through_mischief_and_their_processes_are_kept(self, alphapulse, sims, transport):
        for name in NAMES:
            sims.start(name)
        parent = begin(alphapulse, sims, names=NAMES)
        until_live(alphapulse, sims, *NAMES)
        with open_directory(alphapulse.shm_dir) as directory:
            followers = {name: SetFollower(directory, name) for name in NAMES}
            for name in NAMES:
                for kind in MISCHIEF[name]:
                    strike(sims, name, kind)
                    sims.move(20)
            until_live(alphapulse, sims, *NAMES)
            for name, follower in followers.items():
                for symbol in SYMBOLS:

                    def exact(name=name, follower=follower, symbol=symbol):
                        follower.poll(clock.monotonic_ns())
                        replica = follower.books.get(symbol)
                        return replica and not replica.is_cold and sides(replica.book) == truth_of(sims, name, symbol)

                    wait_until(exact, what=f"{name}:{symbol} as in the exchange")
                assert follower.checks_bad == 0
        self._a_killed_one_is_started_again(alphapulse, sims)
        code, _, err = end(parent, signal.SIGINT)
        assert code == 130
        assert "Traceback" not in err
        assert {one.liveness for one in sample(alphapulse.shm_dir)} == {Liveness.RETIRED}
        wait_until(lambda: not processes_of(alphapulse.shm_dir), what="the children's end")

    def _a_killed_one_is_started_again(self, alphapulse, sims):
        (before,) = sample(alphapulse.shm_dir, "kraken")
        os.kill(before.pid, signal.SIGKILL)

        def again():
            sims.move()
            (now,) = sample(alphapulse.shm_dir, "kraken")
            return now.epoch > before.epoch and now.pid != before.pid and len(live_books(alphapulse.shm_dir, "kraken")) == 2

        wait_until(again, what="a new kraken")

    def test_end_when_their_parent_is_killed(self, alphapulse, sims):
        for name in NAMES[:2]:
            sims.start(name)
        parent = begin(alphapulse, sims, names=NAMES[:2])
        until_live(alphapulse, sims, *NAMES[:2])
        parent.kill()
        wait_until(lambda: not processes_of(alphapulse.shm_dir), what="the children's end")
        assert {one.liveness for one in sample(alphapulse.shm_dir)} == {Liveness.RETIRED}


class TestOneExchange:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
    def test_a_signal_retires_its_segments(self, alphapulse, sims, transport, number, code):
        sims.start("kraken")
        process = begin(alphapulse, sims)
        until_live(alphapulse, sims, "kraken")
        ended, _, err = end(process, number)
        assert (ended, "Traceback" in err) == (code, False)
        (one,) = sample(alphapulse.shm_dir)
        assert one.liveness is Liveness.RETIRED
        assert {(book.state, book.reason) for book in one.books} == {(BookState.STALE, BookReason.RETIRED)}

    def test_killed_its_books_are_not_live_and_the_next_one_has_a_new_epoch(self, alphapulse, sims, transport):
        sims.start("kraken")
        process = begin(alphapulse, sims)
        until_live(alphapulse, sims, "kraken")
        (before,) = sample(alphapulse.shm_dir)
        with open_directory(alphapulse.shm_dir) as directory:
            follower = SetFollower(directory, "kraken")
            process.kill()
            process.communicate()
            wait_until(lambda: not live_books(alphapulse.shm_dir), 20, what="no live book")
            assert sample(alphapulse.shm_dir)[0].liveness is Liveness.SILENT
            begin(alphapulse, sims)
            until_live(alphapulse, sims, "kraken")
            assert sample(alphapulse.shm_dir)[0].epoch > before.epoch
            wait_until(lambda: follower.poll(clock.monotonic_ns()).restarted, what="the reader follows")

    def test_hung_its_books_are_not_live_either(self, alphapulse, sims, transport):
        sims.start("kraken")
        process = begin(alphapulse, sims)
        until_live(alphapulse, sims, "kraken")
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: not live_books(alphapulse.shm_dir), 20, what="no live book")
        process.send_signal(signal.SIGCONT)
        until_live(alphapulse, sims, "kraken")

    def test_a_second_one_is_told_who_is_first(self, alphapulse, sims):
        sims.start("kraken")
        first = begin(alphapulse, sims)
        until_live(alphapulse, sims, "kraken")
        second = begin(alphapulse, sims)
        _, err = second.communicate(timeout=60)
        assert second.returncode == 7
        assert f"kraken is already being collected by pid {first.pid}" in err.decode()
        assert "--as NAME" in err.decode()
        beside = begin(alphapulse, sims, "--as", "mine")
        until_live(alphapulse, sims, "kraken", "mine")
        assert beside.poll() is None


class TestTheRulesOfOrders:
    def test_any_process_reads_those_of_the_exchanges_metadata(self, alphapulse, sims):
        """Each decoder fills them from its own exchange's shape of them."""
        listed = {name: sims.start(name).truth.instruments for name in NAMES}
        begin(alphapulse, sims, names=NAMES)
        until_live(alphapulse, sims, *NAMES)
        said = {
            (book.exchange, book.symbol): (book.tick_size, book.lot_size, book.min_size) for book in live_books(alphapulse.shm_dir)
        }
        assert said == {
            (name, one.symbol): (
                to_text(one.tick_size_ticks, one.price_decimals),
                to_text(one.lot_size_lots, one.size_decimals),
                to_text(one.min_size_lots, one.size_decimals) if one.min_size_lots else "",
            )
            for name, instruments in listed.items()
            for one in instruments.values()
        }
        assert said["kraken", "ETH-BTC"] == ("0.00001", "0.00000001", "0.00100000")

    def test_grow_with_the_grid(self, alphapulse, sims):
        """A price off the grid makes it finer at once; the rules say the same on the new one."""
        sims.start("kraken")
        begin(alphapulse, sims)
        until_live(alphapulse, sims, "kraken")
        before = {book.symbol: book for book in live_books(alphapulse.shm_dir)}
        sims.inject("offgrid", "kraken")

        def finer():
            sims.move()
            return [book for book in live_books(alphapulse.shm_dir) if len(book.tick_size) > len(before[book.symbol].tick_size)]

        (book, *_) = wait_until(finer, what="a finer grid")
        assert Decimal(book.tick_size) == Decimal(before[book.symbol].tick_size)
        assert (book.lot_size, book.min_size) == (before[book.symbol].lot_size, before[book.symbol].min_size)


class TestTheTransport:
    def test_that_is_named_must_be_there(self, alphapulse, tmp_path):
        """A package that cannot be imported is as good as none."""
        (tmp_path / "picows").mkdir()
        (tmp_path / "picows" / "__init__.py").write_text("raise ImportError('broken')")
        path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
        done = alphapulse("collect", "--exchange", "kraken", "--transport", "picows", PYTHONPATH=path)
        assert (done.code, done.stdout) == (2, "")
        assert done.stderr.splitlines() == [
            "error: --transport picows: picows is not installed",
            "hint: pip install 'alphapulse[fast]', or --transport websockets",
        ]

    def test_that_nobody_knows_is_refused(self, alphapulse):
        done = alphapulse("collect", "--exchange", "kraken", "--transport", "curl")
        assert (done.code, done.stderr.splitlines()[0]) == (2, "error: unknown transport: 'curl'")

    def test_is_said_again_to_the_process_of_each_exchange(self):
        words = [*CollectPlan("kraken", transport="websockets").to_argv(), "--supervised"]
        assert words[words.index("--transport") + 1] == "websockets"


class TestWhatCannotBe:
    def test_an_unknown_symbol_is_refused_with_near_ones(self, alphapulse, sims):
        sims.start("kraken")
        done = alphapulse("collect", "--exchange", "kraken", "--symbols", "DOGE-UDS", **sims.environment())
        assert (done.code, done.stdout) == (6, "")
        assert done.stderr.startswith("error: kraken does not list DOGE-UDS\nhint: DOGE-UDS: did you mean DOGE-USD?")
        assert not list(alphapulse.shm_dir.glob("kraken_*"))

    def test_an_exchange_that_is_not_there(self, alphapulse):
        """It is waited for, as long as there is time."""
        for duration in ("3s", "20s"):  # the longer one where the machine was too busy to try once in the shorter
            done = alphapulse("collect", "--exchange", "kraken", "--url", "ws://127.0.0.1:1/v2", "--duration", duration)
            if "warning" in done.stderr:
                break
        assert (done.code, done.stdout) == (6, "")
        why = "waiting for the list of instruments: cannot fetch http://127.0.0.1:1/0/public/AssetPairs: Connection refused"
        assert done.stderr.splitlines() == [
            f"warning: kraken: {why}",
            f"error: nothing was collected before the duration was over: {why}",
        ]

    @pytest.mark.parametrize("kilobytes", [1, 100, 5000])
    def test_a_full_disk_is_one_error_and_no_file(self, alphapulse, sims, kilobytes):
        """As large as a file may be here: less than a wake page, a ring, a counters file or an image."""
        sims.start("kraken")

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes << 10, kilobytes << 10))

        words = ["--symbols", "ETH-BTC", "--exchange", "kraken"]
        env = alphapulse.environment(**sims.environment(), ALPHAPULSE_RING_RECORDS="65536" if kilobytes > 1000 else "16384")
        process = subprocess.run(
            [*alphapulse.command, "collect", *words],
            capture_output=True,
            text=True,
            env=env,
            cwd=alphapulse.directory,
            timeout=60,
            preexec_fn=limit,
        )
        assert (process.returncode, "File too large" in process.stderr) == (1, True), process.stderr
        assert [line.partition(":")[0] for line in process.stderr.splitlines()] in (["error"], ["error", "hint"])
        assert {path.name for path in alphapulse.shm_dir.iterdir()} <= {"kraken.lock", "kraken.wake", "limits"}

    def test_an_exchanges_hostile_words_are_shown_escaped(self, alphapulse, sims, transport):
        real = exchanges.get("kraken")

        def rude(truth, mode):
            encoder = real.encoder(truth, mode)
            text = (
                '{"error":"no \\u001b[2J\\u202e\\nerror: you","method":"subscribe","req_id":6,"success":false,"symbol":"ETH/BTC"}'
            )
            encoder.receive = lambda frame, now_ns: [text.encode()] if b'"book"' in frame else []
            return encoder

        sims.start("kraken", speaker=replace(real, encoder=rude))
        process = begin(alphapulse, sims)
        wait_until(lambda: [book for one in sample(alphapulse.shm_dir) for book in one.books if book.reason is BookReason.REFUSED])
        _, out, err = end(process, signal.SIGTERM)
        assert "\\x1b[2J\\u202e\\nerror: you" in err
        assert "\x1b" not in err + out
