"""What both transports do alike with bytes that arrive: order, pieces, bounds, times, turns, and every way to break the protocol."""

import asyncio
import contextlib
import gc
import socket
import time
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
from support.link_parts import BINARY, CLOSE, PING, PONG, farewell, frame, raw, sends, stays, tcp
from support.sim_parts import until

from alphapulse_cli.edges.exchange import link as shared
from alphapulse_cli.edges.exchange.link import FRAMES_PER_TURN
from alphapulse_cli.errors import ExchangeError

WHOLE = [frame(b"%d" % number) for number in range(5 * FRAMES_PER_TURN)]
NUMBERS = [b"%d" % number for number in range(5 * FRAMES_PER_TURN)]


@pytest.fixture(autouse=True)
def nothing_is_printed(capfd):
    """Whatever the other side does or says, neither library nor asyncio talks about it."""
    yield
    gc.collect()  # a future whose error nobody took would say so now
    assert capfd.readouterr() == ("", "")


class Heard:
    """What a link handed over."""

    def __init__(self):
        self.frames, self.times = [], []

    def __call__(self, payload, receive_ns):
        self.frames.append(payload)
        self.times.append(receive_ns)


@contextlib.asynccontextmanager
async def linked(opener, handle, heard, behind=b""):
    async with raw(handle, behind) as url:
        link = await opener(url, heard)
        try:
            yield link
        finally:
            await link.close()


@pytest.mark.parametrize("turns", range(6))
async def test_the_server_of_these_tests_leaves_no_stranger_behind(turns):
    """Who knocks at the port of an earlier test may be accepted in the last moment (a run of the lowest versions fell by it)."""
    async with tcp(stays) as url:
        with socket.create_connection(("127.0.0.1", urlsplit(url).port)):
            for _ in range(turns):
                await asyncio.sleep(0)


class TestOrder:
    async def test_what_came_with_the_handshake_is_handed_over_after_the_link(self, opener):
        """Never before its owner has it: the session tells the decoder of the connection first."""
        heard = Heard()
        async with raw(stays, behind=b"".join(WHOLE)) as url:
            link = await opener(url, heard)
            assert heard.frames == []
            await until(lambda: len(heard.frames) == len(WHOLE))
            await link.close()
        assert heard.frames == NUMBERS

    async def test_more_than_a_turns_worth_in_one_packet(self, opener):
        heard = Heard()
        async with linked(opener, sends(*WHOLE), heard):
            await until(lambda: len(heard.frames) == len(WHOLE))
        assert heard.frames == NUMBERS

    @pytest.mark.parametrize("behind", [True, False], ids=["with the handshake", "after it"])
    async def test_the_end_is_told_after_the_last_frame(self, opener, behind):
        heard, pieces = Heard(), [*WHOLE, farewell(1001, b"going")]
        async with linked(opener, stays if behind else sends(*pieces), heard, b"".join(pieces) if behind else b"") as link:
            assert await link.closed() == "closed by the exchange, code 1001 going"
            assert heard.frames == NUMBERS

    @pytest.mark.parametrize("later", [False, True], ids=["in the same read", "in a later one"])
    async def test_nothing_after_a_farewell_is_handed_over(self, opener, later):
        heard, go, over = Heard(), asyncio.Event(), asyncio.Event()

        async def handle(reader, writer):
            writer.write(WHOLE[2])
            await go.wait()
            writer.write(WHOLE[0] + farewell(1000) + (b"" if later else WHOLE[1]))
            await stays(reader, writer)
            writer.write(WHOLE[1])
            over.set()

        async with raw(handle) as url:
            link = await opener(url, heard)
            await until(lambda: heard.frames)
            go.set()
            await asyncio.wait_for(over.wait(), 10)
            assert "1000" in await link.closed()
            for _ in range(10):  # what came too late lies in the socket, and the link still reads
                await asyncio.sleep(0)
            await link.close()
        assert heard.frames == [NUMBERS[2], NUMBERS[0]]

    @pytest.mark.parametrize("at", [0, 3, FRAMES_PER_TURN + 3])
    async def test_nothing_after_its_owner_failed(self, opener, at):
        """At once, or among those held for a later turn."""
        heard = []

        def fails(payload, _):
            heard.append(payload)
            if len(heard) > at:
                raise ZeroDivisionError("\x1b[2J")

        async with raw(sends(*WHOLE, farewell(1000))) as url:
            link = await opener(url, fails)
            with pytest.raises(ZeroDivisionError):
                await link.closed()
            await link.close()
            assert len(heard) == at + 1

    async def test_nothing_once_it_is_closed(self, opener, monkeypatch):
        monkeypatch.setattr(shared, "CLOSE_TIMEOUT_S", 0.1)

        async def floods(reader, writer):
            while True:
                writer.write(WHOLE[0] * 100)
                await writer.drain()

        heard = Heard()
        async with linked(opener, floods, heard) as link:
            await until(lambda: heard.frames)
            await link.close()
            count = len(heard.frames)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert len(heard.frames) == count


