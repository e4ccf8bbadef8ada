"""A set of more symbols than a connection carries: several connections, each judged alone, one set of segments."""

import asyncio
import contextlib
import json
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
from alphapulse_cli.apps.collect.plan import CollectPlan, unlisted
from alphapulse_cli.cli.board import set_words
from alphapulse_cli.edges.control import ask
from alphapulse_cli.edges.exchange import session
from alphapulse_cli.errors import ExchangeError, UsageError
from alphapulse_cli.exchanges.binance.encoder import Encoder as BinanceEncoder
from alphapulse_cli.exchanges.protocol import BOOK, TRADES, Rate
from alphapulse_cli.flow.follow import SetFollower, states_of
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.readers.status import StatusSource
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.segment import Segment
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


def bounded(monkeypatch, connects):
    """Binance.US, if a connection carried four streams, and with that bound on connections."""
    real = exchanges.get("binance-us")
    facts = replace(real.facts, channels_per_connection=4, connects=connects)
    monkeypatch.setattr(exchanges, "get", lambda name: replace(real, facts=facts) if name == "binance-us" else real)


@pytest.fixture
def two_a_connection(monkeypatch):
    bounded(monkeypatch, Rate(1000, 1000.0))


class Scene:
    """A simulated Binance.US and a collector of it, in one event loop; and what other processes would see of the set."""

    def __init__(self, shm_dir, symbols=SYMBOLS, listed=(), *, more=0, mode="", before=0, **plan):
        self.symbols, self.shm_dir, self.mode, self.plan, self.told = symbols, shm_dir, mode, plan, []
        self.before = before  # steps of the market before the collector starts
        self.sim = SimulatedExchange("binance-us", symbols=listed or symbols, rate=0, seed=5, more=more, mode=mode)

    async def __aenter__(self):
        await self.sim.__aenter__()
        await self.sim.advance(self.before)
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


def exact(follower, sim, symbols):
    """Whether a reader's books are the exchange's, as far as a snapshot of bounded depth is sure to reach."""
    follower.poll(clock.monotonic_ns())
    books = {symbol: follower.books[symbol].book for symbol in symbols if symbol in follower.books}
    return {symbol: (list(book.bids(20)), list(book.asks(20))) for symbol, book in books.items()} == {
        symbol: tuple(map(list, sim.truth.book(symbol, 20))) for symbol in symbols
    }


def state_of(scene, follower, symbol):
    """State of a book as a reader of its image and one of the ring see it: the same."""
    follower.poll(clock.monotonic_ns())
    image = ImageReader(Segment.attach(scene.directory, f"binance-us_book_{symbol}")).top(1)
    assert states_of(image.state, image.reason) == follower.state(symbol, clock.monotonic_ns())
    return follower.state(symbol, clock.monotonic_ns())


def volumes_of(sim):
    return json.loads(sim.answer("/api/v3/ticker/24hr", {})[1])


@pytest.mark.usefixtures("two_a_connection")
class TestSeveralConnections:
    async def test_carry_each_symbol_once_and_their_books_are_exact(self, shm_dir):
        async with Scene(shm_dir) as scene:
            await scene.all_live()
            scene.requires_each_symbol_once()
            assert sorted(len(each) for each in scene.carried()) == [2, 4, 4]
            follower = SetFollower(scene.directory, "binance-us")
            await scene.sim.advance(50)
            await until(lambda: exact(follower, scene.sim, SYMBOLS))
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

    async def test_are_renewed_one_after_another(self, shm_dir, monkeypatch):
        """Each within the hour before the exchange would end it, or sooner: not all books at the same moment."""
        made = []

        class Seen(session.Session):
            def __init__(self, *what, **more):
                super().__init__(*what, **more)
                made.append(self)

        monkeypatch.setattr(connections, "Session", Seen)
        async with Scene(shm_dir) as scene:
            await scene.all_live()
            assert [one._life_s for one in made] == [23 * 3600 - 600 * place for place in range(3)]

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


