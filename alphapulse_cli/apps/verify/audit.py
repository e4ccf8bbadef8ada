"""Audit of one recording: plays it and makes its certificate of what the witnesses tell.

Evidence ─► Audit (the Listener) ─► AuditWitness of each connection ─► incidents, suspect time of each book, checks
                 └ at the end of a run: counters, feed delays, and each book as it is then
"""

import hashlib
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from pathlib import Path

import orjson

from alphapulse_cli import exchanges
from alphapulse_cli.apps.replay.survey import END_NS
from alphapulse_cli.apps.replay.timeline import Recording, symbols_in
from alphapulse_cli.apps.verify.certificate import (
    BROKEN,
    CLEAN,
    VERIFIED,
    BookCertificate,
    Damage,
    FeedDelay,
    FileEvidence,
    FinalBook,
    SetCertificate,
    SuspectSpan,
)
from alphapulse_cli.apps.verify.incidents import GAPS, RESYNCS, Incidents, IncidentWitness, RunsOfIncidents
from alphapulse_cli.apps.verify.playing import Evidence, EvidencePlayer
from alphapulse_cli.apps.verify.suspects import VALID, BookTime, Suspect, first_of, flag_of
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rows import Kind, Row
from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.protocol import BOOK, CHECKSUM, SEQUENCE, BlindSpot, Mode, Numbered
from alphapulse_cli.flow.ingest import Ingest
from alphapulse_cli.flow.keeper import BookKeeper
from alphapulse_cli.flow.witness import WitnessedBook, WitnessedConnection
from alphapulse_cli.market.events import GapFound, GapReason
from alphapulse_cli.shm.counters import Counter, CountersReader
from alphapulse_cli.shm.histogram import Distribution
from alphapulse_cli.wire.delta import BookReason, BookState

MOST_SPANS = 10_000  # suspect spans of a book that are listed, and gaps of a set
COUNTED = (  # what a collector and a replay of its capture count alike, whatever their rings, disks and clocks
    Counter.FRAMES,
    Counter.BYTES,
    Counter.BOOK_UPDATES,
    Counter.GROUPS,
    Counter.CHANGES,
    Counter.TRADES,
    Counter.GAPS,
    Counter.RESYNCS,
    Counter.CHECKSUMS_OK,
    Counter.CHECKSUMS_BAD,
    Counter.DECODE_ERRORS,
    Counter.UNRECOGNISED,
    Counter.LEVELS_KEPT_OUT,
    Counter.TRADES_REFUSED,
    Counter.TRADES_MISSED,
    Counter.TRADES_RECOVERED,
    Counter.OFF_GRID,
    Counter.CROSSED,
    Counter.RECONNECTS,
    Counter.UPDATES_IGNORED,
    Counter.REFUSALS,
    Counter.FETCHES_FAILED,
    Counter.SNAPSHOTS_REFUSED,
    Counter.UNVERIFIED,
)
LABELS = tuple(counter.label for counter in COUNTED)
BELOW_SNAPSHOT = "below-snapshot"  # code of a blind spot that begins where the depth asked for ends
AT_END = "at its end"  # in what is said of bytes behind the last whole block
SILENCES = Suspect.SILENT | Suspect.DISCONNECTED | Suspect.QUIET
BLOCK_BYTES = 1 << 20
MOST_ROWS_LOST = 2**53  # that a certificate tells: a hostile row may state any number, and JSON has no larger ones

Progress = Callable[[int], None]  # bytes of the recording's files that were read since the last call


@dataclass(slots=True)
class _Book:
    """Knowledge of one book so far."""

    time: BookTime
    begun_ns: int
    from_ns: int | None = None  # first snapshot
    to_ns: int = 0
    state: BookState = BookState.COLD
    reason: BookReason = BookReason.STARTING
    is_crossed: bool = False
    cut_ns: int = 0  # when its connection was lost, if that is its last change
    before_cut: "tuple[BookTime, BookState, BookReason] | None" = None
    proved_ns: int = 0
    is_numbered: bool = True  # whether its messages had sequence numbers in this run: old recordings may lack them
    proofs: "list[tuple[str, int | None]]" = field(default_factory=list)  # `_proof` of each run in which it had updates
    final: FinalBook | None = None


