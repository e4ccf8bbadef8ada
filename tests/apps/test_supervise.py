"""Children that are started again, or not, and that end with their parent; real processes of the real command."""

import asyncio
import subprocess
import sys

import pytest
from sim_parts import play, until

from alphapulse_cli.apps import supervise as module
from alphapulse_cli.apps.supervise import Child, spawn, stop, supervise
from alphapulse_cli.errors import ExitCode

UNREACHABLE = ("collect", "--exchange", "kraken", "--url", "ws://127.0.0.1:1/", "--supervised")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path, shm_dir):
    """Children inherit them: an empty folder, segments of our own, short pauses."""
    monkeypatch.setenv("ALPHAPULSE_SHM_DIR", str(shm_dir))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.05)


class TestSupervise:
    def test_a_child_that_is_done_is_not_started_again(self):
        said = []
        assert play(supervise([Child("one", ["version"])], lambda *line: said.append(line))) is ExitCode.DONE
        assert said == []

    def test_one_that_a_restart_cannot_heal_is_not_either_and_its_words_are_heard(self):
        said = []
        children = [Child("good", ["version"]), Child("bad", ["collect", "--exchange", "nonsense"])]
        assert play(supervise(children, lambda *line: said.append(line))) is ExitCode.USAGE
        assert said[0][0] == "bad"
        assert said[0][1].startswith("error: unknown exchange: 'nonsense'")

    def test_any_other_is_after_ever_longer_pauses(self):
        said = []

        async def scene():
            task = asyncio.create_task(supervise([Child("one", UNREACHABLE)], lambda *line: said.append(line)))
            await until(lambda: sum("starting it again" in line for _, line in said) == 2, 40)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        play(scene())
        assert any(line == "ended with code 6; starting it again in 0 s" for _, line in said)

    def test_a_line_without_end_is_dropped_not_fatal(self):
        said = []
        program = "import sys; sys.stderr.write('x' * 300000 + '\\nafter\\n')"

        async def scene():
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, stderr=subprocess.PIPE, limit=module.LINE_BYTES
            )
            await module.relay(process, "one", lambda *line: said.append(line))
            await process.wait()

        play(scene())
        assert said[-1] == ("one", "after")
        assert all(len(line) <= module.LINE_BYTES * 5 for _, line in said)


class TestStop:
    def test_one_that_will_not_hear_is_killed(self, monkeypatch):
        monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.2)
        program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"

        async def scene():
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=subprocess.PIPE)
            await process.stdout.readline()
            await stop(process)
            assert process.returncode == -9
            await stop(process)

        play(scene())

    def test_a_child_ends_when_nobody_holds_its_standard_input(self):
        async def scene():
            process = await spawn(["sim", "kraken", "--symbols", "ETH-BTC", "--json", "--supervised"], stdout=subprocess.PIPE)
            assert b"websocket_url" in await asyncio.wait_for(process.stdout.readline(), 30)
            process.stdin.close()
            assert await asyncio.wait_for(process.wait(), 30) == 0

        play(scene())