class TestMessagesInPieces:
    PIECES = (frame(b"ab", fin=False), frame(b"", 0, fin=False), frame(b"cd", 0, fin=False), frame(b"e", 0))

    async def test_are_put_together(self, opener):
        heard = Heard()
        binary = [frame(b"", BINARY, fin=False), frame(b"\xff", 0)]
        async with linked(opener, sends(WHOLE[0], *self.PIECES, WHOLE[1], *binary), heard):
            await until(lambda: len(heard.frames) == 4)
        assert heard.frames == [b"0", b"abcde", b"1", b"\xff"]

    async def test_may_have_a_ping_between_them(self, opener):
        heard, answers = Heard(), []

        async def handle(reader, writer):
            writer.write(self.PIECES[0] + frame(b"p", PING) + b"".join(self.PIECES[1:]))
            answers.append(await reader.readexactly(7))  # masked: two bytes, the mask, one byte
            await stays(reader, writer)

        async with linked(opener, handle, heard):
            await until(lambda: heard.frames and answers)
        assert heard.frames == [b"abcde"]
        assert answers[0][:2] == bytes((0x80 | PONG, 0x81))
        assert answers[0][6] ^ answers[0][2] == ord("p")

    @pytest.mark.parametrize("whole", [False, True])
    async def test_are_bounded_together(self, opener, monkeypatch, whole):
        monkeypatch.setattr(shared, "MAX_FRAME_BYTES", 1000)
        pieces = [frame(b"x" * 400, fin=False), frame(b"x" * 400, 0, fin=False), frame(b"x" * 201, 0, fin=whole)]

        heard = Heard()
        async with linked(opener, sends(*pieces), heard) as link:
            assert await link.closed() == "closed by us, code 1009"
        assert heard.frames == []

    async def test_as_large_as_the_bound_is_not_too_large(self, opener, monkeypatch):
        monkeypatch.setattr(shared, "MAX_FRAME_BYTES", 1000)

        heard = Heard()
        async with linked(opener, sends(frame(b"x" * 1000), frame(b"x" * 600, fin=False), frame(b"x" * 400, 0)), heard):
            await until(lambda: len(heard.frames) == 2)
        assert [len(payload) for payload in heard.frames] == [1000, 1000]


BROKEN = {
    "a masked frame": [frame(b"x", masked=True)],
    "an extension nobody agreed on": [frame(b"x", rsv=4)],
    "an unknown kind": [frame(b"x", 3)],
    "an unknown control": [frame(b"x", 11)],
    "a control in pieces": [frame(b"x", PING, fin=False)],
    "a control too long": [frame(b"x" * 126, PING)],
    "a piece of nothing": [frame(b"x", 0)],
    "a message in a message": [frame(b"x", fin=False), frame(b"y")],
    "a farewell without a reason to be": [frame(b"\x00\x01", CLOSE)],
    "half a code": [frame(b"\x03", CLOSE)],
}


class TestABrokenProtocol:
    @pytest.mark.parametrize("kind", BROKEN)
    async def test_ends_the_connection_with_its_code(self, opener, kind):
        async with linked(opener, sends(*BROKEN[kind]), Heard()) as link:
            assert await link.closed() == "closed by us, code 1002"

    async def test_hostile_farewells(self, opener):
        for pieces, why in (
            ([frame(b"", CLOSE)], "closed by the exchange, code 1005"),
            ([farewell(4999, b"own")], "closed by the exchange, code 4999 own"),
            ([farewell(1008, b"x" * 120)], "closed by the exchange, code 1008 " + "x" * 80),
            ([farewell(1000, b"\xff\xfe")], "closed by us, code 1007"),
            ([farewell(1000), farewell(1001)], "closed by the exchange, code 1000"),
        ):
            async with linked(opener, sends(*pieces), Heard()) as link:
                assert await link.closed() == why


