"""Recordings of others, line by line: cryptofeed's raw files, Tardis's raw data, and NDJSON with a time in each line.

    cryptofeed   1618677816.84: <frame>           URL <-> time   a connection      URL <- time: text   what the client sent
                                                  URL -> time: body   the answer to a GET
    tardis       2019-06-01T00:00:00.1234567Z <frame>               an empty line: the connection was lost
    ndjson       <frame>, a JSON object with a member for the time

Files may be compressed with gzip or zstd. Times are exact: text becomes nanoseconds without a float.
"""

import gzip
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from alphapulse_cli.edges.capture.rows import MOST_TIME_NS, Kind
from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.timestamps import rfc3339_ns

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MOST_LINE_BYTES = 64 << 20
MOST_EXPANSION, ALWAYS_BYTES = 1000, 1 << 30  # decompressed bytes for each byte of a file, beyond the first GiB
GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
STAMP = rb"[0-9]{9,11}(?:\.[0-9]{1,12})?"
FRAME = re.compile(rb"(" + STAMP + rb"): (.*)", re.DOTALL)
ADDRESSED = re.compile(rb"([a-z]+://\S{1,16384}) (<->|<-|->) (" + STAMP + rb")(?:: (.*))?", re.DOTALL)
TARDIS = re.compile(rb"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:\.[0-9]{1,9})?Z) (.+)", re.DOTALL)
CONFIGURATION = b"configuration: "
UNITS = {"s": 9, "ms": 6, "us": 3, "ns": 0}  # decimal digits of a unit of time in ns
RFC3339 = "rfc3339"
NUMBER = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,40}))?")


class Line(NamedTuple):
    """Line of a recording: a row to be, and the address where it is told (of a connection or a GET)."""

    kind: bytes
    time_ns: int
    payload: bytes
    url: str = ""


class NotUnderstood(Exception):
    """Line that is none of its format."""


Reader = Callable[[bytes], Line | None]  # None: a line that says nothing


def read_lines(path: Path, reader: Reader) -> Iterator[Line]:
    """Iterate over the lines of a recording. UsageError, with file and number, for a line that is none of its format."""
    number = last_ns = 0
    try:
        for number, raw in enumerate(_raw_lines(path), 1):  # noqa: B007 - the number is told in errors
            line = reader(raw.rstrip(b"\r\n"))
            if line is not None:
                last_ns = line.time_ns or last_ns
                yield line if line.time_ns else line._replace(time_ns=last_ns)
    except NotUnderstood as problem:
        raise UsageError(f"{path}, line {number}: {problem}", "capture import --help shows the lines of each format") from None
    except (FileNotFoundError, IsADirectoryError, PermissionError) as problem:
        raise UsageError(f"cannot read {path}: {problem.strerror}", "name files of a recording, then the folder to make") from None
    except (OSError, EOFError, zlib.error, zstd.ZstdError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
        raise UsageError(
            f"{path}: cannot be read behind line {number}: {reason}", "is it whole? files may be compressed with gzip or zstd"
        ) from None


def cryptofeed(raw: bytes) -> Line | None:
    """Line of cryptofeed's raw data collection."""
    found = FRAME.fullmatch(raw)
    if found:
        return Line(bytes(Kind.RECEIVED), scaled_ns(found[1].decode(), 9), found[2])
    if not raw.strip() or raw.startswith(CONFIGURATION):
        return None
    found = ADDRESSED.fullmatch(raw)
    if not found:
        raise NotUnderstood("neither `<epoch seconds>: <frame>` nor `<URL> <->|<-|-> <epoch seconds>`")
    kind = {b"<->": Kind.OPEN, b"<-": Kind.SENT, b"->": Kind.REST}[found[2]]
    return Line(bytes(kind), scaled_ns(found[3].decode(), 9), found[4] or b"", found[1].decode("utf-8", "replace"))


def tardis(raw: bytes) -> Line | None:
    """Line of Tardis's raw data; an empty one is the end of a connection, at the time of the line before it (0 here)."""
    if not raw:
        return Line(bytes(Kind.SHUT), 0, b"")
    found = TARDIS.fullmatch(raw)
    if not found:
        raise NotUnderstood("not `<time as 2019-06-01T00:00:00.1234567Z> <frame>`")
    return Line(bytes(Kind.RECEIVED), _rfc3339(found[1].decode()), found[2])


def ndjson(field: str, unit: str) -> Reader:
    """Reader of lines with a time in the member `field`, a name or names joined with points, in `unit`: s, ms, us, ns or rfc3339."""
    names = field.split(".")

    def read(raw: bytes) -> Line | None:
        if not raw.strip():
            return None
        try:
            value = json.loads(raw, parse_float=str, parse_int=str)
            for name in names:
                value = value[int(name)] if isinstance(value, list) else value[name]
        except (ValueError, RecursionError):
            raise NotUnderstood("no JSON") from None
        except (LookupError, TypeError):
            raise NotUnderstood(f"no member {field[:40]!r}") from None
        if not isinstance(value, str):
            raise NotUnderstood(f"{field[:40]!r} is no time")
        time_ns = _rfc3339(value.upper()) if unit == RFC3339 else scaled_ns(value, UNITS[unit])
        return Line(bytes(Kind.RECEIVED), time_ns, raw)

    return read


def _rfc3339(text: str) -> int:
    try:
        time_ns = rfc3339_ns(text)
    except ValueError:
        raise NotUnderstood(f"not a time: {text[:40]!r}") from None
    if time_ns <= 0:
        raise NotUnderstood(f"a time before 1970: {text[:40]!r}")
    return time_ns


def scaled_ns(text: str, digits: int) -> int:
    """Nanoseconds of a plain decimal in units of 10**digits ns; what is finer than 1 ns is cut. NotUnderstood for other texts."""
    found = NUMBER.fullmatch(text)
    if not found:
        raise NotUnderstood(f"not a time: {text[:40]!r}")
    time_ns: int = int(found[1]) * 10**digits + int((found[2] or "")[:digits].ljust(digits, "0") or 0)
    if not 0 < time_ns <= MOST_TIME_NS:
        raise NotUnderstood(f"a time beyond the calendar: {text[:40]!r}; another unit?")
    return time_ns


def _raw_lines(path: Path) -> Iterator[bytes]:
    """Iterate over the lines of a file, which may be compressed. UsageError for a line, or an expansion, that is too large."""
    with path.open("rb") as plain:
        magic = plain.read(4)
        plain.seek(0)
        most = path.stat().st_size * MOST_EXPANSION + ALWAYS_BYTES
        source: BinaryIO = plain
        if magic[:2] == GZIP_MAGIC:
            source = cast("BinaryIO", gzip.GzipFile(fileobj=plain))
        elif magic == ZSTD_MAGIC:
            source = cast("BinaryIO", zstd.ZstdFile(plain))
        read = 0
        while line := source.readline(MOST_LINE_BYTES + 1):
            read += len(line)
            if len(line) > MOST_LINE_BYTES:
                raise NotUnderstood(f"longer than {MOST_LINE_BYTES} bytes")
            if read > most:
                raise NotUnderstood(f"the file expands to more than {MOST_EXPANSION} times its size")
            yield line
