"""`serve`: what a delivered message costs the server, and how late it comes, beside raw writes of the same bytes in the same process.

    this process: groups into the ring ═══ segments ═══► server ─► 100 WebSocket clients in processes of their own
                                                         └───────► as many raw sockets: the same frames, made before, on a timer

Rounds of the server's own way and of raw writes take turns. CPU is that of the server's process, all threads. A message has about 600
bytes. A client reads all that comes and counts bytes; the round ends when it has all of them.
"""

import asyncio
import contextlib
import http.client
import re
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from alphapulse_cli.apps.bench.children import Gone, Lines, child
from alphapulse_cli.apps.bench.frames import BenchFeed, Tape, tape
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.report import Result, Samples, quantile
from alphapulse_cli.apps.bench.scenarios.book import full_book, levels_of, ten_changes
from alphapulse_cli.apps.bench.scenarios.pipeline import open_ingest
from alphapulse_cli.edges.columns.extras import require
from alphapulse_cli.errors import IntegrityError, UsageError
from alphapulse_cli.exchanges.protocol import BOOK
from alphapulse_cli.flow.ingest import Ingest
from alphapulse_cli.flow.keeper import BookKeeper
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.events import Snapshot, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.scores import RowKind, Score, ScoresWriter

SET, ASKED, UNASKED = "bench-serve", "BTC-USD", ("S1-USD", "S2-USD", "S3-USD")
FEED_SET, FEED = "bench-serve-feed", BenchFeed("kraken", "kraken", "")
FEW, MANY = 25, 100
SLOW, FAST = 300, 2_000  # groups a second
JOIN_S = 0.001
BOOK_LEVELS = 400
NEAR = 200
BEAT_S = 0.1
FRAMES = 64  # kept, to be written raw
RAW_BUFFER_BYTES = 256 << 10  # of a raw client's socket, as the server sets it
ARRIVED_S = 30.0
READ_BYTES = 1 << 18
CASES = (
    f"{SLOW}/s to {MANY} clients, CPU a delivered message",
    f"{FAST}/s to {MANY} clients, CPU a delivered message",
    f"{FAST}/s to {MANY} clients, time a delivered message",
    f"ring to client, {MANY} clients",
    "frame at the collector to a client's callback",
    "REST delta-stats",
    f"CPU a delivered message, {MANY} clients against {FEW}",
    "CPU with four times the groups, of books that nobody asked for",
    "scrape of 3 exchanges x 50 symbols, CPU",
)
RAW, JOINED, BARE = (
    "raw writes of the same frames",
    "raw writes of the same frames, joined within 1 ms",
    "a bare handler of the same process",
)
SERVER_SIDE = "The publishing process and the clients; reading the ring, the books and the encoding are in it."


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    try:
        for module in ("fastapi", "uvicorn", "msgpack", "prometheus_client", "fastapi_offline"):
            require(module, "serve", "bench serve")
    except UsageError as problem:
        for case in CASES:
            ground.leave_out("serve", case, str(problem))
        return
    with contextlib.ExitStack() as opened:
        outlets = [opened.enter_context(ground.outlet(SET, symbols=(ASKED, *UNASKED)))]
        market = _Market(outlets[0])
        made = tape(FEED, ground.several(2, 4) * ground.several(60, 600))
        outlets.append(opened.enter_context(ground.outlet(FEED_SET, FEED.exchange, [FEED.symbol])))
        feed = _Feed(outlets[1], made)
        opened.enter_context(_beating(outlets))
        server = opened.enter_context(child("serve:serve", str(ground.directory.path)))
        ports = server.hear()
        few = opened.enter_context(child("serve:listen", FEW, ports["port"], ports["raw"]))
        bench = _Bench(ground, market, feed, server, [few])
        yield from bench.few()
        bench.clients.append(opened.enter_context(child("serve:listen", MANY - FEW, ports["port"], ports["raw"])))
        yield from bench.many()
        yield bench.end_to_end()
        yield bench.rest(opened.enter_context(child("serve:ask", ports["http"])))
    yield _scrape(ground)


