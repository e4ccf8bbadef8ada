"""Search for incidents: a recording is played, and each moment at which a good book is so no longer is one.

A message that could not be read is an incident of its own, also where it cost no book.
"""

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from alphapulse_cli.apps.explain.evidence import Incident, Kind
from alphapulse_cli.apps.explain.watching import AT_FIRST, UNREADABLE, Change, Listeners, WatchingPlayer, kind_of
from alphapulse_cli.apps.explain.words import lasting
from alphapulse_cli.apps.replay.playback import Playback
from alphapulse_cli.apps.replay.survey import END_NS
from alphapulse_cli.apps.replay.timeline import Recording, symbols_in
from alphapulse_cli.apps.verify.incidents import Incident as Certified
from alphapulse_cli.apps.verify.incidents import incident_id, incidents_of
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rows import Row
from alphapulse_cli.errors import NoSegment, UsageError
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.readers import moments
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory, usual_path
from alphapulse_cli.wire.delta import BookState

RING_RECORDS = 1 << 13
NEAR_NS = 600_000_000_000  # the search looks so far back at first, then from the beginning
MOST_NAMED = 5
LAST = "last"
ID = re.compile(r"(?=.*[A-Za-z])[A-Za-z2-7]{4,8}", re.ASCII)  # or a beginning of one
NANOSECONDS = re.compile(r"\d{12,19}", re.ASCII)

Damaged = Callable[[Path, str], None]


@contextlib.contextmanager
def watched(
    recording: Recording, symbols: Sequence[str], span_ns: tuple[int | None, int | None], listeners: Listeners, damaged: Damaged
) -> Iterator[Playback]:
    """Play a recording with a watching player, in segments of its own that nobody else sees. `symbols`: empty for all."""
    with contextlib.ExitStack() as opened:
        path = opened.enter_context(tempfile.TemporaryDirectory(prefix="alphapulse-explain-", dir=usual_path().parent))
        directory = opened.enter_context(open_directory(Path(path) / "segments", create=True))

        def outlet(names: Sequence[str]) -> Outlet:
            return Outlet(
                directory, recording.set_name, recording.exchange, names, RING_RECORDS, clock.monotonic_ns(), is_hidden=True
            )

        def player_of(head: Head) -> WatchingPlayer:
            return WatchingPlayer(head, outlet, listeners, symbols)

        playback = Playback([recording], span_ns, damaged, player_of, keeps_ended=True)
        opened.callback(playback.close)
        yield playback


def incidents(recording: Recording, symbols: Sequence[str], from_ns: int | None, until_ns: int, damaged: Damaged) -> list[Incident]:
    """List the incidents from a time on up to `until_ns`, in order of time."""
    seen = _Seen(recording)
    listeners = Listeners(seen.on_change, seen.on_words, on_end=seen.on_end)
    with watched(recording, symbols, (from_ns, until_ns + 1), listeners, damaged) as playback:
        while playback.play(until_ns):
            pass
        playback.advance(until_ns)
    begin = recording.first_ns if from_ns is None else from_ns
    return sorted((one for one in seen.incidents() if begin <= one.time_ns <= until_ns), key=lambda one: one.time_ns)


class _Seen:
    """Listener that notes the incidents of a recording."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._found: list[Incident] = []
        self._words: list[tuple[int, Sequence[str]]] = []
        self._ended: dict[str, tuple[int, int]] = {}  # (connection, time of the run's last row) by symbol, of the runs before

    def on_words(self, time_ns: int, _row: Row | None, said: Sequence[str]) -> None:
        self._words.append((time_ns, said))

    def on_change(self, changes: Sequence[Change]) -> None:
        """Note the faults of one moment: one incident for each connection and kind; rows that the capture lacks are one for all."""
        said = [text for time_ns, texts in self._words if time_ns == changes[0].time_ns for text in texts]
        groups: dict[tuple[int, Kind], list[Change]] = {}
        for change in changes:
            if change.is_fault:
                kind = kind_of(change, said)
                groups.setdefault((0 if kind is Kind.LOST else change.connection, kind), []).append(change)
            elif change.before == AT_FIRST and change.keeper.instrument.symbol in self._ended:
                symbol = change.keeper.instrument.symbol
                connection, ended_ns = self._ended.pop(symbol)
                self._note(Kind.RESTART, connection, ended_ns, [symbol], ())
        for (_, kind), group in groups.items():
            names = [change.keeper.instrument.symbol for change in group]
            self._note(kind, group[0].connection, group[0].time_ns, names, said, group[0].keeper.heard_ns or None)

    def on_end(self, player: WatchingPlayer) -> None:
        for connection, ingest in player.connections():
            for keeper in ingest.keepers.values():
                if keeper.state is not BookState.COLD:
                    self._ended[keeper.instrument.symbol] = connection, player.now_ns

    def incidents(self) -> list[Incident]:
        """Incidents so far, with messages that could not be read and cost no book; without connections that a run's end shut."""
        taken, ends = {one.time_ns for one in self._found}, _ends(self._recording)
        alone = {
            time_ns: said for time_ns, said in reversed(self._words) if time_ns not in taken and said[0].startswith(UNREADABLE)
        }
        unreadable = [self._made(Kind.UNREADABLE, 0, time_ns, [], said) for time_ns, said in alone.items()]
        return unreadable + [
            one
            for one in self._found
            if one.kind is not Kind.DISCONNECT or not any(0 <= end_ns - one.time_ns <= END_NS for end_ns in ends)
        ]

    def _note(
        self,
        kind: Kind,
        connection: int,
        time_ns: int,
        symbols: Sequence[str],
        said: Sequence[str],
        since_ns: int | None = None,
    ) -> None:
        self._found.append(replace(self._made(kind, connection, time_ns, symbols, said), since_ns=since_ns))

    def _made(self, kind: Kind, connection: int, time_ns: int, symbols: Sequence[str], said: Sequence[str]) -> Incident:
        one, symbol = self._recording, symbols[0] if symbols else ""
        name = incident_id(one.exchange, one.set_name, symbol, kind.value, time_ns, connection)
        return Incident(kind, one.set_name, one.exchange, connection, time_ns, symbol, tuple(symbols), tuple(said), name)


