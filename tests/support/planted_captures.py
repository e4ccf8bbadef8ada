"""Captures of two simulated exchanges with planted opportunities, made in virtual time, without a socket."""

from dataclasses import replace

from alphapulse_cli.apps.bench import captures, frames
from alphapulse_cli.apps.bench.frames import FEEDS, SEED, STARTED_NS, Heard, Server, Tape
from alphapulse_cli.exchanges.protocol import BOOK
from alphapulse_cli.sim.market_maker import SimulatedMarket
from alphapulse_cli.sim.planted import PlantedSchedule
from support.captures import write_rows

SYMBOL = "BTC-USD"


def write_planted(folder, updates=600, every_ns=1_000_000_000, names=("kraken", "coinbase")):
    """Write captures of `updates` messages, 50 ms apart, of each exchange; returns the schedule of what was planted."""
    schedule = PlantedSchedule(SEED, names, (SYMBOL,), every_ns)
    for name in names:
        tape = planted_tape(next(feed for feed in FEEDS if feed.case == name), schedule, updates)
        head = captures.head_of(tape, STARTED_NS)
        write_rows(folder, replace(head, set_name=name), captures.rows_of(tape))
    return schedule


def planted_tape(feed, schedule, updates):
    """Tape of a feed whose market has what the schedule plants. A step without a change in reach is sent as none."""
    server = Server(feed)
    server.market = SimulatedMarket(feed.exchange, SEED, [feed.symbol], start_ns=STARTED_NS, planted=schedule)
    server.encoder = server.exchange.encoder(server.market, server.mode.name)
    server.rest = server.exchange.rest_encoder(server.market, server.mode.name)
    instrument, depth = server.instrument(), server.mode.default_depth

    def receiver():
        return server.exchange.decoder([instrument], {BOOK}, depth, server.mode.name)

    decoder = receiver()
    decoder.connected(server.now_ns)
    opening: list[Heard] = []
    frames._hear(server, decoder, server.encoder.connected(server.now_ns), opening)
    sent: list[bytes] = []
    while len(sent) < updates:
        sent += server.update()
    return Tape(server.exchange, [instrument], depth, opening, sent, server.market, receiver, server.mode.name)
