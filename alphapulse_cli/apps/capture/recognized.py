"""Recognition of a recording of others: its exchange, mode, depth, symbols and their grids, by its frames and its metadata."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from alphapulse_cli import exchanges
from alphapulse_cli.edges.capture import former
from alphapulse_cli.edges.capture.feeds import FEEDS, Known, depth_of, on_their_grids
from alphapulse_cli.edges.capture.foreign import Reader, read_lines
from alphapulse_cli.edges.capture.rows import Kind
from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.protocol import BOOK, TRADES
from alphapulse_cli.market.instrument import Instrument, check_symbol, understood_id

MOST_SYMBOLS = 1_000
BINANCE_MARK = b'"e":"depthUpdate"'
BINANCE_SYMBOL = re.compile(rb'"e":"depthUpdate","E":[0-9]+,"s":"([A-Z0-9]{1,16})"')
BINANCE_LEVEL = re.compile(rb'\["([0-9]+)\.?([0-9]*)","([0-9]+)\.?([0-9]*)"')
KRAKEN_V1_MARK = b'"book-'
TRADE_MARKS = (
    b'"type":"match"',
    b'"channel":"trade"',
    b'"channel":"trades"',
    b'"topic":"publicTrade.',
    b'"e":"trade"',
    b'"channel":"market_trades"',
)
HINT = "known are Coinbase (both feeds), Kraken v1 and v2, OKX, Bybit, Bitfinex, Binance and Binance.US; --exchange says which"


@dataclass(slots=True)
class Recording:
    """Recording of one feed. `natives` has the symbols of each file with frames; `former` names an old protocol that is translated."""

    exchange: str
    mode: str
    depth: int
    channels: tuple[str, ...]
    url: str
    natives: dict[Path, list[str]]
    instruments: list[Instrument] = field(default_factory=list)
    former: str = ""
    translate: Callable[[bytes], bytes | None] | None = None
    notices: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Seen:
    """Findings of the first pass over one file."""

    url: str = ""
    feed: Known | None = None
    is_binance: bool = False
    is_kraken_v1: bool = False
    natives: dict[str, None] = field(default_factory=dict)
    first_book: bytes = b""  # frame that begins a book
    has_trades: bool = False
    metadata: list[bytes] = field(default_factory=list)
    decimals: dict[str, tuple[int, int]] = field(default_factory=dict)
    begun: dict[Known, dict[str, bytes]] = field(
        default_factory=dict
    )  # by feed that it may be: symbols, and frames that begin books
    has_frames: bool = False
    bybit: tuple[int, int] | None = None


def recognize(paths: Sequence[Path], reader: Reader, exchange: str, mode: str, depth: int) -> Recording:
    """Recognize the files as one recording. UsageError where no feed, or more than one, is found in them."""
    seen = {path: _look(path, reader, exchange) for path in paths}
    names = {path: _exchange(one, exchange) for path, one in seen.items() if one.has_frames}
    found = set(names.values()) - {("", "")}
    if not found:
        raise UsageError(f"{', '.join(map(str, paths))[:200]}: no book of a feed that is known", HINT)
    if len(found) > 1:
        listed = ", ".join(f"{path}: {name[0] or 'unknown'}" for path, name in names.items())
        raise UsageError(f"recordings of several feeds: {listed[:300]}", "import one feed at a time, each into a folder of its own")
    [(name, recognized_mode)] = found
    chosen = exchanges.get(name)
    try:
        facts_mode = chosen.facts.mode(mode or recognized_mode)
    except KeyError:
        known = ", ".join(one.name for one in chosen.facts.modes)
        raise UsageError(f"{name} has no mode {mode[:40]!r}", f"modes are: {known}") from None
    of_feed = {path: one for path, one in seen.items() if one.natives}
    if not of_feed:
        raise UsageError(f"{', '.join(map(str, paths))[:200]}: no book of {name} begins in them, as its protocol is today", HINT)
    first = next(iter(of_feed.values()))
    recording = Recording(
        name,
        facts_mode.name,
        depth or _depth(first, chosen, facts_mode.name),
        (BOOK, TRADES) if any(one.has_trades for one in seen.values()) else (BOOK,),
        first.url,
        {path: list(one.natives) for path, one in of_feed.items()},
    )
    _set_translation(recording, first)
    _set_instruments(recording, seen, reader)
    return recording


def _look(path: Path, reader: Reader, exchange: str) -> _Seen:
    seen = _Seen()
    for line in read_lines(path, reader):
        if line.kind == Kind.OPEN:
            seen.url = seen.url or line.url
        elif line.kind == Kind.REST:
            seen.metadata.append(line.payload)
        elif line.kind == Kind.RECEIVED:
            seen.has_frames = True
            _look_at(seen, line.payload, exchange)
    if seen.feed is not None and not seen.natives:
        begun = seen.begun.get(seen.feed, {})
        seen.natives = dict.fromkeys(begun)
        seen.first_book = next(iter(begun.values()), b"")
    return seen


def _look_at(seen: _Seen, frame: bytes, exchange: str) -> None:
    if not seen.has_trades:
        seen.has_trades = any(mark in frame for mark in TRADE_MARKS)
    if exchange in ("", "kraken") and KRAKEN_V1_MARK in frame and (found := _kraken_v1(frame)) is not None:
        seen.is_kraken_v1 = True
        native, prices, sizes = found
        before = seen.decimals.get(native, (0, 0))
        seen.decimals[native] = max(before[0], prices), max(before[1], sizes)
        seen.first_book = seen.first_book or frame
        _add(seen, native)
        return
    if exchange in ("", "binance", "binance-us") and BINANCE_MARK in frame:
        seen.is_binance = True
        if (symbol := BINANCE_SYMBOL.search(frame)) is not None:
            native = symbol[1].decode()
            _add(seen, native)
            prices, sizes = seen.decimals.get(native, (0, 0))
            for level in BINANCE_LEVEL.finditer(frame):
                prices, sizes = max(prices, len(level[2].rstrip(b"0"))), max(sizes, len(level[4].rstrip(b"0")))
            seen.decimals[native] = prices, sizes
        return
    for feed in (seen.feed,) if seen.feed is not None else FEEDS:
        if exchange not in ("", feed.exchange):
            continue
        if seen.feed is None and feed.mark in frame:
            seen.feed = feed
        if feed.snapshot_mark in frame and (symbol := feed.symbol.search(frame)) is not None:
            begun = seen.begun.setdefault(feed, {})
            if len(begun) < MOST_SYMBOLS:
                begun.setdefault(symbol[1].decode("ascii", "replace"), frame)


def _add(seen: _Seen, native: str) -> None:
    if len(seen.natives) < MOST_SYMBOLS:
        seen.natives.setdefault(native)


def _kraken_v1(frame: bytes) -> tuple[str, int, int] | None:
    try:
        return former.kraken_decimals(frame)
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def _exchange(seen: _Seen, asked: str) -> tuple[str, str]:
    """(exchange, mode) of a file; ("", "") where neither is known."""
    if seen.is_kraken_v1:
        return "kraken", ""
    if seen.is_binance:
        by_url = "binance-us" if "binance.us" in seen.url else "binance" if "binance." in seen.url else ""
        if not (asked or by_url):
            raise UsageError("a recording of Binance that does not say of which", "--exchange binance, or --exchange binance-us")
        return asked or by_url, ""
    return (seen.feed.exchange, seen.feed.mode) if seen.feed is not None else ("", "")


def _depth(seen: _Seen, chosen: exchanges.Exchange, mode_name: str) -> int:
    mode = chosen.facts.mode(mode_name)
    if seen.is_kraken_v1:
        found = former.BOOK_V1.search(seen.first_book)
        return int(found[1]) if found else mode.default_depth
    if seen.is_binance or seen.feed is None or not mode.depths:
        return mode.default_depth
    told = depth_of(seen.feed, mode, seen.first_book)
    if told is None and chosen.facts.name == "bybit":
        seen.bybit = former.bybit_depth(seen.first_book, mode.depths)
        told = seen.bybit[1] if seen.bybit else None
    if told is None:
        raise UsageError(
            "a book of a depth that the exchange has no more", f"--depth with one of {', '.join(map(str, mode.depths))}"
        )
    return told


def _set_translation(recording: Recording, first: _Seen) -> None:
    if first.is_kraken_v1:
        recording.former, recording.translate = ", v1 as v2", former.kraken_v1
        recording.notices.append(
            "Kraken's protocol v1: its books are written as frames of v2, with their own checksums; trades are left out"
        )
    elif first.bybit is not None:
        old, new = first.bybit
        recording.former = f", depth {old} as {new}"
        recording.translate = partial(_renamed, f'"orderbook.{old}.'.encode(), f'"orderbook.{new}.'.encode())
        recording.notices.append(f"Bybit's depth {old} is no more: its topics are written as those of depth {new}")


def _renamed(old: bytes, new: bytes, frame: bytes) -> bytes:
    return frame.replace(old, new, 1)


def _set_instruments(recording: Recording, seen: Mapping[Path, _Seen], reader: Reader) -> None:
    """Instruments: from metadata where there are; else on the finest grid that any frame needs."""
    known: dict[str, Instrument] = {}
    chosen = exchanges.get(recording.exchange)
    is_v1 = any(one.is_kraken_v1 for one in seen.values())
    for one in seen.values():
        for body in one.metadata:
            try:
                known |= {each.native: each for each in chosen.parse_instruments(body, recording.mode)}
            except DecodeError:
                continue  # an answer of another kind
    for path, natives in recording.natives.items():
        made = {native: _instrument(recording, native, known.get(native)) for native in natives}
        left_out = [native for native, one in made.items() if one is None]
        if left_out:
            recording.notices.append(f"no symbol can be made of {', '.join(left_out)[:200]}: left out")
        kept = [one for one in made.values() if one is not None]
        decimals = seen[path].decimals
        if is_v1:  # the texts of v1 have the pair's precision, by which checksums are made
            kept = [Instrument(one.exchange, one.symbol, one.native, *decimals[one.native]) for one in kept]
        unknown = [one for one in kept if one.native not in known and not is_v1]
        grown = {one.native: one for one in _grown(recording, path, unknown, decimals, reader)}
        recording.natives[path] = [one.native for one in kept]
        present = {one.native for one in recording.instruments}
        recording.instruments += [grown.get(one.native, one) for one in kept if one.native not in present]
    if not recording.instruments:
        raise UsageError("no symbol of this recording is understood")


def _grown(
    recording: Recording, path: Path, unknown: list[Instrument], decimals: Mapping[str, tuple[int, int]], reader: Reader
) -> list[Instrument]:
    if not unknown:
        return []
    if decimals:
        return [Instrument(one.exchange, one.symbol, one.native, *decimals.get(one.native, (0, 0))) for one in unknown]
    chosen = exchanges.get(recording.exchange)
    decoder = chosen.decoder(unknown, {BOOK}, recording.depth, recording.mode)
    return on_their_grids(decoder, _frames(recording, path, reader))


def _frames(recording: Recording, path: Path, reader: Reader) -> Iterator[bytes]:
    for line in read_lines(path, reader):
        if line.kind == Kind.RECEIVED:
            frame = recording.translate(line.payload) if recording.translate is not None else line.payload
            if frame is not None:
                yield frame


def _instrument(recording: Recording, native: str, known: Instrument | None) -> Instrument | None:
    """Instrument of a native name: the known one, or one without decimals yet; None where no symbol can be made of it."""
    if known is not None:
        return known
    try:
        return Instrument(recording.exchange, check_symbol(_symbol(recording.exchange, native)), native, 0, 0)
    except UsageError:
        return None


def _symbol(exchange: str, native: str) -> str:
    """Symbol of a native name without metadata. UsageError where it has no meaning, or several."""
    if exchange == "okx":  # BTC-USD-220527 is no BTC-USD: BTC-USD.220527
        base, _, rest = native.partition("-")
        return f"{base}-{rest.replace('-', '.')}"
    if exchange == "bitfinex":
        from alphapulse_cli.exchanges.bitfinex.pairs import RENAMED, codes_of

        return "-".join(RENAMED.get(code, code) for code in codes_of(native))
    if exchange in ("kraken", "coinbase"):
        return native.replace("/", "-")
    return understood_id(native)[1]