class TestWhatManyConnectionsSay:
    async def test_is_told_once_with_their_number(self, monkeypatch):
        monkeypatch.setattr(connections, "SAME_WITHIN_S", 0.01)
        told = []
        chorus = connections.Chorus(lambda *notice: told.append(notice))
        for number in (1, 2, 3):
            chorus.add(f"connection {number}", "warning", f"disconnected: nothing heard for {number}.5 s")
        chorus.add("connection 1", "info", "disconnected: nothing heard for 1.5 s")
        assert told == [
            ("warning", "connection 1: disconnected: nothing heard for 1.5 s"),
            ("info", "connection 1: disconnected: nothing heard for 1.5 s"),
        ]
        await until(lambda: len(told) == 3)
        assert told.pop() == ("warning", "2 more connections: disconnected: nothing heard for 1.5 s")
        chorus.add("connection 4", "warning", "disconnected: nothing heard for 9.9 s")
        assert told[2:] == [("warning", "connection 4: disconnected: nothing heard for 9.9 s")]
        chorus.close()


class TestTheExchangesLimits:
    async def test_of_connections_hold_for_all_of_a_set_together(self, shm_dir, monkeypatch):
        bounded(monkeypatch, Rate(2, 0.001))
        async with Scene(shm_dir) as scene:
            await scene.moves_until(
                lambda: [line for _, line in scene.told if "s to connect: limit of 2 connections a minute" in line]
            )
            await scene.moves_until(lambda: len(scene.live()) == 4)
            assert scene.sim.connection_count == 2
            status = scene.status()
            assert (status.totals["connections"], status.totals["connections_open"]) == (3, 2)
            assert "4/5 books live, 2 of 3 connections" in set_words(status)


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


class TestAPattern:
    """`--symbols 'D*-USD'` follows the exchange's list while it runs."""

    async def test_takes_up_new_listings_and_retires_what_is_listed_no_longer(self, shm_dir):
        async with Scene(
            shm_dir, ("BTC-USD", "?O*-USD"), ("BTC-USD", "DOGE-USD", "ETH-BTC", "SOL-USD"), listing_every_s=0.05
        ) as scene:
            listed = scene.sim._rest._symbols
            scene.symbols = ("BTC-USD", "DOGE-USD", "SOL-USD")
            await scene.all_live()
            follower = SetFollower(scene.directory, "binance-us")
            versions = {symbol: book.version for symbol, book in scene.books().items()}

            doge = listed.pop("DOGEUSD")
            await scene.moves_until(lambda: "DOGE-USD" not in scene.books())
            assert state_of(scene, follower, "DOGE-USD") == (BookState.STALE, BookReason.RETIRED)
            assert scene.live() == {"BTC-USD", "SOL-USD"}
            await scene.moves_until(lambda: scene.books()["BTC-USD"].version > versions["BTC-USD"])
            trades = scene.source.sample()[0].totals["trades"]
            await scene.sim.advance(30, "DOGE-USD")
            assert scene.source.sample()[0].totals["trades"] == trades, "what still comes is left out"

            listed["DOGEUSD"] = doge
            await scene.all_live()
            assert len(scene.sim.connections) == 2, "one of its own"
            await scene.sim.advance(20)
            await until(lambda: exact(follower, scene.sim, scene.symbols))
            assert not follower.breaks["BTC-USD"]
            told = [line for _, line in scene.told]
            assert "delisted by the exchange: DOGE-USD; their books are RETIRED" in told
            assert "newly listed: DOGE-USD; collected from now on" in told

    def test_retires_nothing_for_a_list_that_was_cut_short(self):
        whole = [instrument("binance-us", f"{base}-USD", f"{base}USD") for base in ("BTC", "ETH", "SOL", "XRP")]
        collected = {one.symbol for one in whole}
        assert unlisted(collected, ["*-USD"], whole) == set()
        assert unlisted(collected, ["*-USD"], whole[2:]) == {"BTC-USD", "ETH-USD"}
        assert unlisted(collected, ["BTC-*"], whole[2:]) == {"BTC-USD"}, "the other was named, and stays, DELISTED"
        assert unlisted(collected, ["*-USD"], whole[3:]) == set()
        assert unlisted(collected, ["*-USD"], []) == set()
        delisted = [one.with_status(TradingStatus.DELISTED, "") for one in whole[:2]]
        assert unlisted(collected, ["*-USD"], [*delisted, *whole[2:]]) == {"BTC-USD", "ETH-USD"}


