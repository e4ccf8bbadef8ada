"""Connecting with the `picows` library: address, socket, proxy, TLS, handshake, and one error for each way to fail.

    addresses of the host ─► a socket of alphapulse ─► picows: proxy, TLS, handshake ─► PicowsLink

picows logs exceptions of listeners and hostile text of the other side. Its logger is off here; all of that reaches us as errors
too.
"""

import asyncio
import base64
import contextlib
import logging
import re
import socket
from urllib.parse import unquote

from picows import WSError, WSHandshakeError, WSParsedURL, ws_connect
from python_socks import ProxyError

from alphapulse_cli import __version__
from alphapulse_cli.edges.exchange import dial, proxies
from alphapulse_cli.edges.exchange import link as shared
from alphapulse_cli.edges.exchange.link import OnFrame, answers, cannot_connect, check_address, no_answer
from alphapulse_cli.edges.exchange.picows_link import PicowsLink

STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
SWITCHING_PROTOCOLS = 101
DEAF = logging.Logger("alphapulse.picows", logging.CRITICAL + 1)  # noqa: LOG001 - outside the tree of loggers: no handler sees it


async def connect(url: str, on_frame: OnFrame, open_timeout_s: float, proxy: str | None) -> PicowsLink:
    """Connect, as `transport.open_link`, through that proxy if one is given."""
    link, sockets = PicowsLink(on_frame), list[socket.socket]()
    is_open, is_socks = False, proxy is not None and proxy.startswith("socks")
    try:
        async with asyncio.timeout(open_timeout_s):
            _, listener = await ws_connect(
                lambda *_: link,
                url,
                logger_name=DEAF,
                websocket_handshake_timeout=None,  # open_timeout_s covers it
                enable_auto_pong=False,  # so that every frame reaches the listener, which sees the end of each read
                max_frame_size=shared.MAX_FRAME_BYTES,
                extra_headers=_headers(url),
                proxy=None if is_socks else proxy,  # picows lacks socks5h and takes port 80 for SOCKS
                socket_factory=lambda parsed: _connected_socket(parsed, proxy if is_socks else None, sockets),
            )
        is_open = listener is link  # None if the connection was closed before the whole answer arrived
        if not is_open:
            raise ConnectionError("closed during the handshake")
    except TimeoutError:
        raise no_answer(url, open_timeout_s) from None
    except WSHandshakeError as error:
        found = STATUS_LINE.match(error.raw_header or b"")  # picows parses only the statuses that Python has names for
        status = int(found[1]) if found else SWITCHING_PROTOCOLS
        if status != SWITCHING_PROTOCOLS:
            raise answers(url, status, _headers_of(error.raw_header or b"")) from None
        raise cannot_connect(url, error) from None
    except (OSError, WSError, ProxyError, ValueError) as error:
        raise cannot_connect(url, error) from None
    finally:
        if not is_open:
            _cut(sockets)
    link.begin()
    return link


def _headers_of(answer: bytes) -> list[tuple[str, str]]:
    """Names and values of the header lines of an answer, which are hostile text."""
    lines = (line.partition(b":") for line in answer.split(b"\r\n")[1:])
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, colon, value in lines if colon]


def _headers(url: str) -> dict[str, str]:
    """Headers of the handshake: the user agent, and Basic authorization for an address with a name and password."""
    headers = {"User-Agent": f"alphapulse/{__version__}"}
    parts = check_address(url)
    if parts.username is not None:
        words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(words.encode()).decode("ascii")
        headers["Host"] = parts.netloc.rpartition("@")[2]
    return headers


async def _connected_socket(where: WSParsedURL, socks: str | None, made: list[socket.socket]) -> socket.socket:
    """Connect a socket to `where` (the host or its HTTP proxy), or through a SOCKS proxy, and add it to `made`.

    OSError, ProxyError.
    """
    if socks is None:
        connected = await dial.connected_socket(where.host, where.port)
    else:
        connected = await proxies.socks_connected(socks, where.host, where.port)
    made.append(connected)
    return connected


def _cut(sockets: list[socket.socket]) -> None:
    """Shut down the sockets of a connection abandoned during its handshake, which makes picows end it."""
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
