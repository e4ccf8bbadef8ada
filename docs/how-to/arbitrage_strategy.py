"""Trades on paper what `alphapulse arb` sees: each opportunity that is still there 50 ms after its birth, once.

    alphapulse demo --plant 30/min                               # in another terminal
    python docs/how-to/arbitrage_strategy.py --seconds 60

It ignores what only real trading teaches: the way to the exchange and the queue there, orders filled in part, our own trades in the
books, two opportunities that want the same level, the price of bringing the inventory back. What it prints is an upper bound.
"""

import argparse
import time
from collections import Counter, defaultdict
from fractions import Fraction

import alphapulse_cli as ap
from alphapulse_cli.flow.arbitrage.exact import ZERO, Exact

LATE_NS = 20_000_000  # what was received longer ago has been read by now
MOST = Fraction(5_000)  # held or owed at one exchange of one symbol, in its quote currency
POLICY = ap.ArbitragePolicy(notional=Exact(2_000), min_profit=Exact(1), report_every_ns=0)  # 0: every change is told


class Paper:
    """What is waited for, what is held where, and of each (outcome, currency) how often and how much."""

    def __init__(self, lived_ns):
        self.lived_ns = lived_ns  # what we grant ourselves to see it, decide and be there
        self.waiting = {}  # id -> the last event of an opportunity that is younger
        self.held = defaultdict(Fraction)  # (exchange, symbol) -> what was bought, less what was sold, at the prices then
        self.counts: Counter[tuple[str, str]] = Counter()
        self.sums: dict[tuple[str, str], Exact] = defaultdict(lambda: ZERO)

    def take(self, event):
        """One event, in the order of its time."""
        self.settle(event.at_ns)
        name = event.opportunity.id
        if event.kind == "opened" or (event.kind == "changed" and name in self.waiting):
            self.waiting[name] = event
        elif event.kind == "closed" and self.waiting.pop(name, None):
            self.note(f"lost, {event.why.meaning}", event, f"after {(event.at_ns - event.opportunity.born_ns) / 1e6:.1f} ms, ")

    def settle(self, now_ns):
        """Trade what has lived long enough by then, as it was last told."""
        for name, event in list(self.waiting.items()):
            if event.opportunity.born_ns + self.lived_ns <= now_ns:
                del self.waiting[name]
                self.trade(event)

    def trade(self, event):
        """All of it, or nothing where too much is held or owed already."""
        pair, found = event.opportunity.candidate, event.finding
        buy, sell = (pair.buy.name, pair.symbol), (pair.sell.name, pair.symbol)
        spent, got = found.spent.fraction, (found.spent + found.net).fraction
        if self.held[buy] + spent > MOST or self.held[sell] - got < -MOST:
            self.note("no inventory", event)
            return
        self.held[buy] += spent
        self.held[sell] -= got
        self.note("traded", event)

    def note(self, outcome, event, when=""):
        """Count it and say what it earned when it was last told, and at its birth."""
        one, net = event.opportunity, event.finding.net
        pair = one.candidate
        self.counts[outcome, pair.currency] += 1
        self.sums[outcome, pair.currency] += net
        way = f"{pair.symbol} {pair.buy.name} > {pair.sell.name}, size {event.finding.size.text}"
        print(f"{one.id} {outcome}: {when}{way}, net {net.text} {pair.currency}, at birth {one.birth.net.text}", flush=True)

    def summary(self):
        """A line an outcome; nobody knows what became of those that are still too young."""
        for (outcome, currency), count in sorted(self.counts.items()):
            yield f"{outcome}: {count}, together {self.sums[outcome, currency].text} {currency}"
        yield f"still too young: {len(self.waiting)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--lived-ms", type=int, default=50)
    parser.add_argument("--shm-dir")
    chosen = parser.parse_args()
    paper, end = Paper(chosen.lived_ms * 1_000_000), time.monotonic() + chosen.seconds
    with ap.arbitrage(policy=POLICY, shm_dir=chosen.shm_dir) as seen:
        while time.monotonic() < end:
            for event in seen.poll():
                paper.take(event)
            paper.settle(time.time_ns() - LATE_NS)
            seen.wait(0.01)
        print(*paper.summary(), f"records missed: {seen.status.missed}", sep="\n")


if __name__ == "__main__":
    main()
