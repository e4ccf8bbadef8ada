"""Planted opportunities as collectors' books show them to any reader: the real protocols, with mischief on, on a clock that the test moves."""

from decimal import Decimal

import pytest
from support.app_parts import Sims, live_books, wait_until

from alphapulse_cli.sim.exchange import VIRTUAL_START_NS
from alphapulse_cli.sim.mischief import parse_mischief
from alphapulse_cli.sim.planted import PlantedSchedule

NAMES = ("binance-us", "kraken")
SYMBOLS = ("DOGE-USD", "ETH-BTC")
STEP_S = 0.05


@pytest.fixture
def sims():
    made = Sims()
    yield made
    made.close()


@pytest.mark.parametrize("mischief", ["", "gap:0.003,checksum:0.01,reorder:0.003,duplicate:0.02"])
def test_both_books_show_exactly_what_the_schedule_says(alphapulse, sims, mischief):
    """Whenever both books are LIVE during its life, their best levels are the planted ones; afterwards they are not."""
    schedule = PlantedSchedule(5, NAMES, SYMBOLS, every_ns=6 * 10**9)  # of which none lasts longer than 3.6 s
    for name in NAMES:
        sims.start(name, symbols=SYMBOLS, planted=schedule, mischief=parse_mischief(mischief))
    chosen = [word for name in NAMES for word in ("--exchange", name)]
    alphapulse.start("collect", *chosen, "--symbols", ",".join(SYMBOLS), **sims.environment())
    wait_until(lambda: sims.nudge() or len(live_books(alphapulse.shm_dir)) == 4, what="live books")

    def now_ns():
        return max(sim.now_ns for sim in sims.served.values())

    def tops(plant):
        books = {book.exchange: book for book in live_books(alphapulse.shm_dir) if book.symbol == plant.symbol}
        if len(books) < 2:
            sims.nudge()  # one of them is resyncing
            return None
        buy, sell = books[plant.buy.instrument.exchange], books[plant.sell.instrument.exchange]
        return tuple(map(Decimal, (buy.ask, buy.ask_size, sell.bid, sell.bid_size)))

    def shown(plant):
        """Whether it was seen before it was over: a book that is resyncing all the while shows nothing."""
        promised = (plant.buy.price, plant.size, plant.sell.price, plant.size)
        for sim in sims.served.values():
            sims.do(sim.advance(int((plant.begin_ns - sim.now_ns) / 1e9 / STEP_S) - 10))
        before = wait_until(lambda: tops(plant), what="both books")
        assert before != promised or now_ns() >= plant.begin_ns
        while min(sim.now_ns for sim in sims.served.values()) < plant.begin_ns:
            sims.move()

        def outcome():
            if tops(plant) == promised:
                return "seen"
            if mischief:
                sims.nudge()  # what was dropped is missed with the next message
            return "over" if now_ns() >= plant.end_ns else None

        return wait_until(outcome, what="what is planted") == "seen"

    assert now_ns() >= VIRTUAL_START_NS
    for _ in range(10 if mischief else 1):
        soon_ns = now_ns() + 2 * 10**9
        plant = next(each for each in schedule.planted(soon_ns, soon_ns + 10**12) if each.life_ns > 2 * 10**9)
        if shown(plant):
            break
    else:
        pytest.fail("none of them was seen")
    for sim in sims.served.values():
        sims.do(sim.advance(max(1, int((plant.end_ns - sim.now_ns) / 1e9 / STEP_S) + 2)))
    wait_until(lambda: (found := tops(plant)) and not set(found) & {plant.buy.price, plant.sell.price}, what="its end")
