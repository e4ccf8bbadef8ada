"""`alphapulse serve`: its addresses, its token, its end, and clients that resume over restarts of server, collector and both."""

import asyncio
import json
import signal
import socket
import sys

import pytest
from support.reader_sets import kept_alive
from support.shm_processes import child
from support.stream_clients import OPENED, StreamClient

for module in ("fastapi", "fastapi_offline", "msgpack", "prometheus_client", "uvicorn", "jsonschema"):
    pytest.importorskip(module)

KEY = ("kraken", "BTC-USD")
FREE = ("--port", "0", "--http-port", "0")


@pytest.fixture(autouse=True)
def no_clients_of_former_loops():
    yield
    OPENED.clear()


@pytest.fixture
def serve(alphapulse):
    """Start a server; (process, row of its addresses)."""

    def serve(*arguments, **env):
        process = alphapulse.start("serve", *FREE, "--json", *arguments, **env)
        line = process.stdout.readline()
        assert line, process.communicate()
        return process, json.loads(line)

    return serve


def port_of(row):
    return int(row["websocket_url"].rpartition(":")[2].strip("/"))


def test_it_serves_until_it_is_told_to_end_and_says_1012(serve, writer):
    async def run():
        with kept_alive(writer):
            process, row = serve("--metrics-bind", "127.0.0.1:0")
            assert set(row) == {"websocket_url", "rest_url", "metrics_url"}
            client = await StreamClient.open(port_of(row))
            await client.subscribe("deltas")
            await client.until(lambda: KEY in client.books)
            assert client.books[KEY].hash == writer.book().book_hash
            process.send_signal(signal.SIGTERM)
            assert await client.until_closed() == (1012, "the server stops: connect again and resume")
            await asyncio.to_thread(process.wait, 30)
        assert process.returncode == 0
        assert process.stderr.read() == b""

    asyncio.run(run())


def test_nothing_collected(alphapulse):
    done = alphapulse("serve", *FREE)
    assert (done.code, done.stdout) == (3, "")
    assert "\nhint: " in done.stderr


def test_it_waits_for_a_set_and_serves_it_when_it_appears(serve):
    async def run():
        process, row = serve("--wait-for")
        async with await StreamClient.open(port_of(row)) as client:
            assert (await client.subscribe("deltas"))["books"] == 0
            return process, row

    process, _ = asyncio.run(run())
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130


@pytest.mark.parametrize("option", ["--port", "--http-port", "--metrics-bind"])
def test_a_port_that_is_taken(alphapulse, writer, option):
    with socket.create_server(("127.0.0.1", 0)) as taken, kept_alive(writer):
        number = taken.getsockname()[1]
        value = f"127.0.0.1:{number}" if option == "--metrics-bind" else str(number)
        line = [*FREE, "--duration", "60", option, value]
        done = alphapulse("serve", *line, timeout=60)
        assert done.code == 2
        assert f"127.0.0.1:{number}: Address already in use" in done.stderr
        assert "\nhint: " in done.stderr
        assert "Traceback" not in done.stderr


def test_a_host_that_is_not_this_machine_has_another_hint(quick, writer):
    with kept_alive(writer):
        done = quick("serve", *FREE, "--host", "192.0.2.1")  # a network for documentation
    assert (done.code, done.stdout) == (2, "")
    assert "error: no REST server on 192.0.2.1:0: " in done.stderr
    assert "\nhint: name an address of this machine: 127.0.0.1, " in done.stderr


def test_a_wrong_time_between_heartbeats_names_its_option(quick, writer):
    done = quick("serve", *FREE, "--heartbeat", "0s")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --heartbeat: not a duration: '0s'\nhint: write 10s, ")


