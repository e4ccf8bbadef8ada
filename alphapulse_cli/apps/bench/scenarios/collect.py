"""`collect`: CPU and time of a message through the whole collector, socket included, over each WebSocket library.

A sender process pushes ready-made WebSocket frames of about 1 KB as fast as they are taken; a collector process runs
`apps.collect.collect`.

    sender: simulated Coinbase, made and framed before ──── loopback TCP ────► collector: the library ─► ingest ─► segments

For comparison another process only receives the same frames over the same link: that is the transport's own share. With two
collectors the sender starts with both at once, and three processes share the machine's cores.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from alphapulse_cli.apps.bench.children import CHILD_LIFE_S, Gone, Lines, child
from alphapulse_cli.apps.bench.frames import BenchFeed, Server
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.report import Result, Samples, quantile
from alphapulse_cli.edges.capture.keeping import DEFAULT_LAST, CapturePlan
from alphapulse_cli.edges.exchange.transport import PICOWS, WEBSOCKETS, choose
from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.protocol import BOOK, Decoder
from alphapulse_cli.market.requests import Send

FEED = BenchFeed("coinbase", "coinbase", "")
STEPS_A_MESSAGE = 2  # market steps in a message of about 1 KB
SAMPLE_S = 0.004
LEAST_FRAMES = 64  # in a sample
IDLE_LIMIT_S = 30.0
PREPARED_S = 120.0  # limit for the sender to make the messages
FRAMES_A_WRITE, PACED_FRAMES_A_WRITE = 64, 5
KEPT_FRAMES = 256
LOADS = "orjson.loads of the same frame"
RECEIVING = "receiving the same frames and nothing else"
TWO = "picows, two collectors, time a message"


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    messages = ground.several(4_000, 30_000)
    with child("collect:send", messages) as sender:
        ground.progress("collect: making the frames")
        scene = Scene(ground, sender, sender.hear(PREPARED_S)["port"], messages)
        yield from _one_collector(scene, WEBSOCKETS)
        try:
            choose(PICOWS)
        except UsageError as absent:
            for case in ("picows, CPU a message beyond the transport's", TWO):
                ground.leave_out("collect", case, f"{absent}; {absent.hint}")
        else:
            yield from _one_collector(scene, PICOWS)
            yield _two_collectors(scene, PICOWS)


def _one_collector(scene: "Scene", transport: str) -> Iterator[Result]:
    receiving, collecting, wall, own = Samples(), Samples(), Samples(), Samples()
    for _ in range(scene.ground.several(1, 6)):
        scene.ground.progress(f"collect: {transport} alone")
        [bare] = scene.run(transport, 1, receive_only=True)
        scene.ground.progress(f"collect: {transport}")
        [full] = scene.run(transport, 1, receive_only=False)
        loads, received = bare["loads_ns"], quantile(sorted(bare["cpu"]), 0.5)
        _add(receiving, bare["cpu"], loads)
        _add(collecting, full["cpu"], received)
        _add(wall, full["wall"], quantile(sorted(bare["wall"]), 0.5))
        _add(own, [max(spent - received, 1.0) for spent in full["cpu"]], loads)
    each = f"{bare['frame_bytes']}-byte messages; a sample is a few milliseconds of them"
    yield receiving.result("collect", f"{transport} alone, CPU a message", LOADS, f"All but receiving; {each}.")
    yield collecting.result("collect", f"{transport}, CPU a message", RECEIVING, f"The kernel's work for the sender; {each}.")
    beyond = f"{transport}, CPU a message beyond the transport's"
    yield own.result("collect", beyond, LOADS, f"What receiving alone took is taken off; {each}.")
    yield wall.result(
        "collect", f"{transport}, time a message", RECEIVING, f"Nothing: one collector, sender on another core; {each}."
    )


def _two_collectors(scene: "Scene", transport: str) -> Result:
    """Measure wall time a message, from the first one until the slower of two collectors has all."""
    both = Samples()
    for _ in range(scene.ground.several(1, 6)):
        scene.ground.progress(f"collect: two collectors, {transport}")
        bare, full = (_wall_ns(scene.run(transport, 2, receive_only=only)) for only in (True, False))
        _add(both, [full], bare)
    return both.result("collect", TWO, f"{RECEIVING}, by two", "Nothing: the sender's work is in it. A sample is a whole run.")


def _wall_ns(reports: Sequence[dict[str, Any]]) -> float:
    """Wall time in ns a message, over all receivers."""
    span = max(one["ended_ns"] for one in reports) - min(one["began_ns"] for one in reports)
    return float(span / sum(one["came"] for one in reports))


def _add(samples: Samples, spent: list[float], reference: float) -> None:
    samples.work += spent
    samples.reference.append(reference)
    samples.ratios += [one / reference for one in spent]


class Scene(NamedTuple):
    """A sender that is ready, with its port and its number of messages."""

    ground: Ground
    sender: Lines
    port: int
    messages: int

    def run(self, transport: str, receivers: int, *, receive_only: bool) -> list[dict[str, Any]]:
        """Run that number of receivers at the same time; returns the samples of each."""
        self.sender.send(receivers)
        self.sender.hear()
        path = str(self.ground.directory.path)
        with contextlib.ExitStack() as stack:
            names = [f"bench-collect-{number}" for number in range(receivers)]
            asked = [(path, name, self.port, self.messages, transport, receive_only) for name in names]
            running = [stack.enter_context(child("collect:receive", *one)) for one in asked]
            reports: list[dict[str, Any]] = [one.hear() for one in running]
        for name in self.ground.directory.names():
            if name.startswith("bench-collect"):
                self.ground.directory.unlink(name)
        return reports


# The sender's process


class Sent(NamedTuple):
    """Framed data for every connection: the greeting, the answers to its subscriptions, then the messages."""

    greeting: Sequence[bytes]
    answers: Sequence[Sequence[bytes]]
    messages: Sequence[bytes]


class Sender:
    """Server that answers REST and subscriptions like the exchange, then sends the messages to all connections of a round at once."""

    def __init__(self, messages: int, a_second: int = 0) -> None:
        self.server = Server(FEED)
        self.pause_s = PACED_FRAMES_A_WRITE / a_second if a_second else 0.0
        self.sent = _prepared(self.server, messages, PACED_FRAMES_A_WRITE if a_second else FRAMES_A_WRITE)
        self.round = threading.Barrier(1)

    def accept(self, listening: Any) -> None:
        """Serve every connection in a thread of its own, until killed."""
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: Any) -> None:
        """Serve one connection."""
        with connection, contextlib.suppress(OSError, Gone, threading.BrokenBarrierError):  # a receiver that has all closes it
            connection.settimeout(IDLE_LIMIT_S)
            if _opened(connection, self.server, self.sent):
                self.round.wait(IDLE_LIMIT_S)
                begun = time.monotonic()
                for number, chunk in enumerate(self.sent.messages):
                    if self.pause_s:
                        time.sleep(max(begun + number * self.pause_s - time.monotonic(), 0.0))
                    connection.sendall(chunk)
                while connection.recv(1 << 16):
                    pass


def send(parent: Lines, messages: int, a_second: int = 0) -> None:
    """Main function of the sender: each line from the parent starts a round with the number of receivers in it.

    `a_second` is the pace of the messages; 0 = as fast as they are taken.
    """
    import socket

    sender = Sender(messages, a_second)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=sender.accept, args=(listening,), daemon=True).start()
        parent.send({"port": listening.getsockname()[1]})
        while True:
            sender.round = threading.Barrier(parent.hear(CHILD_LIFE_S))
            parent.send("ready")


def _prepared(server: Server, messages: int, frames_a_write: int) -> Sent:
    """Make and frame all data before the first receiver connects, so that the sender is not the bottleneck."""
    greeting = [_framed(frame) for frame in server.encoder.connected(server.now_ns)]
    asked = [request.frame for request in _subscribing(server).pending_requests() if isinstance(request, Send)]
    answers = [[_framed(frame) for frame in server.encoder.receive(frame, server.now_ns)] for frame in asked]
    framed: list[bytes] = []
    while len(framed) < messages:
        framed += [_framed(frame) for frame in server.update(STEPS_A_MESSAGE)]
    chunks = [b"".join(framed[at : min(at + frames_a_write, messages)]) for at in range(0, messages, frames_a_write)]
    return Sent(greeting, answers, chunks)


def _subscribing(server: Server) -> Decoder:
    """Make a decoder whose subscriptions are pending."""
    decoder = server.exchange.decoder([server.instrument()], {BOOK}, server.mode.default_depth, server.mode.name)
    decoder.connected(server.now_ns)
    return decoder


def _opened(connection: Any, server: Server, sent: Sent) -> bool:
    """Open a WebSocket and answer its subscriptions: True; answer a REST request: False. Gone if the receiver leaves."""
    from websockets.frames import Frame, Opcode
    from websockets.server import ServerProtocol

    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1 << 16) or _gone()
    if b"upgrade: websocket" not in head.lower():
        body = server.get(head.split(b" ", 2)[1].decode("ascii"))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        return False
    protocol = ServerProtocol()
    protocol.receive_data(head)
    protocol.send_response(protocol.accept(protocol.events_received()[0]))  # type: ignore[arg-type]  # the request
    connection.sendall(b"".join([*protocol.data_to_send(), *sent.greeting]))
    answers = list(sent.answers)
    while answers:
        protocol.receive_data(connection.recv(1 << 16) or _gone())
        for event in protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT and answers:
                connection.sendall(b"".join(answers.pop(0)))
    return True


def _gone() -> bytes:
    raise Gone("the receiver went before it had subscribed")


def _framed(payload: bytes) -> bytes:
    """Unmasked WebSocket text frame of a payload."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