class TestChangingARunningSet:
    async def asked(self, scene, action, *symbols):
        return await asyncio.to_thread(ask, scene.directory, "binance-us", action, symbols)

    async def test_adds_and_removes_without_disturbing_the_others(self, shm_dir):
        async with Scene(shm_dir, ("BTC-USD", "ETH-USD"), SYMBOLS) as scene:
            await scene.all_live()
            follower = SetFollower(scene.directory, "binance-us")
            assert await self.asked(scene, "add", "SOL-USD", "BTC-USD") == ["SOL-USD"]
            scene.symbols = ("BTC-USD", "ETH-USD", "SOL-USD")
            await scene.all_live()
            scene.requires_each_symbol_once()
            assert await self.asked(scene, "add", "SOL-USD") == []

            assert await self.asked(scene, "rm", "SOL-USD") == ["SOL-USD"]
            assert set(scene.books()) == {"BTC-USD", "ETH-USD"}
            assert state_of(scene, follower, "SOL-USD") == (BookState.STALE, BookReason.RETIRED)
            await scene.moves_until(lambda: len(scene.sim.connections) == 1)
            assert scene.status().totals["connections"] == 1
            assert scene.status().totals["connections_open"] == 1
            assert await self.asked(scene, "rm", "ETH-USD") == ["ETH-USD"], "it shares its connection"
            assert scene.live() == {"BTC-USD"}

            assert await self.asked(scene, "add", "ETH-USD", "SOL-USD") == ["ETH-USD", "SOL-USD"]
            await scene.all_live()
            await scene.sim.advance(20)
            await until(lambda: exact(follower, scene.sim, scene.symbols))
            assert not follower.breaks["BTC-USD"]
            assert scene.books()["BTC-USD"].resyncs == 0

    async def test_refuses_what_cannot_be_and_changes_nothing(self, shm_dir):
        async with Scene(shm_dir, ("BTC-USD", "ETH-USD"), SYMBOLS) as scene:
            await scene.all_live()
            for action, symbols, kind, message in (
                ("add", ("SOL-USD", "NO-NO"), ExchangeError, "binance-us does not list NO-NO"),
                ("add", ("top:5",), UsageError, "top:5: the most traded are chosen when a collector starts"),
                ("add", ("?",), ExchangeError, r"binance-us does not list \?"),
                ("add", ("nonsense",), UsageError, "not a symbol: 'nonsense'"),
                ("rm", ("BTC-USD", "SOL-USD"), UsageError, "SOL-USD is not collected"),
                ("rm", ("*-USD",), UsageError, "nothing would be left to collect"),
            ):
                with pytest.raises(kind, match=message):
                    await self.asked(scene, action, *symbols)
            assert scene.live() == set(scene.symbols)
            assert scene.sim.connection_count == 1

    async def test_of_patterns_holds_for_what_is_listed_later(self, shm_dir):
        async with Scene(shm_dir, ("BTC-USD",), SYMBOLS, listing_every_s=0.05) as scene:
            listed = scene.sim._rest._symbols
            doge = listed.pop("DOGEUSD")
            await scene.all_live()
            assert await self.asked(scene, "add", "?O*-USD") == ["SOL-USD"]
            listed["DOGEUSD"] = doge
            scene.symbols = ("BTC-USD", "DOGE-USD", "SOL-USD")
            await scene.all_live()
            assert await self.asked(scene, "rm", "SOL-USD") == ["SOL-USD"], "though a pattern would take it up"
            count, looks, answer = scene.sim.connection_count, [], scene.sim.answer

            def counted(path, query):
                looks.append(path)
                return answer(path, query)

            scene.sim.answer = counted
            await scene.moves_until(lambda: looks.count("/api/v3/exchangeInfo") > 3)
            assert scene.sim.connection_count == count
            assert scene.live() == {"BTC-USD", "DOGE-USD"}


class TestTheMostTraded:
    async def test_are_chosen_once_by_the_exchanges_volumes(self, shm_dir):
        async with Scene(shm_dir, ("top:2",), SYMBOLS, before=40) as scene:
            worth = {row["symbol"]: float(row["volume"]) * float(row["lastPrice"]) for row in volumes_of(scene.sim)}
            scene.symbols = tuple(
                symbol for symbol in SYMBOLS if symbol.replace("-", "") in sorted(worth, key=worth.__getitem__)[-2:]
            )
            await until(lambda: scene.sim.connections)  # chosen, while the market stands still
            await scene.all_live()
            scene.requires_each_symbol_once()
            assert len(set(worth.values())) == len(SYMBOLS)


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
