"""Seeds become runs: which faults strike which feed when, and what the judge must find afterwards. `scripts/chaos.py` runs many.

A run has a time of faults, then calm. Faults are kinds of the simulator's mischief, and `clock`, our real-time clock that jumps.
"""

import asyncio
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from chaos.virtual_time import VirtualTime
from chaos.world import STALL_S, World
from support.feeds import FEEDS, feed_id

from alphapulse_cli import exchanges
from alphapulse_cli.shm.directory import open_directory

START_NS = 1_790_000_000 * 10**9
HEALING_S = 15.0  # for all books to be LIVE and true once faults have ended and none of them may last
# How long a LIVE book may be wrong without anybody's knowing, a second past the bound in which the collector says that it notices.
UNPROVEN_S, SILENT_S, QUIET_S, ALL_QUIET_S, BACKWARDS_S = 11.0, 4.0, 31.0, 61.0, 6.0
UNSEEN_S = 1000.0  # a lost frame of a feed without numbers shows where the book crosses itself (J3), else with the next connection
DRIPPING_S = 30.0  # a feed that is late is shown by its feed delay, not by a state

OF_CONNECTIONS = frozenset({"mute", "stall", "drip", "half-open", "disconnect", "rst"})
HEALING_KINDS = ("gap", "checksum", "disconnect", "refuse")
NUMBERED = frozenset(FEEDS) - {("coinbase", "exchange")}  # a lost frame shows, or the next picture makes good for it
COUNTED = frozenset(feed for feed in NUMBERED if feed[0] != "kraken")  # by numbers
SPLICED = frozenset({("binance-us", "diff")})
LIKE_A_PLUG_IN = {True: ("bybit", ""), False: ("coinbase", "exchange")}  # by `Mode.shows_loss`


@dataclass(frozen=True)
class Kind:
    """One kind of fault: on which feeds it can be healed, and what it allows."""

    name: str
    feeds: frozenset[tuple[str, str]] = frozenset(FEEDS)
    allows_s: float = 0.0  # a LIVE book may be wrong for so long
    of_symbol: bool = False  # what it allows is allowed of one symbol
    lasts_s: float = 0.0
    injected: str = ""  # the simulator's name of it, of one symbol
    by_silence: bool = False  # noticed by what the feed promises: feeds that promise nothing are looked at when all books are quiet

    def allowed_s(self, feed, stalled_s=STALL_S):
        """The bound on this feed, after stalls that lasted `stalled_s` without a pause."""
        promise = exchanges.get(feed[0]).facts.mode(feed[1]).silence
        if self.by_silence:
            if promise is None:
                return ALL_QUIET_S
            # Stalls that end before they are noticed, then silence: what a stall kept back is late, so the book is never right between.
            unnoticed_s = min(stalled_s, promise.stale_after_s) if promise.stale_after_s > STALL_S else 0.0
            return max(self.allows_s, promise.stale_after_s + unnoticed_s + 1.0)
        return self.allows_s


KINDS = {
    kind.name: kind
    for kind in (
        Kind("gap", NUMBERED),
        Kind("unseen-gap", frozenset(FEEDS) - NUMBERED, allows_s=UNSEEN_S, injected="gap"),
        Kind("duplicate", NUMBERED),
        Kind("reorder", NUMBERED),
        Kind("checksum", frozenset({("kraken", ""), ("bitfinex", "")})),
        Kind("malformed"),
        Kind("bomb"),
        Kind("garbage"),
        Kind("unknown"),
        Kind("flood"),
        Kind("stall", allows_s=SILENT_S, lasts_s=STALL_S, by_silence=True),
        Kind("drip", allows_s=DRIPPING_S, lasts_s=6.0),
        Kind("disconnect"),
        Kind("rst"),
        Kind("half-open", allows_s=SILENT_S),
        Kind("mute", allows_s=SILENT_S, by_silence=True),
        Kind("mute-symbol", allows_s=QUIET_S, of_symbol=True, lasts_s=QUIET_S, injected="mute"),
        Kind("refuse"),
        Kind("lost-ack", lasts_s=20.0),  # an answer that is lost twice is asked for after 10 s and after 20 more
        Kind("sequence-reset", COUNTED, allows_s=BACKWARDS_S),
        Kind("old-snapshot", SPLICED),
        Kind("late-snapshot", SPLICED),
        Kind("ahead-snapshot", SPLICED, allows_s=BACKWARDS_S),
        Kind("metadata"),
        Kind("halted", of_symbol=True, lasts_s=8.0),
        Kind("handshake-401"),
        Kind("handshake-418"),
        Kind("handshake-429"),
        Kind("handshake-503"),
        Kind("clock"),
    )
}


@dataclass
class Result:
    feed: tuple[str, str]
    seed: int
    kinds: tuple[str, ...]
    accusations: list[str] = field(default_factory=list)
    trace: str = ""
    live_share: float = 0.0
    longest_dark_s: float = 0.0
    struck: int = 0
    seconds: float = 0.0
    notices: list[str] = field(default_factory=list)

    def __str__(self):
        return f"seed {self.seed} {feed_id(self.feed)} {','.join(self.kinds)}: {'; '.join(self.accusations) or 'right'}"


