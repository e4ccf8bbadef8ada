"""`collect`: with the socket: what a message costs in CPU, and how many a second go through.

A sender process pushes ready-made WebSocket frames of about 1 KB as fast as they are taken; a collector process runs `apps.collect`.

    sender: simulated Coinbase, frames made before ──── loopback TCP ────► collector: websockets ─► ingest ─► segments

Beside it, in another process each time, the same frames are only received: that is the transport's own share.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from alphapulse_cli.apps.bench.children import Gone, Lines, child
from alphapulse_cli.apps.bench.frames import Feed, Server
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.report import Result, Samples, quantile

FEED = Feed("coinbase", "coinbase", "")
STEPS_A_MESSAGE = 2  # of the market: about 1 KB together
SAMPLE_S = 0.004
LEAST_FRAMES = 64  # in a sample
IDLE_LIMIT_S = 30.0
KEPT_FRAMES = 256
LOADS = "orjson.loads of the same frame"
RECEIVING = "receiving the same frames and nothing else"


def measure(ground: Ground) -> Iterator[Result]:
    """The lines of this scenario."""
    messages = ground.several(5_000, 60_000)
    receiving, collecting, wall, own = Samples(), Samples(), Samples(), Samples()
    for _ in range(ground.several(2, 5)):
        ground.say("collect: receive only")
        bare = _one_run(ground, messages, receive_only=True)
        ground.say("collect: collect")
        full = _one_run(ground, messages, receive_only=False)
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


def _one_run(ground: Ground, messages: int, *, receive_only: bool) -> dict[str, Any]:
    """Samples of one sender and one receiver, in nanoseconds a message."""
    with child("collect:send", messages) as sender:
        port = sender.hear()["port"]
        with child("collect:receive", str(ground.directory.path), port, messages, receive_only) as receiver:
            told: dict[str, Any] = receiver.hear()
    for name in ground.directory.names():
        if name.startswith("bench-collect"):
            ground.directory.unlink(name)
    return told


# The sender's process


def send(parent: Lines, messages: int) -> None:
    """Answer REST and subscriptions as the exchange would, then push the messages; until the receiver has gone."""
    import socket

    server = Server(FEED)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(IDLE_LIMIT_S)
        parent.say({"port": listening.getsockname()[1]})
        while True:
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(IDLE_LIMIT_S)
                if _serve(connection, server, messages):
                    return


def _serve(connection: Any, server: Server, messages: int) -> bool:
    """One connection; True if it was the WebSocket."""
    from websockets.frames import Frame, Opcode
    from websockets.server import ServerProtocol

    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(1 << 16)
        if not piece:
            return False
        head += piece
    if b"upgrade: websocket" not in head.lower():
        body = server.get(head.split(b" ", 2)[1].decode("ascii"))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        return False
    protocol = ServerProtocol()
    protocol.receive_data(head)
    protocol.send_response(protocol.accept(protocol.events_received()[0]))  # type: ignore[arg-type]  # the request
    _push(connection, protocol, server.encoder.connected(server.now_ns))
    awaited = _subscriptions(server)
    while awaited:
        for event in protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                _push(connection, protocol, server.encoder.receive(bytes(event.data), server.now_ns))
                awaited -= 1
        if awaited:
            protocol.receive_data(connection.recv(1 << 16) or _gone())
    _push_all(connection, server, messages)
    while connection.recv(1 << 16):
        pass
    return True


def _gone() -> bytes:
    raise Gone("the receiver went before it had subscribed")


def _subscriptions(server: Server) -> int:
    """How many frames the decoder sends before it hears anything."""
    decoder = server.exchange.decoder([server.instrument()], {"book"}, server.mode.default_depth, server.mode.name)
    decoder.connected(server.now_ns)
    return len(decoder.pending_requests())


def _push(connection: Any, protocol: Any, frames: Any) -> None:
    for frame in frames:
        protocol.send_text(frame)
    connection.sendall(b"".join(protocol.data_to_send()))


def _push_all(connection: Any, server: Server, messages: int) -> None:
    """All messages are framed before the first is sent: the sender must not be what is measured."""
    framed: list[bytes] = []
    while len(framed) < messages:
        framed += [_framed(frame) for frame in server.update(STEPS_A_MESSAGE)]
    for at in range(0, messages, 64):
        connection.sendall(b"".join(framed[at : min(at + 64, messages)]))


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
    decoder = server.exchange.decoder([server.instrument()], {"book"}, server.mode.default_depth, server.mode.name)
    decoder.connected(0)
    seen, kept = 0, []

    def on_frame(frame: bytes, _: int) -> None:
        nonlocal seen
        seen += 1
        if KEPT_FRAMES <= seen < 2 * KEPT_FRAMES:
            kept.append(frame)

    link = await open_link(_url(server, port), on_frame)
    for request in decoder.pending_requests():
        await link.send(request.frame)  # type: ignore[union-attr]  # subscriptions are all it has
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
        ("book",),
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