class AuditWitness(IncidentWitness):
    """Witness of one connection that keeps the time of its books, too."""

    def __init__(self, audit: "Audit", connection: int) -> None:
        super().__init__(audit.incidents, connection)
        self._audit = audit
        self._not_captured: set[str] = set()  # symbols whose sequence broke where rows are missing

    def attached(self, ingest: WitnessedConnection) -> None:
        """Begin the time of each book, or go on with it after an earlier run."""
        super().attached(ingest)
        now_ns = self._audit.now_ns
        for keeper in ingest.keepers.values():
            symbol = keeper.instrument.symbol
            if not self._audit.wants(symbol):  # it is dropped at once
                continue
            self._audit.runs.resumed(symbol)
            book = self._audit.books.get(symbol)
            if book is None:
                self._audit.books[symbol] = _Book(BookTime(now_ns, Suspect.COLD), now_ns)
            else:
                book.time.mark(Suspect.COLD, now_ns)
                book.state, book.reason, book.is_crossed, book.before_cut = BookState.COLD, BookReason.STARTING, False, None

    def gap(self, gap: GapFound, receive_ns: int) -> None:
        """Note the incidents, and whether rows are missing."""
        super().gap(gap, receive_ns)
        symbols = {instrument.symbol for instrument in gap.instruments}
        if gap.reason is GapReason.NOT_CAPTURED:
            self._not_captured |= symbols
        else:
            self._not_captured -= symbols

    def repeated(self, receive_ns: int) -> None:  # noqa: ARG002
        """Count it."""
        self._audit.duplicates += 1

    def stepped(self, before_ns: int, receive_ns: int) -> None:
        """Count it."""
        self._audit.clock_steps += 1
        self._audit.clock_step_ns = max(self._audit.clock_step_ns, before_ns - receive_ns)

    def crossed(self, keeper: WitnessedBook, is_crossed: bool, receive_ns: int) -> None:
        """Go on with the book's time, crossed or not."""
        book = self._audit.books[keeper.instrument.symbol]
        book.is_crossed = is_crossed
        if keeper.state is BookState.LIVE:
            book.time.settle(keeper.heard_ns)
            flags = book.time.flags
            book.time.mark(flags | Suspect.CROSSED if is_crossed else flags & ~Suspect.CROSSED, receive_ns)

    def changed(self, keeper: WitnessedBook, receive_ns: int) -> None:
        """Go on with the book's time in its new state, from its last message on where that was lost."""
        super().changed(keeper, receive_ns)
        symbol, state, reason = keeper.instrument.symbol, keeper.state, keeper.reason
        book = self._audit.books.get(symbol)
        if book is None:
            return
        if (state, reason) == (book.state, book.reason):
            return
        before, book.state, book.reason = (book.state, book.reason), state, reason
        book.time.settle(keeper.heard_ns)
        if reason is BookReason.RETIRED:
            book.time.mark(Suspect.NOT_CAPTURED, receive_ns)
            book.state, book.reason = before
            assert self.ingest is not None
            self._audit.close_book(symbol, keeper, self.ingest, receive_ns)
            return
        flags, since_ns = self._flags(symbol, book), receive_ns
        if flags & ~(Suspect.CROSSED | Suspect.UNCONFIRMED | Suspect.UNVERIFIED) and before[0] in (BookState.LIVE, BookState.STALE):
            since_ns = self._good_until(keeper) or receive_ns
        if reason is BookReason.DISCONNECTED:
            book.before_cut, book.cut_ns = (book.time.copy(), *before), receive_ns
        else:
            book.before_cut = None
        book.time.mark(flags, min(since_ns, receive_ns))
        if state is BookState.LIVE:
            book.is_numbered &= _has_number(self.ingest, keeper)
            book.from_ns = receive_ns if book.from_ns is None else book.from_ns

    def _flags(self, symbol: str, book: _Book) -> Suspect:
        flags = flag_of(book.state, book.reason)
        if flags is Suspect.SEQUENCE and symbol in self._not_captured:
            return Suspect.NOT_CAPTURED
        if book.state is BookState.LIVE:
            self._not_captured.discard(symbol)
            return flags | Suspect.CROSSED if book.is_crossed else flags
        return flags

    def _good_until(self, keeper: WitnessedBook) -> int | None:
        """Time of the last message of the book, or of the last frame where the whole connection was lost or silent."""
        if keeper.reason is BookReason.SILENT and self.ingest is not None:
            return max(keeper.heard_ns, self.ingest.heard_ns)
        return self.since_ns(keeper)