class TestTokens:
    def test_of_a_file_and_of_the_variable(self, serve, writer, alphapulse):
        async def answers(row, headers):
            async with await StreamClient.open(port_of(row), headers=headers) as client:
                await client.until(lambda: client.counts["welcome"])
                return client.messages[0]["needs_auth"]

        path = alphapulse.directory / "token"
        path.write_text("fromthefile\n")
        path.chmod(0o600)
        with kept_alive(writer):
            for arguments, env, token in (
                (("--token-file", str(path)), {"ALPHAPULSE_SERVE_TOKEN": "fromthevariable"}, "fromthefile"),
                ((), {"ALPHAPULSE_SERVE_TOKEN": "fromthevariable"}, "fromthevariable"),
            ):
                process, row = serve(*arguments, **env)
                assert asyncio.run(answers(row, {}))
                assert not asyncio.run(answers(row, {"Authorization": f"Bearer {token}"}))
                process.terminate()
                assert process.wait(30) == 0
                assert process.stderr.read() == b""

    def test_a_file_that_others_can_read_is_warned_of(self, quick, writer, alphapulse):
        path = alphapulse.directory / "token"
        path.write_text("s3cret")
        path.chmod(0o644)
        done = quick("serve", "--token-file", str(path), "--duration", "0.1s", *FREE)
        assert done.code == 0
        assert "can be read by others: chmod 600" in done.stderr

    @pytest.mark.parametrize("text", ["", " \n", "two words", "päss", "x" * 1025])
    def test_a_file_without_one(self, quick, writer, alphapulse, text):
        path = alphapulse.directory / "token"
        path.write_text(text)
        path.chmod(0o600)
        done = quick("serve", "--token-file", str(path), *FREE)
        assert (done.code, done.stdout) == (2, "")
        assert "\nhint: make one: openssl" in done.stderr

    def test_a_file_that_is_not_there(self, quick, writer):
        done = quick("serve", "--token-file", "nofile", *FREE)
        assert (done.code, done.stdout) == (1, "")
        assert "cannot be read: No such file" in done.stderr

    def test_it_is_never_shown(self, quick, alphapulse, monkeypatch):
        monkeypatch.setenv("ALPHAPULSE_SERVE_TOKEN", "s3cret-value")
        shown = quick("config", "show", "--json").stdout
        assert "s3cret-value" not in shown
        assert {"key": "serve_token", "value": "***", "origin": "ALPHAPULSE_SERVE_TOKEN"} in map(json.loads, shown.splitlines())
        monkeypatch.setenv("ALPHAPULSE_SERVE_TOKEN", "two s3cret words")
        done = quick("config", "show")
        assert done.code == 2
        assert "s3cret" not in done.stdout + done.stderr

    def test_without_one_another_network_is_warned_of(self, quick, writer):
        done = quick("serve", "--host", "0.0.0.0", "--duration", "0.1s", *FREE)
        assert "everybody who can reach 0.0.0.0 may read" in done.stderr


