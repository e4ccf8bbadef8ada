"""Books and deltas of captures for the REST side, each made by a child process: playing a capture would hold up the server's loop.

    History.book, History.deltas ─► child: `python -m alphapulse_cli.apps.serve.past REQUEST` ─► lines of JSON on its stdout

A child runs at the lowest priority, ends with its request (its stdin is a pipe that only the server holds), and waits where its
reader is slow. At most AT_ONCE run.
"""

import asyncio
import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from alphapulse_cli.apps.collect.supervise import stop
from alphapulse_cli.errors import AlphapulseError, ExitCode, NoSegment, StorageError, UsageError

AT_ONCE = 2
LONGEST_S = 60.0  # for a book, and for the first line of deltas
WAIT_S = 5.0  # for a free place
NICE = 19
CHUNK_BYTES = 1 << 16
MOST_BYTES = 64 << 20  # of a book
RING_RECORDS = 1 << 16
READ_AT = RING_RECORDS // 4  # unread records of a ring
Row = dict[str, Any]


class TooBusy(AlphapulseError):
    """All places are taken: try again later."""


class TookTooLong(AlphapulseError):
    """The child did not answer in time."""


class History:
    """Captures below a folder. UsageError where it is no folder, or holds a dataset."""

    def __init__(self, folder: str) -> None:
        from alphapulse_cli.edges.columns.reading import is_dataset

        path = Path(folder)
        if not path.is_dir():
            raise UsageError(f"no folder {folder}", "--history names a folder of captures")
        if is_dataset(path):
            raise UsageError(
                f"{folder} is a dataset", "--history names a folder of captures: books of the past are played from frames"
            )
        self._folder = str(path.resolve())
        self._places = asyncio.Semaphore(AT_ONCE)

    async def book(self, exchange: str, symbol: str, at_ns: int, depth: int) -> Row:
        """Row of a book at an instant. UsageError, NoSegment; TooBusy, TookTooLong."""
        async with self._place(), _child(self._request("book", exchange, symbol, at_ns=at_ns, depth=depth)) as output:
            try:
                async with asyncio.timeout(LONGEST_S):
                    octets = await output.read(MOST_BYTES)
                    while more := await output.read(MOST_BYTES - len(octets)):
                        octets += more
            except TimeoutError:
                raise TookTooLong("the book took too long to make", "ask for a time near the begin of a run") from None
        return _checked(octets)

    async def deltas(self, exchange: str, symbol: str, from_ns: int, to_ns: int) -> AsyncGenerator[bytes, None]:
        """Lines of the groups of a time, in parts of any size. UsageError, NoSegment; TooBusy, TookTooLong, all before the first part."""
        async with self._place(), _child(self._request("deltas", exchange, symbol, from_ns=from_ns, to_ns=to_ns)) as output:
            try:
                async with asyncio.timeout(LONGEST_S):
                    first = await output.readline()
            except TimeoutError:
                raise TookTooLong("the deltas took too long to begin", "ask for a time near the begin of a run") from None
            _checked(first)
            yield first
            while part := await output.read(CHUNK_BYTES):
                yield part

    def _request(self, kind: str, exchange: str, symbol: str, **numbers: int) -> bytes:
        return orjson.dumps({"kind": kind, "folder": self._folder, "exchange": exchange, "symbol": symbol, **numbers})

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(WAIT_S):
                await self._places.acquire()
        except TimeoutError:
            raise TooBusy(f"{AT_ONCE} requests for the past are being answered", "try again in some seconds") from None
        try:
            yield
        finally:
            self._places.release()


def _checked(line: bytes) -> Row:
    """Row of a line. The error that the child tells of; StorageError where it told nothing."""
    try:
        row = orjson.loads(line)
    except ValueError:
        raise StorageError("the past cannot be read", "alphapulse capture check shows what is wrong with the captures") from None
    if not isinstance(row, dict):
        raise StorageError("the past cannot be read")
    error = row.get("error")
    if error is not None:
        kind = {int(ExitCode.USAGE): UsageError, int(ExitCode.NOTHING_TO_ATTACH): NoSegment}.get(error["exit_code"], StorageError)
        raise kind(error["message"], error["hint"])
    return row