@contextlib.contextmanager
def _beating(outlets: Sequence[Outlet]) -> Iterator[None]:
    """Thread that beats, whatever this process waits for."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(BEAT_S):
            for outlet in outlets:
                outlet.beat(clock.monotonic_ns())

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class _Market:
    """Books whose groups this process publishes."""

    def __init__(self, outlet: Outlet) -> None:
        rows = full_book()
        bids, asks = ([row for row in rows if row[2] is side][: BOOK_LEVELS // 2] for side in (False, True))
        held = bids + asks
        self._keepers: list[tuple[BookKeeper, tuple[Update, Update]]] = []
        for symbol in (ASKED, *UNASKED):
            instrument = Instrument(outlet.exchange, symbol, symbol, 2, 8)
            keeper = BookKeeper(instrument, outlet, None)
            keeper.apply(Snapshot(instrument, levels_of(held)), clock.realtime_ns())
            first, second = self._changes(held)
            self._keepers.append((keeper, (Update(instrument, first), Update(instrument, second))))
        self._turns = [0] * len(self._keepers)

    @staticmethod
    def _changes(held: list[tuple[int, int, bool]]) -> tuple[Levels, Levels]:
        return ten_changes(NEAR, held)

    @property
    def version(self) -> int:
        """Version of the book that is asked for."""
        return self._keepers[0][0].version

    def publish(self, book: int = 0) -> None:
        """Publish one group of that book."""
        keeper, updates = self._keepers[book]
        keeper.apply(updates[self._turns[book] % 2], clock.realtime_ns())
        self._turns[book] += 1

    def run(self, per_s: int, count: int, books: int = 1) -> list[tuple[int, int, int]]:
        """Publish `count` groups of each of the first books at that pace; of the first (version, begin, end), CLOCK_MONOTONIC in ns."""
        times, begun = [], clock.monotonic_ns()
        for number in range(count):
            due = begun + number * 1_000_000_000 // per_s
            while (now := clock.monotonic_ns()) < due:
                time.sleep((due - now) / 1e9)
            for book in range(books):
                self.publish(book)
                if book == 0:
                    times.append((self.version, now, clock.monotonic_ns()))
        return times


class _Feed:
    """A feed's frames, as a collector's transport hands them over: decoded, checked, applied and published here."""

    def __init__(self, outlet: Outlet, made: Tape) -> None:
        self._frames = iter(made.updates)
        self._ingest = Ingest(made.exchange, made.receiver(), made.instruments, {BOOK}, outlet, lambda *_: None)
        open_ingest(self._ingest, made)
        [self._keeper] = self._ingest.keepers.values()

    def run(self, per_s: int, count: int, _books: int = 1) -> list[tuple[int, int, int]]:
        """Take `count` frames at that pace; (version, begin, end) of each, CLOCK_MONOTONIC in ns."""
        times, begun = [], clock.monotonic_ns()
        for number in range(count):
            due = begun + number * 1_000_000_000 // per_s
            while (now := clock.monotonic_ns()) < due:
                time.sleep((due - now) / 1e9)
            self._ingest.receive(next(self._frames), clock.realtime_ns())
            times.append((self._keeper.version, now, clock.monotonic_ns()))
        return times


@dataclass(slots=True)
class _Round:
    """Cost of a round: CPU and time in ns a delivered message, and latencies in ns at the first client."""

    cpu: float
    elapsed: float
    from_ring: list[float]
    from_frame: list[float]


class _Bench:
    """The three sides of the benchmark."""

    def __init__(self, ground: Ground, market: _Market, feed: _Feed, server: Lines, clients: list[Lines]) -> None:
        self._ground, self._market, self._feed, self._server, self.clients = ground, market, feed, server, clients
        self._with_few: list[float] = []  # CPU a delivered message

    @property
    def _count(self) -> int:
        return FEW if len(self.clients) == 1 else MANY

    def few(self) -> Iterator[Result]:
        """Measure what needs few clients."""
        self._ground.progress("serve: books that nobody asked for")
        self._ready()
        samples, count = Samples(), self._ground.several(60, 900)
        for _ in range(self._ground.several(2, 4)):
            alone, all_books = self._ours(SLOW, count), self._ours(SLOW, count, 1 + len(UNASKED))
            self._take(samples, all_books.cpu * self._count, alone.cpu * self._count)
            self._with_few.append(alone.cpu)
        yield samples.result("serve", CASES[7], "the same with the groups of the asked book alone, a group of it", SERVER_SIDE)

    def many(self) -> Iterator[Result]:
        """Measure what needs many clients."""
        self._ready()
        for per_s, joined, cases in ((SLOW, False, (CASES[0], None)), (FAST, True, (CASES[1], CASES[2]))):
            self._ground.progress(f"serve: {per_s}/s")
            count = self._ground.several(per_s // 5, 3 * per_s)
            cpu, elapsed, from_ring = Samples(), Samples(), Samples()
            for turn in range(self._ground.several(2, 6)):
                order = (self._ours, self._raw) if turn % 2 else (self._raw, self._ours)
                found = {way: way(per_s, count) for way in order}
                ours, raw = found[self._ours], found[self._raw]
                self._take(cpu, ours.cpu, raw.cpu)
                self._take(elapsed, ours.elapsed, raw.elapsed)
                from_ring.work += ours.from_ring
                from_ring.reference += raw.from_ring
                from_ring.ratios.append(quantile(sorted(ours.from_ring), 0.99) / quantile(sorted(raw.from_ring), 0.99))
            if not joined:
                few = quantile(sorted(self._with_few), 0.5)
                slope = Samples(cpu.work, self._with_few, [work / few for work in cpu.work])
                yield slope.result("serve", CASES[6], f"the same with {FEW} clients, before", SERVER_SIDE)
            yield cpu.result("serve", cases[0], JOINED if joined else RAW, SERVER_SIDE)
            if cases[1] is not None:
                yield elapsed.result(
                    "serve", cases[1], JOINED, "Nothing: from the first publication to the last byte at the last client."
                )
            else:
                what = "Nothing: the ratio is that of the p99 of each round."
                yield from_ring.result("serve", CASES[3], RAW, what)

    def _ready(self) -> None:
        """Wait until the newest clients have their snapshots and follow, and the server has frames to be written raw."""
        self._join([self.clients[-1]], SET)
        self._ours(FAST, 2 * FRAMES)

    def _join(self, newest: Sequence[Lines], set_name: str) -> None:
        """Let clients subscribe, and wait until each has its snapshot."""
        wanted = int(self._ask({"do": "look"})["snapshots"])
        for one in newest:
            one.send({"do": "join", "set": set_name})
            wanted += one.hear()
        until = time.monotonic() + ARRIVED_S
        while (had := int(self._ask({"do": "look"})["snapshots"])) < wanted:
            if time.monotonic() > until:
                raise Gone(f"{had} of {wanted} snapshots came within {ARRIVED_S:.0f} s")
            time.sleep(0.02)

    def end_to_end(self) -> Result:
        """Measure from a frame at the collector's transport to the first client's callback, beside raw writes."""
        self._ground.progress("serve: end to end")
        self._join(self.clients, FEED_SET)
        samples, count = Samples(), self._ground.several(60, 600)
        for _ in range(self._ground.several(2, 4)):
            ours, raw = self._ours(SLOW, count, market=self._feed), self._raw(SLOW, count)
            samples.work += ours.from_frame
            samples.reference += raw.from_ring
            samples.ratios.append(quantile(sorted(ours.from_frame), 0.5) / quantile(sorted(raw.from_ring), 0.5))
        return samples.result("serve", CASES[4], RAW, "Reading the collector's own socket. The ratio is that of the medians.")

    @staticmethod
    def _take(samples: Samples, work: float, reference: float) -> None:
        samples.work.append(work)
        samples.reference.append(reference)
        samples.ratios.append(work / reference)

    def _ask(self, command: dict[str, Any]) -> Any:
        self._server.send(command)
        return self._server.hear()

    def _ours(self, per_s: int, count: int, books: int = 1, market: "_Market | _Feed | None" = None) -> _Round:
        before = self._ask({"do": "look"})
        times = (market or self._market).run(per_s, count, books)
        messages = count * self._count
        after, arrived = self._arrived("ws", before["messages"] + messages, count)
        if after["clients"] < self._count:
            raise Gone(f"the server closed {self._count - after['clients']} of {self._count} clients")
        if after["messages"] - before["messages"] > messages * 1.1 + 4 * self._count:  # more than CHECKs and states
            raise IntegrityError(f"serve: {after['messages'] - before['messages']} messages for {messages} deliveries")
        seen = dict(arrived["seen"])
        met = [(at, seen[version]) for version, *at in times if version in seen]
        if len(met) < count:
            raise IntegrityError(f"serve: the first client saw {len(met)} of {count} groups")
        spent = (after["cpu"] - before["cpu"]) / messages
        begun = times[0][1]
        return _Round(
            spent,
            (arrived["last_ns"] - begun) / messages,
            [float(max(seen_ns - end, 1)) for (_, end), seen_ns in met],
            [float(seen_ns - begin) for (begin, _), seen_ns in met],
        )

    def _raw(self, per_s: int, count: int) -> _Round:
        found = self._ask({"do": "raw", "per_s": per_s, "count": count, "join": per_s == FAST})
        _, arrived = self._arrived("raw", found["bytes"], count)
        messages = count * self._count
        times = [seen_ns for _, seen_ns in arrived["seen"]]
        if len(times) < count:
            raise IntegrityError(f"serve: the first raw client saw {len(times)} of {count} frames")
        late = [float(max(seen_ns - written_ns, 1)) for written_ns, seen_ns in zip(found["written"], times, strict=False)]
        return _Round(found["cpu"] / messages, (arrived["last_ns"] - found["written"][0]) / messages, late, late)

    def _arrived(self, kind: str, sent: int, count: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Wait until the clients have all that was sent; the server's figures then, and what the first client saw.

        `sent` is a number of bytes for raw clients, of messages (since the server began) for the others.
        """
        until = time.monotonic() + ARRIVED_S
        while True:
            looked = self._ask({"do": "look"})
            found = []
            for one in self.clients:
                one.send({"do": "told", "kind": kind})
                found.append(one.hear())
            octets = sum(one["bytes"] for one in found)
            is_sent = octets >= (sent if kind == "raw" else looked["bytes"]) and (kind == "raw" or looked["messages"] >= sent)
            if is_sent and len(found[0]["seen"]) >= count:
                break
            if time.monotonic() > until:
                raise Gone(
                    f"the clients did not get all within {ARRIVED_S:.0f} s: {octets} bytes, {len(found[0]['seen'])} of {count} groups"
                )
            time.sleep(0.01)
        for one in self.clients:
            one.send({"do": "forget"})
            one.hear()
        return looked, {"seen": found[0]["seen"], "last_ns": max(one["last_ns"] for one in found)}

    def rest(self, asker: Lines) -> Result:
        """Measure a request of statistics beside one of a bare handler, in turn, while 100 clients are served."""
        self._ground.progress("serve: REST")
        samples = Samples()
        for _ in range(self._ground.several(2, 6)):
            asker.send(self._ground.several(100, 500))
            while not select.select([asker.reading], [], [], 0)[0]:
                self._market.run(SLOW, 30)
            work, reference = asker.hear()
            samples.work += work
            samples.reference += reference
            samples.ratios.append(quantile(sorted(work), 0.99) / quantile(sorted(reference), 0.99))
        return samples.result(
            "serve", CASES[5], BARE, "Nothing: as a client on the same host sees it. The ratio is that of the p99."
        )


