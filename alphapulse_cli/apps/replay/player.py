"""Player of one run of a collector: the rows of its capture go through decoder, books and rings as they did when they were live.

    recv ─► Ingest.receive            rest ─► Ingest.receive_snapshot, receive_trades, receive_proof, receive_instruments
    open, shut ─► connected, disconnected        mark ─► doubt, silent, heard        half a second of the recording ─► tick

It has no clock: time is that of the rows, so that a replay gives the same records at any speed and in any process. Requests of the
decoder are dropped, since the recording has the answers. What the capture lost is a gap: those books wait for their next snapshot.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from alphapulse_cli import exchanges
from alphapulse_cli.apps.replay.timeline import Reel
from alphapulse_cli.edges.capture.head import Head, instrument_of, parse_head
from alphapulse_cli.edges.capture.rows import Kind, Row
from alphapulse_cli.edges.exchange.watchdog import SilenceVerdict, Timing, Watchdog
from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.protocol import Numbered, Resumable, joined
from alphapulse_cli.flow.checkpoint import checkpoint, resume
from alphapulse_cli.flow.ingest import Ingest, Notice
from alphapulse_cli.flow.keeper import BookKeeper
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.flow.playing import FramePlayer
from alphapulse_cli.flow.witness import Witness
from alphapulse_cli.market.events import GapFound, GapReason
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.wire.delta import BookReason, BookState

TICK_NS = 500_000_000  # at multiples of it since 1970, wherever a replay begins; nothing in a replay waits for a shorter time
MOST_IDLE_NS = (
    3600 * 10**9
)  # time without a row after which the recording's clock no longer ticks: it was set, or nothing was captured
LIVE_SOURCE = "live"
RECEIVED = bytes(Kind.RECEIVED)

MakeOutlet = Callable[[Sequence[str]], Outlet]  # symbols -> the set's segments


class Player:
    """Player of one run. `only` are the symbols to play; empty for all. UsageError where the run is of an unknown exchange or feed."""

    def __init__(self, head: Head, make_outlet: MakeOutlet, notice: Notice, only: Collection[str] = ()) -> None:
        self.head = head
        self.now_ns = 0  # of the recording: that of the latest row or tick, which never goes back
        self._exchange = exchanges.get(head.exchange)
        try:
            self._mode = self._exchange.facts.mode(head.mode)
        except KeyError:
            raise UsageError(f"{head.exchange} has no mode {head.mode[:40]!r}", "was it captured by a newer alphapulse?") from None
        self._notice, self._only = notice, frozenset(only)
        self._known = {instrument.native: instrument for instrument in head.instruments}
        self._removed: set[str] = set()  # symbols
        self.missing: dict[str, None] = {}  # native names of which the capture has no metadata
        self._parts: dict[int, dict[str, bytes]] = {}  # answers with metadata that has several paths, by connection
        self._metadata = b""  # last answer with metadata, for symbols that were added while it ran
        self.outlet = make_outlet([one.symbol for one in head.instruments if self._is_wanted(one.symbol)])
        self.witness: Callable[[int], Witness] | None = None  # makes the witness of a connection
        self._ingests: dict[int, Ingest] = {}  # by connection
        self._open: dict[int, Ingest] = {}  # of those that are connected
        self._frames = FramePlayer(self._open)
        self._watchdogs: dict[int, Watchdog] = {}  # of recordings without the session's judgements
        self._heard: set[int] = set()
        self._next_tick_ns = 0
        self._row_ns = 0  # of the recording: when the last row was played

    def play(self, row: Row) -> None:
        """Play one row, and before it the ticks that were due."""
        kind, time_ns, connection, payload = row
        if time_ns >= self._next_tick_ns:
            self.advance(time_ns)
        self.now_ns = self._row_ns = max(self.now_ns, time_ns)
        if kind == RECEIVED:
            ingest = self._open.get(connection)
            if ingest is not None:
                ingest.receive(payload, time_ns)
                ingest.pending_requests()
                if self._watchdogs:
                    self._heard.add(connection)
        elif kind != Kind.SENT:
            self._rare(kind, time_ns, connection, payload)

    def play_frames(self, reel: Reel, until_ns: int) -> int:
        """Play the frames that come next in the reel, up to that time and the next tick at most; their number, 0 for another row."""
        if not self._next_tick_ns or reel.time_ns is None:
            return 0
        if reel.time_ns >= self._next_tick_ns:
            self.advance(reel.time_ns)
        limit_ns = min(until_ns, self._next_tick_ns - 1)
        frames = self._frames
        before, at = frames.frames, frames.run(reel.block, reel.at, limit_ns)
        if at == reel.at:
            return 0
        reel.move(at)
        self.now_ns = self._row_ns = max(self.now_ns, frames.last_ns)
        if frames.has_requests:
            for ingest in self._open.values():
                ingest.pending_requests()
        return frames.frames - before

    def advance(self, time_ns: int) -> None:
        """Let the recording's clock pass to `time_ns`."""
        if not self._open or not self._next_tick_ns:
            self._next_tick_ns = (time_ns // TICK_NS + 1) * TICK_NS
            return
        last_ns = min(time_ns, self._row_ns + MOST_IDLE_NS)
        while self._next_tick_ns <= last_ns:
            self.now_ns = max(self.now_ns, self._next_tick_ns)
            for connection, ingest in self._open.items():
                ingest.tick(self._next_tick_ns, self._next_tick_ns)
                self._watch(connection, ingest, self._next_tick_ns)
                ingest.pending_requests()
            self._next_tick_ns += TICK_NS
        if self._next_tick_ns <= time_ns:
            self._next_tick_ns = (time_ns // TICK_NS + 1) * TICK_NS

    def books(self) -> Iterator[tuple[BookKeeper, int]]:
        """Iterate over the keepers of the books that are played, each with the time of the last frame in it, in ns since 1970."""
        for ingest in self._ingests.values():
            for keeper in ingest.keepers.values():
                image = ImageReader(keeper.image.segment).peek()
                yield keeper, image.timestamp_ns if image is not None else 0

    def connections(self) -> Iterator[tuple[int, Ingest]]:
        """Iterate over the connections that there have been: the number of each, and its ingest."""
        yield from self._ingests.items()

    def numbers(self) -> Iterator[tuple[BookKeeper, int | None]]:
        """Iterate over the keepers of the books, each with the exchange's number at which it stands; None where it has none."""
        for ingest in self._ingests.values():
            numbered = ingest.decoder if isinstance(ingest.decoder, Numbered) else None
            for native, keeper in ingest.keepers.items():
                yield keeper, None if numbered is None else numbered.last_number(native)

    def checkpoints(self) -> list[tuple[int, bytes]]:
        """Make checkpoints of all connections, each with its number, also of lost ones; none where one cannot be made."""
        present = [(number, ingest) for number, ingest in self._ingests.items() if number in self._open or ingest.keepers]
        made = [(number, checkpoint(ingest, self.now_ns, is_open=number in self._open)) for number, ingest in present]
        held = [(connection, self._with_silence(connection, payload)) for connection, payload in made if payload is not None]
        return held if len(held) == len(made) else []

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """Instruments of the run that were not removed, those of good books on their present grids."""
        present = {
            native: keeper.instrument
            for ingest in self._ingests.values()
            for native, keeper in ingest.keepers.items()
            if keeper.state in (BookState.LIVE, BookState.STALE)
        }
        return tuple(present.get(each.native, each) for each in self._known.values() if each.symbol not in self._removed)

    @property
    def is_resumable(self) -> bool:
        """Whether all decoders can go on from a checkpoint."""
        return all(isinstance(ingest.decoder, Resumable) for ingest in self._ingests.values())

    @property
    def validated_by(self) -> str:
        """Means by which the exchange lets a book be proved, in words."""
        return self._mode.validates

    def finish(self) -> None:
        """End the run at its last row: its books are no longer kept. They can still be read."""
        for ingest in self._open.values():
            ingest.retire(self.now_ns)
        self._open.clear()

    def close(self) -> None:
        """End the run, and retire its segments."""
        self.finish()
        self.outlet.close()

    def _rare(self, kind: bytes, time_ns: int, connection: int, payload: bytes) -> None:
        """Play a row that is no frame. Rows of unknown kinds, and members that cannot be right, are left out."""
        try:
            if kind == Kind.REST:
                line, _, body = payload.partition(b"\n")
                self._on_answer(orjson.loads(line), body, time_ns, connection)
            elif kind == Kind.HEAD:
                self._on_head(parse_head(payload))
            elif kind == Kind.HELD:
                self._on_checkpoint(payload, time_ns, connection)
            else:
                self._on_session(kind, orjson.loads(payload), time_ns, connection)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            self._notice("warning", f"a row of the capture cannot be right: {kind.decode('ascii', 'replace')}: {error}")
        for ingest in self._open.values():
            ingest.pending_requests()

    def _on_head(self, head: Head) -> None:
        """Take in the head of another file of this run, or of a block of checkpoints: symbols may have been added."""
        for instrument in head.instruments:
            self._known.setdefault(instrument.native, instrument)

    def _on_checkpoint(self, payload: bytes, time_ns: int, connection: int) -> None:
        """Take up a connection whose beginning was not played."""
        if connection in self._open:
            return
        members = orjson.loads(payload.partition(b"\n")[0])
        self._on_open([str(row["native"]) for row in members["books"]], time_ns, connection)
        try:
            resume(self._open[connection], payload, time_ns)
            watchdog, silence = self._watchdogs.get(connection), members.get("silence")
            if watchdog is not None and silence is not None:
                *memory, was_heard = silence
                watchdog.recall(memory, time_ns)
                self._heard |= {connection} if was_heard else set()
            if members.get("open") is False:
                del self._open[connection]
        except (ValueError, TypeError) as error:
            self._notice("warning", f"{error}; its books wait for their next snapshot")

    def _with_silence(self, connection: int, payload: bytes) -> bytes:
        """Checkpoint with the silence of its connection, where the capture has no judgements of it."""
        watchdog = self._watchdogs.get(connection)
        if watchdog is None or connection not in self._open:
            return payload
        line, _, columns = payload.partition(b"\n")
        silence = [*watchdog.memory(self.now_ns), connection in self._heard]
        return orjson.dumps({**orjson.loads(line), "silence": silence}) + b"\n" + columns

    def _on_session(self, kind: bytes, members: Mapping[str, Any], time_ns: int, connection: int) -> None:
        ingest = self._open.get(connection)
        if kind == Kind.OPEN:
            if not (ingest is not None and members.get("again")):
                self._on_open([str(native) for native in members["symbols"]], time_ns, connection)
        elif kind == Kind.LOST:
            self._on_loss(members, time_ns)
        elif kind == Kind.MEMBERS:
            self._on_members(members, time_ns)
        elif ingest is None:
            return
        elif kind == Kind.SHUT:
            del self._open[connection]
            ingest.disconnected(time_ns)
            self.outlet.counters.block().set(Counter.CONNECTIONS_OPEN, len(self._open))
        elif kind == Kind.MARK:
            self._judge(ingest, str(members["verdict"]), time_ns)
        elif kind == Kind.FAILED:
            self._on_failed(ingest, members, time_ns)

    def _on_open(self, natives: Sequence[str], time_ns: int, connection: int) -> None:
        """Connect: the decoder begins anew, as it did then."""
        ingest = self._ingests.get(connection)
        if ingest is None:
            witness = self.witness(connection) if self.witness is not None else None
            ingest = self._ingests[connection] = self._ingest(self._instruments(natives), time_ns, witness)
        self._open.pop(connection, None)
        self._open[connection] = ingest
        self._next_tick_ns = self._next_tick_ns or (time_ns // TICK_NS + 1) * TICK_NS
        counters = self.outlet.counters.block()
        counters.set(Counter.CONNECTIONS, len(self._ingests))
        counters.set(Counter.CONNECTIONS_OPEN, len(self._open))
        ingest.connected(time_ns)
        ingest.pending_requests()
        if self.head.source != LIVE_SOURCE:
            self._frames.heard = self._heard
            self._watchdogs[connection] = Watchdog(Timing(), self._mode.silence, time_ns)

    def _ingest(self, instruments: Sequence[Instrument], time_ns: int, witness: Witness | None) -> Ingest:
        """Make decoder and books of a connection's instruments; those that are not to be played are dropped at once."""
        head, outlet = self.head, self.outlet
        outlet.add([one.symbol for one in instruments])
        decoder = self._exchange.decoder(instruments, set(head.channels), head.depth, self._mode.name)
        warns = set(head.checksum_warns)
        made = Ingest(
            self._exchange,
            decoder,
            instruments,
            head.channels,
            outlet,
            self._notice,
            self._mode.name,
            checksum_warns=warns,
            witness=witness,
        )
        unwanted = [one.symbol for one in instruments if not self._is_wanted(one.symbol)]
        if unwanted:
            made.drop(unwanted, time_ns)
            outlet.remove(unwanted)
        return made

    def _is_wanted(self, symbol: str) -> bool:
        return not self._only or symbol in self._only

    def _instruments(self, natives: Sequence[str]) -> list[Instrument]:
        """Instruments of these native names: from the head, else from the last metadata that were read."""
        if self._metadata and any(native not in self._known for native in natives):
            try:
                for one in self._exchange.parse_instruments(self._metadata, self._mode.name):
                    self._known.setdefault(one.native, one)
            except DecodeError as error:
                self._notice("warning", f"instrument metadata not understood: {error}")
        missing = [native for native in natives if native not in self._known]
        self.missing |= dict.fromkeys(missing)
        if missing:
            self._notice("warning", f"the capture has no metadata of {', '.join(missing)[:200]}: left out")
        return [self._known[native] for native in natives if native in self._known]

    def _on_answer(self, members: Mapping[str, Any], body: bytes, time_ns: int, connection: int) -> None:
        """Hand the body of an answer to where the session handed it."""
        request, ingest = members["request"], self._open.get(connection)
        if int(members.get("status", 200)) != 200 or "error" in members:
            if ingest is not None:
                self._on_failed(ingest, members, time_ns)
            return
        if request == "instruments":
            whole = self._whole_metadata(connection, str(members.get("path")), body)
            if whole is None:
                return
            self._metadata = body = whole
            for each in self._open.values() if connection else ():  # a list for the choice of symbols goes to no connection
                each.receive_instruments(body, time_ns)
            return
        instrument = self._known.get(str(members.get("symbol")))
        if ingest is None or instrument is None or not self._is_wanted(instrument.symbol):
            return
        if request == "snapshot":
            ingest.receive_snapshot(instrument, body, time_ns)
        elif request == "trades":
            ingest.receive_trades(instrument, body, time_ns)
        elif request == "proof":
            ingest.receive_proof(instrument, body, time_ns)

    def _whole_metadata(self, connection: int, path: str, body: bytes) -> bytes | None:
        """Metadata of all paths together; None as long as an answer is missing."""
        paths = self._exchange.facts.metadata_paths(self._mode.name)
        if len(paths) == 1 or path not in paths:
            return body
        parts = self._parts.setdefault(connection, {})
        if path == paths[0]:
            parts.clear()
        parts[path] = body
        return joined([parts[each] for each in paths]) if len(parts) == len(paths) else None

    def _on_members(self, members: Mapping[str, Any], time_ns: int) -> None:
        """Learn of symbols that were added, and retire those that were removed."""
        for one in map(partial(instrument_of, self.head.exchange), members["added"]):
            self._known[one.native] = one
            self._removed.discard(one.symbol)
        removed = {str(symbol) for symbol in members["removed"]}
        if removed:
            self._removed |= removed
            for ingest in self._ingests.values():
                ingest.drop(removed, time_ns)
            self.outlet.remove(removed)

    def _on_failed(self, ingest: Ingest, members: Mapping[str, Any], time_ns: int) -> None:
        request, instrument = members["request"], self._known.get(str(members.get("symbol")))
        if request == "instruments":
            ingest.fetch_failed(None, time_ns)
        elif request == "snapshot" and instrument is not None:
            ingest.fetch_failed(instrument, time_ns)

    def _on_loss(self, members: Mapping[str, Any], time_ns: int) -> None:
        """Rows are missing: any book may have missed an update."""
        for ingest in self._open.values():
            books = [keeper.instrument for keeper in ingest.keepers.values()]
            ingest.handle([GapFound(tuple(books), GapReason.NOT_CAPTURED, str(members.get("reason", "")))], time_ns)

    def _watch(self, connection: int, ingest: Ingest, now_ns: int) -> None:
        """Judge the silence of a recording that has no judgements: as if every ping had been answered."""
        watchdog = self._watchdogs.get(connection)
        if watchdog is None:
            return
        watchdog.ponged(now_ns)
        heard = connection in self._heard
        self._heard.discard(connection)
        verdict = watchdog.look(now_ns, heard=heard)
        self._judge(ingest, SilenceVerdict.MUTE.value if verdict is SilenceVerdict.DEAD else verdict.value, now_ns)

    def _judge(self, ingest: Ingest, verdict: str, now_ns: int) -> None:
        match verdict:
            case SilenceVerdict.DOUBT.value:
                ingest.doubt(now_ns, now_ns)
            case SilenceVerdict.SILENT.value:
                ingest.silent(now_ns)
            case SilenceVerdict.MUTE.value:
                ingest.silent(now_ns, BookReason.MUTE)
            case SilenceVerdict.HEARD.value:
                ingest.heard(now_ns)