class TestTimes:
    async def test_never_go_back_and_lie_between_sending_and_handing_over(self, opener):
        heard, before = Heard(), time.time_ns()
        async with linked(opener, sends(*WHOLE), heard):
            await until(lambda: len(heard.frames) == len(WHOLE))
        after = time.time_ns()
        assert all(earlier <= later for earlier, later in pairwise([before, *heard.times, after]))

    @pytest.mark.parametrize("last", [frame(b"", PING), frame(b"", PONG), frame(b"a", fin=False) + frame(b"b", 0), b"\x81"])
    async def test_are_their_own_reads_whatever_ended_the_one_before(self, opener, last):
        """A read may end with a frame that is not handed over, or in the middle of one: the next frame's time is not that read's."""
        heard, go = Heard(), asyncio.Event()

        async def handle(reader, writer):
            writer.write(WHOLE[0] + last)
            await go.wait()
            writer.write(b"\x01x" if last == b"\x81" else WHOLE[1])
            await stays(reader, writer)

        async with linked(opener, handle, heard):
            await until(lambda: len(heard.frames) >= 1)
            asked = time.time_ns()
            go.set()
            count = len(heard.frames)
            await until(lambda: len(heard.frames) > count)
        assert heard.times[-1] >= asked


class TestTurns:
    @pytest.mark.parametrize("bounded", [True, False], ids=["bounded", "mutant without the bound"])
    async def test_a_full_speed_sender_starves_nobody(self, opener, monkeypatch, bounded):
        """20,000 small frames, as fast as they go: others of the loop get their turn between any few of them."""
        if not bounded:
            monkeypatch.setattr(shared, "FRAMES_PER_TURN", 1 << 30)

        heard, counts = Heard(), []
        async with linked(opener, sends(frame(b"x" * 20) * 20_000), heard):
            while len(heard.frames) < 20_000:
                counts.append(len(heard.frames))
                await asyncio.sleep(0)
        most = max(later - earlier for earlier, later in pairwise(counts))
        assert (most <= 4 * FRAMES_PER_TURN) is bounded

    @pytest.mark.parametrize(("size", "at_once"), [(1 << 20, 1), (1 << 10, 256)], ids=["large frames", "small frames"])
    async def test_one_that_is_faster_than_its_frames_are_handled_is_made_to_wait(self, opener, size, at_once):
        """What was sent and is not handled yet is what the kernel and one read hold, not what the sender has: 200 MB here."""
        chunk, total = frame(b"x" * size) * at_once, (200 << 20) // size

        async def scene():
            sent, heard, behind = 0, Heard(), []

            async def handle(reader, writer):
                nonlocal sent
                while sent < total:
                    writer.write(chunk)
                    await writer.drain()
                    sent += at_once
                await stays(reader, writer)

            def on_frame(payload, receive_ns):
                heard(len(payload), receive_ns)
                until_ns = time.perf_counter_ns() + 10 * size
                while time.perf_counter_ns() < until_ns:
                    pass

            async with linked(opener, handle, on_frame):
                while len(heard.frames) < total // 4:
                    behind.append(sent - len(heard.frames))
                    await asyncio.sleep(0)
            assert max(behind) * size < 96 << 20

        await scene()


class TestSending:
    async def test_waits_for_a_peer_that_does_not_read_and_still_closes(self, opener, monkeypatch):
        monkeypatch.setattr(shared, "CLOSE_TIMEOUT_S", 0.1)

        async def deaf(reader, writer):
            await asyncio.Event().wait()

        async with raw(deaf) as url:
            link = await opener(url, Heard())

            async def talk():
                while True:
                    await link.send(b"x" * (1 << 20))

            talking = asyncio.create_task(talk())
            await asyncio.wait([talking], timeout=0.3)
            assert not talking.done()
            await asyncio.wait_for(link.close(), 10)
            with pytest.raises(ExchangeError, match="connection lost"):
                await asyncio.wait_for(talking, 10)

    async def test_a_ping_whose_answer_never_comes_ends_with_the_connection(self, opener):
        cut = asyncio.Event()

        async def handle(reader, writer):
            await cut.wait()
            writer.transport.abort()

        async with linked(opener, handle, Heard()) as link:
            ping = asyncio.create_task(link.ping())
            await asyncio.wait([ping], timeout=0.02)
            assert not ping.done()
            cut.set()
            with pytest.raises(ExchangeError, match="connection lost"):
                await asyncio.wait_for(ping, 10)


class TestGivingUp:
    async def test_in_the_middle_of_the_handshake_leaves_no_connection(self, opener):
        """Cancelled, as by Ctrl-C, while the other side is silent: it sees our end of the connection close."""
        there, gone = asyncio.Event(), asyncio.Event()

        async def silent(reader, writer):
            there.set()
            await reader.read()
            gone.set()

        async with tcp(silent) as url:
            opening = asyncio.create_task(opener(url, Heard()))
            await asyncio.wait_for(there.wait(), 10)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            await asyncio.wait_for(gone.wait(), 10)

    async def test_a_handshake_that_is_cut_short(self, opener):
        async def half(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgr")

        async with tcp(half) as url:
            with pytest.raises(ExchangeError, match="cannot connect"):
                await opener(url, Heard())
