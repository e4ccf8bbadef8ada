"""What a simulated exchange makes of the address that a client opens, of HTTP headers, and of a request to stand still."""

import asyncio
from email.utils import parsedate_to_datetime

import pytest
from support.sim_parts import SMALL, SmallClient, SmallEncoder, SmallRest, client_of, until, within
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from alphapulse_cli.exchanges import Exchange
from alphapulse_cli.sim.exchange import UNTHROTTLED, VIRTUAL_START_NS, SimulatedExchange
from alphapulse_cli.sim.market_maker import SimulatedMarket
from alphapulse_cli.sim.mischief import Scenario


class PathEncoder(SmallEncoder):
    """Greets with the address that the client opened; has nothing below /nowhere."""

    def opened(self, path, query):
        self.address = (path, dict(query))
        return (404, b'{"error":"nowhere"}') if path.startswith("/nowhere") else None

    def connected(self, now_ns):
        return [repr(self.address).encode()]


class CountingRest(SmallRest):
    """Counts its answers in a header."""

    count = 0

    def headers(self, path, query, now_ns):
        self.count += 1
        return [("X-COUNT", f"{self.count} {path}")]


READS_PATHS = Exchange(SMALL.facts, SMALL.decoder, PathEncoder, CountingRest, SMALL.parse_instruments)


def exchange_of(speaker, **options):
    market = SimulatedMarket("kraken", 5, ["BTC-USD"], levels_per_side=60, start_ns=VIRTUAL_START_NS)
    return SimulatedExchange("small", market, speaker=speaker, **{"rate": 0, **options})


async def head_of(exchange, path):
    """Status line and headers, by name in lower case, of a GET."""
    reader, writer = await asyncio.open_connection(exchange.host, exchange.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head = (await within(reader.read())).partition(b"\r\n\r\n")[0].decode()
    writer.close()
    status, *lines = head.split("\r\n")
    return status, {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


class TestTheAddress:
    async def test_path_and_query_reach_the_encoder_of_the_connection(self):
        async with exchange_of(READS_PATHS) as exchange:
            for address, said in (("/v9/a", ("/v9/a", {})), ("/s?streams=a@b/c&x=", ("/s", {"streams": "a@b/c", "x": ""}))):
                async with connect(f"ws://127.0.0.1:{exchange.port}{address}") as websocket:
                    assert await within(websocket.recv()) == repr(said)

    async def test_one_that_the_exchange_does_not_have_is_refused(self):
        async with exchange_of(READS_PATHS) as exchange:
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://127.0.0.1:{exchange.port}/nowhere?x=1")
            assert (refused.value.response.status_code, refused.value.response.body) == (404, b'{"error":"nowhere"}')
            assert exchange.connection_count == 0

    async def test_an_encoder_that_does_not_ask_is_not_told(self):
        async with exchange_of(SMALL) as exchange, connect(f"ws://127.0.0.1:{exchange.port}/nowhere") as websocket:
            assert await within(websocket.recv()) == '{"hello":"plain"}'


class TestHeaders:
    async def test_every_answer_has_a_date(self):
        async with exchange_of(SMALL) as exchange:
            for path in ("/api/v9/instruments", "/nothing"):
                _, headers = await head_of(exchange, path)
                assert headers["date"].endswith(" GMT")
                assert parsedate_to_datetime(headers["date"]).year >= 2026
                assert headers["content-type"] == "application/json"
                assert "x-count" not in headers

    async def test_an_encoder_adds_its_own(self):
        async with exchange_of(READS_PATHS) as exchange:
            assert (await head_of(exchange, "/api/v9/instruments?a=b"))[1]["x-count"] == "1 /instruments"
            status, headers = await head_of(exchange, "/nothing")
            assert (status.split()[1], headers["x-count"]) == ("404", "2 /nothing")


class TestAFrozenMarket:
    async def test_stands_still_with_its_heartbeats_and_goes_on(self):
        async with exchange_of(SMALL) as exchange, client_of(exchange) as websocket:
            client = SmallClient(websocket)
            await client.subscribe("BTC/USD")
            await exchange.advance(5)
            exchange.freeze()
            before = exchange.truth.sequence("BTC-USD")
            await exchange.advance(45)
            await client.read_until(lambda: sum("heartbeat" in frame for frame in client.frames) == 2)
            assert (client.seq, exchange.truth.sequence("BTC-USD")) == (before, before)
            assert client.book.levels() == exchange.truth.book("BTC-USD")
            exchange.thaw()
            await exchange.advance(5)
            assert exchange.truth.sequence("BTC-USD") > before

    async def test_an_unthrottled_market_freezes_too(self):
        async with exchange_of(SMALL, rate=UNTHROTTLED) as exchange, client_of(exchange) as websocket:
            client = SmallClient(websocket)
            await client.subscribe("BTC/USD")
            await client.read_until(lambda: exchange.step_count > 50)
            exchange.freeze()
            count = exchange.step_count
            await client.read_until(lambda: client.seq == exchange.truth.sequence("BTC-USD"))
            assert exchange.step_count == count
            exchange.thaw()
            await until(lambda: exchange.step_count > count)


class TestTheEndOfMischief:
    async def test_after_the_end_of_mischief_no_frame_is_damaged(self):
        """Present connections, armed faults and those of probability, and connections to come."""
        async with exchange_of(SMALL, mischief=[Scenario("gap", 1.0)]) as exchange, client_of(exchange) as websocket:
            client = SmallClient(websocket)
            await client.subscribe("BTC/USD")
            await exchange.advance(5)
            assert exchange.injection_counts["gap"] > 0
            exchange.inject("garbage")
            exchange.end_mischief()
            count = exchange.injection_counts.total()
            async with client_of(exchange) as later:
                await SmallClient(later).subscribe("BTC/USD")
                await exchange.advance(10)
            assert exchange.injection_counts.total() == count


async def test_with_tls_the_addresses_say_so():
    pytest.importorskip("trustme")
    from alphapulse_cli.edges.server.throwaway_ca import throwaway_ca

    with throwaway_ca() as made:
        async with exchange_of(SMALL, tls=made.context) as exchange:
            assert exchange.websocket_url == f"wss://127.0.0.1:{exchange.port}/v9"
            assert exchange.rest_url == f"https://127.0.0.1:{exchange.port}/api/v9"
