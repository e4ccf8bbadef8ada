"""WebSocket server of `serve`: batches of the source to the clients that asked for them, requests of clients, heartbeats, the end.

    source ─► on_batch ─► topics ─► clients, one write each        a client's message ─► subscribe, unsubscribe, ping, auth

All runs in one loop, and nothing in it waits for a client. What needs a moment (a large snapshot) is done part by part between batches.
"""

import asyncio
import fnmatch
import hmac
import logging
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State as ProtocolState
from websockets.typing import Subprotocol

from alphapulse_cli import __version__
from alphapulse_cli.apps.serve.clients import TOLD_WITHIN_S, Client
from alphapulse_cli.apps.serve.deflate import DeflatedClient, Deflations, offered
from alphapulse_cli.apps.serve.gate import BACKLOG, Gate, GuardedConnection
from alphapulse_cli.apps.serve.messages import (
    CHANNELS,
    REQUESTS,
    CloseCode,
    Encoding,
    Message,
    Problem,
    Refused,
    Subscribe,
    encoded,
    mark,
    read_request,
    request_id,
    subscription,
    trade_frame,
)
from alphapulse_cli.apps.serve.opportunities import Opportunities
from alphapulse_cli.apps.serve.ports import bound
from alphapulse_cli.apps.serve.source import Batch, Key, SourceTrade, State
from alphapulse_cli.apps.serve.state import ServeState
from alphapulse_cli.apps.serve.topics import (
    BookTopic,
    Current,
    DeltasTopic,
    Joining,
    StatsTopic,
    StatusTopic,
    Topic,
    status_message,
)
from alphapulse_cli.readers.status import BookStatus, StatusSource
from alphapulse_cli.shm import clock
from alphapulse_cli.wire.served import PROTOCOL

LOGGER = logging.getLogger("alphapulse.serve")
# a client that opens the port without a handshake needs no traceback
LOGGER.addFilter(lambda record: record.msg != "opening handshake failed")

PATHS = ("/", "/ws")
TICK_S = 0.02
STATS_EVERY_NS = 1_000_000_000
AUTH_WITHIN_S = 10.0
OPEN_WITHIN_S = 10.0
SEND_BUFFER_BYTES = 256 << 10  # of a client's socket: what the kernel holds is bounded too
ALL = ("", "")  # the key of a topic that is of no book

TopicKey = tuple[str, int, Key]  # channel, depth, book