def test_without_the_extra(quick, writer, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    done = quick("serve", *FREE)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == "error: serve needs fastapi\nhint: pip install 'alphapulse[serve]'\n"


class TestResume:
    """A client keeps its copies, and comes back with them: it goes on where it was, or is told to take a snapshot."""

    SYMBOLS = ("BTC-USD", "ETH-USD")

    def wish(self, client):
        return [
            {"set": name, "symbol": symbol, "epoch": copy.epoch, "version": copy.version}
            for (name, symbol), copy in client.books.items()
        ]

    async def back(self, row, client):
        """The same user again, with the copies of before."""
        again = await StreamClient.open(port_of(row), client.encoding)
        again.books = client.books
        await again.subscribe("deltas", resume=self.wish(client))
        return again

    async def moved(self, collector, clients, count):
        """Let the collector make updates; all clients hold its first book then."""
        collector.say(str(count))
        epoch, version, book_hash = await asyncio.to_thread(collector.line)
        for client in clients:
            await client.until(lambda client=client: at(client) == (epoch, version))
            assert client.books[KEY].hash == book_hash

    async def stopped(self, process, clients):
        process.send_signal(signal.SIGTERM)
        for client in clients:
            assert (await client.until_closed())[0] == 1012
        assert await asyncio.to_thread(process.wait, 30) == 0

    def collector(self, alphapulse, seed):
        return child("support.reader_sets:write_until_told", alphapulse.shm_dir, seed, list(self.SYMBOLS))

    def test_over_a_restart_of_the_server(self, serve, alphapulse):
        async def run():
            with self.collector(alphapulse, 5) as collector:
                await asyncio.to_thread(collector.line)
                process, row = serve()
                clients = [await StreamClient.open(port_of(row), encoding) for encoding in ("json", "msgpack", "raw")]
                for client in clients:
                    await client.subscribe("deltas")
                    await client.until(lambda client=client: len(client.books) == 2)
                await self.moved(collector, clients, 40)
                await self.stopped(process, clients)
                collector.say("60")  # while nobody serves
                await asyncio.to_thread(collector.line)
                process, row = serve()
                again = [await self.back(row, client) for client in clients]
                await self.moved(collector, again, 40)
                for client in again:
                    assert client.counts["snapshot"] == 0
                    assert client.counts["resumed"] == 2
                    assert not client.counts["not_resumed"]
                await self.stopped(process, again)

        asyncio.run(run())

    def test_over_a_restart_of_the_collector_while_the_client_is_connected(self, serve, alphapulse):
        async def run():
            with self.collector(alphapulse, 5) as collector:
                await asyncio.to_thread(collector.line)
                process, row = serve()
                client = await StreamClient.open(port_of(row))
                await client.subscribe("deltas")
                await client.until(lambda: len(client.books) == 2)
                await self.moved(collector, [client], 40)
                collector.kill()
            with self.collector(alphapulse, 6) as collector:
                await asyncio.to_thread(collector.line)
                await self.moved(collector, [client], 40)
                assert client.counts["restarted"] >= 1
                await self.stopped(process, [client])

        asyncio.run(run())

    def test_over_a_restart_of_both(self, serve, alphapulse):
        async def run():
            with self.collector(alphapulse, 5) as collector:
                await asyncio.to_thread(collector.line)
                process, row = serve()
                client = await StreamClient.open(port_of(row))
                await client.subscribe("deltas")
                await client.until(lambda: len(client.books) == 2)
                await self.moved(collector, [client], 40)
                process.kill()
                collector.kill()
                await client.until_closed()
            with self.collector(alphapulse, 6) as collector:
                await asyncio.to_thread(collector.line)
                process, row = serve()
                again = await self.back(row, client)
                await self.moved(collector, [again], 40)
                assert {one["reason"] for one in again.of("not_resumed")} == {"epoch"}
                await self.stopped(process, [again])

        asyncio.run(run())


def at(client):
    copy = client.books.get(KEY)
    return (copy.epoch, copy.version) if copy else None


@pytest.mark.parametrize("option", ["--port", "--http-port"])
def test_a_port_without_serve_is_refused_by_the_demo(alphapulse, option):
    done = alphapulse("demo", option, "0")
    assert (done.code, done.stderr) == (2, f"error: {option} is a port of the server\nhint: add --serve\n")


def test_the_demo_serves_every_book_exactly(alphapulse):
    """Simulated exchanges, collectors and the server, as a newcomer starts them: each copy is proved by CHECKs in each encoding."""

    async def run():
        # few updates, so that clients that share this process are never too slow, however busy the machine is
        demo = alphapulse.start("demo", "--serve", *FREE, "--json", "--rate", "4", "--duration", "10m")
        line = await asyncio.to_thread(demo.stderr.readline)
        assert line.startswith(b"serve: ws://127.0.0.1:"), line
        port = int(line.split()[1].decode().rpartition(":")[2].strip("/"))
        clients = [await StreamClient.open(port, encoding) for encoding in ("json", "msgpack", "raw")]
        for client in clients:
            await client.subscribe("deltas")
            await client.subscribe("trades")
        for client in clients:
            await client.until(
                lambda client=client: len(client.books) == 9 and all(copy.checks >= 3 for copy in client.books.values()), 60
            )
            assert client.counts["trade"] > 0
        demo.terminate()
        for client in clients:
            assert (await client.until_closed())[0] == 1012
        assert await asyncio.to_thread(demo.wait, 60) == 0
        assert demo.stderr.read() == b""

    asyncio.run(run())
