"""A throw-away authority over real TLS sockets: trusted by whoever is told of it, by nobody else, and gone at the end."""

import ssl
import stat
import sys
import urllib.request
from asyncio import to_thread

import pytest
from websockets.asyncio.client import connect

from alphapulse_cli.edges.server.listener import Answer, Listener
from alphapulse_cli.edges.server.throwaway_ca import throwaway_ca
from alphapulse_cli.errors import UsageError


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def empty(_path, _query):
    return Answer(200)


def fetched(address, trusted):
    with urllib.request.urlopen(f"{address}/x", context=trusted, timeout=20) as answer:
        return answer.status


async def test_a_client_that_trusts_the_file_is_served_and_another_is_not(monkeypatch):
    with throwaway_ca() as made:
        listener = Listener("echo", "127.0.0.1", 0, echo, empty, lambda _: None, made.context)
        port = await listener.open()
        trusting = ssl.create_default_context(cafile=str(made.ca_file))
        async with connect(f"wss://127.0.0.1:{port}/any", ssl=trusting) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
        for host in ("127.0.0.1", "localhost"):
            assert await to_thread(fetched, f"https://{host}:{port}", trusting) == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(f"wss://127.0.0.1:{port}/any", ssl=ssl.create_default_context())
        monkeypatch.setenv("SSL_CERT_FILE", str(made.ca_file))  # as any program is told to trust it
        async with connect(f"wss://127.0.0.1:{port}/any"):
            pass
        await listener.close()


def test_the_file_holds_no_key_and_is_removed():
    with throwaway_ca() as made:
        folder = made.ca_file.parent
        assert [each.name for each in folder.iterdir()] == ["ca.pem"]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert "PRIVATE" not in made.ca_file.read_text()
    assert not folder.exists()


def test_it_is_removed_after_an_error_as_well():
    with pytest.raises(ZeroDivisionError), throwaway_ca() as made:
        _ = 1 / 0
    assert not made.ca_file.parent.exists()


def test_no_two_are_alike():
    with throwaway_ca() as one, throwaway_ca() as other:
        assert one.ca_file.read_text() != other.ca_file.read_text()


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(UsageError, match="trustme") as refused, throwaway_ca():
        pass
    assert refused.value.hint == "pip install 'alphapulse[tls]'"
