"""`alphapulse verify live`: what can be proved of running sets without their frames, as a certificate.

    ring ─► replica ─► CHECKs of the writer          image ─► level for level at one version        (apps.reconstruct)
      └─► prices that changed                        REST book of the exchange ─┐
                 └─ all levels that did not change around the request ─────────┴─► must be in both, with the same size

A REST book is of some moment near its request, and nobody knows which. But a level that did not change from a second before the
request to a second after the answer is the same at all those moments. So each level of the REST book, and each of the replica in
its range, is compared unless its price changed meanwhile. What differs is fetched a second time; what differs again is a
contradiction. Where the exchange offers no REST book that can be compared, that is said.

The frames were not seen: the certificate says so. `alphapulse verify FILE` proves a capture.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

from alphapulse_cli import exchanges
from alphapulse_cli.apps.reconstruct import WAIT_S, Books, Proof, ProofVerdict, counted, prove
from alphapulse_cli.apps.verify.certificate import BROKEN, CLEAN, SCHEMA, VERIFIED, VERSION
from alphapulse_cli.book.book import Book
from alphapulse_cli.edges import control
from alphapulse_cli.edges.exchange.fetch import Fetcher
from alphapulse_cli.edges.exchange.ledger import Ledger
from alphapulse_cli.edges.exchange.loopback import is_loopback
from alphapulse_cli.edges.exchange.rate_limit import Limits
from alphapulse_cli.errors import AlphapulseError, DecodeError, NoSegment, UsageError
from alphapulse_cli.exchanges.protocol import RestBook
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.flow.groups import GroupReader, Polled
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.delta import BookState, RecordKind

KIND = "live"
NOT_SEEN = (
    "The frames were not seen: this proves what readers see now, not what was received. `alphapulse verify FILE` proves a capture."
)
BESIDE_S = 1.0  # before the request and after the answer: an exchange's REST book may be that old, and its stream that late
FETCHED_WITHIN_S = 20.0
ROUNDS = 2  # what differs in all of them is a contradiction
AGREES, CONTRADICTS, NOT_COMPARED = "agrees", "contradicts", "not compared"

Side = Mapping[int, int]  # ticks -> lots
Sides = tuple[Side, Side]  # bids, asks
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RestFinding:
    """Comparison of a book with the exchange's REST book."""

    verdict: str = NOT_COMPARED  # AGREES, CONTRADICTS or NOT_COMPARED
    levels: int = 0  # that were compared
    changed: int = 0  # left out, since they changed meanwhile
    why: str = ""  # the first difference, or why nothing was compared


@dataclass(frozen=True, slots=True)
class LiveBook:
    """Certificate of one running book."""

    proof: Proof
    rest: RestFinding

    @property
    def holds(self) -> bool:
        """Whether nothing contradicts it."""
        return self.proof.verdict is not ProofVerdict.FAILED and self.rest.verdict != CONTRADICTS

    @property
    def is_verified(self) -> bool:
        """Whether it is proved, and not merely without a contradiction."""
        return self.holds and self.proof.verdict is ProofVerdict.PROVED

    @property
    def verdict(self) -> str:
        """One of VERIFIED, CLEAN and BROKEN."""
        return VERIFIED if self.is_verified else CLEAN if self.holds else BROKEN

    @property
    def problems(self) -> list[str]:
        """Codes of what does not hold."""
        own = self.proof.why.replace(",", "").replace(" ", "-")
        failed = [own] if self.proof.verdict is ProofVerdict.FAILED else []
        return failed + (["rest-contradicts"] if self.rest.verdict == CONTRADICTS else [])

    @property
    def why(self) -> str:
        """Sentence of why it does not hold, or is not proved; "" for neither."""
        if self.rest.verdict == CONTRADICTS and self.proof.verdict is not ProofVerdict.FAILED:
            return f"the exchange's REST book contradicts: {self.rest.why}"
        return self.proof.why

    def members(self) -> dict[str, Any]:
        """Members of its JSON object."""
        proof, rest = self.proof, self.rest
        return {
            "symbol": proof.symbol,
            "state": proof.state.name,
            "verdict": self.verdict,
            "problems": self.problems,
            "why": self.why,
            "replica_version": str(proof.version),
            "levels": proof.levels,
            "checks": {"ok": proof.checks_ok, "bad": proof.checks_bad},
            "image": proof.image,
            "checksums": {"ok": proof.checksums_ok, "bad": proof.checksums_bad},
            "gaps": proof.gaps,
            "laps": proof.laps,
            "rest": {"verdict": rest.verdict, "levels": rest.levels, "changed_meanwhile": rest.changed, "why": rest.why},
        }


