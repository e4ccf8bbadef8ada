"""Addresses to listen on: their text, and sockets that are bound to them."""

import errno
import socket

from alphapulse_cli.errors import UsageError


def host_and_port(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT or [HOST]:PORT. ValueError for other texts."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 1 << 16) or (":" in host and "[" not in text):
        raise ValueError(f"not an address: {text[:60]!r}")
    return host, int(port)


def bound(what: str, host: str, port: int, option: str) -> socket.socket:
    """Listening socket. UsageError for a port that cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        made = socket.create_server((host, port), family=family, backlog=128)
        # asyncio sets it for sockets that it makes itself; without it the body of each answer waits 40 ms for a delayed ACK
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made  # noqa: TRY300
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (while ")[0]
        raise UsageError(f"no {what} server on {host}:{port}: {why}", _hint(error, host, option)) from error


def _hint(error: OSError, host: str, option: str) -> str:
    """Hint for an address that cannot be had: another host where this machine has no such one, else another port."""
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return "name an address of this machine: 127.0.0.1, or 0.0.0.0 for all networks"
    if option == "--metrics-bind":
        return f"port 0 takes any free one: --metrics-bind {f'[{host}]' if ':' in host else host}:0"
    return f"port 0 takes any free one: {option} 0"
