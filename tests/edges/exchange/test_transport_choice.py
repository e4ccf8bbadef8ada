"""Which transport is taken, and through which proxy: by name, by what is installed, by what the environment says."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import sys
from types import ModuleType

import pytest
from support.link_parts import tcp
from support.sim_parts import until
from websockets.asyncio.server import serve

from alphapulse_cli.edges.exchange.link import check_address
from alphapulse_cli.edges.exchange.proxies import proxy_of
from alphapulse_cli.edges.exchange.transport import TRANSPORTS, choose, picows_version
from alphapulse_cli.errors import ExchangeError, Refused, UsageError

EXCHANGE = "wss://ws.exchange.example/v2"


def install(monkeypatch, version):
    """As if picows of that version were installed; None: not at all."""
    stand_in = None
    if version is not None:
        stand_in = ModuleType("picows")
        vars(stand_in)["__version__"] = version
    monkeypatch.setitem(sys.modules, "picows", stand_in)


class TestChoosing:
    @pytest.mark.parametrize(
        ("version", "chosen"), [(None, "websockets"), ("2.1.9", "websockets"), ("2.2.0", "picows"), ("10.0", "picows")]
    )
    def test_auto_is_picows_where_it_is_new_enough(self, monkeypatch, version, chosen):
        install(monkeypatch, version)
        assert choose("auto") == chosen
        assert choose("websockets") == "websockets"

    @pytest.mark.parametrize(("version", "why"), [(None, "not installed"), ("1.20.0", "1.20.0 is too old, 2.2 is needed")])
    def test_picows_by_name_must_be_there(self, monkeypatch, version, why):
        install(monkeypatch, version)
        with pytest.raises(UsageError, match=f"--transport picows: .*{why}") as refused:
            choose("picows")
        assert "pip install 'alphapulse[fast]'" in refused.value.hint

    def test_an_unknown_one_is_named_with_the_known(self):
        with pytest.raises(UsageError, match="unknown transport: 'curl'") as refused:
            choose("curl")
        assert all(name in refused.value.hint for name in TRANSPORTS)

    def test_a_version_is_of_what_can_be_imported(self, monkeypatch):
        install(monkeypatch, None)
        assert picows_version() is None
        install(monkeypatch, "2.3.1rc1")
        assert (picows_version(), choose("picows")) == ("2.3.1rc1", "picows")


class TestTheEnvironmentsProxy:
    @pytest.fixture(autouse=True)
    def empty(self, monkeypatch):
        for name in ("http", "https", "ws", "wss", "socks", "all", "no"):
            monkeypatch.delenv(f"{name}_proxy", raising=False)
            monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)

    @pytest.mark.parametrize(
        ("environment", "url", "proxy"),
        [
            ({}, EXCHANGE, None),
            ({"https_proxy": "http://p:1"}, EXCHANGE, "http://p:1"),
            ({"HTTPS_PROXY": "http://p:1"}, EXCHANGE, "http://p:1"),
            ({"http_proxy": "http://p:1"}, EXCHANGE, None),
            ({"http_proxy": "http://p:1"}, EXCHANGE.replace("wss", "ws"), "http://p:1"),
            ({"wss_proxy": "http://p:2", "https_proxy": "http://p:1"}, EXCHANGE, "http://p:2"),
            ({"socks_proxy": "http://p:3", "https_proxy": "http://p:1"}, EXCHANGE, "socks5h://p:3"),
            ({"https_proxy": "http://p:1", "no_proxy": "exchange.example"}, EXCHANGE, None),
            ({"https_proxy": "http://p:1"}, "wss://127.0.0.1:9/", None),
            ({"https_proxy": "http://p:1"}, "wss://localhost:9/", None),
        ],
    )
    def test_is_chosen_as_for_rest_and_never_for_this_machine(self, monkeypatch, environment, url, proxy):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert proxy_of(url) == proxy

    @pytest.mark.parametrize("proxy", ["p:1", "ftp://p:1", "http://", "http://p:x", "http://[::1"])
    def test_that_is_none_is_named(self, monkeypatch, proxy):
        monkeypatch.setenv("https_proxy", proxy)
        with pytest.raises(UsageError, match="not a proxy's address: https_proxy="):
            proxy_of(EXCHANGE)

    async def test_carries_the_connection(self, opener, monkeypatch):
        """CONNECT to the exchange's own name, which only the proxy can resolve; then the frames."""
        asked: list[bytes] = []
        heard: list[bytes] = []

        async def handle(connection):
            await connection.send("through")
            await connection.wait_closed()

        async with serve(handle, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with tcp(lambda reader, writer: relay(reader, writer, port, asked)) as proxy:
                monkeypatch.setenv("http_proxy", proxy.replace("ws:", "http:"))
                link = await opener("ws://ws.exchange.example/v2", lambda frame, _: heard.append(frame))
                await until(lambda: heard)
                await link.close()
        assert heard == [b"through"]
        assert asked == [b"CONNECT ws.exchange.example:80 HTTP/1.1"]

    async def test_that_refuses_is_no_connection(self, opener, monkeypatch):
        async def refuses(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")

        async with tcp(refuses) as proxy:
            monkeypatch.setenv("http_proxy", proxy.replace("ws:", "http:"))
            with pytest.raises(ExchangeError, match=r"cannot connect to ws://ws.exchange.example/"):
                await opener("ws://ws.exchange.example/", lambda *_: None)


async def relay(reader, writer, port, asked):
    """A proxy that takes every CONNECT to this machine's port."""
    asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
    there, out = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async def pump(source, target):
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                target.write(data)
            target.close()

    try:
        await asyncio.gather(pump(reader, out), pump(there, writer))
    finally:
        out.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(certificate, key) of localhost, of nobody's authority."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    made = tmp_path_factory.mktemp("tls")
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(["openssl", *words], cwd=made, check=True, capture_output=True, timeout=60)
    return str(made / "cert.pem"), str(made / "key.pem")


class TestTls:
    @pytest.fixture
    def server(self, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)

        async def handle(connection):
            for number in range(1000):
                await connection.send(f"{number}")
            await connection.close(1000, connection.request.headers["User-Agent"].split("/")[0])

        return lambda: serve(handle, "localhost", 0, ssl=context)

    async def test_frames_arrive_in_order_and_then_the_farewell(self, opener, server, certificate, monkeypatch):
        monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
        heard = []

        async with server() as listening:
            port = listening.sockets[0].getsockname()[1]
            link = await opener(f"wss://localhost:{port}/", lambda frame, _: heard.append(int(frame)))
            assert await link.closed() == "closed by the exchange, code 1000 alphapulse"
            await link.close()
        assert heard == list(range(1000))

    async def test_an_authority_that_nobody_trusts(self, opener, server):
        async with server() as listening:
            port = listening.sockets[0].getsockname()[1]
            with pytest.raises(Refused, match=r"wss://localhost.*: its certificate cannot be verified: self-signed"):
                await opener(f"wss://localhost:{port}/", lambda *_: None)


async def test_name_and_password_of_an_address_are_sent(opener):
    seen = []

    async def handle(connection):
        seen.append((connection.request.headers["Authorization"], connection.request.headers["Host"]))
        await connection.wait_closed()

    async with serve(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        link = await opener(f"ws://me:se%20cret@127.0.0.1:{port}/", lambda *_: None)
        await until(lambda: seen)
        await link.close()
        assert seen == [("Basic bWU6c2UgY3JldA==", f"127.0.0.1:{port}")]


def test_an_addresses_parts():
    assert check_address("wss://[::1]:9/v2").port == 9
    for url in ("ws://host/#part", "ws://host:0/", "ws://a..b/"):
        with pytest.raises(UsageError):
            check_address(url)