class Streams:
    """All clients and their subscriptions, fed by `on_batch`."""

    def __init__(self, state: ServeState, opportunities: Opportunities | None = None) -> None:
        self.clients: dict[Client, dict[int, Subscribe]] = {}
        self._state, self._source, self._counts = state, state.source, state.clients
        self._topics: dict[TopicKey, Topic] = {}
        self._of_book: dict[Key, list[Topic]] = {}
        self._exchanges: dict[Key, str] = {}  # books and tapes that are known
        self._unsettled: dict[DeltasTopic, None] = {}
        self._late: dict[BookTopic, None] = {}  # changed, and not sent yet
        self._joinings: deque[tuple[DeltasTopic, Joining]] = deque()
        self._joining = asyncio.Event()
        self._numbers = 0
        self._stats_after_ns = 0
        self._status_source: StatusSource | None = None
        self._opportunities = opportunities
        for key, one in self._source.states.items():
            self._learn(key, one.exchange)

    # Clients

    def add(self, client: Client) -> None:
        """Take in a client."""
        self.clients[client] = {}

    def remove(self, client: Client) -> None:
        """Forget a client and its subscriptions."""
        for number in list(self.clients.get(client, ())):
            self.unsubscribe(client, number)
        self.clients.pop(client, None)

    def subscribe(self, client: Client, asked: Subscribe, said: Message) -> None:
        """Begin a subscription: say so, then send what there is now."""
        self._numbers += 1
        number = self._numbers
        self.clients[client][number] = asked
        keys = self._matching(asked)
        self._say(
            client,
            {
                "type": "subscribed",
                "subscription": number,
                "channel": f"book:{asked.depth}" if asked.depth else asked.channel,
                "set": asked.exchange,
                "symbol": asked.symbol,
                "books": len(keys),
                **self._hint(asked, keys),
                **said,
            },
        )
        if asked.channel == "arbitrage" and self._opportunities is not None:
            self._join(client, asked, ALL)
            for message in self._opportunities.present():
                self._say(client, message)
        for key in keys:
            self._join(client, asked, key)
        client.flush()

    def unsubscribe(self, client: Client, number: int) -> bool:
        """End a subscription; False if there is none of that number."""
        asked = self.clients[client].pop(number, None)
        if asked is None:
            return False
        for key in [ALL] if asked.channel == "arbitrage" else self._matching(asked):
            topic = self._topics.get((asked.channel, asked.depth, key))
            if topic is not None:
                topic.remove(client)
                if not topic.members:
                    self._drop(topic, (asked.channel, asked.depth, key))
        return True

    def _matching(self, asked: Subscribe) -> list[Key]:
        if asked.channel == "arbitrage":
            return []
        return [key for key, exchange in self._exchanges.items() if asked.matches(key[0], exchange, key[1])]

    def _hint(self, asked: Subscribe, keys: list[Key]) -> Message:
        """Member `hint` of an answer to a subscription to which no book belongs now: what there is instead."""
        if keys or asked.channel == "arbitrage":
            return {}
        known = self._exchanges.items()
        symbols = {symbol for (name, symbol), exchange in known if asked.takes_set(name, exchange)}
        there = sorted(symbols or {name for name, _ in self._exchanges})
        if not there:
            return {"hint": "nothing is collected here yet"}
        return {"hint": f"no book matches now; there are: {', '.join(there[:20])}{', …' if len(there) > 20 else ''}"}

    def _say(self, client: Client, message: Message) -> None:
        client.put(encoded(client.encoding, message))
        self._counts.messages_sent += 1

    def _join(self, client: Client, asked: Subscribe, key: Key) -> None:
        """Add a client to the topic of that book, and send what it holds now."""
        topic = self._topic(asked.channel, asked.depth, key)
        if not topic.add(client):
            return
        if isinstance(topic, DeltasTopic):
            topic.wait(client, asked.resume.get(key))
            self._settle(topic)
        elif isinstance(topic, Current):
            topic.show(client)

    def _topic(self, channel: str, depth: int, key: Key) -> Topic:
        found = self._topics.get((channel, depth, key))
        if found is None:
            found = self._topics[channel, depth, key] = self._made(channel, depth, key)
            self._of_book.setdefault(key, []).append(found)
        return found

    def _made(self, channel: str, depth: int, key: Key) -> Topic:
        if channel == "deltas":
            return DeltasTopic(key, self._counts, self._source)
        if channel in ("bbo", "book"):
            return BookTopic(key, self._counts, self._source, depth or 1, is_bbo=channel == "bbo")
        if channel == "status":
            return StatusTopic(key, self._counts, self._source)
        if channel == "stats":
            self._stats_after_ns = 0
            return StatsTopic(key, self._counts)
        return Topic(key, self._counts)

    def _drop(self, topic: Topic, key: TopicKey) -> None:
        del self._topics[key]
        of_book = self._of_book[key[2]]
        of_book.remove(topic)
        if not of_book:
            del self._of_book[key[2]]
        if isinstance(topic, DeltasTopic):
            self._unsettled.pop(topic, None)
        elif isinstance(topic, BookTopic):
            self._late.pop(topic, None)

    # Batches

    def on_batch(self, batch: Batch) -> None:
        """Send what was new to the clients that asked for it."""
        written = self._counts.writes
        touched: dict[Key, None] = {}
        settling: dict[DeltasTopic, None] = {}
        for one in batch.restarted:
            message = {"type": "restarted", **_of_set(one), "ring": one.ring, "epoch": one.epoch, **mark(one.replay)}
            self._tell_set(one.set_name, one.ring, message)
        # after a lap too: of a book that is quiet since, no later group would show that one is missing
        begun_anew = {one.set_name for one in batch.restarted if one.ring == "deltas"} | set(batch.gone)
        begun_anew |= {lost.set_name for lost in batch.missed if lost.ring == "deltas"}
        for name in begun_anew:
            for topic in self._deltas_of(name):
                topic.break_chain()
                settling[topic] = None
        for lost in batch.missed:
            message = {"type": "missed", **_of_set(lost), "ring": lost.ring, "missed": lost.missed, **mark(lost.replay)}
            self._tell_set(lost.set_name, lost.ring, message)
        for state in batch.states:
            key = state.set_name, state.symbol
            touched[key] = None
            if key not in self._exchanges:
                self._learn(key, state.exchange)
            else:
                self._tell_state(key, state)
        for group in batch.groups:
            key = group.set_name, group.symbol
            if key in self._of_book:
                touched[key] = None
                deltas = self._topics.get(("deltas", 0, key))
                if isinstance(deltas, DeltasTopic):
                    deltas.take(group)
                    settling[deltas] = None
        for trade in batch.trades:
            self._take_trade(trade)
        for topic in settling:
            self._settle(topic)
        for key in touched:
            for of_book in self._of_book.get(key, ()):
                if isinstance(of_book, BookTopic) and not of_book.look(batch.read_ns):
                    self._late[of_book] = None
        self._flush()
        if self._counts.writes != written:
            now_ns = clock.monotonic_ns()
            for observe in self._state.on_broadcast:
                observe(batch.read_ns, now_ns)

    def _learn(self, key: Key, exchange: str) -> None:
        """Take a new book into the subscriptions that match it."""
        self._exchanges[key] = exchange
        for client, subscriptions in self.clients.items():
            for asked in subscriptions.values():
                if asked.channel != "arbitrage" and asked.matches(key[0], exchange, key[1]):
                    self._join(client, asked, key)

    def _take_trade(self, trade: SourceTrade) -> None:
        key = trade.item.set_name, trade.item.symbol
        if key not in self._exchanges:  # a market whose book is not collected
            self._learn(key, trade.item.exchange)
        topic = self._topics.get(("trades", 0, key))
        if topic is not None and not trade.is_backlog:
            topic.send(lambda encoding: trade_frame(encoding, trade))

    def _tell_state(self, key: Key, state: State) -> None:
        """Tell a book's state to each client that has anything of it, once."""
        frames: dict[Encoding, bytes] = {}
        message = status_message(state, self._source)
        for client in dict.fromkeys(client for topic in self._of_book.get(key, ()) for client in topic.clients):
            if client.encoding not in frames:
                frames[client.encoding] = encoded(client.encoding, message)
            client.put(frames[client.encoding])
            self._counts.messages_sent += 1
        status = self._topics.get(("status", 0, key))
        if isinstance(status, StatusTopic):
            status.forget()

    def _tell_set(self, set_name: str, ring: str, message: Message) -> None:
        """Tell each client that has deltas, or trades, of that set, once."""
        topics = [topic for (channel, _, key), topic in self._topics.items() if channel == ring and key[0] == set_name]
        for client in dict.fromkeys(client for topic in topics for client in topic.clients):
            self._say(client, message)

    def _deltas_of(self, set_name: str) -> list[DeltasTopic]:
        return [topic for topic in self._topics.values() if isinstance(topic, DeltasTopic) and topic.key[0] == set_name]

    def _settle(self, topic: DeltasTopic) -> None:
        begun = topic.settle(self._state.plan.limits.queue_bytes)
        self._joinings.extend((topic, joining) for joining in begun)
        if begun:
            self._joining.set()
        if topic.waiting:
            self._unsettled[topic] = None
        else:
            self._unsettled.pop(topic, None)

    def _flush(self) -> None:
        for client in self.clients:
            if client.waiting:
                client.flush()

    async def encode_snapshots(self) -> None:
        """Encode the snapshots that were begun, a part in each turn of the loop, for ever."""
        while True:
            await self._joining.wait()
            self._joining.clear()
            while self._joinings:
                topic, joining = self._joinings.popleft()
                if not topic.encode_part(joining):
                    self._joinings.append((topic, joining))
                else:
                    self._flush()
                    if topic.waiting:
                        self._unsettled[topic] = None
                await asyncio.sleep(0)

    # Now and then

    def tick(self, now_ns: int) -> None:
        """Do what is due without a batch: clients that wait or were behind, books that were too early, figures; CLOCK_MONOTONIC."""
        for topic in list(self._unsettled):
            self._settle(topic)
        for book in list(self._late):
            if book.look(now_ns):
                del self._late[book]
        for client in self.clients:
            if client.behind and not client.is_behind:
                for current in client.behind:
                    if client in current.members.get(client.encoding, ()):
                        current.show(client)
                client.behind.clear()
        if now_ns >= self._stats_after_ns:
            self._stats_after_ns = now_ns + STATS_EVERY_NS
            self._take_stats()
        self._flush()

    def _take_stats(self) -> None:
        topics = {topic.key: topic for topic in self._topics.values() if isinstance(topic, StatsTopic)}
        if not topics:
            self._status_source = None
            return
        if self._status_source is None:
            self._status_source = StatusSource(self._source.directory)
        now_ns = clock.realtime_ns()
        for one in self._status_source.sample():
            for book in one.books:
                topic = topics.get((one.name, book.symbol))
                if topic is not None:
                    topic.value = _stats(one.name, book, now_ns)
                    topic.changed()

    def take_opportunities(self, messages: Sequence[Message]) -> None:
        """Send what is new about opportunities."""
        topic = self._topics.get(("arbitrage", 0, ALL))
        for client in () if topic is None else topic.clients:
            for message in messages:
                self._say(client, message)
        self._flush()

    @property
    def wants_opportunities(self) -> bool:
        """Whether any client asked for them."""
        return ("arbitrage", 0, ALL) in self._topics

    def heartbeat(self) -> None:
        """Send a heartbeat to every client."""
        message = {"type": "heartbeat", "time_ns": clock.realtime_ns()}
        frames = {encoding: encoded(encoding, message) for encoding in {client.encoding for client in self.clients}}
        for client in self.clients:
            client.put(frames[client.encoding])
            client.flush()
        self._counts.messages_sent += len(self.clients)

    # Requests

    def answer(self, client: Client, payload: str | bytes) -> None:
        """Carry out one message of a client; what is wrong with it is answered."""
        said: Message = {}
        try:
            request = read_request(payload, client.encoding)
            said = request_id(request)
            self._carry_out(client, request, said)
        except Refused as refused:
            message = {"type": "error", "code": refused.code.value, "message": str(refused), "field": refused.field}
            client.say({**message, "hint": refused.hint, **said})

    def _carry_out(self, client: Client, request: Message, said: Message) -> None:
        op = request.get("op")
        if op is None:
            raise Refused(Problem.MISSING_FIELD, "a request needs an op", "op", f"ops are: {', '.join(REQUESTS)}")
        if not isinstance(op, str) or op not in REQUESTS:
            raise Refused(Problem.UNKNOWN_OP, f"unknown op: {str(op)[:40]!r}", "op", f"ops are: {', '.join(REQUESTS)}")
        if op == "auth":
            self._authorize(client, request, said)
        elif not client.is_authorized:
            raise Refused(Problem.UNAUTHORIZED, "the token is missing", None, 'send {"op":"auth","token":…} first')
        elif op == "ping":
            client.say({"type": "pong", "time_ns": clock.realtime_ns(), **said})
        elif op == "subscribe":
            asked = subscription(request)
            if len(self.clients[client]) >= client.limits.subscriptions:
                raise Refused(
                    Problem.LIMIT, f"at most {client.limits.subscriptions} subscriptions", None, "use a pattern, or unsubscribe"
                )
            self.subscribe(client, asked, said)
        else:
            number = request.get("subscription")
            if "subscription" not in request:
                raise Refused(
                    Problem.MISSING_FIELD, "unsubscribe needs a subscription", "subscription", "its number is in `subscribed`"
                )
            if not isinstance(number, int) or isinstance(number, bool):
                raise Refused(
                    Problem.WRONG_FIELD, "subscription must be an integer", "subscription", "its number is in `subscribed`"
                )
            if not self.unsubscribe(client, number):
                here = ", ".join(map(str, self.clients[client]))
                raise Refused(
                    Problem.WRONG_FIELD,
                    f"no subscription {str(number)[:40]}",
                    "subscription",
                    f"there are: {here[:200]}" if here else "this client has none",
                )
            client.say({"type": "unsubscribed", "subscription": number, **said})

    def _authorize(self, client: Client, request: Message, said: Message) -> None:
        if "token" not in request:
            raise Refused(Problem.MISSING_FIELD, "auth needs a token", "token", 'send {"op":"auth","token":"…"}')
        if not isinstance(request["token"], str):
            raise Refused(Problem.WRONG_FIELD, "token must be a text", "token", 'send {"op":"auth","token":"…"}')
        token = self._state.plan.token
        if token and not is_token(request["token"], token):
            client.close(CloseCode.POLICY, "the token is wrong", Problem.UNAUTHORIZED)
            return
        client.is_authorized = True
        client.say({"type": "authorized", **said})


