"""Children that are started again, or not, and that end with their parent; real processes of the real command."""

import asyncio
import subprocess
import sys

import pytest
from support.sim_parts import until

from alphapulse_cli.apps.collect import supervise as module
from alphapulse_cli.apps.collect.supervise import Child, spawn, stop, supervise
from alphapulse_cli.errors import ExitCode

SAYS = "print('collecting', flush=True)"  # as a collector whose first frame has come


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path, shm_dir):
    """Children inherit them: an empty folder, segments of our own, short pauses."""
    monkeypatch.setenv("ALPHAPULSE_SHM_DIR", str(shm_dir))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.05)


@pytest.fixture
def programs(monkeypatch):
    """Makes a child that is this program instead of a collector."""

    async def spawned(arguments, stdout):
        program, *rest = arguments
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            f"import os, sys, time\n{program}",
            *rest,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )

    monkeypatch.setattr(module, "spawn", spawned)
    return lambda program, name="one": Child(name, [program])


class TestSupervise:
    async def test_a_child_that_is_done_is_not_started_again(self):
        said = []
        assert await supervise([Child("one", ["version"])], lambda *line: said.append(line)) is ExitCode.DONE
        assert said == []

    async def test_one_that_a_restart_cannot_heal_is_not_either_and_its_words_are_heard(self):
        said = []
        children = [Child("good", ["version"]), Child("bad", ["collect", "--exchange", "nonsense"])]
        assert await supervise(children, lambda *line: said.append(line)) is ExitCode.USAGE
        assert said[0][0] == "bad"
        assert said[0][1].startswith("error: unknown exchange: 'nonsense'")

    async def test_any_other_that_has_collected_is_after_ever_longer_pauses(self, programs):
        said = []
        task = asyncio.create_task(supervise([programs(f"{SAYS}; sys.exit(6)")], lambda *line: said.append(line)))
        await until(lambda: sum("starting it again" in line for _, line in said) == 2, 40)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert set(said) == {("one", "ended with code 6; starting it again in 0 s")}

    @pytest.mark.parametrize("code", [1, 6, 99])
    async def test_what_ends_before_it_collected_is_not(self, programs, code):
        """No room, a region that is refused, a mistake of ours: the next try would meet the same."""
        said = []
        assert await supervise([programs(f"sys.exit({code})")], lambda *line: said.append(line)) == (1 if code == 99 else code)
        assert said == [("one", f"ended with code {code} before it collected any data: it is not started again")]

    async def test_one_that_was_killed_before_is_another_matter(self, programs):
        said = []
        task = asyncio.create_task(supervise([programs("os.kill(os.getpid(), 9)")], lambda *line: said.append(line)))
        await until(lambda: said, 40)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert said[0] == ("one", "ended with code -9; starting it again in 0 s")

    async def test_together_the_first_that_fails_for_good_ends_all(self, programs):
        children = [programs("time.sleep(60)"), programs("sys.exit(1)", "two")]
        failed: list[ExitCode] = []
        assert await supervise(children, lambda *_: None, together=True, failed=failed.append) is ExitCode.FAILED
        assert failed == [ExitCode.FAILED]

    async def test_apart_the_others_go_on(self, programs):
        children = [programs(f"{SAYS}; time.sleep(0.5)"), programs("sys.exit(6)", "two")]
        assert await supervise(children, lambda *_: None) is ExitCode.EXCHANGE

    async def test_each_is_told_how_much_of_the_duration_is_left(self, programs):
        said = []
        await supervise([programs("print(*sys.argv[1:], file=sys.stderr)")], lambda *line: said.append(line), 30.0)
        ((name, words),) = said
        flag, left = words.split()
        assert (name, flag) == ("one", "--duration")
        assert 0 < float(left.removesuffix("s")) <= 30

    async def test_when_the_duration_is_over_nothing_is_started_again(self, programs):
        said = []
        assert await supervise([programs(f"{SAYS}; sys.exit(1)")], lambda *line: said.append(line), 0.01) is ExitCode.DONE
        assert said == []

    async def test_a_line_without_end_is_dropped_not_fatal(self):
        said = []
        program = "import sys; sys.stderr.write('x' * 300000 + '\\nafter\\n')"

        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stderr=subprocess.PIPE, limit=module.LINE_BYTES
        )
        await module.relay(process, "one", lambda *line: said.append(line))
        await process.wait()
        assert said[-1] == ("one", "after")
        assert all(len(line) <= module.LINE_BYTES * 5 for _, line in said)


class TestStop:
    async def test_one_that_will_not_hear_is_killed(self, monkeypatch):
        monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.2)
        program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"

        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=subprocess.PIPE)
        await process.stdout.readline()
        await stop(process)
        assert process.returncode == -9
        await stop(process)

    async def test_a_child_ends_when_nobody_holds_its_standard_input(self):
        process = await spawn(["sim", "kraken", "--symbols", "ETH-BTC", "--json", "--supervised"], stdout=subprocess.PIPE)
        assert b"websocket_url" in await asyncio.wait_for(process.stdout.readline(), 30)
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 30) == 0
