"""`tui`: CPU and memory of the live screen at 20,000 deltas a second from three exchanges, and its latency to a key.

    a process that writes three sets ═══ segments ═══► `alphapulse tui` in its own terminal ◄── keys ── here ──► what it draws
                                                       an idle Textual app in another one     ◄── keys ── here ──► what it draws

Both have a terminal of the same size and are measured over the same windows. A key's time is from writing its byte to reading the
words that show its effect: `p` pauses the screen and says so in the status line, and `p` again lets it go on.
"""

import contextlib
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace

from alphapulse_cli.apps.bench.children import Gone, Lines, child
from alphapulse_cli.apps.bench.ground import RING_CAPACITY, Ground
from alphapulse_cli.apps.bench.report import Result, Samples
from alphapulse_cli.apps.bench.scenarios.book import PRICE_DECIMALS, SIZE_DECIMALS, full_book, levels_of, ten_changes
from alphapulse_cli.apps.bench.scenarios.memory import resident_bytes
from alphapulse_cli.apps.bench.scenarios.startup import OURS
from alphapulse_cli.flow.keeper import BookKeeper
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.events import Side, Snapshot, Trade, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory, segment_name
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.private import private_directory
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire import trade as trade_record

SETS, SYMBOLS = ("binance-us", "coinbase", "kraken"), ("BTC-USD", "ETH-USD", "SOL-USD")
DELTAS_PER_S, DELTAS_A_TRADE = 20_000, 100
LEVEL_COUNT = 5_000  # levels of a book: between Kraken's 1,000 and Coinbase's 46,000
CHANGES = 10  # changes of a delta, near the best prices
LEAST_OF_THE_RATE = 0.95
COLUMNS, ROWS = 120, 40
SCREENS = {"overview": b"1", "books": b"2", "latency": b"3", "tape": b"4", "arbitrage": b"5", "rings": b"6"}
FIRST = "overview"
LIMIT_S = 120.0
TURN_S, BEAT_NS = 0.002, 100_000_000
PAUSE, HELD, GOES_ON = b"p", b"PAUSED", b"books live"
# The app's controlling terminal is the pty: when this process dies, the pty closes and the app gets SIGHUP.
OWN = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
IDLE = """
from textual.app import App
from textual.widgets import Footer, Static
class Idle(App):
    BINDINGS = [("p", "hold", "Hold")]
    is_held = False
    def compose(self):
        yield Static("all books live")
        yield Footer()
    def action_hold(self):
        self.is_held = not self.is_held
        self.query_one(Static).update("PAUSED" if self.is_held else "all books live")
Idle().run()
"""
IDLE_NAMED = "an idle Textual app"
LEFT_OUT = f"The terminal's own drawing; {len(SETS) * len(SYMBOLS)} books of {LEVEL_COUNT:,} levels, {COLUMNS} x {ROWS}"


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    if sys.platform != "linux":
        ground.leave_out("tui", "all", "CPU time and memory of another process are read from Linux only")
        return
    with private_directory(str(ground.directory.path), "bench") as alone:  # sets of other scenarios would be shown, too
        yield from _measure(replace(ground, directory=alone))


def _measure(ground: Ground) -> Iterator[Result]:
    place = str(ground.directory.path)
    ours = (*OURS, "tui", "--screen", FIRST, "--shm-dir", place)
    with child("tui:write", place) as writer, _terminal(*ours) as live, _terminal("-c", IDLE) as idle:
        assert writer.hear() == "writing"
        for one in (live, idle):
            one.until(GOES_ON)
        for name, key in SCREENS.items():
            ground.progress(f"tui: {name}, CPU")
            live.press(key)
            yield from _costs(ground, name, live, idle)
        live.press(SCREENS[FIRST])
        ground.progress("tui: key to screen")
        yield _key_to_screen(live, idle, ground.several(10, 150))


class AppTerminal:
    """Pseudo-terminal with an app in it; all its output is read, and the last part is kept."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid, self._descriptor, self._drawn = pid, descriptor, b""

    def press(self, key: bytes) -> None:
        """Send one key, and forget the output before it."""
        self._drawn = b""
        os.write(self._descriptor, key)

    def read(self, limit_s: float) -> None:
        """Read the app's next output, if any comes within `limit_s` seconds. Gone if the app has ended."""
        if not select.select([self._descriptor], [], [], limit_s)[0]:
            return
        try:
            piece = os.read(self._descriptor, 1 << 16)
        except OSError:  # on Linux: the other end is closed
            piece = b""
        if not piece:
            raise Gone(f"an app of the benchmark ended early and left: {self._drawn[-200:].decode('utf-8', 'replace')!r}")
        self._drawn = (self._drawn + piece)[-(1 << 17) :]

    def until(self, words: bytes) -> None:
        """Read until the app has drawn these words. Gone after LIMIT_S."""
        end = time.monotonic() + LIMIT_S
        while words not in self._drawn:
            if time.monotonic() > end:
                raise Gone(f"an app of the benchmark did not draw {words.decode()!r} within {LIMIT_S:.0f} s")
            self.read(0.1)

    def cpu_ns(self) -> int:
        """CPU time of all threads of the app since its start, in ns."""
        return time.clock_gettime_ns((~self.pid << 3) | 2)  # the id that clock_getcpuclockid() returns on Linux


@contextlib.contextmanager
def _terminal(*arguments: str) -> Iterator[AppTerminal]:
    """Python with these arguments in a pseudo-terminal of its own; killed and reaped at the end."""
    import fcntl
    import pty
    import struct
    import termios

    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    with tempfile.TemporaryDirectory() as state:
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "XDG_STATE_HOME": state}
        started = arguments if arguments[0] == sys.executable else (sys.executable, "-P", *arguments)
        process = subprocess.Popen(  # noqa: S603 ourselves
            [sys.executable, "-P", "-c", OWN, *started],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env=environment,
            start_new_session=True,
        )
        os.close(inner)
        try:
            yield AppTerminal(process.pid, outer)
        finally:
            process.kill()
            process.wait()
            os.close(outer)


