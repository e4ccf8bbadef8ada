"""`collect`: with the socket: what a message costs in CPU, and how many a second go through.

A sender process pushes ready-made WebSocket frames of about 1 KB as fast as they are taken; a collector process runs `apps.collect`.

    sender: simulated Coinbase, made and framed before ──── loopback TCP ────► collector: websockets ─► ingest ─► segments

Beside it, in another process each time, the same frames are only received: that is the transport's own share.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from alphapulse_cli.apps.bench.children import Gone, Lines, child
from alphapulse_cli.apps.bench.frames import Feed, Server
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.report import Result, Samples, quantile
from alphapulse_cli.exchanges.protocol import BOOK, Decoder
from alphapulse_cli.market.requests import Send

FEED = Feed("coinbase", "coinbase", "")
STEPS_A_MESSAGE = 2  # of the market: about 1 KB together
SAMPLE_S = 0.004
LEAST_FRAMES = 64  # in a sample
IDLE_LIMIT_S = 30.0
PREPARED_S = 120.0  # the sender makes the messages in this time, or there is no measure
FRAMES_A_WRITE = 64
KEPT_FRAMES = 256
LOADS = "orjson.loads of the same frame"
RECEIVING = "receiving the same frames and nothing else"


def measure(ground: Ground) -> Iterator[Result]:
    """The lines of this scenario."""
    messages = ground.several(4_000, 30_000)
    receiving, collecting, wall, own = Samples(), Samples(), Samples(), Samples()
    with child("collect:send", messages) as sender:
        ground.say("collect: making the frames")
        port = sender.hear(PREPARED_S)["port"]
        for _ in range(ground.several(2, 6)):
            ground.say("collect: receive only")
            bare = _one_run(ground, port, messages, receive_only=True)
            ground.say("collect: collect")
            full = _one_run(ground, port, messages, receive_only=False)
            loads, received = bare["loads_ns"], quantile(sorted(bare["cpu"]), 0.5)
            _add(receiving, bare["cpu"], loads)
            _add(collecting, full["cpu"], received)
            _add(wall, full["wall"], quantile(sorted(bare["wall"]), 0.5))
            _add(own, [max(spent - received, 1.0) for spent in full["cpu"]], loads)
    each = f"{bare['frame_bytes']}-byte messages; a sample is a few milliseconds of them"
    yield receiving.result("collect", "websockets alone, CPU a message", LOADS, f"All but receiving; {each}.")
    yield collecting.result("collect", "CPU a message", RECEIVING, f"The kernel's work for the sender; {each}.")
    yield own.result("collect", "CPU a message beyond the transport's", LOADS, f"What receiving alone took is taken off; {each}.")
    yield wall.result("collect", "time a message", RECEIVING, f"Nothing: one collector, sender on another core; {each}.")


def _add(samples: Samples, spent: list[float], reference: float) -> None:
    samples.work += spent
    samples.reference.append(reference)
    samples.ratios += [one / reference for one in spent]


def _one_run(ground: Ground, port: int, messages: int, *, receive_only: bool) -> dict[str, Any]:
    """Samples of one receiver, in nanoseconds a message."""
    with child("collect:receive", str(ground.directory.path), port, messages, receive_only) as receiver:
        told: dict[str, Any] = receiver.hear()
    for name in ground.directory.names():
        if name.startswith("bench-collect"):
            ground.directory.unlink(name)
    return told


# The sender's process


class Sent(NamedTuple):
    """What every connection is sent: the greeting, the answer to each of its subscriptions, then the messages, framed."""

    greeting: Sequence[bytes]
    answers: Sequence[Sequence[bytes]]
    messages: Sequence[bytes]


def send(parent: Lines, messages: int) -> None:
    """Answer REST and subscriptions as the exchange would, then push the messages, connection after connection, until killed."""
    import socket

    server = Server(FEED)
    sent = _prepared(server, messages)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        parent.say({"port": listening.getsockname()[1]})
        while True:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError, Gone):  # a receiver that has enough goes
                connection.settimeout(IDLE_LIMIT_S)
                _serve(connection, server, sent)


def _prepared(server: Server, messages: int) -> Sent:
    """All is made and framed before the first receiver comes: the sender must not be what is measured."""
    greeting = [_framed(frame) for frame in server.encoder.connected(server.now_ns)]
    asked = [request.frame for request in _subscribing(server).pending_requests() if isinstance(request, Send)]
    answers = [[_framed(frame) for frame in server.encoder.receive(frame, server.now_ns)] for frame in asked]
    framed: list[bytes] = []
    while len(framed) < messages:
        framed += [_framed(frame) for frame in server.update(STEPS_A_MESSAGE)]
    chunks = [b"".join(framed[at : at + FRAMES_A_WRITE]) for at in range(0, messages, FRAMES_A_WRITE)]
    return Sent(greeting, answers, chunks)


def _subscribing(server: Server) -> Decoder:
    """A decoder that wants to subscribe."""
    decoder = server.exchange.decoder([server.instrument()], {BOOK}, server.mode.default_depth, server.mode.name)
    decoder.connected(server.now_ns)
    return decoder


def _serve(connection: Any, server: Server, sent: Sent) -> None:
    """One connection: a REST request, or the WebSocket."""
    from websockets.frames import Frame, Opcode
    from websockets.server import ServerProtocol

    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1 << 16) or _gone()
    if b"upgrade: websocket" not in head.lower():
        body = server.get(head.split(b" ", 2)[1].decode("ascii"))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        return
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
    for chunk in sent.messages:
        connection.sendall(chunk)
    while connection.recv(1 << 16):
        pass


def _gone() -> bytes:
    raise Gone("the receiver went before it had subscribed")


def _framed(payload: bytes) -> bytes:
    """An unmasked text frame."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


