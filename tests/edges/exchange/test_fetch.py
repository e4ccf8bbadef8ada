"""REST: bounded in size, time and rate, and one clear error for everything else."""

import asyncio
import contextlib
import gzip
import socket
import threading
import time
import zlib

import pytest
from support.sim_parts import play

from alphapulse_cli.edges.exchange.fetch import RETRY_AFTER_S, Fetcher
from alphapulse_cli.errors import ExchangeError, Refused, UsageError

SECOND = 1_000_000_000


@contextlib.contextmanager
def server(answer, *, drip_s=0.0):
    """Answers each connection with these bytes, in one piece or one by one; the address of it."""
    listening = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def serve():
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                for part in [answer] if not drip_s else [answer[i : i + 1] for i in range(len(answer))]:
                    connection.sendall(part)
                    if drip_s and stopped.wait(drip_s):
                        return
                if not answer:
                    stopped.wait(20)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        stopped.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def http(status="200 OK", body=b"{}", *headers):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def get(url, path="/x", **options):
    async def scene():
        return await Fetcher(url, **options).get(path)

    return play(scene())


class TestGet:
    def test_gives_the_body(self):
        with server(http(body=b'{"a":1}')) as url:
            assert get(url) == b'{"a":1}'

    def test_also_one_of_many_chunks(self):
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        with server(chunked) as url:
            assert get(url) == b"abcde"

    @pytest.mark.parametrize(
        ("encoding", "body"),
        [
            ("gzip", gzip.compress(b'{"a":1}', mtime=0)),
            ("GZIP", gzip.compress(b'{"a"', mtime=0) + gzip.compress(b":1}", mtime=0)),
            ("deflate", zlib.compress(b'{"a":1}')),
            ("deflate", zlib.compress(b'{"a":1}')[2:-4]),
            ("gzip, identity", gzip.compress(b'{"a":1}', mtime=0)),
            ("deflate, gzip", gzip.compress(zlib.compress(b'{"a":1}'), mtime=0)),
            ("identity", b'{"a":1}'),
        ],
    )
    def test_reads_what_nobody_asked_to_be_compressed(self, encoding, body):
        with server(http("200 OK", body, f"Content-Encoding: {encoding}")) as url:
            assert get(url) == b'{"a":1}'

    @pytest.mark.parametrize(
        ("encoding", "body", "reason"),
        [
            ("br", b"x", "in an unknown Content-Encoding: br"),
            ("gzip", b"no", "cannot be decompressed"),
            ("gzip", gzip.compress(b"x" * 100, mtime=0)[:-9], "cut short"),
            ("gzip", gzip.compress(b"x" * 10_000_000, mtime=0), "more than 1000 bytes"),
            ("gzip, gzip", gzip.compress(gzip.compress(b"x" * 10_000_000, mtime=0), mtime=0), "more than 1000 bytes"),
        ],
    )
    def test_compressed_garbage_and_bombs(self, encoding, body, reason):
        with server(http("200 OK", body, f"Content-Encoding: {encoding}")) as url, pytest.raises(ExchangeError, match=reason):
            get(url, max_body_bytes=1000 if "1000" in reason else 100_000)

    @pytest.mark.parametrize("body", [b"<!DOCTYPE html><html>", b"\r\n <html>", b"<HTML><title>Login</title>"])
    def test_a_page_instead_of_json_is_called_one(self, body):
        with server(http("200 OK", body)) as url, pytest.raises(ExchangeError) as failed:
            get(url)
        assert str(failed.value) == f"cannot fetch {url}/x: the answer is HTML, not JSON: perhaps a login page or a block"

    @pytest.mark.parametrize(
        "base", ["", "ftp://x", "file:///etc/passwd", "http://", "http://x:99999", "http://[::1", "http://x:y"]
    )
    def test_an_address_that_cannot_be_is_a_usage_error(self, base):
        with pytest.raises(UsageError, match="not a REST address"):
            Fetcher(base)

    def test_nobody_there(self):
        with pytest.raises(ExchangeError, match=r"cannot fetch http://127.0.0.1:1/x: Connection refused"):
            get("http://127.0.0.1:1")

    @pytest.mark.parametrize(
        "answer",
        [b"\x15\x03\x01\0", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 banana\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"],
    )
    def test_garbage(self, answer):
        with server(answer) as url, pytest.raises(ExchangeError) as failed:
            get(url)
        assert "\n" not in str(failed.value)

    @pytest.mark.parametrize(("status", "error"), [(404, Refused), (500, ExchangeError), (403, Refused), (451, Refused)])
    def test_an_http_error(self, status, error):
        with server(http(f"{status} No", b"\x1b[2J")) as url, pytest.raises(error, match=f"answers {status}") as failed:
            get(url)
        assert type(failed.value) is error

    def test_a_body_beyond_the_bound(self):
        with server(http(body=b"x" * 1001)) as url:
            with pytest.raises(ExchangeError, match="more than 1000 bytes"):
                get(url, max_body_bytes=1000)
            assert len(get(url, max_body_bytes=1001)) == 1001

    def test_a_server_that_says_nothing(self):
        with server(b"") as url, pytest.raises(ExchangeError, match="no answer in time"):
            get(url, timeout_s=0.1)

    def test_a_server_that_drips(self):
        """Each byte is in time; the whole is not."""
        with server(http(body=b"x" * 1000), drip_s=0.005) as url, pytest.raises(ExchangeError, match="no whole answer within 0 s"):
            get(url, timeout_s=5, whole_timeout_s=0.3)

    async def test_cancelled_it_holds_nothing_up(self):
        with server(b"") as url:
            began = time.monotonic()
            task = asyncio.create_task(Fetcher(url).get("/x"))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - began < 5

    @pytest.mark.parametrize("status", [429, 418])
    async def test_too_many_requests_is_obeyed_by_all_that_follow(self, status):
        with server(http(f"{status} Slow", b"", "Retry-After: 30")) as url:
            fetcher = Fetcher(url)
            with pytest.raises(ExchangeError, match=r"too many requests; next request not before .*Z \(in 30 s\)"):
                await fetcher.get("/x")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(fetcher.get("/x"), 0.1)

    @pytest.mark.parametrize("status", [429, 418])
    def test_too_many_requests_without_a_time_is_a_minute(self, status):
        with server(http(f"{status} Slow", b"")) as url, pytest.raises(ExchangeError) as failed:
            get(url)
        assert failed.value.retry_after_s == RETRY_AFTER_S

    async def test_a_pause_of_maintenance_is_obeyed_too(self):
        with server(http("503 Maintenance", b"", "Retry-After: 86400")) as url:
            fetcher = Fetcher(url)
            with pytest.raises(ExchangeError, match=r"answers 503; next request not before .*Z \(in 86400 s\)") as failed:
                await fetcher.get("/x")
            assert failed.value.retry_after_s == 86_400
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(fetcher.get("/x"), 0.1)

    def test_an_error_that_asks_for_nothing_carries_no_pause(self):
        with server(http("520 Unknown", b"")) as url, pytest.raises(ExchangeError) as failed:
            get(url)
        assert failed.value.retry_after_s is None