class Audit:
    """Listener that makes the certificate of one recording."""

    def __init__(self, recording: Recording, only: Sequence[str] = ()) -> None:
        self._recording, self._only = recording, only
        self.incidents = Incidents(recording.exchange, recording.set_name)
        self.runs = RunsOfIncidents(self.incidents)
        self.books: dict[str, _Book] = {}
        self.duplicates = self.clock_steps = self.clock_step_ns = 0
        self._counts: dict[str, Counts[str]] = {}  # by symbol
        self._delays: Distribution | None = None
        self._delay_most_ns = 0
        self._runs = self._connections = self._rows_lost = 0
        self._opened: set[int] = set()  # connections of this run
        self._reconnects = 0
        self._damages: list[Damage] = []
        self._player: EvidencePlayer | None = None

    @property
    def now_ns(self) -> int:
        """Time of the recording that is reached."""
        return self._player.now_ns if self._player is not None else 0

    def wants(self, symbol: str) -> bool:
        """Whether a symbol's book is to be in the certificate."""
        return not self._only or symbol in self._only

    # The Listener

    def begins(self, player: EvidencePlayer) -> None:
        """Count the run."""
        self._player = player
        self._runs += 1
        self._opened.clear()

    def witness(self, connection: int) -> AuditWitness:
        """Witness of a connection."""
        self._connections += 1
        return AuditWitness(self, connection)

    def row(self, row: Row) -> None:
        """Count what the recording says of its connections, and of what it lacks."""
        if row.kind not in (Kind.OPEN, Kind.LOST):
            return
        try:
            members = orjson.loads(row.payload)
        except orjson.JSONDecodeError:
            return
        if not isinstance(members, dict):
            return
        if row.kind == Kind.LOST:
            rows = members.get("rows")
            if isinstance(rows, int) and rows > 0:
                self._rows_lost = min(self._rows_lost + rows, MOST_ROWS_LOST)
        elif not members.get("again"):
            self._reconnects += row.connection in self._opened
            self._opened.add(row.connection)
        else:
            self._opened.add(row.connection)

    def ends(self, player: EvidencePlayer) -> None:
        """Take the counters and the books as they are at the end of a run."""
        self.runs.ends(player)
        end_ns = player.row_ns
        for ingest in player.ingests.values():
            for keeper in ingest.keepers.values():
                symbol = keeper.instrument.symbol
                book = self.books.get(symbol)
                if book is None:
                    continue
                if book.before_cut is not None and end_ns - book.cut_ns <= END_NS:
                    book.time, book.state, book.reason = book.before_cut
                    book.before_cut = None
                    self.close_book(symbol, keeper, ingest, book.cut_ns)
                else:
                    self.close_book(symbol, keeper, ingest, end_ns)
                book.time.mark(Suspect.NOT_CAPTURED, book.to_ns)
        reader = CountersReader(player.outlet.counters.segment)
        mode = exchanges.get(player.head.exchange).facts.mode(player.head.mode)
        for symbol, block in reader.blocks().items():
            held = self._counts.setdefault(symbol, Counts())
            counted = Counts({label: block[label] for label in LABELS})
            held.update(counted)
            book = self.books.get(symbol)
            if book is not None and counted["book_updates"]:
                book.proofs.append(_proof(mode, counted, player.head.depth, is_numbered=book.is_numbered))
                book.is_numbered = True
        delays = reader.histograms()["feed_delay_ns"]
        self._delay_most_ns = max(self._delay_most_ns, delays.largest)
        self._delays = delays if self._delays is None else self._delays.merged(delays)

    def close_book(self, symbol: str, keeper: WitnessedBook, ingest: WitnessedConnection, time_ns: int) -> None:
        """Take a book as it is at its end."""
        assert isinstance(keeper, BookKeeper)
        assert isinstance(ingest, Ingest)
        book = self.books[symbol]
        book.to_ns, book.final = time_ns, _final(keeper, book)
        if keeper.state is BookState.LIVE:  # one that is not good has no number
            book.is_numbered &= _has_number(ingest, keeper)
        book.proved_ns = max(book.proved_ns, int(keeper.proved_ns))

    def damaged(self, path: Path, what: str) -> None:
        """Note what of a file cannot be read."""
        is_end = AT_END in what and not _was_complete(path)
        self._damages.append(Damage(path.name, what.partition(";")[0].partition(":")[0], is_end))

    # The certificate

    def certificate(self, files: Iterable[FileEvidence], rows: int) -> SetCertificate:
        """Make the certificate of what was played."""
        recording, head = self._recording, self._recording.heads[-1]
        mode = exchanges.get(recording.exchange).facts.mode(head.mode)
        missing = _missing_files(recording)
        gaps = self.incidents.listed()
        self._leave_out_what_only_a_replay_counts()
        total = Counts({label: sum(block[label] for block in self._counts.values()) for label in LABELS})
        total["reconnects"] = self._reconnects
        problems = ["damaged"] if any(not one.is_end for one in self._damages) else []
        problems += ["file-missing"] if missing else []
        modes = [exchanges.get(recording.exchange).facts.mode(one.mode) for one in recording.heads]
        symbols = sorted(filter(self.wants, {*symbols_in([recording]), *self._counts} - {""}))
        books = [self._book(symbol, book) for symbol, book in self.books.items() if book.final]
        if BOOK in head.channels:
            books += [_never_connected(symbol, recording) for symbol in symbols if symbol not in self.books]
        return SetCertificate(
            set_name=recording.set_name,
            exchange=recording.exchange,
            mode=mode.name,
            depth=head.depth,
            channels=tuple(sorted(head.channels)),
            source=head.source,
            symbols=tuple(symbols),
            validates=mode.validates,
            proofs=tuple(proof for proof in mode.proofs if all(proof in one.proofs for one in modes)),
            proof_depth=mode.proof_depth,
            blind_spots=_spots(recording),
            from_ns=recording.first_ns,
            to_ns=recording.last_ns,
            runs=self._runs,
            connections=self._connections,
            rows=rows,
            counts=dict(total),
            duplicates=self.duplicates,
            clock_steps=self.clock_steps,
            clock_step_ns=self.clock_step_ns,
            rows_lost=self._rows_lost,
            feed_delay=self._feed_delay(),
            files=tuple(files),
            damages=(*self._damages, *missing),
            problems=tuple(problems),
            gaps=tuple(gaps[:MOST_SPANS]),
            gaps_left_out=max(len(gaps) - MOST_SPANS, 0) + self.incidents.left_out,
            books=tuple(sorted(books, key=lambda book: book.symbol)),
        )

    def _leave_out_what_only_a_replay_counts(self) -> None:
        """Rows that are missing are gaps of the replay: their collector counted none."""
        for gap in self.incidents.listed():
            if gap.kind == GapReason.NOT_CAPTURED.name.lower() and gap.symbol in self._counts:
                self._counts[gap.symbol][GAPS] -= 1
                self._counts[gap.symbol][RESYNCS] -= RESYNCS in gap.counted

    def _feed_delay(self) -> FeedDelay:
        delays = self._delays
        if delays is None or not (delays.count or delays.below_zero):
            return FeedDelay()
        half, most, nearly, thousandth = (delays.quantile(fraction) for fraction in (0.5, 0.9, 0.99, 0.999))
        return FeedDelay(delays.count, half, most, nearly, thousandth, delays.largest if delays.count else None, delays.below_zero)

    def _book(self, symbol: str, book: _Book) -> BookCertificate:
        assert book.final is not None
        from_ns = book.to_ns if book.from_ns is None else book.from_ns
        parts: Counts[str] = Counts()
        stale_ns = crossed_ns = 0
        suspects = []
        for span in book.time.spans(book.to_ns):
            if span.flags:
                suspects.append(SuspectSpan(*span))
            inside_ns = span.to_ns - max(span.from_ns, from_ns)
            if inside_ns > 0:
                parts[_name(first_of(span.flags))] += inside_ns
                stale_ns += inside_ns if span.flags & SILENCES else 0
                crossed_ns += inside_ns if span.flags & Suspect.CROSSED else 0
        counts = self._counts.get(symbol, Counts())
        problems = self._problems(symbol, book)
        proof, levels = _weakest(book.proofs)
        return BookCertificate(
            symbol=symbol,
            verdict=BROKEN if problems else VERIFIED if proof else CLEAN,
            verified_levels=levels,
            problems=problems,
            begun_ns=book.begun_ns,
            from_ns=book.from_ns,
            to_ns=book.to_ns,
            whole_ns=book.to_ns - from_ns,
            valid_ns=parts["valid"],
            stale_ns=stale_ns,
            crossed_ns=crossed_ns,
            time=dict(parts),
            counts={label: counts[label] for label in LABELS if counts[label]},
            proved_ns=book.proved_ns or None,
            final=book.final,
            suspects=tuple(islice(suspects, MOST_SPANS)),
            suspects_left_out=max(len(suspects) - MOST_SPANS, 0),
        )

    def _problems(self, symbol: str, book: _Book) -> tuple[str, ...]:
        """Reasons for which a book does not hold."""
        if book.from_ns is None:
            return ("never-live",)
        if book.state is not BookState.LIVE:
            return ("not-healed",) if self.incidents.is_open(symbol) else ("silent-at-end",)
        return ("unverified",) if book.reason is BookReason.UNVERIFIED else ()


