"""Control socket of a collector or a replay: one request and one answer, each a line of JSON, over a Unix socket of mode 0600.

    <set>.control, beside the segments

    {"version": 1, "do": "add", "symbols": ["SOL-USD"]}  ─►  {"version": 1, "symbols": ["SOL-USD"]}
                                                         or  {"version": 1, "error": "…", "hint": "…", "code": 6}
    {"version": 1, "do": "last", "symbols": []}         ─►  {"version": 1, "symbols": ["last-417/x/kraken-….cap.zst"]}
    {"version": 1, "do": "feed", "symbols": []}         ─►  {"version": 1, "symbols": ["kraken", "v2", "https://…", "BTC-USD BTC/USD"]}

The answer to "feed" is the exchange, its mode, the REST address, and each symbol with its native name. A path is of a file with the collector's last frames; it counts from the segments' directory on.

The socket is in a directory that is closed to others, and answers its own user only. Requests are carried out one after another.

Version: both sides ignore keys that they do not know, and refuse a later version than theirs, naming it.
"""

import asyncio
import contextlib
import errno
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

import orjson

from alphapulse_cli.errors import AlphapulseError, ExchangeError, ExitCode, NoSegment, StorageError, UsageError
from alphapulse_cli.shm.directory import Directory, check_set_name

VERSION = 1
SUFFIX = ".control"
ADD, REMOVE, LAST, FEED = "add", "rm", "last", "feed"
LINE_BYTES = 1 << 16
REQUEST_TIMEOUT_S, ANSWER_TIMEOUT_S = 5.0, 60.0  # an answer may wait for the exchange's list of instruments
ERRORS: dict[int, type[AlphapulseError]] = {ExitCode.USAGE: UsageError, ExitCode.EXCHANGE: ExchangeError}  # others: StorageError

Handle = Callable[[str, Sequence[str]], Awaitable[Sequence[str]]]  # (action, symbols or other words) -> those that changed


class ControlServer:
    """Control socket of the set, or replay, that this process writes, in an `async with`. StorageError where it cannot be made.

    `actions` are those that it knows; only ADD and REMOVE need words.
    """

    def __init__(
        self, directory: Directory, set_name: str, handle: Handle, actions: Sequence[str] = (ADD, REMOVE, LAST, FEED)
    ) -> None:
        self._actions = actions
        self._directory, self._name, self._handle = directory, check_set_name(set_name) + SUFFIX, handle
        self._one_at_a_time = asyncio.Lock()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._directory.unlink(self._name)  # of a collector that was killed: its lease is ours now
            listening.bind(_address(self._directory, self._name))
            os.chmod(self._name, 0o600, dir_fd=self._directory.fd)  # before it listens: nobody can have connected
            listening.setblocking(False)
            self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=LINE_BYTES)
        except OSError as error:
            listening.close()
            raise StorageError(f"no control socket {self._directory.path / self._name}: {error.strerror or error}") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self._directory.unlink(self._name)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError):  # ValueError: a line beyond the limit
            if _is_own_user(writer.get_extra_info("socket")):
                async with asyncio.timeout(REQUEST_TIMEOUT_S):
                    line = await reader.readline()
                writer.write(orjson.dumps(await self._answer(line)) + b"\n")
                async with asyncio.timeout(REQUEST_TIMEOUT_S):
                    await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            action, symbols = _read_request(line, self._actions)
            async with self._one_at_a_time:
                changed = await self._handle(action, symbols)
        except AlphapulseError as error:
            return {"version": VERSION, "error": str(error), "hint": error.hint, "code": int(error.exit_code)}
        return {"version": VERSION, "symbols": list(changed)}


def ask(
    directory: Directory,
    set_name: str,
    action: str,
    symbols: Sequence[str],
    *,
    absent: NoSegment | None = None,
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> list[str]:
    """Ask the collector of a set to add or remove symbols, or a replay for an action of its own; returns the answer's texts.

    `absent`, or another NoSegment, where nothing listens; the other side's own UsageError, ExchangeError or StorageError.
    """
    name = check_set_name(set_name) + SUFFIX
    request = orjson.dumps({"version": VERSION, "do": action, "symbols": list(symbols)}) + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(timeout_s)
            connection.connect(_address(directory, name))
            connection.sendall(request)
            line = _read_line(connection)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
                usual = NoSegment(f"{set_name} is not being collected", f"alphapulse collect --exchange {set_name}")
                raise absent or usual from None
            raise StorageError(
                f"no answer from the collector of {set_name}: {error.strerror or error}",
                "it may have just ended: alphapulse segments",
            ) from None
    return _read_answer(line, set_name)


def controlled_sets(directory: Directory) -> list[str]:
    """Sets whose collectors listen at their control sockets, sorted."""
    return [name.removesuffix(SUFFIX) for name in directory.names() if name.endswith(SUFFIX) and _is_listening(directory, name)]


def _is_listening(directory: Directory, name: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, contextlib.suppress(OSError):
        connection.settimeout(REQUEST_TIMEOUT_S)
        connection.connect(_address(directory, name))
        return True
    return False


def _read_request(line: bytes, actions: Sequence[str]) -> tuple[str, list[str]]:
    content = _content(line, "request")
    action, symbols = content.get("do"), content.get("symbols")
    if not isinstance(action, str) or action not in actions:
        raise UsageError(
            f"the running process has no action {str(action)[:40]!r}", "it may be another version of alphapulse: restart it"
        )
    if not isinstance(symbols, list) or not all(isinstance(one, str) for one in symbols):
        raise UsageError("no symbols")
    if not symbols and action in (ADD, REMOVE):
        raise UsageError("no symbols")
    return action, symbols


def _read_answer(line: bytes, set_name: str) -> list[str]:
    if not line:
        raise StorageError(f"the collector of {set_name} gave no answer", "it may have just ended: alphapulse segments")
    content = _content(line, "answer")
    if "error" in content:
        raise ERRORS.get(content.get("code", 0), StorageError)(str(content["error"]), str(content.get("hint", "")))
    symbols = content.get("symbols")
    if not isinstance(symbols, list):
        raise StorageError(f"an answer of the collector of {set_name} was not understood")
    return [str(one) for one in symbols]


def _content(line: bytes, what: str) -> dict[str, Any]:
    try:
        content = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise UsageError(f"the {what} is not JSON") from None
    version = content.get("version") if isinstance(content, dict) else None
    if type(version) is not int or version < 1:
        raise UsageError(f"the {what} has no version")
    if version > VERSION:
        raise UsageError(
            f"the {what} is of version {version} of the control protocol; this alphapulse knows {VERSION}",
            "use the same alphapulse",
        )
    assert isinstance(content, dict)
    return content


def _read_line(connection: socket.socket) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n") and len(line) < 16 * LINE_BYTES:
        part = connection.recv(LINE_BYTES)
        if not part:
            break
        line += part
    return bytes(line)


def _address(directory: Directory, name: str) -> str:
    """Address of the socket; on Linux through the open directory, which allows paths of any length and cannot be swapped."""
    return f"/proc/self/fd/{directory.fd}/{name}" if sys.platform == "linux" else str(directory.path / name)


def _is_own_user(connection: socket.socket) -> bool:
    """Whether the other end is this user's process; true if the system does not report it: the file's mode decides there."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return bool(uid == os.geteuid())
