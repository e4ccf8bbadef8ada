"""Collectors in virtual time under faults, captured and certified: the losses of each certificate are those that were injected.

    python scripts/verify_campaign.py                     1,000 seeds
    python scripts/verify_campaign.py --seeds 0..99
    python scripts/verify_campaign.py --seeds 17..17 --feed okx-books

Each seed is a feed and four faults. What the certificate says of gaps, duplicates, unreadable and unknown frames and lost connections is compared
with what struck, every counter with the live collector's, and the parts of each book's time with the whole (tests/chaos/certificates.py).
Run by the Python that has alphapulse installed, from a source tree. Exit code 1 if any certificate is wrong.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

# tests/chaos is the package `chaos`; this file, beside which Python looks first, is not.
sys.path[:] = [
    str(Path(__file__).parents[1] / "tests"),
    *(place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent),
]

from chaos.certificates import run_seed  # noqa: E402 - of the package that was just put in reach
from support.feeds import FEEDS, feed_id  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", default="0..999", metavar="A..B", help="first and last; 0..999 if not given")
    parser.add_argument("--feed", default="", help=f"only this, of {', '.join(map(feed_id, FEEDS))}")
    given = parser.parse_args()
    first, _, last = given.seeds.partition("..")
    if not (first.isdecimal() and last.isdecimal()):
        parser.error(f"--seeds {given.seeds}: write first..last, as in 0..999")
    given.seeds = range(int(first), int(last) + 1)
    feeds = {feed_id(feed): feed for feed in FEEDS}
    if given.feed and given.feed not in feeds:
        parser.error(f"no feed {given.feed}: there are {', '.join(feeds)}")
    given.feed = feeds.get(given.feed)
    return given


def main():
    given = arguments()
    struck: Counter[str] = Counter()
    wrong = 0
    for seed in given.seeds:
        result = run_seed(seed, feed=given.feed)
        struck += result.struck
        if result.wrong:
            wrong += 1
            print(result, flush=True)
    print(
        f"verify: {len(given.seeds)} seeds, {wrong} wrong; struck: {', '.join(f'{kind} {count}' for kind, count in sorted(struck.items()))}"
    )
    return int(bool(wrong) or not struck)


if __name__ == "__main__":
    sys.exit(main())
