"""A set of more symbols than a connection carries: several connections, each judged alone, one set of segments."""

import asyncio
import contextlib
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchange_truth import instrument
from support.session_parts import QUICK
from support.sim_parts import until

from alphapulse_cli import exchanges
from alphapulse_cli.apps.collect import connections
from alphapulse_cli.apps.collect.collect import collect
from alphapulse_cli.apps.collect.connections import divide
from alphapulse_cli.apps.collect.plan import CollectPlan
from alphapulse_cli.cli.board import set_words
from alphapulse_cli.edges.exchange import session
from alphapulse_cli.exchanges.binance.encoder import Encoder as BinanceEncoder
from alphapulse_cli.exchanges.protocol import BOOK, TRADES, Rate
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.readers.status import StatusSource
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.sim.exchange import SimulatedExchange
from alphapulse_cli.sim.listings import listings
from alphapulse_cli.wire.delta import BookReason, BookState

SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "DOGE-USD")
DOOMED, ITS_CONNECTION = "SOL-USD", {"SOL-USD", "XRP-USD"}  # of ("BTC-USD", "ETH-USD"), ("SOL-USD", "XRP-USD"), ("DOGE-USD",)
MANY = 600
BOOK_STREAMS = {"": "depth@100ms", "depth20": "depth20@100ms"}


