"""Checks of single frames: hostile bytes, both parsers of a feed, first snapshots."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson

from alphapulse_cli.apps.conformance.finding import DoesNotApply, Fault, require
from alphapulse_cli.apps.conformance.healing import MakeLine, start_live
from alphapulse_cli.apps.conformance.line import CHANNELS, START_NS, Line
from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges import shape
from alphapulse_cli.exchanges.protocol import Decoder
from alphapulse_cli.market.events import BookEvent, Snapshot, Unrecognised, Update
from alphapulse_cli.market.requests import FetchInstruments, FetchProof, FetchSnapshot, FetchTrades

STEPS = 60
TRIALS = 15  # frames that are to be refused without a trace
STEPS_AFTER = 6  # of the market, after each of them
KINDS_KEPT = 40  # frames that hostile ones are made of
LONGEST_TEXT = 2_000  # characters of an event or an error: they are shown to people
NASTY = (
    b"null", b"true", b"-1", b'"x"', b"{}", b"[]", b"1e999", b"NaN", b'""', b"18446744073709551615", b'"' + b"9" * 400 + b'"',
    b"[" * 900 + b"]" * 900, b'"' + b"x" * 100_000 + b'"', b'"1e-30"', b"0.1e-400", b'"\\u001b[2J"',
)  # fmt: skip
UNKNOWN = b'{"type":"mystery","method":"mystery","stream":"mystery","e":"mystery","data":{"e":"mystery","E":1}}'


def unknown_frame(make: MakeLine) -> str:
    """A well-formed frame of an unknown type is Unrecognised, not an error."""
    with make() as line:
        events = line.decoder.receive(UNKNOWN, line.now_ns)
        require([type(event) for event in events] == [Unrecognised], f"it became {events!r}"[:LONGEST_TEXT])
    return "Unrecognised"


def hostile_bytes(make: MakeLine, seed: int) -> str:
    """Check that every frame gives events or DecodeError, never another exception, and never a text too long to show."""
    dice = random.Random(seed)  # noqa: S311
    with make() as line:
        start_live(line)
        for _ in range(STEPS):
            line.step()
        corpus = _of_each_kind(line.frames)
        tried = 0
        for frame in [*_mangled(corpus, dice), *_arbitrary(dice)]:
            _try(lambda frame=frame: line.decoder.receive(frame, line.now_ns), frame)  # type: ignore[misc]
            line.decoder.pending_requests()
            tried += 1
        bodies = {type(request): (request, body) for request, body in line.answers}
        for request, body in [*bodies.values(), (FetchInstruments(line.metadata_paths), line.metadata()[1])]:
            read = _reader(line, request)
            for hostile in _mangled([body], dice):
                _try(lambda hostile=hostile, read=read: read(hostile), hostile)  # type: ignore[misc]
                tried += 1
        return f"{tried:,} frames and answers, made of {len(corpus)} frames"


def _reader(line: Line, request: Any) -> Callable[[bytes], object]:
    match request:
        case FetchSnapshot(instrument):
            return lambda body: line.decoder.receive_snapshot(instrument, body, line.now_ns)
        case FetchProof(instrument):
            return lambda body: line.decoder.receive_proof(instrument, body, line.now_ns)
        case FetchTrades(instrument):
            return lambda body: line.decoder.receive_trades(instrument, body, line.now_ns)
        case _:
            return lambda body: [line.decoder.receive_instruments(body), line.exchange.parse_instruments(body, line.mode)]


def _try(read: Callable[[], object], frame: bytes) -> None:
    try:
        events = read()
    except DecodeError as error:
        text = str(error)
    except Exception as error:  # every other exception is the fault that this check is for
        raise Fault(f"{type(error).__name__} ({str(error)[:100]}) for the frame {frame[:300]!r}") from error
    else:
        text = (
            max((repr(event) for event in events if not isinstance(event, BookEvent | list)), key=len, default="")
            if isinstance(events, Sequence)
            else ""
        )
    require(len(text) < LONGEST_TEXT, f"an event or error of {len(text):,} characters for the frame {frame[:300]!r}")


def _of_each_kind(frames: Sequence[bytes]) -> list[bytes]:
    """Some frames of each length class and beginning: enough of every kind that the encoder made."""
    kinds: dict[bytes, list[bytes]] = {}
    for frame in frames:
        kinds.setdefault(frame[:40], []).append(frame)
    chosen = [frame for group in kinds.values() for frame in (group[0], group[-1])]
    return sorted(set(chosen), key=len)[:KINDS_KEPT]


def _mangled(frames: Sequence[bytes], dice: random.Random) -> Iterator[bytes]:
    for frame in frames:
        for _ in range(12):
            at = dice.randrange(len(frame) + 1)
            yield frame[:at]
            yield frame[:at] + bytes([dice.randrange(256)]) + frame[at + 1 :]
            yield frame[:at] + frame[dice.randrange(len(frame)) :]
        yield from _replaced(frame, dice)


def _replaced(frame: bytes, dice: random.Random) -> Iterator[bytes]:
    """The frame with each of NASTY at some of its places; none for a frame that is not JSON."""
    try:
        parsed = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return
    paths = list(places(parsed))
    for path in dice.sample(paths, min(len(paths), 30)):
        parts = _around(frame, path)
        for raw in NASTY:
            yield raw.join(parts)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values in a parsed frame, the frame itself first."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def replaced(frame: bytes, path: tuple[Any, ...], raw: bytes) -> bytes:
    """Frame with the raw JSON at that place."""
    return raw.join(_around(frame, path))


def _around(frame: bytes, path: tuple[Any, ...]) -> list[bytes]:
    """Return the parts of a frame before and behind that place."""
    message = holder = {"": orjson.loads(frame)}
    for key in ("", *path)[:-1]:
        holder = holder[key]
    holder[("", *path)[-1]] = "@@"
    return orjson.dumps(message[""]).split(b'"@@"')


def _arbitrary(dice: random.Random) -> Iterator[bytes]:
    for _ in range(300):
        yield dice.randbytes(dice.randrange(60))
    yield from (b"", b"\0", b"{", b"[", b"null", b"[]", b"{}", b"7", b'""', *NASTY)


def refused_leaves_no_trace(make: MakeLine, seed: int) -> str:
    """A frame that raises DecodeError changes nothing: the events of the frames after it are the same."""
    dice = random.Random(seed)  # noqa: S311
    tried = 0
    with _begun(make) as other:  # without a refused frame every run is the same, so one is enough
        plain = [_after_a_step(other) for _ in range(STEPS_AFTER)]
    for _ in range(TRIALS):
        with _begun(make) as line:
            hostile = _broken(line, dice)
            if hostile is None:
                continue
            tried += 1
            for number, wanted in enumerate(plain, 1):
                require(
                    _after_a_step(line) == wanted,
                    f"{number} steps after the refused frame {hostile[:300]!r} the books are not as without it",
                )
    require(tried, "no frame of this feed could be made unreadable: the decoder refuses nothing")
    return f"{tried} frames"


@contextmanager
def _begun(make: MakeLine) -> Iterator[Line]:
    """Line with LIVE books, some steps on."""
    with make() as line:
        start_live(line)
        for _ in range(3):
            line.step()
        yield line


def _after_a_step(line: Line) -> list[tuple[set[str], Any, Any]]:
    """Symbols that were not LIVE, and the best levels of each book, one step later."""
    line.step()
    books = [line.keepers[symbol].book for symbol in line.symbols]
    return [(line.left_live.copy(), book.bids(3), book.asks(3)) for book in books]


def _broken(line: Line, dice: random.Random) -> bytes | None:
    """Damaged copy of a recent frame that the decoder refused; None if it accepted all 20."""
    for _ in range(20):
        frame = dice.choice(line.frames[-8:])
        hostile = dice.choice([*list(_replaced(frame, dice)), frame[: len(frame) // 2]])
        try:
            line.decoder.receive(hostile, line.now_ns)
        except DecodeError:
            return hostile
    return None


def both_roads(make: MakeLine) -> str:
    """The fast parser answers what the decoder's `receive` answers, or nothing; and it reads most book updates."""
    with make() as line:
        if line.decoder.shape is None:
            raise DoesNotApply("the decoder has no `shape`")
        start_live(line)
        for _ in range(STEPS):
            line.step()
        frames = list(line.frames)
        instruments = [line.market.instruments[symbol] for symbol in line.symbols]
        fast = line.exchange.decoder(instruments, CHANNELS, 0, line.mode)
        slow = line.exchange.decoder(instruments, CHANNELS, 0, line.mode)
        answers = [(request, body) for request, body in line.answers if isinstance(request, FetchSnapshot)]
    fast.connected(START_NS)
    slow.connected(START_NS)
    taken = updates = 0
    for frame in frames:
        for decoder in (fast, slow):
            _answer(decoder, answers)
        usual = fast.shape.read(frame) if fast.shape is not None else None
        found = [usual] if usual is not None else _events(fast, frame)
        wanted = _events(slow, frame)
        require(_plain(found) == _plain(wanted), f"the two parsers differ on the frame {frame[:300]!r}")
        taken += usual is not None
        updates += any(isinstance(event, Update) for event in wanted)
    if not shape.SOURCE_HASH:
        return f"{len(frames):,} frames alike; interpreted, the shape reads nothing"
    require(taken * 2 > updates, f"the shape read {taken} of {updates} book updates: it must read most of them")
    return f"{len(frames):,} frames alike, {taken} of {updates} book updates read by the shape"