@contextlib.asynccontextmanager
async def _child(request: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """Run a child for a request, and end it at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "alphapulse_cli.apps.serve.past",
        request.decode(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=CHUNK_BYTES,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        await stop(process)  # its temporary folder goes with it


# Run in the child


def main(arguments: Sequence[str], output: BinaryIO) -> int:
    """Answer one request: lines of JSON, the first of which is an error where there is one."""
    request = orjson.loads(arguments[0])
    lines = _book(request) if request["kind"] == "book" else _deltas(request)
    try:
        output.writelines(orjson.dumps(line) + b"\n" for line in lines)
        output.flush()
    except AlphapulseError as problem:
        words = {
            "message": _plain(str(problem), request),
            "hint": _plain(problem.hint, request),
            "exit_code": int(problem.exit_code),
        }
        output.write(orjson.dumps({"error": words}) + b"\n")
        output.flush()
        return int(problem.exit_code)
    return 0


def _plain(text: str, request: Row) -> str:
    """Text without the folder's path, which is nobody's business on the network."""
    return text.replace(request["folder"], "the captures")


def _wanted(request: Row) -> tuple[Any, str]:
    """Recording and symbol of a request. UsageError, NoSegment."""
    from alphapulse_cli.apps.verify.verify import chosen
    from alphapulse_cli.market.instrument import understood_id

    symbol = understood_id(request["symbol"])[1]
    found = chosen([Path(request["folder"])], [request["exchange"]], [symbol])
    recording = next((one for one, _ in found if one.set_name == request["exchange"]), found[0][0])
    return recording, symbol


def _require_within(recording: Any, *times: int) -> None:
    from alphapulse_cli.readers.moments import moment

    for time_ns in times:
        if not recording.first_ns <= time_ns <= recording.last_ns:
            span = f"{moment(recording.first_ns)} to {moment(recording.last_ns)}"
            raise NoSegment(f"{moment(time_ns)} is not in the capture", f"it is from {span}")


def _book(request: Row) -> Iterator[Row]:
    from alphapulse_cli.apps.travel import book_at
    from alphapulse_cli.readers.moments import moment

    recording, symbol = _wanted(request)
    at_ns = request["at_ns"]
    _require_within(recording, at_ns)
    for then in book_at([recording], [symbol], at_ns, lambda *_: None):
        row = then.row(request["depth"])
        names = ("set", "exchange", "symbol", "state", "reason", "trading_status", "version", "time", "bid_levels", "ask_levels")
        yield {
            **{name: row[name] for name in names},
            "at": moment(at_ns, digits=9),
            "timestamp_ns": row["timestamp_ns"] or None,
            "bids": row["bids"],
            "asks": row["asks"],
        }
        return
    raise NoSegment(f"no book of {symbol} at {moment(at_ns)} in the capture")


def _deltas(request: Row) -> Iterator[Row]:
    """Iterate over the groups of one book, from a time on, before another; a line about them is first."""
    from alphapulse_cli.apps.replay.playback import Playback
    from alphapulse_cli.apps.replay.player import Player
    from alphapulse_cli.edges.capture.head import Head
    from alphapulse_cli.flow.groups import GroupReader
    from alphapulse_cli.flow.outlet import Outlet
    from alphapulse_cli.readers.items import Names
    from alphapulse_cli.readers.moments import moment
    from alphapulse_cli.shm import clock
    from alphapulse_cli.shm.directory import open_directory, usual_path
    from alphapulse_cli.shm.layout import SegmentKind

    recording, symbol = _wanted(request)
    from_ns, to_ns = request["from_ns"], request["to_ns"]
    _require_within(recording, from_ns)
    if to_ns <= from_ns:
        raise UsageError("the end is not after the begin", "what is at the end is left out")
    names, set_name = Names([symbol]), recording.set_name
    with contextlib.ExitStack() as opened:
        path = opened.enter_context(tempfile.TemporaryDirectory(prefix="alphapulse-past-", dir=usual_path().parent))
        directory = opened.enter_context(open_directory(str(Path(path) / "segments"), create=True))

        def player(head: Head) -> Player:
            def outlet(symbols: Sequence[str]) -> Outlet:
                return Outlet(directory, set_name, head.exchange, symbols, RING_RECORDS, clock.monotonic_ns(), replay=True)

            return Player(head, outlet, lambda *_: None, [symbol])

        playback = Playback([recording], (from_ns, to_ns), lambda *_: None, player, keeps_ended=True)
        opened.callback(playback.close)
        while playback.next_ns is not None and playback.next_ns < from_ns:
            playback.play(from_ns - 1)
        yield {
            "set": set_name,
            "exchange": recording.exchange,
            "symbol": symbol,
            "from": moment(from_ns, digits=9),
            "to": moment(to_ns, digits=9),
        }
        reader: GroupReader | None = None
        if playback.players:
            reader = GroupReader(directory, set_name, SegmentKind.DELTAS, "now")
        while playback.next_ns is not None and playback.next_ns < to_ns:
            playback.play_one()
            if reader is None and playback.players:
                reader = GroupReader(directory, set_name, SegmentKind.DELTAS, "oldest")
            if reader is not None and (reader.reader.ended or reader.reader.lag >= READ_AT):
                yield from _rows(reader, names, set_name)
        if reader is not None:
            yield from _rows(reader, names, set_name)
            reader.close()


def _rows(reader: Any, names: Any, set_name: str) -> Iterator[Row]:
    from alphapulse_cli.readers.items import Restarted, delta_groups
    from alphapulse_cli.shm import clock

    while True:
        polled = reader.poll(clock.monotonic_ns())
        if polled.restarted:
            yield Restarted(set_name, reader.segment.spec.exchange, reader.segment.epoch, True).row()
        if polled.missed:
            raise StorageError(f"{polled.missed} records were lost while they were played")
        yield from (group.row() for group in delta_groups(polled, set_name, names, replay=True))
        if not polled.record_count and not polled.restarted:
            return


def _end_with_the_server() -> None:
    """End this process when its stdin ends: the server is gone, or needs it no more."""

    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), 15)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    import signal

    def unwind(*_: object) -> None:
        """End so that the temporary folder is removed, which a second signal must not interrupt."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, unwind)
    with contextlib.suppress(OSError):
        os.nice(NICE)
    _end_with_the_server()
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main(sys.argv[1:], sys.stdout.buffer))