def _of_set(one: Any) -> Message:
    return {"set": one.set_name, "exchange": one.exchange}


def _stats(set_name: str, book: BookStatus, now_ns: int) -> Message:
    trading = book.trading_status
    return {
        "type": "stats",
        "set": set_name,
        "exchange": book.exchange,
        "symbol": book.symbol,
        "time_ns": now_ns,
        "version": book.version,
        "state": book.state.name,
        "reason": book.reason.name,
        "trading_status": None if trading is None else trading.name,
        "bid_levels": book.bid_count,
        "ask_levels": book.ask_count,
        "spread_bps": book.spread_bps,
        "age_ms": book.age_ms,
        "deltas_per_s": book.deltas_per_s,
        "trades_per_s": book.trades_per_s,
        "feed_delay_us": book.feed_delay_us,
        "gaps": book.gaps,
        "resyncs": book.resyncs,
        "checksum": book.checksum.name,
        **mark(book.replay),
    }


def is_token(given: str, token: str) -> bool:
    """Whether that is the token, in a time that tells nothing about it."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode("utf-8", "replace"))


def bearer(header: str | None) -> str | None:
    """Token of an Authorization header; None without one."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


class StreamServer:
    """The listening port of the WebSocket side, from `open` to `close`."""

    def __init__(self, state: ServeState, opportunities: Opportunities | None = None) -> None:
        self.streams = Streams(state, opportunities)
        state.streams = self
        self._state, self._plan, self._counts = state, state.plan, state.clients
        self._opportunities = opportunities
        self.gate = Gate()
        self._deflations = Deflations()
        self._of_address: Counter[str] = Counter()
        self._server: Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        state.clients.queue_bytes = lambda: sum(client.outstanding for client in self.streams.clients)
        state.clients.each = lambda: [client.figures for client in self.streams.clients]

    async def open(self) -> int:
        """Listen, and return the port. UsageError if the port cannot be had."""
        plan = self._plan
        listening = bound("WebSocket", plan.host, plan.port, "--port")
        self._server = await serve(
            self._serve,
            sock=listening,
            backlog=BACKLOG,
            process_request=self._respond,
            select_subprotocol=_chosen,
            subprotocols=[Subprotocol(one.subprotocol) for one in Encoding],
            compression=None,
            extensions=offered() if plan.compress else None,
            max_size=plan.limits.message_bytes,
            open_timeout=OPEN_WITHIN_S,
            close_timeout=TOLD_WITHIN_S,
            ping_interval=plan.heartbeat_s,
            ping_timeout=2 * plan.heartbeat_s,
            server_header=None,
            logger=LOGGER,
            create_connection=partial(GuardedConnection, self.gate),  # type: ignore[arg-type]  # it is called, no more
        )
        self._state.port = listening.getsockname()[1]
        self._state.source.listeners.append(self.streams.on_batch)
        self._tasks = [asyncio.create_task(work()) for work in (self._tick, self._beat, self._look_for_opportunities)]
        self._tasks.append(asyncio.create_task(self.streams.encode_snapshots()))
        return self._state.port

    async def close(self) -> None:
        """Tell every client 1012, and free the port; those that do not read it within TOLD_WITHIN_S are cut off."""
        assert self._server is not None
        self._state.source.listeners.remove(self.streams.on_batch)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for client in list(self.streams.clients):
            client.close(CloseCode.RESTART, "the server stops: connect again and resume")
        self._server.close(code=CloseCode.RESTART)
        for connection in list(self.gate.half_open):  # the library would wait for their handshakes
            connection.transport.abort()
        await self._server.wait_closed()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            _guarded(self.streams.tick, clock.monotonic_ns())

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._plan.heartbeat_s)
            _guarded(self.streams.heartbeat)

    async def _look_for_opportunities(self) -> None:
        while self._opportunities is not None:
            await asyncio.sleep(self._opportunities.every_s)
            if self.streams.wants_opportunities:
                try:
                    self.streams.take_opportunities(await self._opportunities.look())
                except Exception:
                    LOGGER.exception("the opportunities could not be told; they are looked for again")

    def _respond(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse a handshake, or return None to accept it."""
        try:
            return self._refused(connection, request)
        except (ValueError, LookupError):  # an address that is none, a header twice
            return _refusal(400, "the request cannot be read")

    def _refused(self, connection: ServerConnection, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        if parts.path not in PATHS:
            return _refusal(404, f"WebSocket clients connect to {PATHS[0]} or {PATHS[1]}")
        if "token" in parts.query:
            return _refusal(400, "a token has no place in an address: send it as `Authorization: Bearer` or in `auth`")
        origin = request.headers.get("Origin")
        if origin is not None and not _is_allowed(origin, request.headers.get("Host", ""), self._plan.origins):
            self._counts.refused["origin"] += 1
            return _refusal(403, "pages of this origin may not connect: --origin allows it")
        refusal = self.refusal(_address(connection), request.headers)
        return None if refusal is None else _refusal(refusal[0], refusal[2])

    def refusal(self, address: str, headers: Headers) -> tuple[int, str, str] | None:
        """Status, code and words for a client that may not connect: a wrong token, or too many clients; None for one that may."""
        limits = self._plan.limits
        given = bearer(headers.get("Authorization"))
        if self._plan.token and given is not None and not is_token(given, self._plan.token):
            self._counts.refused["unauthorized"] += 1
            return 401, "unauthorized", "the token is wrong"
        if len(self.streams.clients) >= limits.clients:
            self._counts.refused["full"] += 1
            return 503, "full", "the server has as many clients as it may have"
        if self._of_address[address] >= limits.clients_per_address:
            self._counts.refused["address"] += 1
            return 429, "address", "this address has as many clients as it may have"
        return None

    async def _serve(self, websocket: ServerConnection) -> None:
        self.gate.leave(websocket)
        with suppress(OSError):
            websocket.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        await self.serve_client(websocket)

    async def serve_client(self, websocket: ServerConnection) -> None:
        """Serve one client to its end."""
        plan, counts, address = self._plan, self._counts, _address(websocket)
        encoding = next((one for one in Encoding if one.subprotocol == websocket.subprotocol), Encoding.JSON)
        deflation = self._deflations.of(websocket.protocol.extensions)
        given_to = (websocket, encoding, plan.limits, counts)
        client = Client(*given_to) if deflation is None else DeflatedClient(deflation, *given_to)
        given = bearer(websocket.request.headers.get("Authorization") if websocket.request else None)
        client.is_authorized = not plan.token or (given is not None and is_token(given, plan.token))
        counts.accepted += 1
        client.number, client.address = counts.accepted, address
        counts.connected += 1
        self._of_address[address] += 1
        self.streams.add(client)
        loop = asyncio.get_running_loop()
        late = None if client.is_authorized else loop.call_later(AUTH_WITHIN_S, _close_unauthorized, client)
        try:
            client.say(self._welcome(client))
            with suppress(ConnectionClosed):
                async for payload in websocket:
                    self._take(client, payload, loop.time())
        except Exception:
            LOGGER.exception("a client's connection failed")
            client.close(CloseCode.FAILED, "an error of the server's own")
        finally:
            if late is not None:
                late.cancel()
            self.streams.remove(client)
            counts.connected -= 1
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]
            sent = websocket.protocol.close_sent
            if not client.closing and sent is not None and sent.code in {*CloseCode}:
                counts.closed[sent.code] += 1
            await client.closed()

    def _take(self, client: Client, payload: str | bytes, now_s: float) -> None:
        self._counts.messages_received += 1
        self._counts.bytes_received += len(payload)
        client.bytes_received += len(payload)
        if client.closing or websocket_is_closing(client):
            return
        if not client.may_ask(now_s):
            client.close(CloseCode.POLICY, f"more than {client.limits.messages_per_s:g} messages a second", Problem.LIMIT)
            return
        self.streams.answer(client, payload)

    def _welcome(self, client: Client) -> Message:
        limits = client.limits
        return {
            "type": "welcome",
            "protocol": PROTOCOL,
            "server": f"alphapulse {__version__}",
            "encoding": client.encoding.value,
            "channels": list(CHANNELS),
            "needs_auth": not client.is_authorized,
            "heartbeat_s": self._plan.heartbeat_s,
            "limits": {
                "queue_bytes": limits.queue_bytes,
                "message_bytes": limits.message_bytes,
                "messages_per_s": limits.messages_per_s,
                "subscriptions": limits.subscriptions,
            },
        }


def _guarded(work: Callable[..., None], *arguments: Any) -> None:
    """Do a periodic work; where it fails that is logged, and it is done again the next time."""
    try:
        work(*arguments)
    except Exception:
        LOGGER.exception("a periodic work of the server failed")


def websocket_is_closing(client: Client) -> bool:
    """Whether the closing handshake has begun."""
    return client.websocket.protocol.state is not ProtocolState.OPEN


def _close_unauthorized(client: Client) -> None:
    if not client.is_authorized:
        client.close(CloseCode.POLICY, f"no token within {AUTH_WITHIN_S:g} s", Problem.UNAUTHORIZED)


def _chosen(_: ServerConnection, offered: Iterable[Subprotocol]) -> Subprotocol | None:
    """The first subprotocol of ours among those offered; None for none, which means JSON."""
    ours = {one.subprotocol for one in Encoding}
    return next((one for one in offered if one in ours), None)


def _address(connection: ServerConnection) -> str:
    remote = connection.remote_address
    return str(remote[0]) if isinstance(remote, tuple) else str(remote)


def _is_allowed(origin: str, host: str, allowed: Iterable[str]) -> bool:
    """Whether a page of that origin may connect: of the same host, or in the list ("*" is every one)."""
    own = urlsplit(f"//{host}").hostname
    return urlsplit(origin).hostname == own or any(fnmatch.fnmatchcase(origin, one) for one in allowed)


def _refusal(status: int, words: str) -> Response:
    body = f"{words}\n".encode()
    headers = Headers([("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), ("Connection", "close")])
    return Response(status, "refused", headers, body)