def nearest(found: Sequence[Recording], symbols: Sequence[str], time_ns: int, damaged: Damaged) -> tuple[Recording, Incident]:
    """The last incident at or before a time, of all recordings. NoSegment if there is none."""
    best: tuple[Recording, Incident] | None = None
    for recording in found:
        if recording.first_ns > time_ns:
            continue
        only = [symbol for symbol in symbols_in([recording], symbols) if not symbols or symbol in symbols]
        if symbols and not only:
            continue
        until_ns = min(time_ns, recording.last_ns)
        seen = incidents(recording, only if symbols else (), until_ns - NEAR_NS, until_ns, damaged)
        if not seen and until_ns - NEAR_NS > recording.first_ns:
            seen = incidents(recording, only if symbols else (), None, until_ns, damaged)
        if seen and (best is None or seen[-1].time_ns > best[1].time_ns):
            best = recording, seen[-1]
    if best is None:
        raise NoSegment(
            "nothing went wrong in the capture up to then" + (f" with {', '.join(symbols)[:100]}" if symbols else ""),
            "name a later time; `alphapulse capture info FILE` shows the span",
        )
    return best


def _ends(recording: Recording) -> list[int]:
    """Times of the last rows of the collector's runs."""
    ends: dict[int, int] = {}
    for path, head in zip(recording.files, recording.heads, strict=True):
        with CaptureFile(path) as file:
            ends[head.run_ns] = max([ends.get(head.run_ns, 0), *(entry.last_ns for entry in file.entries())])
    return list(ends.values())


def named(found: Sequence[Recording], symbols: Sequence[str], identifier: str, damaged: Damaged) -> tuple[Recording, Incident]:
    """The incident of an id, or of the only id that begins so. NoSegment if there is none, UsageError for several."""
    wanted = identifier.casefold()
    seen = [(recording, one) for recording in found for one in incidents(recording, symbols, None, recording.last_ns, damaged)]
    fitting = [(recording, one) for recording, one in seen if one.id.startswith(wanted)]
    if not fitting:  # of another book of the same moment, or of one that was not good before
        listed = [(recording, one) for recording in found for one in incidents_of(recording, damaged, symbols)]
        fitting = [(recording, _of_certificate(one)) for recording, one in listed if one.id.startswith(wanted)]
    if not fitting:
        ids = ", ".join(one.id for _, one in seen[-MOST_NAMED:])
        raise NoSegment(
            f"no gap {identifier[:40]!r} in the capture", f"its last ones are {ids}" if ids else "nothing went wrong in it"
        )
    if len(fitting) > 1:
        raise UsageError(f"several ids begin with {identifier[:40]!r}", ", ".join(one.id for _, one in fitting[:MOST_NAMED]))
    return fitting[0]


def _of_certificate(one: Certified) -> Incident:
    """Incident of a certificate as one to explain."""
    kind = Kind(one.kind) if one.kind in {kind.value for kind in Kind} else Kind.CHECKSUM  # or unverified
    symbols = (one.symbol,) if one.symbol else ()
    return Incident(kind, one.set_name, one.exchange, one.connection, one.time_ns, one.symbol, symbols, (), one.id, one.since_ns)


def asked(found: Sequence[Recording], what: str, symbols: Sequence[str], damaged: Damaged) -> tuple[Recording, Incident, str]:
    """The incident that a person asks for by a time, an id or `last`, and how it was chosen. UsageError, NoSegment."""
    if what.casefold() == LAST:
        chosen = nearest(found, symbols, max(one.last_ns for one in found), damaged)
        return *chosen, "the last incident of the capture"
    if ID.fullmatch(what):
        return *named(found, symbols, what, damaged), f"the gap {what.casefold()}"
    time_ns = int(what) if NANOSECONDS.fullmatch(what) else moments.parse(what)
    first, last = min(one.first_ns for one in found), max(one.last_ns for one in found)
    if not first <= time_ns <= last:
        raise UsageError(
            f"{moments.moment(time_ns)} is not in the capture", f"it is from {moments.moment(first)} to {moments.moment(last)}"
        )
    recording, incident = nearest(found, symbols, time_ns, damaged)
    before_ns = time_ns - incident.time_ns
    how = f"the last incident at or before {moments.moment(time_ns, digits=9)}"
    return recording, incident, how + (f", {lasting(before_ns)} before it" if before_ns else "")
