"""How a link of the `picows` library comes about: address, socket, proxy, TLS, handshake; or the error that says why not.

    addresses of the host ─► a socket of ours ─► picows: proxy, TLS, handshake ─► PicowsLink

picows prints what listeners raise and what the other side sent, which is hostile: its logger is deaf here, nothing of that is lost.
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
DEAF = logging.Logger("alphapulse.picows", logging.CRITICAL + 1)  # noqa: LOG001 - in nobody's tree: no handler ever sees it


async def connect(url: str, on_frame: OnFrame, open_timeout_s: float, proxy: str | None) -> PicowsLink:
    """As `transport.open_link`."""
    link, sockets = PicowsLink(on_frame), list[socket.socket]()
    is_open, is_socks = False, proxy is not None and proxy.startswith("socks")
    try:
        async with asyncio.timeout(open_timeout_s):
            _, listener = await ws_connect(
                lambda *_: link,
                url,
                logger_name=DEAF,
                websocket_handshake_timeout=None,  # the whole has its time
                enable_auto_pong=False,  # every frame passes by us: the end of a read is not to be missed
                max_frame_size=shared.MAX_FRAME_BYTES,
                extra_headers=_headers(url),
                proxy=None if is_socks else proxy,  # picows knows no socks5h and takes 80 for the port of SOCKS
                socket_factory=lambda parsed: _connected_socket(parsed, proxy if is_socks else None, sockets),
            )
        is_open = listener is link  # None where the connection was closed before the answer was whole
        if not is_open:
            raise ConnectionError("closed in the middle of the handshake")
    except TimeoutError:
        raise no_answer(url, open_timeout_s) from None
    except WSHandshakeError as error:
        found = STATUS_LINE.match(error.raw_header or b"")  # picows knows only the statuses that Python names
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
    """Name and value of each header line; the other side wrote them: hostile."""
    lines = (line.partition(b":") for line in answer.split(b"\r\n")[1:])
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, colon, value in lines if colon]


def _headers(url: str) -> dict[str, str]:
    """User agent, and the name and password of an address that has them."""
    headers = {"User-Agent": f"alphapulse/{__version__}"}
    parts = check_address(url)
    if parts.username is not None:
        words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(words.encode()).decode("ascii")
        headers["Host"] = parts.netloc.rpartition("@")[2]
    return headers


async def _connected_socket(where: WSParsedURL, socks: str | None, made: list[socket.socket]) -> socket.socket:
    """One to the host, or to the HTTP proxy before it, or through the SOCKS proxy. It is noted in `made`. OSError, ProxyError."""
    if socks is None:
        connected = await dial.connected_socket(where.host, where.port)
    else:
        connected = await proxies.socks_connected(socks, where.host, where.port)
    made.append(connected)
    return connected


def _cut(sockets: list[socket.socket]) -> None:
    """A connection that was given up in the middle of its handshake is left to itself: its socket tells it the end."""
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