def _answer(decoder: Decoder, answers: Sequence[tuple[FetchSnapshot, bytes]]) -> list[Any]:
    """Answer the decoder's fetches of snapshots as they were answered in the run; the events."""
    events: list[Any] = []
    for request in decoder.pending_requests():
        if isinstance(request, FetchSnapshot):
            body = next((body for made, body in answers if made.instrument.native == request.instrument.native), None)
            if body is not None:
                events += decoder.receive_snapshot(request.instrument, body, START_NS)
    return events


def _events(decoder: Decoder, frame: bytes) -> Sequence[Any]:
    try:
        return decoder.receive(frame, START_NS)
    except DecodeError as error:
        return [str(error)]


def _plain(events: Sequence[Any]) -> list[Any]:
    return [
        (type(event), event.instrument, list(event.levels), event.exchange_ns, event.checksum, event.depth)
        if isinstance(event, BookEvent)
        else event
        for event in events
    ]


def first_snapshots(make: MakeLine) -> str:
    """Check that each symbol's first book event is a Snapshot."""
    kinds = book_events(make)
    wrong = [symbol for symbol, found in kinds.items() if found[0] is not Snapshot]
    require(not wrong, f"the first book event of {' '.join(wrong)} is no Snapshot")
    require(kinds, "no book event came")
    return f"{len(kinds)} books"


def book_events(make: MakeLine) -> dict[str, list[type]]:
    """Types of the book events of a faultless run, in order, by symbol."""
    with make() as line:
        start_live(line)
        for _ in range(STEPS):
            line.step()
        frames = list(line.frames)
        decoder = line.exchange.decoder([line.market.instruments[symbol] for symbol in line.symbols], CHANNELS, 0, line.mode)
        answers = [(request, body) for request, body in line.answers if isinstance(request, FetchSnapshot)]
    decoder.connected(START_NS)
    found: dict[str, list[type]] = {}
    for frame in frames:
        for event in [*_answer(decoder, answers), *_events(decoder, frame)]:
            if isinstance(event, BookEvent):
                found.setdefault(event.instrument.symbol, []).append(type(event))
    return found
