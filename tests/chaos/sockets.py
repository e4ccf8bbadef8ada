"""The same faults over real sockets: simulated exchanges, `alphapulse collect` processes and a reader of their segments, in real time.

simulated exchanges ═ TCP ═ as many collect processes ─► segments ─► SetFollower, looked at ten times a second
"""

import asyncio
import random
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from alphapulse_cli.apps.reconstruct import WRONG
from alphapulse_cli.errors import NoSegment, SegmentError
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.sim.exchange import SimulatedExchange
from alphapulse_cli.wire.delta import BookState

EXCHANGES = {
    "kraken": ("BTC-USD", "ETH-USD"),
    "coinbase": ("BTC-USD", "ETH-USD"),
    "binance-us": ("BTC-USDT", "ETH-USDT"),
    "okx": ("BTC-USDT", "ETH-USDT"),
    "bitfinex": ("BTC-USD", "ETH-USD"),
    "bybit": ("BTC-USDT", "ETH-USDT"),
}
HEALED_BY = ("gap", "checksum", "disconnect", "refuse")
LOOK_S, START_S, CALM_S = 0.1, 60.0, 30.0


@dataclass
class Soak:
    """What a run saw."""

    seconds: float = 0.0
    samples: int = 0
    all_live: int = 0
    faults: int = 0
    dark_s: dict[str, int] = field(default_factory=dict)  # exchange -> number of samples in which not both of its books were LIVE
    longest_dark_s: float = 0.0
    accusations: list[str] = field(default_factory=list)

    @property
    def live_share(self):
        return self.all_live / max(self.samples, 1)

    def __str__(self):
        dark = ", ".join(f"{name} {100 * count / max(self.samples, 1):.2f} %" for name, count in self.dark_s.items())
        return (
            f"{self.seconds:.0f} s, {self.faults} faults, {self.samples} samples: all books LIVE in {100 * self.live_share:.2f} %, longest dark"
            f" {self.longest_dark_s:.2f} s, dark: {dark}; {'; '.join(self.accusations) or 'right'}"
        )


async def soak(seconds, *, every_s=5.0, at_least=0, kinds=HEALED_BY, seed=1, rate=10.0, collect_options=()):
    """Collect for so long, and until so many faults, with one on one exchange each `every_s`, then calm; what was seen."""
    dice, seen = random.Random(f"sockets {seed}"), Soak(dark_s=dict.fromkeys(EXCHANGES, 0))
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="alphapulse-chaos-")))
        directory = stack.enter_context(open_directory(place / "segments", create=True))
        sims = {
            name: await stack.enter_async_context(SimulatedExchange(name, seed=seed, rate=rate, symbols=symbols))
            for name, symbols in EXCHANGES.items()
        }
        for sim in sims.values():
            stack.push_async_callback(_stop, await _collect(sim, place, collect_options))
        followers = await _attached(directory)
        for follower in followers.values():
            stack.callback(follower.close)
        await _until(lambda: all(_live(followers).values()), START_S, "LIVE at the start")
        await _strike_and_look((seconds, at_least), every_s, kinds, dice, sims, followers, seen)
        try:
            await _until(lambda: all(_live(followers).values()), CALM_S, "LIVE in the end")
        except TimeoutError as error:
            seen.accusations.append(str(error))
        seen.accusations += [
            f"{name} {symbol}: a reader's chain broke: {why.name}"
            for name, follower in followers.items()
            for symbol, whys in follower.breaks.items()
            for why in whys
            if why in WRONG
        ]
    return seen


async def _collect(sim, place, options):
    command = [
        sys.executable,
        "-P",
        "-m",
        "alphapulse_cli",
        "collect",
        "--exchange",
        sim.name,
        "--symbols",
        ",".join(sim.truth.symbols),
    ]
    command += ["--url", sim.websocket_url, "--rest-url", sim.rest_url, "--shm-dir", str(place / "segments"), *options]
    with (place / f"{sim.name}.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=log
        )


async def _stop(process):
    process.terminate()
    await process.wait()


async def _attached(directory):
    followers: dict[str, SetFollower] = {}

    def attach():
        for name in EXCHANGES.keys() - followers.keys():
            try:
                followers[name] = SetFollower(directory, name)
            except (NoSegment, SegmentError):
                continue
        return followers.keys() == EXCHANGES.keys()

    await _until(attach, START_S, "there")
    return followers


def _live(followers):
    """By exchange, whether all its books are LIVE and its writer is there."""
    states = {}
    for name, follower in followers.items():
        follower.discover()
        follower.poll(clock.monotonic_ns())
        books = follower.books.values()
        writer_lives = follower.groups.is_live(clock.monotonic_ns())
        states[name] = (
            writer_lives and len(books) == len(EXCHANGES[name]) and all(one.book_state == BookState.LIVE for one in books)
        )
    return states


async def _strike_and_look(until, every_s, kinds, dice, sims, followers, seen):
    started_ns = clock.monotonic_ns()
    seconds, at_least = until
    next_s, dark_since_s = 0.0, None
    while (elapsed_s := (clock.monotonic_ns() - started_ns) / 1e9) < seconds or seen.faults < at_least:
        if elapsed_s >= next_s:
            next_s = elapsed_s + dice.uniform(0.8, 1.2) * every_s
            seen.faults += _strike(dice.choice(kinds), sims, dice)
        await asyncio.sleep(LOOK_S)
        live = _live(followers)
        seen.samples += 1
        seen.all_live += all(live.values())
        for name, is_live in live.items():
            seen.dark_s[name] += not is_live
        if all(live.values()):
            dark_since_s = None
        else:
            dark_since_s = elapsed_s if dark_since_s is None else dark_since_s
            seen.longest_dark_s = max(seen.longest_dark_s, elapsed_s - dark_since_s)
    seen.seconds = elapsed_s


def _strike(kind, sims, dice):
    sim = sims["kraken"] if kind == "checksum" else sims[dice.choice(sorted(sims))]
    symbol = dice.choice(sim.truth.symbols)
    sim.inject(kind, symbol)
    if kind == "refuse":
        sim.inject("gap", symbol)  # so that something is asked for
    return 1


async def _until(holds, limit_s, what):
    end = clock.monotonic_ns() + limit_s * 1e9
    while not holds():
        if clock.monotonic_ns() > end:
            raise TimeoutError(f"not all books were {what} after {limit_s:.0f} s")
        await asyncio.sleep(0.05)