def _scrape(ground: Ground) -> Result:
    """Measure the CPU of one scrape of 3 sets of 50 books each."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.metrics_core import Metric

    from alphapulse_cli.apps.serve.metrics import Exporter

    ground.progress("serve: a scrape")
    symbols = [f"S{number}-USD" for number in range(50)]
    with contextlib.ExitStack() as opened:
        outlets = [
            opened.enter_context(ground.outlet(f"bench-{name}", name, symbols)) for name in ("binance-us", "coinbase", "kraken")
        ]
        for outlet in outlets:
            made = ScoresWriter(ground.directory, outlet.set_name, outlet.exchange, outlet.epoch, clock.monotonic_ns())
            scores = opened.enter_context(contextlib.closing(made))
            for kind, names in ((RowKind.SYMBOL, symbols), (RowKind.CONNECTION, ["1"])):
                for name in names:
                    scores.row(kind, name, clock.monotonic_ns()).add(Score.BREAKS)
            for symbol in symbols:
                instrument = Instrument(outlet.exchange, symbol, symbol, 2, 8)
                BookKeeper(instrument, outlet, None).apply(
                    Snapshot(instrument, levels_of([(1, 1, False), (2, 1, True)])), clock.realtime_ns()
                )
        exporter = Exporter(ground.directory)
        lines = [line.rpartition(" ") for line in exporter.text().splitlines() if not line.startswith("#")]
        family = Metric("sample", "the same samples", "gauge")
        for head, _, value in lines:
            family.add_sample(head.partition("{")[0], dict(re.findall(r'([a-z]+)="([^"]*)"', head)), float(value))
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Given(family))
        samples = Samples()
        for _ in range(ground.several(5, 50)):
            for outlet in outlets:
                outlet.beat(clock.monotonic_ns())
            spent = []
            for work in (exporter.text, lambda: generate_latest(registry)):
                begun = time.process_time_ns()
                work()
                spent.append(float(max(time.process_time_ns() - begun, 1)))
            samples.work.append(spent[0])
            samples.reference.append(spent[1])
            samples.ratios.append(spent[0] / spent[1])
    return samples.result(
        "serve",
        CASES[8],
        f"prometheus_client's text of the same {len(lines):,} samples, already read",
        "HTTP. Reading the segments is in it.",
    )


class _Given:
    """Collector of one family."""

    def __init__(self, family: Any) -> None:
        self._family = family

    def collect(self) -> list[Any]:
        """The family."""
        return [self._family]


# The server's process


def serve(parent: Lines, path: str) -> None:
    """Main function of the server: alphapulse's own, and raw sockets beside it."""
    with open_directory(path) as directory:
        asyncio.run(_serve(parent, directory))


