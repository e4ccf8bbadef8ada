"""Collectors in virtual time under every fault that we know a name for: seeds, each one feed, one to three kinds of fault, and a judge.

    python scripts/chaos.py                         200 seeds
    python scripts/chaos.py --seeds 0..4999         as many as you like
    python scripts/chaos.py --seeds 17..17 --tell   one, with what the collector said
    python scripts/chaos.py --kinds gap,refuse --feed kraken --seeds 1..20
    python scripts/chaos.py --feed my-exchange      a plug-in that is installed beside alphapulse
    python scripts/chaos.py --healing               a fault each 5 s on every feed; how much of the time all books were LIVE
    python scripts/chaos.py --sockets --minutes 10  the same in real time: four exchanges, four collect processes, real sockets

The Session, the Decoder, the books, the segments and a following reader are the real ones; the network, REST and the clock are made up, so
a minute of a collector takes half a second, and the same seed gives the same run and the same trace. What the judge demands stands in
tests/chaos/judge.py. Run by the Python that has alphapulse installed, from a source tree. Exit code 1 if any seed is accused of anything.
"""

import argparse
import asyncio
import sys
from pathlib import Path

# tests/chaos is the package `chaos`; this file, beside which Python looks first, is not.
sys.path[:] = [
    str(Path(__file__).parents[1] / "tests"),
    *(place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent),
]

from chaos.campaign import HEALING_KINDS, KINDS, run_seed  # noqa: E402 - of the package that was just put in reach
from chaos.sockets import HEALED_BY, soak  # noqa: E402
from support.feeds import FEEDS, feed_id, feeds_of  # noqa: E402

from alphapulse_cli import exchanges  # noqa: E402

LEAST_LIVE = 0.95


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", default="0..199", metavar="A..B", help="first and last; 0..199 if not given")
    parser.add_argument("--kinds", default="", help=f"only these, by commas, of {', '.join(KINDS)}")
    parser.add_argument("--feed", default="", help=f"only this, of {', '.join(map(feed_id, FEEDS))}")
    parser.add_argument("--healing", action="store_true", help="the healing figure of each feed in place of the campaign")
    parser.add_argument("--sockets", action="store_true", help="over real sockets, in real time")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long, over sockets; 1 if not given")
    parser.add_argument("--every", type=float, default=5.0, help="seconds from fault to fault, over sockets; 5 if not given")
    parser.add_argument("--tell", action="store_true", help="what each collector said, too")
    given = parser.parse_args()
    first, _, last = given.seeds.partition("..")
    if not (first.isdecimal() and last.isdecimal()):
        parser.error(f"--seeds {given.seeds}: write first..last, as in 0..199")
    given.seeds = range(int(first), int(last) + 1)
    given.kinds = [kind for kind in given.kinds.split(",") if kind]
    unknown = sorted(set(given.kinds) - set(KINDS))
    if unknown:
        parser.error(f"no kind {unknown[0]}: there are {', '.join(KINDS)}")
    plug_ins = [feed for name in exchanges.names() if name not in exchanges.BUILT_IN for feed in feeds_of(name)]
    feeds = {feed_id(feed): feed for feed in (*FEEDS, *plug_ins)}
    if given.feed and given.feed not in feeds:
        parser.error(f"no feed {given.feed}: there are {', '.join(feeds)}")
    given.feed = feeds.get(given.feed)
    return given


def campaign(given):
    """Every seed; how many were accused."""
    accused, struck, seconds = 0, 0, 0.0
    for seed in given.seeds:
        result = run_seed(seed, feed=given.feed, kinds=given.kinds or None)
        struck, seconds = struck + result.struck, seconds + result.seconds
        accused += bool(result.accusations)
        if result.accusations or given.tell:
            print(result, f"[{result.trace}]", flush=True)
        if given.tell:
            print(*result.notices, sep="\n")
    count = len(given.seeds)
    print(f"chaos: {count} seeds, {struck:,} faults, {accused} accused, {seconds / max(count, 1):.2f} s a seed")
    return accused


def healing(given):
    """A fault each 5 s; the share of samples with all books LIVE, and the longest time without."""
    accused = 0
    for feed in [given.feed] if given.feed else FEEDS:
        for kind in HEALING_KINDS:
            if feed not in KINDS[kind].feeds:
                continue
            every_s = 10.0 if kind == "refuse" else 5.0  # a refusal comes with a gap, for which something is asked
            result = run_seed(given.seeds[0], feed=feed, kinds=(kind,), faults_s=300.0, every_s=every_s)
            accused += bool(result.accusations)
            print(
                f"{feed_id(feed):20} {kind:12} all LIVE {100 * result.live_share:6.2f} %  longest dark {result.longest_dark_s:5.2f} s"
                f"  faults {result.struck:3}  {'; '.join(result.accusations) or 'right'}",
                flush=True,
            )
    return accused


def over_sockets(given):
    """In real time: how much of it all books were LIVE; accused below 95 %."""
    seen = asyncio.run(soak(given.minutes * 60, every_s=given.every, seed=given.seeds[0], kinds=given.kinds or HEALED_BY))
    print(f"chaos over sockets: {seen}")
    return len(seen.accusations) + (seen.live_share < LEAST_LIVE)


if __name__ == "__main__":
    asked = arguments()
    work = over_sockets if asked.sockets else healing if asked.healing else campaign
    sys.exit(1 if work(asked) else 0)