def audit(recording: Recording, only: Sequence[str] = (), progress: Progress = lambda _: None) -> SetCertificate:
    """Play a recording and make its certificate. `only` are the symbols wanted, empty for all."""
    made = Audit(recording, only)
    recording.check_there()
    total_bytes = sum(path.stat().st_size for path in recording.files)
    span_ns = max(recording.last_ns - recording.first_ns, 1)
    told_bytes = 0
    with Evidence(recording, made, made.damaged, only) as played:
        while played.play():
            reached = min(max(played.now_ns - recording.first_ns, 0), span_ns) * total_bytes // span_ns
            progress(reached - told_bytes)
            told_bytes = reached
        rows = played.rows
    progress(total_bytes - told_bytes)
    return made.certificate([evidence(path) for path in recording.files], rows)


def _was_complete(path: Path) -> bool:
    """Whether the file's index has its last block, so that bytes at its end that cannot be read were once a whole one."""
    with CaptureFile(path) as file:
        indexed = file.indexed()
        return bool(indexed) and indexed[-1].end == file.size


def evidence(path: Path) -> FileEvidence:
    """Name, size and hash of a file. UsageError for one that cannot be read."""
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "it was there before: was it moved or deleted?") from None
    return FileEvidence(path.name, size, digest.hexdigest())