class _Raw(asyncio.Protocol):
    """Raw sockets that are written to, and never read."""

    def __init__(self, transports: list[asyncio.WriteTransport]) -> None:
        self._transports = transports

    def connection_made(self, transport: Any) -> None:
        """Take in a client."""
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, RAW_BUFFER_BYTES)
        self._transports.append(transport)


async def _serve(parent: Lines, directory: Any) -> None:
    from alphapulse_cli.apps.serve.messages import Encoding, group_frame
    from alphapulse_cli.apps.serve.serve import Serving
    from alphapulse_cli.apps.serve.state import Limits, ServePlan
    from alphapulse_cli.readers.selection import Wanted
    from alphapulse_cli.wire.delta import RecordKind

    limits = Limits(clients=10 * MANY, clients_per_address=10 * MANY)
    plan = ServePlan(port=0, http_port=0, heartbeat_s=3600.0, limits=limits)
    serving = Serving(plan, directory, Wanted.of([SET, FEED_SET], None), make_app=_with_bare_handler)
    frames: deque[bytes] = deque(maxlen=FRAMES)

    def keep(batch: Any) -> None:
        if len(frames) < FRAMES:
            asked = [one for one in batch.groups if (one.set_name, one.symbol) == (SET, ASKED) and one.kind == RecordKind.DELTA]
            frames.extend(group_frame(Encoding.JSON, one) for one in asked)

    serving.state.source.listeners.append(keep)
    await serving.start()
    transports: list[asyncio.WriteTransport] = []
    loop = asyncio.get_running_loop()
    raw = await loop.create_server(lambda: _Raw(transports), "127.0.0.1", 0)
    commands: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def read() -> None:
        try:
            commands.put_nowait(parent.hear())
        except Gone:
            commands.put_nowait({"do": "end"})

    loop.add_reader(parent.reading, read)
    state = serving.state
    parent.send({"port": state.port, "http": state.http_port, "raw": raw.sockets[0].getsockname()[1]})
    while (command := await commands.get())["do"] != "end":
        if command["do"] == "raw":
            parent.send(await _write_raw(transports, list(frames), **{name: command[name] for name in ("per_s", "count", "join")}))
            continue
        counts = state.clients
        parent.send(
            {
                "cpu": time.process_time_ns(),
                "messages": counts.messages_sent,
                "bytes": counts.bytes_sent,
                "clients": counts.connected,
                "snapshots": counts.snapshots,
            }
        )