@dataclass(frozen=True, slots=True)
class LiveCertificate:
    """Certificate of running sets: their books, and the sets that were left out, since no collector keeps them now."""

    duration_ns: int
    books: Sequence[LiveBook]
    left_out: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing contradicts any book."""
        return all(book.holds for book in self.books)

    @property
    def is_verified(self) -> bool:
        """Whether every book is proved."""
        return bool(self.books) and all(book.is_verified for book in self.books)

    def to_json(self) -> bytes:
        """Write it as JSON, like a certificate of captures: sorted members, indented, a line end behind it."""
        named = sorted({(book.proof.set_name, book.proof.exchange) for book in self.books})
        sets = [
            {"set": name, "exchange": exchange, "books": [one.members() for one in self.books if one.proof.set_name == name]}
            for name, exchange in named
        ]
        members = {
            "schema": SCHEMA,
            "version": VERSION,
            "kind": KIND,
            "frames": None,
            "remark": NOT_SEEN,
            "holds": self.holds,
            "duration_ns": self.duration_ns,
            "left_out": list(self.left_out),
            "sets": sets,
        }
        return orjson.dumps(members, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def verify_live(
    directory: Directory, wanted: Wanted, duration_s: float, how: str = "wake", say: Say = lambda _: None
) -> LiveCertificate:
    """Prove every wanted book of every set that a collector keeps now, for `duration_s` seconds and as long as its REST book takes.

    NoSegment where none is kept. `say` is called with what could not be asked.
    """
    books, left_out = Books(directory, wanted, how, "verify live"), list[str]()
    try:
        now = clock.monotonic_ns()
        for follower in [one for one in books.followers if not one.groups.is_live(now) or one.groups.is_replay]:
            books.leave_out(follower)
            left_out.append(follower.set_name)
        if not books.followers:
            raise NoSegment(f"no collector is running in {directory.path}: nothing can be proved", "alphapulse segments")
        books.settle()
        before = {one.set_name: counted(directory, one.set_name) for one in books.followers}
        rest = _RestRounds(directory, books, say)
        end = now + int(duration_s * 1e9)
        while clock.monotonic_ns() < end or not rest.is_over:
            books.poll()
            rest.step()
            books.wait(WAIT_S)
        made = [(one, symbol, prove(directory, one, symbol, before[one.set_name])) for one, symbol, _ in list(books.all())]
        found = [LiveBook(proof, rest.finding(one.set_name, symbol)) for one, symbol, proof in made]
        return LiveCertificate(int(duration_s * 1e9), found, left_out)
    finally:
        books.close()


class Changes:
    """Prices of a set's books that have changed since it was made; whether that is not known of a book."""

    def __init__(self, directory: Directory, set_name: str) -> None:
        self._groups = GroupReader(directory, set_name, SegmentKind.DELTAS, "now")
        self._prices: dict[str, set[tuple[bool, int]]] = {}  # (is ask, ticks)
        self._unknown: set[str] = set()
        self._is_lost = False

    def poll(self) -> None:
        """Read all that is there."""
        while (polled := self._groups.poll(clock.monotonic_ns())).record_count or polled.missed or polled.restarted:
            self._is_lost = self._is_lost or bool(polled.missed) or polled.restarted
            self._take(polled)

    def of(self, symbol: str) -> set[tuple[bool, int]] | None:
        """Prices of a book that have changed; None if that is not known: records were missed, or the book was replaced."""
        return None if self._is_lost or symbol in self._unknown else self._prices.get(symbol, set())

    def _take(self, polled: Polled) -> None:
        import numpy as np

        records = np.frombuffer(polled.records, delta.dtype(), polled.record_count)
        for record in records[(records["flags"] & delta.KIND_MASK) != RecordKind.CHECK]:
            symbol = bytes(record["symbol"]).decode("latin-1")
            if record["flags"] & delta.KIND_MASK == RecordKind.DELTA and not record["flags"] & delta.RESYNCED:
                changes = record["changes"][: record["change_count"]]
                sides = ((changes["size_side"] & np.uint64(delta.IS_ASK)) != 0).tolist()
                self._prices.setdefault(symbol, set()).update(zip(sides, changes["price_ticks"].tolist(), strict=True))
            elif record["flags"] & delta.KIND_MASK != RecordKind.STATUS:
                self._unknown.add(symbol)