def kinds_of(feed):
    """Names of the kinds of fault that strike a feed; a plug-in's, those of a built-in one that shows a loss as it does."""
    if feed not in FEEDS:
        feed = LIKE_A_PLUG_IN[exchanges.get(feed[0]).facts.mode(feed[1]).shows_loss]
    return [name for name, kind in KINDS.items() if feed in kind.feeds]


def feed_and_kinds(seed, feed=None):
    """What a seed is about: one feed, one to three kinds of fault; the first of them in turn, so that few seeds have them all."""
    dice = random.Random(f"chaos {seed}")
    turn, place = (seed, 0) if feed else divmod(seed, len(FEEDS))
    feed = feed or FEEDS[place]
    known = kinds_of(feed)
    first = known.pop((turn + 7 * place) % len(known))
    return feed, (first, *dice.sample(known, dice.choice((0, 0, 1, 2))))


def run_seed(seed, *, feed=None, kinds=None, faults_s=20.0, every_s=5.0):
    """One run; the same arguments give the same trace."""
    feed, chosen_kinds = feed_and_kinds(seed, feed)
    result = Result(feed, seed, tuple(kinds or chosen_kinds))
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix="alphapulse-chaos-", dir=shared_memory()) as place,
        VirtualTime(START_NS, seed) as times,
        open_directory(Path(place) / "segments", create=True) as directory,
    ):
        times.run(_scene(World(directory, times, *result.feed, seed=seed), result, faults_s, every_s))
    result.seconds = time.perf_counter() - began
    return result


def shared_memory():
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


async def _scene(world, result, faults_s, every_s):
    dice = random.Random(f"faults {world.seed}")
    async with world:
        judge = world.judge
        world.when_struck = lambda injection: [
            allow(world, kind, injection.symbol)
            for kind in map(KINDS.get, result.kinds)
            if injection.kind in (kind.name, kind.injected)
        ]
        if await world.until(world.is_live, 30.0) is None:
            judge.accusations.append("never LIVE at the start")
        await asyncio.sleep(2.0)  # every subscription is answered
        bound_s = HEALING_S
        ends_s = world.elapsed_s + faults_s
        while world.elapsed_s < ends_s:
            kind = KINDS[dice.choice(result.kinds)]
            strike(world, kind, dice)
            if kind.allows_s < UNSEEN_S:
                bound_s = max(bound_s, kind.allowed_s(result.feed) + kind.lasts_s + HEALING_S)
            await asyncio.sleep(dice.uniform(0.8, 1.2) * every_s)
        world.sim.calm()
        if "unseen-gap" in result.kinds:
            world.sim.inject("disconnect")
        if "halted" in result.kinds:
            bound_s += world.status_within_s
        healed_s = await world.until(
            lambda: world.is_live() and world.judge.is_true_now() and world.is_status_told() and not world.is_mute(), bound_s
        )
        if healed_s is None:
            judge.accusations.append(f"J4: not healed {bound_s:.0f} s after the last fault: {world.states()}")
        await asyncio.sleep(2.0)
        await world.stand_still()
        if not (world.is_live() and world.is_true()):
            judge.accusations.append(f"J4: in the end not all LIVE and true: {world.states()}")
        judge.accusations += world.readers_faults() + world.trades_faults()
        result.struck = sum(world.sim.injection_counts.values())
    result.accusations, result.trace = judge.accusations, judge.trace_hash
    result.live_share = judge.all_live / max(judge.samples, 1)
    result.longest_dark_s, result.notices = judge.longest_dark_s, world.notices


def allow(world, kind, symbol):
    """A LIVE book may be wrong because of this fault, counted from now: it was injected, or has struck."""
    allowed_s = kind.allowed_s(world.feed, max(STALL_S, world.stalled_s))
    if kind.by_silence and world.is_unproven:
        allowed_s = max(allowed_s, UNPROVEN_S)
    world.judge.allow(allowed_s, symbol if kind.of_symbol else "", lasts_s=kind.lasts_s + 2.0)


def strike(world, kind, dice):
    """Let one fault happen as soon as it can."""
    symbol = dice.choice(world.symbols)
    world.trace("fault", kind.name, symbol)
    allow(world, kind, symbol)
    if kind.name == "clock":
        world.time.set_clock(dice.choice((-3600.0, -5.0, 0.5, 3600.0)))
    elif kind.injected:
        world.sim.inject(kind.injected, symbol)
    elif kind.name in ("refuse", "lost-ack", "old-snapshot", "late-snapshot", "ahead-snapshot"):
        world.sim.inject(kind.name, symbol, 3.0)
        world.sim.inject("malformed", symbol)  # so that something is asked for
    else:
        # What strikes a connection strikes with its next frame: that of one symbol, which may be mute or halted, would be late.
        world.sim.inject(kind.name, "" if kind.name in OF_CONNECTIONS else symbol, kind.lasts_s or 2.0)