async def _write_raw(
    transports: Sequence[asyncio.WriteTransport], frames: Sequence[bytes], per_s: int, count: int, *, join: bool
) -> dict[str, Any]:
    """Write frames at that pace to all raw clients: one write each, or those of a millisecond in one."""
    begun_cpu, begun = time.process_time_ns(), clock.monotonic_ns()
    number, octets = 0, 0
    written: list[int] = []
    while number < count:
        due = begun + number * 1_000_000_000 // per_s
        now = clock.monotonic_ns()
        if now < due or (join and number):
            await asyncio.sleep(max((due - now) / 1e9, JOIN_S if join else 0))
        now = clock.monotonic_ns()
        ready = min((now - begun) * per_s // 1_000_000_000 + 1, count)
        some = [frames[at % len(frames)] for at in range(number, ready)]
        for data in [b"".join(some)] if join else some:
            for transport in transports:
                transport.write(data)
            octets += len(data) * len(transports)
        written += [now] * len(some)
        number = ready
    return {"cpu": time.process_time_ns() - begun_cpu, "bytes": octets, "written": written}


def _with_bare_handler(state: Any) -> Any:
    from fastapi import FastAPI

    from alphapulse_cli.apps.serve.rest import make_app

    app, bare = make_app(state), FastAPI(openapi_url=None)

    @bare.get("/bare")
    async def answer() -> dict[str, bool]:
        return {"ok": True}

    async def both(scope: Any, receive: Any, send: Any) -> None:
        is_bare = scope["type"] == "http" and scope["path"] == "/bare"
        await (bare if is_bare else app)(scope, receive, send)

    return both


# The clients' processes


class _Reader:
    """One client's socket. `keeps` the moments at which groups arrived."""

    def __init__(self, connected: socket.socket, *, keeps: bool, is_ws: bool) -> None:
        self.socket, self.is_ws = connected, is_ws
        self.octets, self.last_ns = 0, 0
        self.seen: list[tuple[int, int]] = []  # (version, CLOCK_MONOTONIC)
        self._keeps = keeps
        self._held = b""

    def read(self, buffer: bytearray) -> None:
        """Read what is there."""
        size = self.socket.recv_into(buffer)
        if not size:
            raise Gone("the server closed a client")
        self.last_ns = clock.monotonic_ns()
        self.octets += size
        if self._keeps:
            self._held += buffer[:size]
            self._held = self._held[self._take(self.last_ns) :]

    def _take(self, now_ns: int) -> int:
        """Take the whole frames; returns the bytes of them."""
        held, at = self._held, 0
        while len(held) - at >= 10 or (len(held) - at >= 2 and held[at + 1] < 126):
            size, head = held[at + 1], 2
            if size == 126:
                size, head = int.from_bytes(held[at + 2 : at + 4], "big"), 4
            elif size == 127:
                size, head = int.from_bytes(held[at + 2 : at + 10], "big"), 10
            if len(held) - at < head + size:
                break
            frame = held[at + head : at + head + size]
            at += head + size
            found = GROUP.search(frame)
            if found is not None:
                self.seen.append((int(found[1]), now_ns))
        return at


GROUP = re.compile(rb'"type":"group".*"kind":"DELTA","version":"?(\d+)')


def listen(parent: Lines, count: int, port: int, raw_port: int) -> None:
    """Main function of some clients: WebSocket ones, and as many raw ones."""
    poll = select.epoll()
    readers: dict[int, _Reader] = {}
    for number in range(count):
        for is_ws in (True, False):
            connected = socket.create_connection(("127.0.0.1", port if is_ws else raw_port), 10)
            if is_ws:
                _shake_hands(connected)
            connected.setblocking(False)
            readers[connected.fileno()] = _Reader(connected, keeps=number == 0, is_ws=is_ws)
            poll.register(connected.fileno(), select.EPOLLIN)
    poll.register(parent.reading, select.EPOLLIN)
    buffer = bytearray(READ_BYTES)
    while True:
        for fd, _ in poll.poll():
            if fd == parent.reading:
                parent.send(_answer(parent.hear(), readers))
            else:
                with contextlib.suppress(BlockingIOError):
                    readers[fd].read(buffer)


def _answer(command: dict[str, Any], readers: dict[int, _Reader]) -> Any:
    if command["do"] == "join":
        text = f'{{"op":"subscribe","channel":"deltas","exchange":"{command["set"]}","symbol":"{ASKED}"}}'
        ours = [one for one in readers.values() if one.is_ws]
        for one in ours:
            one.socket.send(_masked(text.encode()))
        return len(ours)
    if command["do"] == "forget":
        for one in readers.values():
            one.seen.clear()
            if not one.is_ws:
                one.octets = 0
    else:
        chosen = [one for one in readers.values() if one.is_ws == (command["kind"] == "ws")]
        return {"bytes": sum(one.octets for one in chosen), "last_ns": max(one.last_ns for one in chosen), "seen": chosen[0].seen}
    return True


def _shake_hands(connected: socket.socket) -> None:
    connected.sendall(
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):  # byte by byte: what follows is the first frame
        piece = connected.recv(1)
        if not piece:
            raise Gone("the server closed a client at its handshake")
        head += piece
    if not head.startswith(b"HTTP/1.1 101 "):
        raise Gone(f"the server refused a client: {head[:40]!r}")


def _masked(payload: bytes) -> bytes:
    """A client's text frame, with a mask of zeros."""
    size = len(payload)
    assert size < 1 << 16
    head = bytes([0x81, 0x80 | size]) if size < 126 else bytes([0x81, 0xFE]) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


def ask(parent: Lines, port: int) -> None:
    """Main function of the client that asks for statistics and for the bare handler's answer, in turn, on one connection each."""
    paths = (f"/api/v1/delta-stats/{SET}/{ASKED}", "/bare")
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for _ in paths]
    while True:
        count = parent.hear(3600)
        times: list[list[float]] = [[], []]
        for _ in range(count):
            for place, (connection, path) in enumerate(zip(connections, paths, strict=True)):
                begun = clock.monotonic_ns()
                connection.request("GET", path)
                answer = connection.getresponse()
                body = answer.read()
                times[place].append(float(clock.monotonic_ns() - begun))
                if answer.status != 200:
                    raise IntegrityError(f"serve: {path} answered {answer.status}: {body[:100]!r}")
        parent.send(times)
