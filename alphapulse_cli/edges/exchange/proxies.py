"""Proxies from the environment: the rules that choose one for an address, the same for REST and both WebSocket transports.

    REST        https_proxy (http_proxy for http://), else socks_proxy, else all_proxy
    WebSocket   wss_proxy (ws_proxy for ws://), else socks_proxy, else https_proxy (for ws:// http_proxy too), else all_proxy

Variables are in upper or lower case. Hosts in `no_proxy` and this machine itself are reached without a proxy.
Schemes: http, https (WebSocket only), socks4, socks4a, socks5, socks5h. With socks4a and socks5h the proxy resolves the name.
"""

import socket
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from alphapulse_cli.edges.exchange.loopback import is_loopback
from alphapulse_cli.errors import UsageError

if TYPE_CHECKING:
    from python_socks import ProxyType

SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
SOCKS_PORT = 1080
_ORDER = {
    "wss": ("wss", "socks", "https", "all"),
    "ws": ("ws", "socks", "https", "http", "all"),
    "https": ("https", "socks", "all"),
    "http": ("http", "socks", "all"),
}


def proxy_of(url: str) -> str | None:
    """Proxy for this address from the environment; None without one and for this machine itself.

    UsageError for an unusable address.
    """
    parts = urlsplit(url)
    if is_loopback(url) or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = urllib.request.getproxies()
    name = next((name for name in _ORDER[parts.scheme] if proxies.get(name)), None)
    if name is None:
        return None
    proxy = proxies[name]
    if name == "socks" and proxy.startswith("http://"):  # the system's settings may write it so
        proxy = "socks5h://" + proxy.removeprefix("http://")
    if _parts(proxy) is None:
        raise UsageError(
            f"not a proxy's address: {name}_proxy={hidden(proxy)!r}", "write http://host:port, or name the exchange in no_proxy"
        )
    return proxy


def hidden(proxy: str) -> str:
    """Address of a proxy without its name and password, for messages."""
    scheme, colon, rest = proxy.rpartition("://")
    return (scheme + colon + rest.rpartition("@")[2])[:200]


def _parts(proxy: str) -> SplitResult | None:
    try:
        found = urlsplit(proxy)
        usable = found.scheme in SCHEMES and bool(found.hostname) and found.port != 0  # .port raises for an invalid port
    except ValueError:
        return None
    return found if usable else None


def socks_connection(
    proxy: str,
    address: tuple[str, int],
    timeout: float | None = None,
    source: object = None,  # noqa: ARG001 - http.client passes it
) -> socket.socket:
    """Connect a blocking socket to the address through a SOCKS proxy.

    OSError; UsageError if the package `python_socks` is missing.
    """
    try:
        from python_socks import ProxyError
        from python_socks.sync import Proxy
    except ImportError:
        raise needs_socks(proxy) from None
    try:
        return Proxy(*_socks(proxy)).connect(*address, timeout=timeout)
    except ProxyError as error:
        raise OSError(f"through the proxy {hidden(proxy)}: {error}") from None


async def socks_connected(proxy: str, host: str, port: int) -> socket.socket:
    """Connect a non-blocking socket to the host through a SOCKS proxy. OSError, or the ProxyError of the package `python_socks`."""
    from python_socks.async_.asyncio import Proxy

    connected: socket.socket = await Proxy(*_socks(proxy)).connect(host, port)
    return connected


def _socks(proxy: str) -> tuple["ProxyType", str, int, str | None, str | None, bool]:
    """Arguments of python_socks for a proxy: kind, host, port, name, password, and whether the proxy resolves host names."""
    from python_socks import ProxyType

    parts = urlsplit(proxy)
    kind = ProxyType.SOCKS4 if parts.scheme.startswith("socks4") else ProxyType.SOCKS5
    name, word = (unquote(text) if text is not None else None for text in (parts.username, parts.password))
    return kind, parts.hostname or "", parts.port or SOCKS_PORT, name, word, parts.scheme in ("socks4a", "socks5h")


def needs_socks(proxy: str) -> UsageError:
    """UsageError for a SOCKS proxy without the package `python_socks`."""
    return UsageError(f"a SOCKS proxy needs the package python-socks: {hidden(proxy)}", "pip install 'python-socks[asyncio]'")