def compared(
    before: Sides, after: Sides, changed: Iterable[tuple[bool, int]], rest: Sides, decimals: tuple[int, int]
) -> RestFinding:
    """Compare a book, as it was before a request and after its answer, with the REST book in it. `decimals` are of price and size.

    Each side is compared down to the worst price that all three have.
    """
    moved, levels, left_out = frozenset(changed), 0, 0
    for is_ask, (old, new, theirs) in enumerate(zip(before, after, rest, strict=True)):
        if not (old and new and theirs):
            continue
        worst = min(max(old), max(new), max(theirs)) if is_ask else max(min(old), min(new), min(theirs))
        for ticks in sorted({*new, *theirs}, reverse=not is_ask):
            if (ticks > worst) if is_ask else (ticks < worst):
                break
            if (bool(is_ask), ticks) in moved:
                left_out += 1
                continue
            levels += 1
            if new.get(ticks, 0) != theirs.get(ticks, 0):
                side, price = "ask" if is_ask else "bid", to_text(ticks, decimals[0])
                ours, others = (to_text(one.get(ticks, 0), decimals[1]) for one in (new, theirs))
                return RestFinding(CONTRADICTS, levels, left_out, f"{side} {price} is {ours} here and {others} there")
    if not levels:
        return RestFinding(NOT_COMPARED, 0, left_out, "every level changed meanwhile")
    return RestFinding(AGREES, levels, left_out)


@dataclass(frozen=True, slots=True)
class _Feed:
    """What a collector says of its feed."""

    exchange: str
    rest_url: str
    natives: Mapping[str, str]  # by symbol

    @classmethod
    def of(cls, directory: Directory, set_name: str) -> "_Feed":
        """Ask the collector. AlphapulseError."""
        texts = control.ask(directory, set_name, control.FEED, [])
        if len(texts) < 3:
            raise UsageError("it does not tell its addresses", "use the same alphapulse for both")
        exchange, _, url, *rows = texts
        return cls(exchange, url, dict(row.split(" ", 1) for row in rows if " " in row))


@dataclass(slots=True)
class _Round:
    """Requests of one set under way: what its books were before, and what has come."""

    follower: SetFollower
    epoch: int
    instruments: Mapping[str, Instrument]
    before: Mapping[str, tuple[int, int, Sides]]  # decimals and levels, by symbol
    changes: Changes
    ask_at_ns: int
    answers: dict[str, bytes | str] = field(default_factory=dict)  # the body, or why there is none
    thread: threading.Thread | None = None
    compare_at_ns: int = 0