def _costs(ground: Ground, name: str, live: AppTerminal, idle: AppTerminal) -> Iterator[Result]:
    """Measure CPU a second and memory of both apps, over the same windows, while the deltas come."""
    window_s = 0.25 if ground.quick else 1.0
    _both(live, idle, window_s)  # the first pictures of a screen are not measured
    cpu, memory, published = Samples(), Samples(), _published(ground)
    begun = time.monotonic()
    for _ in range(ground.several(1, 10)):
        before, window_begun = (live.cpu_ns(), idle.cpu_ns()), time.monotonic()
        _both(live, idle, window_s)
        spent_s = time.monotonic() - window_begun
        work, reference = ((now - then) / spent_s for now, then in zip((live.cpu_ns(), idle.cpu_ns()), before, strict=True))
        cpu.work.append(work)
        cpu.reference.append(max(reference, 1.0))
        cpu.ratios.append(work / max(reference, 1.0))
        held, bare = float(resident_bytes(live.pid)), float(resident_bytes(idle.pid))
        memory.work.append(held)
        memory.reference.append(bare)
        memory.ratios.append(held / bare)
    rate = (_published(ground) - published) / (time.monotonic() - begun)
    leaves_out = f"{LEFT_OUT}, {CHANGES} changes a delta, {rate:,.0f} deltas/s came."
    if rate < LEAST_OF_THE_RATE * DELTAS_PER_S:
        ground.leave_out("tui", f"{name}, CPU a second", f"the writer managed only {rate:,.0f} deltas/s")
    else:
        yield cpu.result("tui", f"{name}, CPU a second", IDLE_NAMED, leaves_out)
    yield memory.result("tui", f"{name}, resident", IDLE_NAMED, leaves_out, "bytes")


def _both(live: AppTerminal, idle: AppTerminal, seconds: float) -> None:
    """Let both apps draw for that number of seconds."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        live.read(min(left, 0.05))
        idle.read(0)


def _published(ground: Ground) -> int:
    """Number of delta records published in all sets so far."""
    total = 0
    for name in SETS:
        segment = Segment.attach(ground.directory, segment_name(SegmentKind.DELTAS, name))
        total += segment.published
        segment.close()
    return total


def _key_to_screen(live: AppTerminal, idle: AppTerminal, count: int) -> Result:
    """Measure `p` and `p` again, in both apps in turn, at times out of step with the screen's own."""
    samples = Samples()
    for i in range(count):
        for words in (HELD, GOES_ON):
            spent, spent_by_idle = _pressed_ns(live, words), _pressed_ns(idle, words)
            samples.work.append(spent)
            samples.reference.append(spent_by_idle)
            samples.ratios.append(spent / spent_by_idle)
            _both(live, idle, 0.013 + 0.007 * (i % 11))
    return samples.result(
        "tui", "key to screen", IDLE_NAMED, f"The terminal's own share; {DELTAS_PER_S:,} deltas/s come meanwhile."
    )


def _pressed_ns(one: AppTerminal, words: bytes) -> float:
    begun = time.perf_counter_ns()
    one.press(PAUSE)
    one.until(words)
    return float(time.perf_counter_ns() - begun)


# The writer's process


def write(parent: Lines, path: str) -> None:
    """Publish at the rate until the parent has gone."""
    rows = full_book()
    half = LEVEL_COUNT // 2
    book = [*rows[:half], *rows[len(rows) // 2 : len(rows) // 2 + half]]
    pair = ten_changes(200, book)
    with open_directory(path) as directory, contextlib.ExitStack() as stack:
        outlets = [
            stack.enter_context(Outlet(directory, name, name, SYMBOLS, RING_CAPACITY, clock.monotonic_ns())) for name in SETS
        ]
        instruments = [Instrument(name, symbol, symbol, PRICE_DECIMALS, SIZE_DECIMALS) for symbol in SYMBOLS for name in SETS]
        keepers = [BookKeeper(one, outlets[i % len(SETS)], None) for i, one in enumerate(instruments)]
        for keeper in keepers:
            keeper.apply(Snapshot(keeper.instrument, levels_of(book)), clock.realtime_ns())
        parent.send("writing")
        _write_on(parent, outlets, keepers, [[Update(one, levels) for levels in pair] for one in instruments])


def _write_on(parent: Lines, outlets: list[Outlet], keepers: list[BookKeeper], updates: list[list[Update]]) -> None:
    begun, published, beat = clock.monotonic_ns(), 0, 0
    while not select.select([parent.reading], [], [], TURN_S)[0]:
        now = clock.monotonic_ns()
        if now - beat > BEAT_NS:
            beat = now
            for outlet in outlets:
                outlet.beat(now)
        for turn in range(published, (now - begun) * DELTAS_PER_S // 1_000_000_000):
            at = turn % len(keepers)
            keepers[at].apply(updates[at][turn // len(keepers) % 2], clock.realtime_ns())
            if turn % DELTAS_A_TRADE == 0:
                _trade(outlets[at % len(outlets)], keepers[at].instrument, turn)
            published = turn + 1


def _trade(outlet: Outlet, instrument: Instrument, number: int) -> None:
    trade = Trade(instrument, str(number), 6_331_000 + number % 5, 1_000_000, Side(number // DELTAS_A_TRADE % 2), None)
    outlet.trades.publish(trade_record.as_group([trade_record.pack(trade, clock.realtime_ns(), 0)]), 1)
