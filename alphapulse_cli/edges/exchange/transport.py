"""Choice of the WebSocket library for a connection; the session sees only the interface of `edges.exchange.link`.

    open_link(url, on_frame, transport="auto") ─► Link       WebsocketsLink: the library that is always there
                                                             PicowsLink: several times less CPU a frame, in the extra `fast`

`auto` takes picows where it is installed.
"""

from alphapulse_cli.edges.exchange import proxies
from alphapulse_cli.edges.exchange.link import OPEN_TIMEOUT_S, Link, OnFrame, check_address
from alphapulse_cli.errors import UsageError

AUTO, WEBSOCKETS, PICOWS = "auto", "websockets", "picows"
TRANSPORTS = (AUTO, WEBSOCKETS, PICOWS)
LEAST_PICOWS = (2, 2)


def choose(transport: str) -> str:
    """Library for the requested transport: "websockets" or "picows".

    UsageError for an unknown name, or a missing or too old picows.
    """
    if transport not in TRANSPORTS:
        raise UsageError(f"unknown transport: {transport[:40]!r}", f"transports are: {', '.join(TRANSPORTS)}")
    if transport == WEBSOCKETS:
        return WEBSOCKETS
    version = picows_version()
    if version is not None and _numbers(version) >= LEAST_PICOWS:
        return PICOWS
    if transport == AUTO:
        return WEBSOCKETS
    least = ".".join(map(str, LEAST_PICOWS))
    found = "picows is not installed" if version is None else f"picows {version[:20]} is too old, {least} is needed"
    raise UsageError(f"--transport picows: {found}", "pip install 'alphapulse[fast]', or --transport websockets")


def picows_version() -> str | None:
    """Version of the picows that can be imported; None if there is none."""
    try:
        import picows
    except ImportError:
        return None
    return str(getattr(picows, "__version__", "0"))


def _numbers(version: str) -> tuple[int, ...]:
    """First two numbers of a version: (2, 3) for "2.3.1rc1"."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


async def open_link(url: str, on_frame: OnFrame, transport: str = AUTO, open_timeout_s: float = OPEN_TIMEOUT_S) -> Link:
    """Connect to a WebSocket.

    UsageError for an unusable address, Refused if a retry cannot help, ExchangeError for other failures.
    """
    check_address(url)
    proxy = proxies.proxy_of(url)
    if choose(transport) == PICOWS:
        from alphapulse_cli.edges.exchange import picows_connect

        return await picows_connect.connect(url, on_frame, open_timeout_s, proxy)
    from alphapulse_cli.edges.exchange import websockets_link

    return await websockets_link.connect(url, on_frame, open_timeout_s, proxy)