class _RestRounds:
    """Comparisons of all books with their REST books, one round after another, beside the polling of the books."""

    def __init__(self, directory: Directory, books: Books, say: Say) -> None:
        self._directory, self._say = directory, say
        self._found: dict[tuple[str, str], RestFinding] = {}
        self._feeds: dict[str, tuple[_Feed, RestBook]] = {}
        self._rounds_left = ROUNDS
        self._running: list[_Round] = []
        for follower in books.followers:
            why = self._learn(follower)
            for symbol in follower.books:
                self._found[follower.set_name, symbol] = RestFinding(why=why)
        self._followers = [one for one in books.followers if one.set_name in self._feeds]
        self._begin({one.set_name: list(one.books) for one in self._followers})

    @property
    def is_over(self) -> bool:
        """Whether all is compared."""
        return not self._running

    def finding(self, set_name: str, symbol: str) -> RestFinding:
        """Finding of a book."""
        return self._found.get((set_name, symbol), RestFinding(why="it came while the others were compared"))

    def step(self) -> None:
        """Send, or compare, what is due."""
        now = clock.monotonic_ns()
        doubtful: dict[str, list[str]] = {}
        for one in list(self._running):
            one.changes.poll()
            if one.thread is None and now >= one.ask_at_ns:
                self._send(one)
            elif one.thread is not None and not one.compare_at_ns and not one.thread.is_alive():
                one.compare_at_ns = now + int(BESIDE_S * 1e9)
            elif one.compare_at_ns and now >= one.compare_at_ns:
                self._running.remove(one)
                doubtful[one.follower.set_name] = self._compare(one)
        again = {name: symbols for name, symbols in doubtful.items() if symbols}
        if again and self._rounds_left:
            self._begin(again)

    def _learn(self, follower: SetFollower) -> str:
        """Ask the collector of a set for its addresses; why there is nothing to compare, "" if there is."""
        try:
            feed = _Feed.of(self._directory, follower.set_name)
            book = exchanges.get(feed.exchange).rest_book
        except AlphapulseError as error:
            self._say(f"{follower.set_name}: no REST book is compared: {error}")
            return str(error)
        if book is None:
            return f"{feed.exchange} offers no REST book that can be compared"
        self._feeds[follower.set_name] = feed, book
        return "no answer came"

    def _begin(self, symbols: Mapping[str, Sequence[str]]) -> None:
        self._rounds_left -= 1
        for follower in self._followers:
            wanted = [symbol for symbol in symbols.get(follower.set_name, ()) if _is_good(follower, symbol)]
            for symbol in set(symbols.get(follower.set_name, ())).difference(wanted):
                self._found[follower.set_name, symbol] = RestFinding(why="the book was not LIVE")
            if not wanted:
                continue
            changes = Changes(self._directory, follower.set_name)  # before the books are looked at
            _catch_up(follower)
            feed = self._feeds[follower.set_name][0]
            before = {symbol: _seen(follower.books[symbol].book) for symbol in wanted}
            instruments = {
                symbol: Instrument(feed.exchange, symbol, feed.natives[symbol], *before[symbol][:2])
                for symbol in wanted
                if symbol in feed.natives
            }
            ask_at_ns = clock.monotonic_ns() + int(BESIDE_S * 1e9)
            self._running.append(_Round(follower, follower.groups.segment.epoch, instruments, before, changes, ask_at_ns))

    def _send(self, one: _Round) -> None:
        feed, book = self._feeds[one.follower.set_name]
        work = _fetch(self._directory, feed, book, one.instruments, one.answers)
        one.thread = threading.Thread(target=lambda: asyncio.run(work), daemon=True, name="verify live")
        one.thread.start()

    def _compare(self, one: _Round) -> list[str]:
        """Compare the answers of a round; returns the symbols of which something differs."""
        _catch_up(one.follower)
        one.changes.poll()
        name, differs = one.follower.set_name, []
        for symbol, instrument in one.instruments.items():
            found = self._found[name, symbol] = self._compare_book(one, symbol, instrument)
            if found.verdict == CONTRADICTS:
                differs.append(symbol)
        return differs

    def _compare_book(self, one: _Round, symbol: str, instrument: Instrument) -> RestFinding:
        answer, changed = one.answers.get(symbol, "no answer came in time"), one.changes.of(symbol)
        if isinstance(answer, str):
            return RestFinding(why=answer)
        if changed is None or one.follower.groups.segment.epoch != one.epoch or not _is_good(one.follower, symbol):
            return RestFinding(why="the book was replaced meanwhile, or not LIVE")
        after, before = _seen(one.follower.books[symbol].book), one.before[symbol]
        if after[:2] != before[:2]:
            return RestFinding(why="the book's grid changed meanwhile")
        try:
            levels = self._feeds[one.follower.set_name][1].levels(instrument, answer)
        except DecodeError as error:
            return RestFinding(why=f"the REST book was not understood: {error}")
        return compared(before[2], after[2], changed, _sides(levels), after[:2])


async def _fetch(
    directory: Directory, feed: _Feed, book: RestBook, instruments: Mapping[str, Instrument], answers: dict[str, bytes | str]
) -> None:
    """Fetch the REST books of one set, within the limits that all collectors of this machine share; as many as come in time."""
    port = urlsplit(feed.rest_url).port or 0 if is_loopback(feed.rest_url) else None
    with Ledger(directory, feed.exchange, lambda _: None, port=port) as ledger:
        fetcher = Fetcher(feed.rest_url, Limits.of(exchanges.get(feed.exchange).facts, ledger).weight)

        async def get(symbol: str, instrument: Instrument) -> None:
            try:
                answers[symbol] = await fetcher.get(book.path(instrument.native), book.weight)
            except AlphapulseError as error:
                answers[symbol] = str(error)

        with suppress(TimeoutError):
            async with asyncio.timeout(FETCHED_WITHIN_S):
                await asyncio.gather(*(get(*one) for one in instruments.items()))


def _catch_up(follower: SetFollower) -> None:
    """Apply all records that are there."""
    while follower.poll(clock.monotonic_ns()).record_count:
        pass


def _is_good(follower: SetFollower, symbol: str) -> bool:
    is_live = follower.state(symbol, clock.monotonic_ns())[0] is BookState.LIVE
    return is_live and follower.is_whole(symbol)


def _seen(book: Book) -> tuple[int, int, Sides]:
    return book.price_decimals, book.size_decimals, (dict(book.bids()), dict(book.asks()))


def _sides(levels: Levels) -> Sides:
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for ticks, lots, is_ask in levels:
        if lots:
            sides[is_ask][ticks] = lots
    return sides