def _missing_files(recording: Recording) -> list[Damage]:
    """Files of a run that are not there, between two that are."""
    found = []
    for (before, path), (after, _) in pairwise(zip(recording.heads, recording.files, strict=True)):
        if before.run_ns == after.run_ns and after.file_number > before.file_number + 1:
            number = after.file_number - before.file_number - 1
            found.append(Damage(path.name, f"{number} {'file is' if number == 1 else 'files are'} missing behind it", is_end=False))
    return found


def _proof(mode: Mode, counts: Counts[str], depth: int, *, is_numbered: bool) -> tuple[str, int | None]:
    """Proof that this recording has of a book, "" for none, and the levels a side that it covers, None for all (or for none)."""
    if SEQUENCE in mode.proofs and is_numbered and counts["book_updates"]:
        return SEQUENCE, None
    if CHECKSUM in mode.proofs and counts["checksums_ok"]:
        held = depth or mode.default_depth
        return CHECKSUM, mode.proof_depth if mode.proof_depth and not 0 < held <= mode.proof_depth else None
    return "", None


def _has_number(ingest: WitnessedConnection | None, keeper: WitnessedBook) -> bool:
    """Whether the last message of a good book had a sequence number; True of feeds that cannot tell."""
    assert isinstance(ingest, Ingest)
    decoder = ingest.decoder
    return not isinstance(decoder, Numbered) or decoder.last_number(keeper.instrument.native) is not None


