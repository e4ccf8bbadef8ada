"""What the connections of one set know of each other."""

import asyncio
from types import SimpleNamespace
from typing import Any

from support.session_parts import Rig, links_of
from support.sim_parts import until

from alphapulse_cli.edges.exchange.siblings import Siblings
from alphapulse_cli.errors import ExchangeError, Refused
from alphapulse_cli.market.requests import FetchInstruments, Reconnect
from alphapulse_cli.shm.counters import Counter

READ = FetchInstruments(["/instruments"])


class Fetches:
    """Answers to GETs, each given when the test says."""

    def __init__(self, rig):
        self.waiting: list[asyncio.Future[bytes]] = []
        rig.fetcher.get = self.get

    async def get(self, _path, _weight):
        self.waiting.append(asyncio.get_running_loop().create_future())
        return await self.waiting[-1]


def beside(rig):
    """Another connection of the rig's set: the list of answers that it was handed."""
    handed: list[bytes] = []
    sibling: Any = SimpleNamespace(receive_instruments=lambda body, _now: handed.append(body))
    rig.session._siblings.ingests.append(sibling)
    return handed


class TestTheMetadata:
    async def test_is_read_by_one_and_handed_to_all(self, directory):
        opener, links = links_of(answers=True)
        async with Rig(directory, "kraken", opener=opener) as rig:
            await until(lambda: links and links[0].sent)
            fetches, handed = Fetches(rig), beside(rig)
            for _ in range(3):
                rig.session.carry_out(READ)
            await until(lambda: fetches.waiting)
            assert len(fetches.waiting) == 1
            fetches.waiting[0].set_result(b"[]")
            await until(lambda: handed)
            assert handed == [b"[]"]
            await until(lambda: not rig.session._siblings.is_reading)
            rig.session.carry_out(READ)
            await until(lambda: len(fetches.waiting) == 2)

    async def test_can_be_read_again_after_a_failure_and_after_the_end_of_the_connection_that_read(self, directory):
        opener, links = links_of(answers=True)
        async with Rig(directory, "kraken", opener=opener) as rig:
            await until(lambda: links and links[0].sent)
            fetches = Fetches(rig)
            rig.session.carry_out(READ)
            await until(lambda: fetches.waiting)
            fetches.waiting[0].set_exception(ExchangeError("no"))
            await until(lambda: rig.total(Counter.FETCHES_FAILED))
            rig.session.carry_out(READ)
            rig.session.carry_out(Reconnect("enough"))  # before the read has begun
            await until(lambda: len(links) == 2 and links[1].sent)
            assert not rig.session._siblings.is_reading


class TestAPauseThatTheExchangeAskedFor:
    def test_lasts_until_the_latest_end_of_any_connections(self):
        siblings, one, other = Siblings(), _ingest(), _ingest()
        assert siblings.wait_until_ns(one, 500) == 500
        assert siblings.wait_until_ns(other, 0) == 500, "this one has connected; the first still waits"
        assert siblings.wait_until_ns(other, 700) == 700
        assert siblings.wait_until_ns(one, 0) == 700
        assert siblings.wait_until_ns(other, 0) == 0


class TestARefusal:
    async def test_does_not_end_a_set_of_which_another_connection_was_let_in(self, directory):
        made, links = links_of()
        tries = []

        async def opener(url, on_frame):
            tries.append(url)
            if len(tries) < 4:
                raise Refused("too many from here")
            return await made(url, on_frame)

        async with Rig(directory, "kraken", opener=opener) as rig:
            rig.session._siblings.has_connected = True  # before the session's first step
            await until(lambda: links and links[0].sent)
            assert len(tries) == 4


class TestAConnectionThatIsGivenUp:
    def test_is_handed_nothing_more_and_its_pause_is_nobodys(self):
        siblings, one, other = Siblings(), _ingest(), _ingest()
        siblings.ingests += [one, other]
        siblings.wait_until_ns(one, 500)
        siblings.wait_until_ns(other, 300)
        siblings.forget(one)
        assert siblings.ingests == [other]
        assert siblings.wait_until_ns(other, 0) == 0


class TestCounting:
    async def test_tells_how_many_are_open(self, directory):
        opener, links = links_of(answers=True)
        async with Rig(directory, "kraken", opener=opener) as rig:
            other = _ingest()
            rig.session._siblings.opened(other)
            await until(lambda: links and links[0].sent)
            assert rig.count(Counter.CONNECTIONS_OPEN) == 2
            assert rig.session._siblings.ended(other) == 1
            rig.task.cancel()
            await asyncio.gather(rig.task, return_exceptions=True)
            assert rig.count(Counter.CONNECTIONS_OPEN) == 0


def _ingest() -> Any:
    return object()
