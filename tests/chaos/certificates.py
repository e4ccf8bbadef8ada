"""Chaos, captured and certified: what was injected is what the certificate says, and what the live collector counted. `scripts/verify_campaign.py`.

A seed is a feed and some faults, each struck on healed books: the next one waits until they are LIVE and have been so for a while, since how
soon a collector asks for a snapshot after faults that follow one another is decided by its own clock, of which a capture knows nothing.
"""

import asyncio
import random
import tempfile
from collections import Counter as Counts
from dataclasses import dataclass, field
from pathlib import Path

from chaos.campaign import START_NS, shared_memory
from chaos.virtual_time import VirtualTime
from chaos.world import World
from support.feeds import FEEDS, feed_id

import alphapulse_cli as ap
from alphapulse_cli.apps.verify.audit import LABELS
from alphapulse_cli.shm.directory import open_directory

KINDS = ("gap", "checksum", "duplicate", "garbage", "unknown", "disconnect")
PROVED_BY_CHECKSUM = frozenset({"kraken"})
OF_CONNECTIONS = frozenset({"coinbase-advanced", "bitfinex"})  # one sequence for all books: a loss is a gap of each
WITHIN_NS = 4_000_000_000  # in which a loss shows: with the next message of its book, and before the next fault
FAULTS = 4
CALM_S = 4.0  # twice what a collector takes to forget a fault


@dataclass
class Result:
    """What a seed gave: the faults that struck by kind, and what the certificate has wrong."""

    feed: tuple[str, str]
    seed: int
    struck: Counts[str] = field(default_factory=Counts)
    wrong: list[str] = field(default_factory=list)

    def __str__(self):
        return f"seed {self.seed} {feed_id(self.feed)}: {'; '.join(self.wrong) or 'right'}"


def kinds_of(feed):
    """Kinds of fault that strike a feed, and show in another way than by the time for which a book is crossed."""
    wrong = {"gap"} if feed_id(feed) == "coinbase-exchange" else set()
    wrong |= set() if feed[0] in ("kraken", "bitfinex") else {"checksum"}
    return [kind for kind in KINDS if kind not in wrong]


def run_seed(seed, *, feed=None, spoil=lambda certificate: certificate):
    """One run; `spoil` changes the certificate before it is looked at, for tests of this very check."""
    result = Result(feed or FEEDS[seed % len(FEEDS)], seed)
    with (
        tempfile.TemporaryDirectory(prefix="alphapulse-chaos-", dir=shared_memory()) as place,
        VirtualTime(START_NS, seed) as times,
        open_directory(Path(place) / "segments", create=True) as directory,
    ):
        world = World(directory, times, *result.feed, seed=seed, capture=Path(place) / "captures")
        live = times.run(_scene(world, result))
        [certificate] = ap.verify(Path(place) / "captures").sets
        injections = [one for one in world.sim.injections if one.kind in KINDS]
        result.struck = Counts(one.kind for one in injections)
        result.wrong += _compare(world, spoil(certificate), injections, live)
    return result


async def _scene(world, result):
    """Let the faults strike, one after the other; the counters of the collector, by symbol."""
    dice = random.Random(f"certificates {world.seed}")
    async with world:
        if await world.until(world.is_live, 30.0) is None:
            result.wrong.append("never LIVE at the start")
        await asyncio.sleep(CALM_S)
        for _ in range(FAULTS):
            kind = dice.choice(kinds_of(result.feed))
            before = sum(world.sim.injection_counts.values())
            world.sim.inject(kind, "" if kind == "disconnect" else dice.choice(world.symbols))
            await world.until(lambda before=before: sum(world.sim.injection_counts.values()) > before, 30.0)
            await asyncio.sleep(1.0)  # it has shown
            if await world.until(world.is_live, 60.0) is None:
                result.wrong.append(f"not healed of {kind}: {world.states()}")
            await asyncio.sleep(CALM_S)
        await world.stand_still()
    return {symbol: dict(block) for symbol, block in world.counted.items()}


def _compare(world, certificate, injections, live):
    """What is wrong with a certificate, a line each."""
    counts = {label: sum(block[label] for block in live.values()) for label in LABELS}
    struck = Counts(one.kind for one in injections)
    wrong = [label for label in LABELS if certificate.counts[label] != counts[label]]
    found = [f"{label}: {certificate.counts[label]}, live {counts[label]}" for label in wrong]
    # At least: a resync may cost a connection, an unchanged picture is sent again, and one fault may be two frames.
    for kind, number in (
        ("duplicate", certificate.duplicates),
        ("garbage", certificate.counts["decode_errors"]),
        ("unknown", certificate.counts["unrecognised"]),
        ("disconnect", certificate.counts["reconnects"]),
    ):
        if number < struck[kind]:
            found.append(f"{kind}: {number}, struck {struck[kind]}")
    if certificate.proofs:
        found += _losses(world, certificate, [one for one in injections if one.kind in ("gap", "checksum")])
    if any(gap.healed_ns is None for gap in certificate.gaps):
        found.append("a gap that was healed is not")
    for book in certificate.books:
        if sum(book.time.values()) != book.whole_ns:
            found.append(f"the parts of {book.symbol}'s time do not add up")
    return found


def _losses(world, certificate, losses):
    """Whether each loss has its gap: one of its book, or one of each book of the connection; and no gap is without one."""
    found = []
    shown = [gap for gap in certificate.gaps if gap.kind in ("sequence", "checksum")]
    of_losses = set()
    for loss in losses:
        symbols = set(world.symbols) if feed_id(world.feed) in OF_CONNECTIONS and loss.kind == "gap" else {loss.symbol}
        gaps = [gap for gap in shown if loss.at_ns <= gap.time_ns < loss.at_ns + WITHIN_NS and gap.symbol in symbols]
        of_losses |= {gap.id for gap in gaps}
        is_hidden = (
            world.exchange_name in PROVED_BY_CHECKSUM and loss.kind == "gap"
        )  # what is lost may change back before a checksum
        if len(gaps) != len(symbols) and not (is_hidden and not gaps):
            found.append(f"{loss.kind} of {loss.symbol}: {len(gaps)} gaps in place of {len(symbols)}")
        if any(gap.since_ns is None or gap.since_ns > gap.time_ns for gap in gaps):
            found.append(f"{loss.kind} of {loss.symbol}: a gap that begins behind its end")
    return found + [
        f"gap {gap.id} of {gap.symbol} without a loss" for gap in shown if gap.id not in of_losses and not _is_doubled(gap)
    ]


def _is_doubled(gap):
    """Whether a gap shows a number that came twice, which nothing was lost by."""
    return gap.kind == "sequence" and gap.found.isdigit() and gap.expected.isdigit() and int(gap.found) < int(gap.expected)