class TestDividing:
    @given(count=st.integers(0, 200), most=st.integers(0, 50))
    def test_gives_each_to_one_connection_within_the_limit_evenly_and_to_no_more_than_it_takes(self, count, most):
        whole = [instrument(symbol=f"S{place}-USD", native=f"S{place}") for place in range(count)]
        shares = divide(whole, most)
        assert [one for share in shares for one in share] == whole
        assert len(shares) == (-(-count // most) if most else min(count, 1))
        assert {len(share) for share in shares} <= {count // max(len(shares), 1), -(-count // max(len(shares), 1))}


@pytest.fixture
def two_a_connection(monkeypatch):
    """Binance.US, if a connection carried four streams, and connections cost nothing."""
    real = exchanges.get("binance-us")
    facts = replace(real.facts, channels_per_connection=4, connects=Rate(1000, 1000.0))
    monkeypatch.setattr(exchanges, "get", lambda name: replace(real, facts=facts) if name == "binance-us" else real)


class Scene:
    """A simulated Binance.US and a collector of it, in one event loop; and what other processes would see of the set."""

    def __init__(self, shm_dir, symbols=SYMBOLS, more=0, mode="", **plan):
        self.symbols, self.shm_dir, self.mode, self.plan, self.told = symbols, shm_dir, mode, plan, []
        self.sim = SimulatedExchange("binance-us", symbols=symbols, rate=0, seed=5, more=more, mode=mode)

    async def __aenter__(self):
        await self.sim.__aenter__()
        plan = CollectPlan(
            "binance-us",
            self.symbols,
            mode=self.mode,
            url=self.sim.websocket_url,
            rest_url=self.sim.rest_url,
            shm_dir=str(self.shm_dir),
            **self.plan,
        )
        self.task = asyncio.create_task(collect(plan, lambda level, line: self.told.append((level, line))))
        self.directory = open_directory(self.shm_dir, create=True)
        self.source = StatusSource(self.directory, ["binance-us"])
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        await self.sim.__aexit__(*_)
        self.directory.close()

    def status(self):
        return self.source.sample()[0]

    def books(self):
        return {book.symbol: book for book in self.status().books}

    def live(self):
        return {symbol for symbol, book in self.books().items() if book.state is BookState.LIVE}

    async def moves_until(self, reached, limit_s=30, symbols=("",)):
        async with asyncio.timeout(limit_s):
            while not reached():
                assert not self.task.done(), self.task.result()
                for symbol in symbols:
                    await self.sim.advance(1, symbol)
                await asyncio.sleep(0.01)

    async def all_live(self):
        await self.moves_until(lambda: self.live() == set(self.symbols))

    def carried(self):
        """Sorted streams of each connection, as the exchange has them."""
        encoders = [cast("BinanceEncoder", each.encoder) for each in self.sim.connections]
        return [sorted(encoder._streams) for encoder in encoders]

    def requires_each_symbol_once(self):
        streams = [stream for each in self.carried() for stream in each]
        natives = [self.sim.truth.instruments[symbol].native.lower() for symbol in self.symbols]
        assert sorted(streams) == sorted(f"{native}@{kind}" for native in natives for kind in (BOOK_STREAMS[self.mode], "trade"))


@pytest.mark.usefixtures("two_a_connection")
class TestSeveralConnections:
    async def test_carry_each_symbol_once_and_their_books_are_exact(self, shm_dir):
        async with Scene(shm_dir) as scene:
            await scene.all_live()
            scene.requires_each_symbol_once()
            assert sorted(len(each) for each in scene.carried()) == [2, 4, 4]
            follower = SetFollower(scene.directory, "binance-us")
            await scene.sim.advance(50)
            best = {symbol: tuple(map(list, scene.sim.truth.book(symbol, 20))) for symbol in SYMBOLS}

            def exact():
                follower.poll(clock.monotonic_ns())
                books = {symbol: book.book for symbol, book in follower.books.items()}
                return best == {symbol: (list(book.bids(20)), list(book.asks(20))) for symbol, book in books.items()}

            await until(exact)
            status = scene.status()
            assert (status.totals["connections"], status.totals["connections_open"], status.totals["reconnects"]) == (3, 3, 0)
            assert "3 of 3 connections" in set_words(status)
            assert follower.checks_bad == 0

    async def test_the_loss_of_one_changes_its_own_books_only(self, shm_dir):
        async with Scene(shm_dir) as scene:
            await scene.all_live()
            follower = SetFollower(scene.directory, "binance-us")
            scene.sim.inject("disconnect", DOOMED)
            await scene.moves_until(lambda: scene.status().totals["reconnects"] == 1)
            await scene.all_live()
            assert {symbol for symbol, book in scene.books().items() if book.resyncs} == ITS_CONNECTION
            follower.poll(clock.monotonic_ns())
            assert not follower.breaks
            (lost,) = [line for level, line in scene.told if level == "warning"]
            assert lost.startswith("connection 2 (SOL-USD and 1 more): disconnected: ")
            scene.requires_each_symbol_once()

    async def test_a_dead_one_is_not_hidden_by_the_frames_of_the_others(self, shm_dir, monkeypatch):
        monkeypatch.setattr(session, "Timing", lambda: QUICK)
        async with Scene(shm_dir) as scene:
            await scene.all_live()
            scene.sim.inject("half-open", DOOMED)
            await scene.moves_until(lambda: scene.sim.injection_counts["half-open"])
            moving = [symbol for symbol in SYMBOLS if symbol not in ITS_CONNECTION]
            await scene.moves_until(lambda: scene.books()[DOOMED].reason is BookReason.SILENT, symbols=moving)
            assert scene.books()[DOOMED].state is BookState.STALE
            await scene.all_live()
            assert {symbol for symbol, book in scene.books().items() if book.resyncs} >= ITS_CONNECTION


@pytest.mark.usefixtures("two_a_connection")
class TestBrokenOnesAreCaught:
    @pytest.mark.parametrize("fault", ["twice", "nowhere"])
    async def test_a_symbol_on_two_connections_or_on_none(self, shm_dir, monkeypatch, fault):
        def broken(instruments, most):
            first, *others = divide(instruments, most)
            return [first, *([*share, first[0]] for share in others)] if fault == "twice" else others

        monkeypatch.setattr(connections, "divide", broken)
        async with Scene(shm_dir) as scene:
            live = set(SYMBOLS) if fault == "twice" else set(SYMBOLS[2:])
            await scene.moves_until(lambda: live <= scene.live())
            with pytest.raises(AssertionError):
                scene.requires_each_symbol_once()

    async def test_connections_that_take_each_others_frames_for_a_sign_of_life(self, shm_dir, monkeypatch):
        """The session's note that it was heard, on the class instead of the connection: a dead one is never found."""
        monkeypatch.setattr(session, "Timing", lambda: QUICK)
        heard = {"by": False}
        monkeypatch.setattr(
            session.Session, "_is_heard", property(lambda _: heard["by"], lambda _, value: heard.update(by=True)), raising=False
        )
        async with Scene(shm_dir) as scene:
            await scene.all_live()
            scene.sim.inject("half-open", DOOMED)
            await scene.moves_until(lambda: scene.sim.injection_counts["half-open"])
            moving = [symbol for symbol in SYMBOLS if symbol not in ITS_CONNECTION]
            with pytest.raises(TimeoutError):
                await scene.moves_until(lambda: scene.books()[DOOMED].state is not BookState.LIVE, limit_s=1, symbols=moving)


class TestSixHundredSymbols:
    async def test_are_collected_from_binance_on_two_connections(self, shm_dir):
        """In the mode whose books need no snapshot by REST: 600 of these take a while."""
        symbols = tuple(row.instrument.symbol for row in listings("binance-us", more=MANY)[-MANY:])
        assert exchanges.get("binance-us").facts.symbols_per_connection({BOOK, TRADES}) < MANY
        async with Scene(shm_dir, symbols, more=MANY, mode="depth20", ring_capacity=16_384) as scene:
            await until(lambda: len(scene.sim.connections) == 2 and sum(map(len, scene.carried())) == 2 * MANY, 50)
            scene.requires_each_symbol_once()
            assert [len(each) for each in scene.carried()] == [MANY, MANY]
            await scene.all_live()
            assert [line for level, line in scene.told if level == "warning"] == []