# The receiver's process


def receive(parent: Lines, path: str, name: str, port: int, messages: int, transport: str, receive_only: bool) -> None:
    """Main function of a receiver: receive or collect all messages, and report the samples."""
    work = _receive_only(port, messages, transport) if receive_only else collected(path, name, port, messages, transport)
    parent.send(asyncio.run(work))


async def _receive_only(port: int, messages: int, transport: str) -> dict[str, Any]:
    from alphapulse_cli.edges.exchange.transport import open_link

    server = Server(FEED)
    decoder = _subscribing(server)
    seen, kept = 0, []

    def on_frame(frame: bytes, _: int) -> None:
        nonlocal seen
        seen += 1
        if KEPT_FRAMES <= seen < 2 * KEPT_FRAMES:
            kept.append(frame)

    link = await open_link(_url(server, port), on_frame, transport)
    for request in decoder.pending_requests():
        if isinstance(request, Send):
            await link.send(request.frame)
    samples = await _sampled(lambda: seen, messages)
    await link.close()
    return {**samples, "loads_ns": _loads_ns(kept), "frame_bytes": sorted(map(len, kept))[len(kept) // 2]}


async def collected(
    path: str,
    name: str,
    port: int,
    messages: int,
    transport: str,
    capture: CapturePlan | None = None,
    sample_s: float = SAMPLE_S,
    last_frames: str = DEFAULT_LAST,
) -> dict[str, Any]:
    """Collect all messages, and capture them if asked to; returns the samples."""
    from alphapulse_cli.apps.collect.collect import collect
    from alphapulse_cli.apps.collect.plan import CollectPlan
    from alphapulse_cli.shm.counters import Counter

    begun: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    plan = CollectPlan(
        FEED.exchange,
        (FEED.symbol,),
        (BOOK,),
        url=_url(Server(FEED), port),
        rest_url=f"http://127.0.0.1:{port}",
        set_name=name,
        shm_dir=path,
        transport=transport,
        capture=capture,
        last_frames=last_frames,
    )
    work = asyncio.create_task(collect(plan, lambda *_: None, begun.set_result))
    await asyncio.wait({work, begun}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()
    counters = begun.result().counters.block()
    try:
        return await _sampled(lambda: counters.get(Counter.FRAMES), messages, sample_s)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def _url(server: Server, port: int) -> str:
    from urllib.parse import urlsplit

    return f"ws://127.0.0.1:{port}{urlsplit(server.mode.websocket_url).path}"


async def _sampled(frames: Any, messages: int, sample_s: float = SAMPLE_S) -> dict[str, Any]:
    """Sample CPU and wall time in ns a message until all have come; with the times of the first and the last one.

    Gone after a limit.
    """
    cpu: list[float] = []
    wall: list[float] = []
    until = time.monotonic() + IDLE_LIMIT_S
    last = (frames(), time.process_time_ns(), time.monotonic_ns())
    began = last
    while last[0] < messages and time.monotonic() < until:
        await asyncio.sleep(sample_s)
        now = (frames(), time.process_time_ns(), time.monotonic_ns())
        came = now[0] - last[0]
        if came >= LEAST_FRAMES:
            cpu.append((now[1] - last[1]) / came)
            wall.append((now[2] - last[2]) / came)
        elif not cpu:
            began = now
        last = now
    if last[0] < messages or not cpu:
        raise Gone(f"{last[0]} of {messages} messages came within {IDLE_LIMIT_S:.0f} s")
    return {"cpu": cpu, "wall": wall, "began_ns": began[2], "ended_ns": last[2], "came": last[0] - began[0]}


def _loads_ns(frames: list[bytes]) -> float:
    """Time of orjson.loads in ns a frame: the median over 50 turns."""
    import orjson

    turns = []
    for _ in range(50):
        begun = time.perf_counter_ns()
        for frame in frames:
            orjson.loads(frame)
        turns.append((time.perf_counter_ns() - begun) / len(frames))
    return quantile(sorted(turns), 0.5)
