"""Head of a capture file: its format and version, the feed that was captured, and the instruments in force when the file began."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from alphapulse_cli import __version__
from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.instrument import SYMBOL_PATTERN, Instrument
from alphapulse_cli.market.scan import MAX_DECIMALS
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.shm.directory import check_set_name

FORMAT, VERSION = "alphapulse capture", 1
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,15}")
MOST_RULE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Head:
    """Head of a file: what was captured. `instruments` are those of the set, by whose grids numbers are read at first."""

    exchange: str
    mode: str
    depth: int
    channels: Sequence[str]
    set_name: str
    url: str
    run_ns: int  # start of the run that wrote the file: files of one run have it in common
    file_number: int = 0  # of the file in its run, from 0
    instruments: Sequence[Instrument] = ()
    source: str = "live"  # or the name of the foreign format from which it was imported
    checksum_warns: Sequence[str] = ()  # symbols whose books are LIVE, unverified, when their checksums never match (`--checksum`)

    def to_payload(self) -> bytes:
        """Payload of the file's first row."""
        rows = [instrument_row(instrument) for instrument in self.instruments]
        return orjson.dumps(
            {
                "format": FORMAT,
                "version": VERSION,
                "writer": f"alphapulse {__version__}",
                "source": self.source,
                "exchange": self.exchange,
                "mode": self.mode,
                "depth": self.depth,
                "channels": list(self.channels),
                "set": self.set_name,
                "url": self.url,
                "checksum_warns": list(self.checksum_warns),
                "run_ns": self.run_ns,
                "file": self.file_number,
                "instruments": rows,
            }
        )

    def numbered(self, file_number: int) -> "Head":
        """Copy for another file of the run."""
        return replace(self, file_number=file_number)


def parse_head(payload: bytes) -> Head:
    """Read the payload of a file's first row. UsageError for another format, a newer version, or members that cannot be right."""
    try:
        given = orjson.loads(payload)
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict) or given.get("format") != FORMAT:
        raise UsageError("not a capture", "captures are made by `alphapulse collect --capture` and `alphapulse capture run|import`")
    version = given.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise UsageError(
            f"a capture of version {str(version)[:20]}, and this alphapulse reads {VERSION}", "pip install -U alphapulse"
        )
    try:
        return _head(given)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"no member {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(
            f"the head of this capture cannot be right: {reason[:100]}",
            "another program wrote it, or it was changed since: `zstd -dc FILE | head -1` prints it",
        ) from None


def _head(given: Mapping[str, Any]) -> Head:
    exchange, set_name = _name(given, "exchange"), _set_name(given)
    instruments = given["instruments"]
    if not isinstance(instruments, list) or not all(isinstance(row, dict) for row in instruments):
        raise TypeError("instruments: not a list of objects")
    return Head(
        exchange,
        _text(given, "mode", 16),
        _integer(given, "depth"),
        [str(channel)[:16] for channel in given["channels"]],
        set_name,
        _text(given, "url", 4096),
        _integer(given, "run_ns"),
        _integer(given, "file"),
        [instrument_of(exchange, row) for row in instruments],
        _text(given, "source", 40),
        [str(symbol)[:16] for symbol in given.get("checksum_warns", ())],
    )


def instrument_row(one: Instrument) -> dict[str, object]:
    """Members of an instrument, in a head and in a `memb` row."""
    return {
        "symbol": one.symbol,
        "native": one.native,
        "price_decimals": one.price_decimals,
        "size_decimals": one.size_decimals,
        "tick_size_ticks": one.tick_size_ticks,
        "lot_size_lots": one.lot_size_lots,
        "min_size_lots": one.min_size_lots,
        "trading_status": one.trading_status.name,
        "status_word": one.status_word,
        "alias_of": one.alias_of,
    }


def instrument_of(exchange: str, row: Mapping[str, Any]) -> Instrument:
    """Instrument of such members. KeyError, TypeError or ValueError for members that cannot be right."""
    symbol = _text(row, "symbol", 16)
    if not SYMBOL_PATTERN.fullmatch(symbol):
        raise ValueError(f"symbol: {symbol!r}")
    return Instrument(
        exchange,
        symbol,
        _text(row, "native", 64),
        _integer(row, "price_decimals", MAX_DECIMALS),
        _integer(row, "size_decimals", MAX_DECIMALS),
        _integer(row, "tick_size_ticks"),
        _integer(row, "lot_size_lots"),
        _integer(row, "min_size_lots"),
        TradingStatus[_text(row, "trading_status", 16)],
        _text(row, "alias_of", 16),
        _text(row, "status_word", 200),
    )


def _name(given: Mapping[str, Any], member: str) -> str:
    text = _text(given, member, 16)
    if not NAME.fullmatch(text):
        raise ValueError(f"{member}: {text!r}")
    return text


def _set_name(given: Mapping[str, Any]) -> str:
    """Name of the set, which becomes a part of paths: of segments, and of files of a cut or a merge."""
    try:
        return check_set_name(_text(given, "set", 32))
    except UsageError as error:
        raise ValueError(str(error)) from None


def _text(given: Mapping[str, Any], member: str, most: int) -> str:
    text = given[member]
    if not isinstance(text, str) or len(text) > most:
        raise TypeError(f"{member}: not a text of at most {most} characters")
    return text


def _integer(given: Mapping[str, Any], member: str, most: int = MOST_RULE) -> int:
    number = given[member]
    if type(number) is not int or not 0 <= number <= most:
        raise TypeError(f"{member}: not an integer from 0 to {most}")
    return number
