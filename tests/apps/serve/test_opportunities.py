"""The channel `arbitrage` beside a real watch that keeps what it sees: births, changes and ends, exact, and nothing where nobody watches."""

import asyncio
import json
import re
from contextlib import ExitStack, contextmanager

import pytest
from support.reader_sets import Writer, kept_alive
from support.serving import serving
from support.stream_clients import StreamClient

from alphapulse_cli.apps.arb.history import load, rows_of
from alphapulse_cli.apps.arb.keep import Keeper
from alphapulse_cli.apps.arb.watch import Watch
from alphapulse_cli.apps.serve.opportunities import Opportunities
from alphapulse_cli.edges.opportunities.store import OpportunityStore
from alphapulse_cli.edges.opportunities.watch_counters import Tally
from alphapulse_cli.errors import StorageError
from alphapulse_cli.flow.arbitrage.candidate import ArbitragePolicy
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock

MONEY = ("size", "net", "bps", "birth_size", "birth_net", "birth_bps", "peak_size", "peak_net", "peak_bps")


class Watching:
    """A watch over a directory that keeps what it sees, polled by hand."""

    def __init__(self, directory, store, opened):
        policy = ArbitragePolicy(max_age_ns=3600 * 10**9, report_every_ns=0)
        self._tally = opened(Tally(directory))
        self._watch = opened(Watch(directory, Wanted(), policy, {"kraken": "0", "coinbase": "0"}, "sleep", tally=self._tally))
        self._keeper = opened(Keeper(store, str(directory.path), policy, pytest.fail))
        self._take(self._watch.settle())
        self._tally.write(self._watch.counts(), clock.monotonic_ns())

    def _take(self, events):
        for event in events:
            self._keeper.hold(event)
        self._keeper.catch_up()

    def update(self, writer, rows):
        writer.now_ns = clock.realtime_ns()
        writer.update(rows)
        self._take(self._watch.poll())


@contextmanager
def watching(directory, store):
    with ExitStack() as stack:
        yield Watching(directory, store, stack.enter_context)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(Opportunities, "every_s", 0.01)


@pytest.fixture
def markets(directory):
    """Kraken and Coinbase, a cent apart."""
    with Writer(directory) as kraken, Writer(directory, set_name="coinbase", exchange="coinbase") as coinbase:
        kraken.snapshot([(9_900, 10**8, False), (10_000, 10**8, True)])
        coinbase.snapshot([(9_900, 10**8, False), (10_500, 10**8, True)])
        with kept_alive(kraken), kept_alive(coinbase):
            yield kraken, coinbase


def told(client):
    return [message["opportunity"] for message in client.of("arbitrage")]


async def test_birth_growth_and_end_are_told_as_the_watch_keeps_them(directory, markets, tmp_path):
    _, coinbase = markets
    store = tmp_path / "opportunities.sqlite"
    async with serving(directory, store=store) as server, await StreamClient.open(server.state.port) as client:
        await client.subscribe("arbitrage")
        await client.until(lambda: client.of("watching"))
        with watching(directory, store) as watch:
            await client.until(lambda: client.of("watching")[-1]["watching"])
            assert not told(client)
            watch.update(coinbase, [(10_100, 5 * 10**7, False)])
            await client.until(lambda: told(client))
            born = told(client)[-1]
            names = ("kind", "symbol", "buy", "sell", "currency", "size", "net", "peak_net", "closed_ns", "why")
            assert [born[name] for name in names] == ["pair", "BTC-USD", "kraken", "coinbase", "USD", "0.5", "0.5", "0.5", None, ""]
            watch.update(coinbase, [(10_100, 10**8, False)])
            await client.until(lambda: told(client)[-1]["peak_net"] == "1")
            watch.update(coinbase, [(10_100, 1, False)])  # 10^-8 of it: as exact as the first
            await client.until(lambda: told(client)[-1]["net"] == "0.00000001")
            assert (told(client)[-1]["peak_net"], told(client)[-1]["birth_net"]) == ("1", "0.5")
            async with await StreamClient.open(server.state.port, "msgpack") as late:  # who comes now is told what is open
                await late.subscribe("arbitrage")
                await late.until(lambda: told(late))
                assert told(late) == told(client)[-1:]
            watch.update(coinbase, [(10_100, 0, False)])
            await client.until(lambda: told(client)[-1]["closed_ns"])
            ended = told(client)[-1]
            assert (ended["id"], ended["why"]) == (born["id"], "gone")
        await client.until(lambda: not client.of("watching")[-1]["watching"])
        (kept,) = rows_of(load(store))
        assert kept.pop("place") == str(directory.path.resolve())
        assert told(client)[-1] == json.loads(json.dumps(kept))
        for one in told(client):
            assert "place" not in one
            assert all(isinstance(one[name], str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", one[name]) for name in MONEY)


async def test_a_store_that_cannot_be_read_for_a_while_is_no_news(directory, markets, tmp_path, monkeypatch):
    _, coinbase = markets
    store, failed = tmp_path / "opportunities.sqlite", asyncio.Event()
    async with serving(directory, store=store) as server, await StreamClient.open(server.state.port) as client:
        await client.subscribe("arbitrage")
        with watching(directory, store) as watch:
            watch.update(coinbase, [(10_100, 10**8, False)])
            watch.update(coinbase, [(10_100, 0, False)])
            await client.until(lambda: told(client) and told(client)[-1]["closed_ns"])
            before, loop = told(client), asyncio.get_running_loop()
            with monkeypatch.context() as patched:
                patched.setattr(OpportunityStore, "rows", lambda *_, **__: fail(loop, failed))
                await failed.wait()
            watch.update(coinbase, [(10_100, 5 * 10**7, False)])
            await client.until(lambda: len(told(client)) > len(before))
            assert told(client)[: len(before)] == before
            assert {one["id"] for one in told(client)[len(before) :]}.isdisjoint(one["id"] for one in before)


def fail(loop, failed):
    loop.call_soon_threadsafe(failed.set)
    raise StorageError("damaged")


async def test_a_look_that_fails_is_told_in_the_log_and_the_next_one_tells_the_news(
    directory, markets, tmp_path, monkeypatch, caplog
):
    _, coinbase = markets
    store = tmp_path / "opportunities.sqlite"
    async with serving(directory, store=store) as server, await StreamClient.open(server.state.port) as client:
        look = Opportunities.look
        failed: list[int] = []

        async def look_or_fail(self):
            if len(failed) < 3:
                failed.append(1)
                raise RuntimeError("a fault of ours")
            return await look(self)

        monkeypatch.setattr(Opportunities, "look", look_or_fail)
        await client.subscribe("arbitrage")
        with watching(directory, store) as watch:
            watch.update(coinbase, [(10_100, 10**8, False)])
            await client.until(lambda: told(client))
            assert told(client)[0]["net"] == "1"
        said = [one.message for one in caplog.records if one.name == "alphapulse.serve"]
        assert said == ["the opportunities could not be told; they are looked for again"] * 3
        assert (await client.ask("pong", op="ping"))["type"] == "pong"
