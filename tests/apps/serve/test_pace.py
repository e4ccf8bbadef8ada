"""The pace of `serve`: no record stays unread, and what falls due within a rest is read at once."""

import asyncio
import random

import pytest
from support.shm_processes import payload, ring_spec

from alphapulse_cli.apps.serve import pace as pace_module
from alphapulse_cli.apps.serve.pace import JOIN_NS, Outcome, Pace, Sleeper
from alphapulse_cli.readers.waiting import Waiting
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.ring import RingReader, RingWriter
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.shm.wake import WakePage

SLACK_NS = 100_000  # by which a timer of asyncio may be early: the resolution of its clock, and more


class Market:
    """A ring that is written and read in one loop."""

    def __init__(self, directory, monkeypatch):
        monkeypatch.setattr(pace_module, "LONGEST_WAIT_S", 3600.0)  # a look in vain would hide a lost one
        segment = Segment.create(directory, ring_spec(capacity=1024))
        segment.ready()
        self.directory = directory
        self.writer = RingWriter(segment, WakePage.open(directory, "kraken", create=True))
        self.reader = RingReader(segment, 0)
        self.looks: list[tuple[int, int]] = []  # (CLOCK_MONOTONIC, records that were found)
        self.read = asyncio.Event()
        self.look_ns = 0  # how long a look takes

    def publish(self):
        self.writer.publish(payload(self.reader.position), 1)

    def look(self, _woken_ns):
        found = len(self.reader.poll(1024)[0]) // 64
        clock.pause(self.look_ns)
        self.looks.append((clock.monotonic_ns(), found))
        self.read.set()
        return Outcome.READ if found else Outcome.NOTHING

    async def until_read(self):
        while self.reader.lag:
            self.read.clear()
            await self.read.wait()

    async def run(self, make=Pace, count=200, limit_s=60.0, seed=1):
        """Publish records, some together and some apart; TimeoutError if one stays unread."""
        chance = random.Random(seed)
        pace = make(self.look, lambda: [self.reader], Waiting("wake", self.directory))
        running = asyncio.create_task(pace.run())
        try:
            async with asyncio.timeout(limit_s):
                for number in range(count):
                    self.publish()
                    await asyncio.sleep(chance.choice((0, 0, 0.0003, 0.001, 0.003)))
                    if number % 10 == 9:
                        await self.until_read()
                await self.until_read()
        finally:
            running.cancel()
            await asyncio.wait([running])
            pace._sleeper._is_closed = True
            for _ in range(3):  # the thread waits an hour, else
                self.publish()
            pace.close()


@pytest.fixture
def market(directory, monkeypatch):
    return Market(directory, monkeypatch)


def test_every_record_is_read_whatever_the_pace(market):
    asyncio.run(market.run())
    assert sum(found for _, found in market.looks) == 200
    assert max(found for _, found in market.looks) > 1


@pytest.mark.parametrize("look_ns", [0, 2 * JOIN_NS])
def test_behind_every_batch_there_is_a_rest(market, look_ns):
    """What falls due within it is left, so that it is written at once; and the tasks of clients have their turn after a long look, too."""
    market.look_ns = look_ns
    asyncio.run(market.run(count=100))
    rests = [now - before for (before, found), (now, _) in zip(market.looks, market.looks[1:], strict=False) if found]
    assert rests
    assert min(rests) > JOIN_NS + look_ns - SLACK_NS


class Unanswered(Pace):
    """The mutant that leaves the thread's call unanswered at the end of a busy time."""

    def _step(self, woken_ns=0):
        answer, self._sleeper.answer = self._sleeper.answer, (lambda: None) if self._is_busy else self._sleeper.answer
        super()._step(woken_ns)
        self._sleeper.answer = answer


class Forgetful(Pace):
    """The mutant whose thread takes what comes next for what it has called for."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._sleeper.__class__ = Ahead


class Ahead(Sleeper):
    """See Forgetful."""

    def _wait(self):
        seen = super()._wait()
        for one in self._mine.values():
            one.seek(one.position + 1)
        return seen


@pytest.mark.parametrize("mutant", [Unanswered, Forgetful])
def test_mutants_leave_a_record_unread(market, mutant):
    with pytest.raises(TimeoutError):
        asyncio.run(market.run(mutant, limit_s=1.0))


class Restless(Pace):
    """The mutant that looks at each call."""

    def _called(self, woken_ns):
        self._step(woken_ns)


def test_a_mutant_does_not_rest(market):
    asyncio.run(market.run(Restless))
    rests = [now - before for (before, found), (now, _) in zip(market.looks, market.looks[1:], strict=False) if found]
    assert min(rests) < JOIN_NS - SLACK_NS


def test_a_failing_look_ends_the_run(directory, market):
    def fails(_):
        raise ValueError("a fault")

    pace = Pace(fails, lambda: [market.reader], Waiting("wake", directory))
    with pytest.raises(ValueError, match="a fault"):
        asyncio.run(pace.run())
    pace.close()
