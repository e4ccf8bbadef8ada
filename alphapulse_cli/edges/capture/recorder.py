"""Recorder of a set: what its sessions receive, send and notice becomes rows of a capture, in the order in which ingest sees it.

    Session, Fetcher ─► Recorder ─┬─► CaptureWriter ─► thread ─► files
                                  └─► LastFrames: the last seconds, in memory

It has one of the two, or both. The head of each file names the symbols of the set on their present grids, and the rows behind it the connections that are open.
What was asked before the symbols were known, the list of instruments above all, waits for the first head.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson

from alphapulse_cli.edges.capture.checkpoints import CheckpointPace
from alphapulse_cli.edges.capture.head import Head, instrument_row
from alphapulse_cli.edges.capture.last_frames import Held, LastFrames
from alphapulse_cli.edges.capture.rolling import RollingFiles, Totals
from alphapulse_cli.edges.capture.rows import MOST_PAYLOAD_BYTES, Kind
from alphapulse_cli.edges.capture.writer import MOST_QUEUED_BYTES, CaptureWriter
from alphapulse_cli.edges.exchange.fetch import Answer, OnAnswer
from alphapulse_cli.edges.exchange.watchdog import SilenceVerdict
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.shm import clock

KEPT_HEADERS = re.compile(r"content-type|date|age|retry-after|x-mbx-used-weight.*|x-bapi-limit.*|(x-)?ratelimit-.*")
MOST_HEADERS, MOST_HEADER = 32, 200
SECRET = re.compile(r"token|key|secret|sign|auth|pass", re.IGNORECASE)  # in names of an address's parameters
Checkpoints = Sequence[tuple[int, bytes]]  # (connection, payload)
TakeOpen = Callable[[int, Collection[int]], Held | None]  # (most bytes, connections that are open) -> as last_frames.Take
Put = Callable[[bytes, int, int, bytes], None]
JUDGED = {
    SilenceVerdict.DOUBT: b'{"verdict":"doubt"}',
    SilenceVerdict.SILENT: b'{"verdict":"silent"}',
    SilenceVerdict.MUTE: b'{"verdict":"mute"}',
    SilenceVerdict.HEARD: b'{"verdict":"heard"}',
}
RECEIVED, SENT = bytes(Kind.RECEIVED), bytes(Kind.SENT)


class Recorder:
    """Recorder of one set, from the one thread of its sessions. Times are CLOCK_REALTIME in ns.

    `files` are those of the capture, `last` keeps the last frames; None without. `instruments` of the head are empty at first: `begin`
    sets them.
    """

    def __init__(self, files: RollingFiles | None, head: Head, last: LastFrames | None = None) -> None:
        self._writer = CaptureWriter(files, head) if files is not None else None
        self.last = last
        self._head = head
        self._put = self._to_all()
        self._instruments: Callable[[], Sequence[Instrument]] | None = None
        self._warns: Callable[[str], bool] = lambda _: False
        self._checkpoints: Callable[[], Checkpoints] = tuple
        self._pace = CheckpointPace(self._writer.totals, clock.monotonic_ns()) if self._writer is not None else None
        self._early: list[tuple[bytes, int, int, bytes]] = []  # rows from before `begin`
        self._early_bytes = self._forgotten = 0
        self._open: dict[int, tuple[bytes, int, bytes]] = {}  # the preamble, by connection
        self._connections = 0

    def _to_all(self) -> Put:
        """Function that hands a row to the capture, the last frames, or both."""
        if self._writer is None or self.last is None:
            one = self._writer or self.last
            assert one is not None
            return one.put
        write, keep = self._writer.put, self.last.put

        def both(kind: bytes, time_ns: int, connection: int, payload: bytes) -> None:
            write(kind, time_ns, connection, payload)
            keep(kind, time_ns, connection, payload)

        return both

    @property
    def totals(self) -> Totals | None:
        """Figures of the capture since the start; None without one."""
        return self._writer.totals if self._writer is not None else None

    def begin(
        self,
        instruments: Callable[[], Sequence[Instrument]],
        warns: Callable[[str], bool] = lambda _: False,
        checkpoints: Callable[[], Checkpoints] = tuple,
        take: TakeOpen = lambda *_: (),
    ) -> None:
        """Begin the capture of a set whose present instruments the first function returns.

        `warns` tells whether a symbol's book may be LIVE although its checksums are wrong; `checkpoints` makes those of all
        connections, by their numbers, and nothing if one of them cannot be made; `take` takes those of the last frames.
        """
        self._instruments, self._warns, self._checkpoints = instruments, warns, checkpoints
        self._look_at_instruments()
        if self.last is not None:
            self.last.begin(self._head, lambda most: take(most, self._open))
        if self._forgotten:
            members = {"rows": self._forgotten, "bytes": 0, "from_ns": 0, "to_ns": self._early[0][1] if self._early else 0}
            lost = orjson.dumps({**members, "reason": "the exchange was not reached for too long"})
            self._put(Kind.LOST, members["to_ns"], 0, lost)
        for row in self._early:
            self._put(*row)
        self._early.clear()

    def connection(self) -> int:
        """Return a number for another connection of the set; it stays the same over its reconnects."""
        self._connections += 1
        return self._connections

    def changed(self, added: Iterable[Instrument], removed: Iterable[str]) -> None:
        """Note symbols that were added or removed while the set was captured."""
        row = {"added": [instrument_row(one) for one in added], "removed": sorted(removed)}
        self._put(Kind.MEMBERS, clock.realtime_ns(), 0, orjson.dumps(row))
        self._look_at_instruments()

    def opened(self, connection: int, url: str, natives: Iterable[str], time_ns: int) -> None:
        """Note a connection that was made."""
        row = {"url": public_url(url), "symbols": list(natives)}
        self._put(Kind.OPEN, time_ns, connection, orjson.dumps(row))
        self._open[connection] = (bytes(Kind.OPEN), connection, orjson.dumps({**row, "again": True}))
        self._use_preamble()

    def received(self, connection: int, frame: bytes, receive_ns: int) -> None:
        """Note a frame that was received, before it is decoded."""
        self._put(RECEIVED, receive_ns, connection, frame)

    def sent(self, connection: int, frame: bytes) -> None:
        """Note a frame that is being sent."""
        self._put(SENT, clock.realtime_ns(), connection, frame)

    def listen(self, connection: int, request: str, symbol: str = "") -> "Listener":
        """Make the function that notes the answer to a GET of a connection, or of the whole set (0)."""
        return Listener(self, connection, request, symbol)

    def listen_to_set(self, volumes_path: str) -> OnAnswer:
        """Make the function that notes the answers to GETs of the whole set: instruments, and those of `volumes_path`."""

        def heard(answer: Answer) -> None:
            is_of_volumes = bool(volumes_path) and answer.path == volumes_path
            self.answered(0, "volumes" if is_of_volumes else "instruments", "", answer)

        return heard

    def answered(self, connection: int, request: str, symbol: str, answer: Answer) -> None:
        """Note the answer to a GET, or that there was none."""
        row: dict[str, object] = {"request": request, "symbol": symbol, "path": answer.path}
        if not answer.status:
            self._note(Kind.FAILED, answer.receive_ns, connection, orjson.dumps({**row, "error": answer.error}))
            return
        row |= {"status": answer.status, "headers": kept_headers(answer.headers)}
        if answer.error:
            row["error"] = answer.error
        payload = orjson.dumps(row) + b"\n" + answer.body
        self._note(Kind.REST, answer.receive_ns, connection, payload[:MOST_PAYLOAD_BYTES])

    def marked(self, connection: int, verdict: SilenceVerdict, time_ns: int) -> None:
        """Note the watchdog's judgement of a connection."""
        self._put(Kind.MARK, time_ns, connection, JUDGED[verdict])

    def shut(self, connection: int, reason: str, time_ns: int) -> None:
        """Note the end of a connection, or a failed try to make one."""
        self._put(Kind.SHUT, time_ns, connection, orjson.dumps({"reason": reason}))
        self._open.pop(connection, None)
        self._use_preamble()

    def _use_preamble(self) -> None:
        for one in (self._writer, self.last):
            if one is not None:
                one.preamble = tuple(self._open.values())

    def beat(self, monotonic_ns: int) -> None:
        """Let time pass, about every 100 ms: rows are written within a second, and the head keeps up with the instruments."""
        if self._instruments is None:
            return
        self._look_at_instruments()
        if self.last is not None:
            self.last.beat(monotonic_ns)
        writer, pace = self._writer, self._pace
        if writer is None or pace is None:
            return
        writer.beat(monotonic_ns)
        if pace.is_due(monotonic_ns):
            held = [(number, payload) for number, payload in self._checkpoints() if number in self._open]
            if not held:
                pace.failed(monotonic_ns)
                return
            pace.made(monotonic_ns)
            writer.put_checkpoints(clock.realtime_ns(), held)

    def close(self, reason: str) -> None:
        """End the capture; it waits for a slow disk for some seconds. Of a set that never began there is no file."""
        if self._writer is not None:
            self._writer.close(reason if self._instruments is not None else "", clock.realtime_ns())

    def _note(self, kind: bytes, time_ns: int, connection: int, payload: bytes) -> None:
        if self._instruments is not None:
            self._put(kind, time_ns, connection, payload)
            return
        self._early.append((kind, time_ns, connection, payload))
        self._early_bytes += len(payload)
        while self._early_bytes > MOST_QUEUED_BYTES and len(self._early) > 1:  # hours of maintenance
            self._early_bytes -= len(self._early.pop(0)[3])
            self._forgotten += 1

    def _look_at_instruments(self) -> None:
        assert self._instruments is not None
        present = tuple(self._instruments())
        if present != self._head.instruments:
            warned = tuple(one.symbol for one in present if self._warns(one.symbol))
            self._head = replace(self._head, instruments=present, checksum_warns=warned)
            for one in (self._writer, self.last):
                if one is not None:
                    one.head = self._head


class Listener:
    """Listener to one GET: notes its answer and keeps the receive time."""

    def __init__(self, recorder: Recorder, connection: int, request: str, symbol: str) -> None:
        self._recorder, self._connection, self._request, self._symbol = recorder, connection, request, symbol
        self.receive_ns = 0

    def __call__(self, answer: Answer) -> None:
        """Note the answer."""
        self.receive_ns = answer.receive_ns
        self._recorder.answered(self._connection, self._request, self._symbol, answer)


def kept_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers that matter: kind, time and limits. Never cookies or authorization."""
    kept = {name.lower(): value[:MOST_HEADER] for name, value in headers if KEPT_HEADERS.fullmatch(name.lower())}
    return dict(list(kept.items())[:MOST_HEADERS])


def public_url(url: str) -> str:
    """Address without a user's name, a password, and parameters that look like a secret."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    asked = parse_qsl(parts.query, keep_blank_values=True)
    if any(SECRET.search(name) for name, _ in asked):
        query = urlencode([(name, "hidden" if SECRET.search(name) else value) for name, value in asked])
    else:
        query = parts.query
    return parts._replace(netloc=place, query=query, fragment="").geturl()
