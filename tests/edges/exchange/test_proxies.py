"""REST and both transports through a real proxy (pproxy, in a process of its own), by HTTP and SOCKS; names only it can resolve."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time

import pytest
from support.link_parts import frame, raw, sends
from support.sim_parts import until

from alphapulse_cli.edges.exchange.fetch import Fetcher
from alphapulse_cli.edges.exchange.proxies import hidden, proxy_of
from alphapulse_cli.errors import ExchangeError, UsageError

HOST = "exchange.example"  # known to the proxy alone
# The proxy, with a hosts file of one line. It says where it listens.
PROXY = f"""
import socket, sys
real = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: real("127.0.0.1" if host == {HOST!r} else host, *rest, **more)
from pproxy import server
sys.argv = ["pproxy", "-l", sys.argv[1]]
server.main()
"""
SCHEMES = ("http", "socks4", "socks5", "socks5h")  # socks4a: pproxy has none
BY_NAME = ("http", "socks5h")  # who resolves the name there


@pytest.fixture(scope="module")
def proxy():
    """host:port of a proxy that speaks HTTP, SOCKS4 and SOCKS5."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", PROXY, f"http+socks4+socks5://127.0.0.1:{port}"], stdout=subprocess.DEVNULL)
    try:
        give_up_at = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None
            assert time.monotonic() < give_up_at
            time.sleep(0.02)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("http", "https", "ws", "wss", "socks", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


def host_for(scheme):
    """A name where the proxy resolves it, else the address 0.0.0.0: this machine, but no loopback address."""
    return HOST if scheme in BY_NAME else "0.0.0.0"


@contextlib.contextmanager
def rest_server(heard):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        heard.append(connection.recv(4096))
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_carries_a_connection(proxy, opener, monkeypatch, scheme):
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://{proxy}")
    heard = []

    async with raw(sends(frame(b"through"))) as url:
        port = url.rpartition(":")[2]
        link = await opener(f"ws://{host_for(scheme)}:{port}", lambda octets, _: heard.append(octets))
        await until(lambda: heard)
        await link.close()
    assert heard == [b"through"]


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_carries_rest(proxy, monkeypatch, scheme):
    monkeypatch.setenv("HTTP_PROXY" if scheme == "http" else "SOCKS_PROXY", f"{scheme}://{proxy}")
    heard: list[bytes] = []
    with rest_server(heard) as port:
        assert await Fetcher(f"http://{host_for(scheme)}:{port}").get("/x") == b"{}"
    assert b"GET /x HTTP/1.1" in heard[0] or b"/x HTTP/1.1" in heard[0]


async def test_without_its_h_a_name_is_resolved_here(proxy, opener, monkeypatch):
    """As curl has it, with either transport and for REST; picows by itself would leave the name to the proxy, which knows it."""
    monkeypatch.setenv("ALL_PROXY", f"socks5://{proxy}")
    heard: list[bytes] = []
    with rest_server(heard) as port:
        with pytest.raises(ExchangeError, match="cannot connect"):
            await opener(f"ws://{HOST}:{port}/", lambda *_: None)
        with pytest.raises(ExchangeError, match="cannot fetch"):
            await Fetcher(f"http://{HOST}:{port}").get("/x")
    assert heard == []


async def test_no_proxy_names_who_is_reached_without(proxy, monkeypatch):
    """The name means nothing without the proxy."""
    monkeypatch.setenv("ALL_PROXY", f"socks5h://{proxy}")
    monkeypatch.setenv("NO_PROXY", HOST)
    with pytest.raises(ExchangeError, match="cannot fetch"):
        await asyncio.wait_for(Fetcher(f"http://{HOST}:1").get("/x"), 30)


async def test_that_is_not_there_is_one_error(monkeypatch, opener):
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1")
    with pytest.raises(ExchangeError, match=r"cannot connect to ws://exchange\.example"):
        await opener(f"ws://{HOST}:1/", lambda *_: None)
    with pytest.raises(ExchangeError, match=r"cannot fetch .*: Could not connect to proxy 127\.0\.0\.1:1") as failed:
        await Fetcher(f"http://{HOST}:1").get("/x")
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({"http_proxy": "http://p:1"}, "http://x.example/", "http://p:1"),
        ({"http_proxy": "http://p:1"}, "https://x.example/", None),
        ({"HTTPS_PROXY": "socks5h://p:1"}, "https://x.example/", "socks5h://p:1"),
        ({"all_proxy": "socks5://p:3"}, "https://x.example/", "socks5://p:3"),
        ({"all_proxy": "socks5://p:3"}, "wss://x.example/", "socks5://p:3"),
        ({"all_proxy": "socks5://p:3", "https_proxy": "http://p:1"}, "https://x.example/", "http://p:1"),
        ({"all_proxy": "http://p:3", "no_proxy": ".example"}, "https://x.example/", None),
        ({"all_proxy": "http://p:3"}, "http://127.0.0.1:8080/", None),
    ],
)
def test_is_chosen_by_the_environment(monkeypatch, environment, url, proxy):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(url) == proxy


async def test_one_that_speaks_tls_is_refused_for_rest(monkeypatch):
    monkeypatch.setenv("https_proxy", "https://me:secret@p.example:1")
    with pytest.raises(UsageError) as failed:
        await Fetcher("https://x.example").get("/x")
    assert str(failed.value) == "REST cannot use a proxy that itself speaks TLS: https://p.example:1"


def test_its_password_is_in_no_message():
    assert hidden("socks5h://me:se@cret@p.example:1") == "socks5h://p.example:1"
    assert hidden("me:secret@p.example:1") == "p.example:1"
