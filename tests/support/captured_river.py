"""A river whose session leaves a capture behind: what it heard, sent and fetched, as the rows that a collector writes."""

import orjson

from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.rows import Row
from alphapulse_cli.market.requests import FetchSnapshot, Reconnect, Send
from support.flow_parts import River
from support.small_captures import write

MS = 1_000_000


class CapturedRiver(River):
    """River with `rows`. Each frame takes a millisecond, each answer of the exchange five."""

    def __init__(self, directory, exchange, instruments=None, **options):
        self.rows = []
        self.moves = 0
        super().__init__(directory, exchange, instruments, **options)

    def _row(self, kind, payload):
        self.rows.append(Row(kind, self.now, 1, payload if isinstance(payload, bytes) else orjson.dumps(payload)))

    def pass_ms(self, ms):
        """Let time pass without a tick."""
        self.now += int(ms * MS)

    def connect(self):
        natives = [one.native for one in self.instruments]
        self._row(b"open", {"url": "ws://127.0.0.1:1", "symbols": natives})
        self.encoder = self.exchange.encoder(self.truth, self.mode)
        self.ingest.connected(self.monotonic)
        self.hear(*self.encoder.connected(self.now))
        return self.ask()

    def disconnect(self, reason="closed by the exchange"):
        self._row(b"shut", {"reason": reason})
        super().disconnect()

    def hear(self, *frames):
        for frame in frames:
            self.pass_ms(1)
            self._row(b"recv", frame)
            super().hear(frame)

    def mark(self, verdict):
        """The session's judgement of a silence."""
        self._row(b"mark", {"verdict": verdict})

    def lose_rows(self, count=7):
        """Rows that the capture lacks."""
        told = {"rows": count, "bytes": 900, "from_ns": self.now - MS, "to_ns": self.now, "reason": "the disk is too slow"}
        self.rows.append(Row(b"lost", self.now, 0, orjson.dumps(told)))

    def _do(self, request, *, fail):
        match request:
            case Send(frame):
                self._row(b"sent", frame)
                self.pass_ms(5)
                super()._do(request, fail=fail)
            case FetchSnapshot() if not fail:
                path, _, query = request.path.partition("?")
                status, body = self.rest.respond(path, dict(pair.split("=") for pair in query.split("&")), self.now)
                self.pass_ms(5)
                line = {"request": "snapshot", "symbol": request.instrument.native, "path": request.path, "status": status}
                self._row(b"rest", orjson.dumps(line) + b"\n" + body)
                self.ingest.receive_snapshot(request.instrument, body, self.now)
            case Reconnect(reason):
                self.done.reconnects.append(reason)
                self.disconnect(reason)
                self.pass_ms(300)
                self.connect()
            case _:
                super()._do(request, fail=fail)

    def save(self, folder):
        """Write the capture; its files."""
        chosen = self.exchange.facts.mode(self.mode)
        head = Head(
            self.exchange.facts.name,
            chosen.name,
            chosen.default_depth,
            ("book", "trades"),
            self.exchange.facts.name,
            "ws://127.0.0.1:1",
            self.rows[0].time_ns - MS,
            0,
            tuple(self.instruments),
        )
        return write(folder, self.rows, head, block_rows=20)

    # A story to explain

    def begin(self, levels=12):
        """Connect to a market of that many levels a side."""
        for symbol in self.outlet_symbols:
            self.truth.change(
                symbol, [(9_000 - 3 * n, 5, False) for n in range(levels)] + [(11_000 + 5 * n, 5, True) for n in range(levels)]
            )
        return self.connect()

    @property
    def outlet_symbols(self):
        return [one.symbol for one in self.instruments]

    def move(self, count, symbol="BTC-USD"):
        """Let the market move that often, 40 ms apart; each move is told in one frame."""
        for _ in range(count):
            self.moves += 1
            self.pass_ms(40)
            self.change([(9_100 + self.moves, 7 + self.moves, False)], symbol)
            self.ask()

    def lose(self, symbol="BTC-USD"):
        """A change of the market that nobody tells us of: a bid far above all others."""
        self.pass_ms(40)
        self.change([(9_990, 9, False)], symbol, lose=True)

    def calm(self, seconds=4):
        """Time passes, with a look each second."""
        for _ in range(seconds):
            self.tick(1)
            self.ask()

    def received(self):
        """Rows of frames, in order."""
        return [row for row in self.rows if row.kind == b"recv"]
