"""`arb watch` finds exactly what the simulators plant: real protocols, real collectors, real segments, on a clock that the test moves."""

import json
import threading
from decimal import Decimal

import pytest
from support.app_parts import Sims, live_books, wait_until

from alphapulse_cli.sim.mischief import parse_mischief
from alphapulse_cli.sim.planted import PlantedSchedule

NAMES = ("binance-us", "kraken")
SYMBOLS = ("DOGE-USD", "ETH-BTC")
STEP_S = 0.05
SECOND = 1_000_000_000


@pytest.fixture
def sims():
    made = Sims()
    yield made
    made.close()


class Watched:
    """What `arb watch` says, line by line as it says it."""

    def __init__(self, process):
        self.rows = []
        self._process = process
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self._process.stdout:
            self.rows.append(json.loads(line))

    def closed(self):
        return [row for row in self.rows if row["event"] == "closed"]

    def ways(self, since=0):
        """(symbol, buy, sell, size, net) of each opportunity that is over, at its peak."""
        return [tuple(row[key] for key in ("symbol", "buy", "sell", "peak_size", "peak_net")) for row in self.closed()[since:]]


def way(plant):
    """What the schedule promises, in the same words."""
    earned = plant.outcome()
    return plant.symbol, plant.buy.instrument.exchange, plant.sell.instrument.exchange, plain(earned.size), plain(earned.net)


def plain(number):
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class Stage:
    """The simulators, their collectors and the watch."""

    def __init__(self, alphapulse, sims, mischief="", every_s=20, longest_s=5):
        self.sims, self.alphapulse, self.longest_ns = sims, alphapulse, longest_s * SECOND
        self.schedule = PlantedSchedule(5, NAMES, SYMBOLS, every_ns=every_s * SECOND)
        for name in NAMES:
            sims.start(name, symbols=SYMBOLS, planted=self.schedule, mischief=parse_mischief(mischief))
        chosen = [word for name in NAMES for word in ("--exchange", name)]
        alphapulse.start("collect", *chosen, "--symbols", ",".join(SYMBOLS), **sims.environment())
        wait_until(lambda: sims.nudge() or self.are_live(), what="live books")
        limits = ("--max-skew", "1h", "--max-age", "1h")  # the simulators' clock is not ours
        self.process = alphapulse.start("arb", "watch", *limits)
        self.watched = Watched(self.process)
        wait_until(lambda: "arb watch" in alphapulse("segments").stdout, what="the watch")

    def are_live(self):
        return len(live_books(self.alphapulse.shm_dir)) == 4

    def now_ns(self):
        return max(sim.now_ns for sim in self.sims.served.values())

    def go_to(self, moment_ns):
        """Move every simulator's clock to it, no further than a step."""
        for sim in self.sims.served.values():
            steps = int((moment_ns - sim.now_ns) / SECOND / STEP_S)
            if steps > 0:
                self.sims.do(sim.advance(steps))

    def coming(self):
        """What is planted next that lasts long enough, and no longer than `longest_s`."""
        soon_ns = self.now_ns() + 2 * SECOND
        following = self.schedule.planted(soon_ns, soon_ns + 1000 * SECOND)
        return next(each for each in following if SECOND < each.life_ns <= self.longest_ns)


def test_each_is_reported_once_with_its_size_and_profit_to_the_last_unit(alphapulse, sims):
    """None missed, none invented."""
    stage = Stage(alphapulse, sims)
    promised = []
    until_ns = stage.now_ns()
    for _ in range(4):
        plant = stage.coming()
        between = list(stage.schedule.planted(until_ns, plant.begin_ns))
        for one in [*between, plant]:
            stage.go_to(one.begin_ns - SECOND // 2)
            promised.append(way(one))
            while min(sim.now_ns for sim in sims.served.values()) < one.begin_ns:
                sims.move()  # and no further: it stands until it is told, however late
            wait_until(lambda: is_told(stage, promised), what=f"{promised[-1]}")
            stage.go_to(one.end_ns)
            wait_until(lambda: stage.sims.nudge() or len(stage.watched.closed()) >= len(promised), what="its end")
        until_ns = plant.begin_ns + 1
    assert stage.watched.ways() == promised
    assert {row["why"] for row in stage.watched.closed()} == {"gone"}
    stage.process.terminate()
    assert stage.process.wait(30) == 0


def is_told(stage, promised):
    """Whether as many were born as were promised, the last with its full profit."""
    rows = stage.watched.rows
    return sum(row["event"] == "opened" for row in rows) == len(promised) and any(
        row["peak_net"] == promised[-1][4] for row in rows
    )


@pytest.mark.parametrize("mischief", ["gap:0.003,checksum:0.01,reorder:0.003,duplicate:0.02"])
def test_with_mischief_nothing_is_invented(alphapulse, sims, mischief):
    """A book that is resyncing gives nothing; what is reported is what was planted, in as many pieces as its books were live.

    What is planted lasts 2 s at most, every 6 s: while the test waits, a second of the market takes two (`Sims.nudge`).
    """
    stage = Stage(alphapulse, sims, mischief, every_s=6, longest_s=2)
    promised = set()
    for _ in range(3):
        plant = stage.coming()
        promised |= {way(one) for one in stage.schedule.planted(stage.now_ns() - 20 * SECOND, plant.end_ns)}
        stage.go_to(plant.begin_ns - SECOND // 2)
        before = len(stage.watched.closed())

        def seen_or_over(plant=plant, before=before):
            stage.sims.nudge()
            return way(plant) in stage.watched.ways(before) or stage.now_ns() > plant.end_ns + 2 * SECOND

        wait_until(seen_or_over, what="what is planted")
    wait_until(lambda: stage.sims.nudge() or not is_open(stage), what="the last one's end")
    ways = stage.watched.ways()
    assert ways
    assert {one[:3] for one in ways} <= {one[:3] for one in promised}
    assert set(ways) & promised
    profits = {one[:3]: [other for other in promised if other[:3] == one[:3]] for one in ways}
    assert all(any(Decimal(one[4]) <= Decimal(other[4]) for other in profits[one[:3]]) for one in ways)


def is_open(stage):
    return len(stage.watched.closed()) < sum(row["event"] == "opened" for row in stage.watched.rows)
