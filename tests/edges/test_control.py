"""The control socket of a collector: who may ask, what is understood, and what is answered."""

import asyncio
import json
import os
import socket
import stat

import pytest

from alphapulse_cli.edges import control
from alphapulse_cli.edges.control import ControlServer, ask, controlled_sets
from alphapulse_cli.errors import ExchangeError, NoSegment, Refused, StorageError, UsageError
from alphapulse_cli.shm.directory import open_directory


@pytest.fixture
def directory(shm_dir):
    with open_directory(shm_dir) as opened:
        yield opened


async def echo(action, symbols):
    return [f"{action} {one}" for one in symbols]


async def said(directory, line):
    """The collector's answer to a line that no client of ours would send."""
    reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{directory.fd}/kraken.control")
    writer.write(line)
    answer = await reader.readline()
    writer.close()
    return answer


class TestAsking:
    async def test_gets_the_answer(self, directory):
        async with ControlServer(directory, "kraken", echo):
            assert await asyncio.to_thread(ask, directory, "kraken", "add", ["A-B", "*-C"]) == ["add A-B", "add *-C"]
            assert controlled_sets(directory) == ["kraken"]
        assert controlled_sets(directory) == []
        assert "kraken.control" not in directory.names()

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (UsageError("no", "try yes"), UsageError),
            (Refused("not listed", "did you mean A-B?"), ExchangeError),
            (StorageError("no room", "free some"), StorageError),
        ],
    )
    async def test_gets_the_collectors_own_error(self, directory, error, kind):
        async def refuse(_action, _symbols):
            raise error

        async with ControlServer(directory, "kraken", refuse):
            with pytest.raises(kind) as raised:
                await asyncio.to_thread(ask, directory, "kraken", "rm", ["A-B"])
        assert (str(raised.value), raised.value.hint) == (str(error), error.hint)

    def test_where_nothing_collects_the_set(self, directory):
        with pytest.raises(NoSegment, match="kraken is not being collected"):
            ask(directory, "kraken", "add", ["A-B"])

    async def test_is_one_after_another(self, directory):
        running = most = 0

        async def slowly(_action, _symbols):
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1
            return ()

        async with ControlServer(directory, "kraken", slowly):
            await asyncio.gather(*(asyncio.to_thread(ask, directory, "kraken", "add", ["A-B"]) for _ in range(4)))
        assert most == 1


class TestTheSocket:
    async def test_is_closed_to_others(self, directory):
        async with ControlServer(directory, "kraken", echo):
            found = os.stat("kraken.control", dir_fd=directory.fd)
            assert stat.S_ISSOCK(found.st_mode)
            assert stat.S_IMODE(found.st_mode) == 0o600

    async def test_of_a_killed_collector_is_replaced_and_until_then_nobody_answers(self, directory):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(f"/proc/self/fd/{directory.fd}/kraken.control")
        with pytest.raises(NoSegment):
            ask(directory, "kraken", "add", ["A-B"])
        assert controlled_sets(directory) == []
        async with ControlServer(directory, "kraken", echo):
            assert await asyncio.to_thread(ask, directory, "kraken", "rm", ["A-B"]) == ["rm A-B"]

    async def test_works_at_a_path_longer_than_an_address(self, shm_dir):
        long = shm_dir / ("x" * 200)
        with open_directory(long, create=True) as directory:
            async with ControlServer(directory, "kraken", echo):
                assert await asyncio.to_thread(ask, directory, "kraken", "add", ["A-B"]) == ["add A-B"]

    async def test_that_cannot_be_made_is_a_storage_error(self, directory):
        (directory.path / "kraken.control").mkdir()
        with pytest.raises(StorageError, match="no control socket"):
            async with ControlServer(directory, "kraken", echo):
                pass


class TestWhatIsNoRequest:
    @pytest.mark.parametrize(
        ("line", "error"),
        [
            (b"\n", "the request is not JSON"),
            (b"[]\n", "the request has no version"),
            (b'{"version": 0}\n', "the request has no version"),
            (b'{"version": true, "do": "add", "symbols": ["A-B"]}\n', "the request has no version"),
            (b'{"version": 2, "do": "add", "symbols": ["A-B"]}\n', "the request is of version 2 of the control protocol"),
            (b'{"version": 1, "do": "drop", "symbols": ["A-B"]}\n', "the running process has no action 'drop'"),
            (b'{"version": 1, "do": "add", "symbols": []}\n', "no symbols"),
            (b'{"version": 1, "do": "add", "symbols": [7]}\n', "no symbols"),
            (b'{"version": 1, "do": "add", "symbols": "A-B"}\n', "no symbols"),
        ],
    )
    async def test_is_refused_by_its_fault(self, directory, line, error):
        async with ControlServer(directory, "kraken", echo):
            answer = json.loads(await said(directory, line))
        assert answer["error"].startswith(error)
        assert answer["version"] == 1

    async def test_of_a_newer_client_is_understood_but_for_keys_that_are_not_known(self, directory):
        async with ControlServer(directory, "kraken", echo):
            line = b'{"version": 1, "do": "add", "symbols": ["A-B"], "why": {"deep": []}}\n'
            assert json.loads(await said(directory, line)) == {"version": 1, "symbols": ["add A-B"]}

    async def test_too_long_gets_no_answer_and_the_next_one_does(self, directory):
        async with ControlServer(directory, "kraken", echo):
            assert await said(directory, b"x" * (control.LINE_BYTES + 1)) == b""
            assert await asyncio.to_thread(ask, directory, "kraken", "add", ["A-B"]) == ["add A-B"]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (b"", "gave no answer"),
            (b"<html>\n", "the answer is not JSON"),
            (b'{"version": 9, "symbols": []}\n', "the answer is of version 9"),
            (b'{"version": 1, "symbols": {}}\n', "was not understood"),
        ],
    )
    def test_nor_an_answer(self, line, message):
        with pytest.raises((UsageError, StorageError), match=message):
            control._read_answer(line, "kraken")
