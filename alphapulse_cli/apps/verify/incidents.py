"""Incidents of a recording: each loss of a book, found by playing it through the code that collects.

    Player ─► Ingest, BookKeeper ─► Witness of each connection ─► Incidents ─► Incident: when, why, what was expected, when it healed

An incident's id is made of what the recording says of it alone: 8 characters of base32 of the SHA-256 of exchange, set, symbol, kind, time and
connection. So it is the same on every machine, from whatever time on the recording is played, and in `verify` and `explain`.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from alphapulse_cli.apps.replay.survey import END_NS
from alphapulse_cli.apps.replay.timeline import Damaged, Recording
from alphapulse_cli.apps.verify.playing import Evidence, EvidencePlayer
from alphapulse_cli.edges.capture.rows import Row
from alphapulse_cli.flow.witness import Witness, WitnessedBook, WitnessedConnection
from alphapulse_cli.market.events import GapFound, GapReason
from alphapulse_cli.wire.delta import BookReason, BookState

ID_CHARACTERS = 8
MOST = 100_000  # incidents of a set that are kept
GAPS, RESYNCS, CHECKSUMS_BAD = "gaps", "resyncs", "checksums_bad"  # labels of counters
DISCONNECTED, CHECKSUM, RESTART = "disconnected", "checksum", "restart"
KINDS = (*(reason.name.lower() for reason in GapReason), "off_grid", "refused", "no_room", RESTART)  # of incidents
_OF_REASON = {
    BookReason.BAD_CHECKSUM: CHECKSUM,
    BookReason.UNREADABLE: "unreadable",
    BookReason.DISCONNECTED: DISCONNECTED,
    BookReason.OFF_GRID: "off_grid",
    BookReason.REFUSED: "refused",
}


@dataclass(frozen=True, slots=True)
class Incident:
    """Loss of one book, or of trades alone.

    `since_ns` is the time of the last message before it, None for none: what was lost was lost between the two. `healed_ns` is None where
    the book was not good again. `counted` are the labels of the counters that grew by one with it.
    """

    id: str
    exchange: str
    set_name: str
    symbol: str  # "" where a connection has no books
    kind: str  # one of KINDS
    connection: int
    time_ns: int
    since_ns: int | None = None
    healed_ns: int | None = None
    expected: str = ""  # sequence number or checksum (of the exchange), "" where there is none
    found: str = ""  # sequence number that came, or the book's own checksum
    detail: str = ""  # hostile text
    version: int = 0  # of the book when it happened
    counted: tuple[str, ...] = ()


def incident_id(exchange: str, set_name: str, symbol: str, kind: str, time_ns: int, connection: int, turn: int = 0) -> str:
    """Id of an incident; `turn` counts earlier ones that have all these in common."""
    parts = [exchange, set_name, symbol, kind, str(time_ns), str(connection), *([str(turn)] if turn else [])]
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return base64.b32encode(digest)[:ID_CHARACTERS].decode("ascii").lower()


Found = Callable[[Incident], None]


class Incidents:
    """Incidents of one set, in the order in which they are found; `witness` goes to its players.

    `found` is called with each one when it is found. Beyond MOST they are counted in `left_out`, and nothing else is kept of them.
    """

    def __init__(self, exchange: str, set_name: str, found: Found = lambda _: None) -> None:
        self._exchange, self._set_name, self._found = exchange, set_name, found
        self.left_out = 0
        self._all: list[Incident] = []
        self._open: dict[str, list[int]] = {}  # places in `_all` by symbol
        self._time_ns = 0
        self._turns: Counter[tuple[str, str, int]] = Counter()  # of incidents at that time

    def witness(self, connection: int) -> "IncidentWitness":
        """Witness of a connection."""
        return IncidentWitness(self, connection)

    def listed(self) -> list[Incident]:
        """Incidents as they are now: those of good books are healed."""
        return list(self._all)

    def is_open(self, symbol: str) -> bool:
        """Whether the book of a symbol has an incident that is not healed."""
        return bool(self._open.get(symbol))

    def add(self, incident: Incident) -> None:
        """Note an incident, which is open; it gets its id."""
        if len(self._all) >= MOST:
            self.left_out += 1
            return
        one = incident
        if one.time_ns != self._time_ns:
            self._turns.clear()
            self._time_ns = one.time_ns
        key = one.symbol, one.kind, one.connection
        name = incident_id(self._exchange, self._set_name, one.symbol, one.kind, one.time_ns, one.connection, self._turns[key])
        self._turns[key] += 1
        made = replace(one, id=name, exchange=self._exchange, set_name=self._set_name)
        self._open.setdefault(one.symbol, []).append(len(self._all))
        self._all.append(made)
        self._found(made)

    def count(self, symbol: str, label: str) -> None:
        """Note that the last incident of a symbol made a counter grow."""
        places = self._open.get(symbol)
        if places and not self.left_out:
            held = self._all[places[-1]]
            self._all[places[-1]] = replace(held, counted=(*held.counted, label))

    def heal(self, symbol: str, time_ns: int) -> None:
        """Note that the book of a symbol is good again."""
        for place in self._open.pop(symbol, ()):
            self._all[place] = replace(self._all[place], healed_ns=time_ns)

    def end_run(self, since_ns: int) -> None:
        """Take back what only is the end of a run: connections that were lost since a time, and did not come back."""
        places = {place for listed in self._open.values() for place in listed}
        ended = {place for place in places if self._all[place].kind == DISCONNECTED and self._all[place].time_ns >= since_ns}
        if not ended:
            return
        kept = [place for place in range(len(self._all)) if place not in ended]
        moved = {place: number for number, place in enumerate(kept)}
        self._all = [self._all[place] for place in kept]
        self._open = {symbol: [moved[place] for place in listed if place in moved] for symbol, listed in self._open.items()}


class IncidentWitness(Witness):
    """Witness of one connection that notes its incidents."""

    def __init__(self, incidents: Incidents, connection: int) -> None:
        self.incidents, self.connection = incidents, connection
        self.ingest: WitnessedConnection | None = None
        self._states: dict[str, tuple[BookState, BookReason]] = {}
        self._told: dict[str, int] = {}  # time of the incident that is the reason of the next change, by symbol

    def attached(self, ingest: WitnessedConnection) -> None:
        """Note the ingest, whose books are all COLD."""
        self.ingest = ingest
        self._states = {keeper.instrument.symbol: (BookState.COLD, BookReason.STARTING) for keeper in ingest.keepers.values()}

    def gap(self, gap: GapFound, receive_ns: int) -> None:
        """Note an incident for each book of the gap; for the connection where it has none."""
        assert self.ingest is not None
        counted = () if gap.reason is GapReason.NOT_CAPTURED else (GAPS,)
        told = Incident("", "", "", "", gap.reason.name.lower(), self.connection, receive_ns, counted=counted)
        told = replace(told, expected=gap.expected, found=gap.found, detail=gap.detail)
        if not gap.instruments:
            self.incidents.add(told)
            self.incidents.heal("", receive_ns)
        for instrument in gap.instruments:
            keeper, symbol = self.ingest.keepers.get(instrument.native), instrument.symbol
            if keeper is None:  # trades alone
                self.incidents.add(replace(told, symbol=symbol))
                self.incidents.heal(symbol, receive_ns)
            else:
                self._tell(replace(told, symbol=symbol, since_ns=keeper.heard_ns or None, version=int(keeper.version)))

    def mismatched(self, keeper: WitnessedBook, theirs: int, ours: int, receive_ns: int) -> None:
        """Note an incident: the exchange's checksum differs from the book's."""
        told = Incident("", "", "", keeper.instrument.symbol, CHECKSUM, self.connection, receive_ns, keeper.heard_ns or None)
        self._tell(replace(told, expected=str(theirs), found=str(ours), version=int(keeper.version), counted=(CHECKSUMS_BAD,)))

    def changed(self, keeper: WitnessedBook, receive_ns: int) -> None:
        """Heal the incidents of a good book; note one where a good book is none any more for a reason that was not told before."""
        symbol, state, reason = keeper.instrument.symbol, keeper.state, keeper.reason
        before, self._states[symbol] = self._states.get(symbol), (state, reason)
        was_told = self._told.pop(symbol, None) == receive_ns
        if before == (state, reason):
            return  # its trading status changed
        if state is BookState.LIVE:
            if reason is not BookReason.UNVERIFIED:
                self.incidents.heal(symbol, receive_ns)
        elif (
            state in (BookState.SYNCING, BookState.HALTED) and before is not None and before[0] in (BookState.LIVE, BookState.STALE)
        ):
            if not was_told:
                kind = _OF_REASON.get(reason, reason.name.lower())
                told = Incident("", "", "", symbol, kind, self.connection, receive_ns, self.since_ns(keeper))
                self.incidents.add(replace(told, version=int(keeper.version)))
            if state is BookState.SYNCING:
                self.incidents.count(symbol, RESYNCS)

    def since_ns(self, keeper: WitnessedBook) -> int | None:
        """Time up to which a book that is wrong now was good: of its last message, on a lost connection of the last frame."""
        if keeper.reason is BookReason.DISCONNECTED and self.ingest is not None:
            return max(keeper.heard_ns, self.ingest.heard_ns) or None
        return keeper.heard_ns or None

    def _tell(self, incident: Incident) -> None:
        self.incidents.add(incident)
        self._told[incident.symbol] = incident.time_ns


class RunsOfIncidents:
    """Listener that finds the incidents of a recording, those between two runs of its collector among them."""

    def __init__(self, incidents: Incidents) -> None:
        self.incidents = incidents
        self._ended: dict[
            str, tuple[int, int]
        ] = {}  # (time of the run's last row, connection) by symbol, of books without a successor

    def begins(self, player: EvidencePlayer) -> None:
        """Nothing happens: books of the run before are missing until their first snapshot."""

    def witness(self, connection: int) -> IncidentWitness:
        """Witness of a connection; its books went on from an earlier run."""
        return _Successor(self, connection)

    def row(self, row: Row) -> None:
        """Rows are told by the witnesses."""

    def ends(self, player: EvidencePlayer) -> None:
        """Take back what only is the run's end, and note the books there were."""
        self.incidents.end_run(player.row_ns - END_NS)
        for connection, ingest in player.ingests.items():
            for keeper in ingest.keepers.values():
                if keeper.state is not BookState.COLD:
                    self._ended[keeper.instrument.symbol] = player.row_ns, connection

    def resumed(self, symbol: str) -> None:
        """Note an incident for a book that comes again in a later run: nothing is known of the time between them."""
        ended = self._ended.pop(symbol, None)
        if ended is not None:
            time_ns, connection = ended
            self.incidents.add(Incident("", "", "", symbol, RESTART, connection, time_ns, time_ns))


class _Successor(IncidentWitness):
    """Witness whose books may have been in an earlier run."""

    def __init__(self, runs: RunsOfIncidents, connection: int) -> None:
        super().__init__(runs.incidents, connection)
        self._runs = runs

    def attached(self, ingest: WitnessedConnection) -> None:
        """Note the ingest, and the books that come again."""
        super().attached(ingest)
        for symbol in self._states:
            self._runs.resumed(symbol)


def incidents_of(
    recording: Recording, damaged: Damaged, only: Sequence[str] = (), span_ns: tuple[int | None, int | None] = (None, None)
) -> list[Incident]:
    """Play a recording, or from the last checkpoint before a time up to another, and list its incidents."""
    incidents = Incidents(recording.exchange, recording.set_name)
    with Evidence(recording, RunsOfIncidents(incidents), damaged, only, span_ns) as evidence:
        while evidence.play():
            pass
    return incidents.listed()