# The receiver's process


def receive(parent: Lines, path: str, port: int, messages: int, receive_only: bool) -> None:
    """Receive or collect all messages; tell the samples."""
    parent.say(asyncio.run(_receive_only(port, messages) if receive_only else _collect(path, port, messages)))


async def _receive_only(port: int, messages: int) -> dict[str, Any]:
    from alphapulse_cli.edges.transport import open_link

    server = Server(FEED)
    decoder = _subscribing(server)
    seen, kept = 0, []

    def on_frame(frame: bytes, _: int) -> None:
        nonlocal seen
        seen += 1
        if KEPT_FRAMES <= seen < 2 * KEPT_FRAMES:
            kept.append(frame)

    link = await open_link(_url(server, port), on_frame)
    for request in decoder.pending_requests():
        if isinstance(request, Send):
            await link.send(request.frame)
    samples = await _sampled(lambda: seen, messages)
    await link.close()
    return {**samples, "loads_ns": _loads_ns(kept), "frame_bytes": sorted(map(len, kept))[len(kept) // 2]}


async def _collect(path: str, port: int, messages: int) -> dict[str, Any]:
    from alphapulse_cli.apps.collect import collect
    from alphapulse_cli.apps.plan import CollectPlan
    from alphapulse_cli.shm.counters import Counter

    begun: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    plan = CollectPlan(
        FEED.exchange,
        (FEED.symbol,),
        (BOOK,),
        url=_url(Server(FEED), port),
        rest_url=f"http://127.0.0.1:{port}",
        set_name="bench-collect",
        shm_dir=path,
    )
    work = asyncio.create_task(collect(plan, lambda *_: None, lambda _, ingest: begun.set_result(ingest)))
    await asyncio.wait({work, begun}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()
    counters = begun.result().counters
    try:
        return await _sampled(lambda: counters.get(Counter.FRAMES), messages)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def _url(server: Server, port: int) -> str:
    from urllib.parse import urlsplit

    return f"ws://127.0.0.1:{port}{urlsplit(server.mode.websocket_url).path}"


async def _sampled(frames: Any, messages: int) -> dict[str, Any]:
    """CPU and wall time a message, sampled while they come; over when all are here."""
    cpu: list[float] = []
    wall: list[float] = []
    until = time.monotonic() + IDLE_LIMIT_S
    last = (frames(), time.process_time_ns(), time.perf_counter_ns())
    while last[0] < messages and time.monotonic() < until:
        await asyncio.sleep(SAMPLE_S)
        now = (frames(), time.process_time_ns(), time.perf_counter_ns())
        came = now[0] - last[0]
        if came >= LEAST_FRAMES:
            cpu.append((now[1] - last[1]) / came)
            wall.append((now[2] - last[2]) / came)
        last = now
    if last[0] < messages or not cpu:
        raise Gone(f"{last[0]} of {messages} messages came within {IDLE_LIMIT_S:.0f} s")
    return {"cpu": cpu, "wall": wall}


def _loads_ns(frames: list[bytes]) -> float:
    """orjson.loads of the frames: the median over a few turns, in nanoseconds a frame."""
    import orjson

    turns = []
    for _ in range(50):
        begun = time.perf_counter_ns()
        for frame in frames:
            orjson.loads(frame)
        turns.append((time.perf_counter_ns() - begun) / len(frames))
    return quantile(sorted(turns), 0.5)
