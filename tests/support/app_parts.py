"""Simulated exchanges in a thread beside a test, real processes, and how a test waits for them: for a condition, with a limit."""

import asyncio
import os
import threading
import time
from pathlib import Path

from alphapulse_cli.readers.status import StatusSource
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.sim.exchange import SimulatedExchange
from alphapulse_cli.wire.delta import BookState

LIMIT_S = 60.0
NUDGE_S = 0.1


def wait_until(reached, limit_s=LIMIT_S, *, what=""):
    """Its first true value; the test fails at the limit."""
    until = time.monotonic() + limit_s
    while not (found := reached()):
        assert time.monotonic() < until, f"never came: {what or reached}"
        time.sleep(0.02)
    return found


class Sims:
    """Simulated exchanges that move when told; each is its own market."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.served = {}
        self._nudged_at = 0.0

    def do(self, scene):
        return asyncio.run_coroutine_threadsafe(scene, self._loop).result(LIMIT_S)

    def start(self, name, symbols=("ETH-BTC", "DOGE-USD"), **options):
        async def begin():
            return await SimulatedExchange(name, symbols=symbols, rate=0, seed=5, **options).__aenter__()

        self.served[name] = self.do(begin())
        return self.served[name]

    def move(self, steps=1):
        for sim in self.served.values():
            self.do(sim.advance(steps))

    def nudge(self):
        """Move one step where the last is a while ago: while a test waits, at a pace at which healing wins.

        Every step may bring the next fault, and an exchange's limits let a book heal about once a second.
        """
        if time.monotonic() - self._nudged_at > NUDGE_S:
            self.move()
            self._nudged_at = time.monotonic()

    def inject(self, kind, name):
        async def arm():
            self.served[name].inject(kind)

        self.do(arm())

    def close(self):
        for sim in self.served.values():
            self.do(sim.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def environment(self):
        """What points the collectors here."""
        found = {}
        for name, sim in self.served.items():
            prefix = f"ALPHAPULSE_{name.upper().replace('-', '_')}"
            found[f"{prefix}_URL"], found[f"{prefix}_REST_URL"] = sim.websocket_url, sim.rest_url
        return found


def sample(shm_dir, *names):
    """How the sets are doing."""
    if not Path(shm_dir).is_dir():
        return []
    with open_directory(shm_dir) as directory:
        return StatusSource(directory, list(names) or None).sample()


def live_books(shm_dir, *names):
    return [book for one in sample(shm_dir, *names) for book in one.books if book.state is BookState.LIVE]


def processes_of(shm_dir):
    """The pids of all processes whose command line or environment names that directory, but for this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            if (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                continue
        except OSError:
            continue
        if os.fsencode(str(shm_dir)) in text:
            found.append(int(entry.name))
    return found