def _spots(recording: Recording) -> tuple[BlindSpot, ...]:
    """Blind spots of all feeds that the recording is of, each once; the newest feed's first."""
    facts = exchanges.get(recording.exchange).facts
    found = [(spot, head.depth) for head in reversed(recording.heads) for spot in facts.mode(head.mode).blind_spots]
    spots = [replace(spot, below_level=depth) if spot.code == BELOW_SNAPSHOT and depth else spot for spot, depth in found]
    return tuple(dict.fromkeys(spots))


def _weakest(proofs: Sequence[tuple[str, int | None]]) -> tuple[str, int | None]:
    """Proof that holds for all runs: none where one run has none, else on the fewest levels."""
    if not proofs or not all(proof for proof, _ in proofs):
        return "", None
    levels = [covered for _, covered in proofs if covered is not None]
    return proofs[-1][0], min(levels, default=None)


def _never_connected(symbol: str, recording: Recording) -> BookCertificate:
    """Certificate of a book for which no connection was ever opened."""
    return BookCertificate(
        symbol=symbol,
        verdict=BROKEN,
        verified_levels=None,
        problems=("never-connected",),
        begun_ns=recording.first_ns,
        from_ns=None,
        to_ns=recording.last_ns,
        whole_ns=0,
        valid_ns=0,
        stale_ns=0,
        crossed_ns=0,
        time={},
        counts={},
        proved_ns=None,
        final=FinalBook(BookState.COLD.name, BookReason.STARTING.name, 0, 0, hashlib.sha256().hexdigest(), "0", 0, 0),
        suspects=(SuspectSpan(recording.first_ns, recording.last_ns, Suspect.NOT_CAPTURED),),
        suspects_left_out=0,
    )


def _name(flag: Suspect) -> str:
    return (flag.name or "").lower() if flag != VALID else "valid"


def _final(keeper: BookKeeper, book: _Book) -> FinalBook:
    held = keeper.book
    price_decimals, size_decimals = held.price_decimals, held.size_decimals
    levels = held.top_decimals(max(held.bid_count, held.ask_count), price_decimals, size_decimals, True)
    return FinalBook(
        book.state.name,
        book.reason.name,
        held.bid_count,
        held.ask_count,
        hashlib.sha256(levels).hexdigest(),
        str(held.book_hash),
        price_decimals,
        size_decimals,
    )
