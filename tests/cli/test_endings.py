"""How a command ends: exit codes, signals, closed pipes, no terminal; with real processes."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Runner
from support import endless_command

from alphapulse_cli.edges import process

SCRIPT = str(Path(endless_command.__file__))


@pytest.fixture
def endless(alphapulse):
    """The runner, with `alphapulse endless` in place of the console script's `alphapulse`."""

    class Endless(Runner):
        command = property(lambda self: [sys.executable, "-P", SCRIPT])

    runner = Endless(alphapulse.directory, alphapulse.shm_dir)
    yield runner
    runner.close()


def shell(endless, line):
    """The line run by a shell in which $A is the command, with the pipe's own exit codes at the end of stdout."""
    env = endless.environment(A=" ".join(endless.command))
    return subprocess.run(
        ["bash", "-c", f'{line}; echo "${{PIPESTATUS[*]}}"'],
        capture_output=True,
        text=True,
        env=env,
        cwd=endless.directory,
        timeout=30,
    )


class TestExitCodes:
    def test_a_finished_command_is_0(self, alphapulse):
        done = alphapulse("--version")
        assert (done.code, done.stderr) == (0, "")
        assert done.stdout.startswith("alphapulse ")

    def test_python_dash_m_is_the_same(self, alphapulse):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "alphapulse_cli", "--version"],
            capture_output=True,
            text=True,
            env=alphapulse.environment(),
        )
        assert (done.returncode, done.stdout) == (0, alphapulse("--version").stdout)

    @pytest.mark.parametrize("line", [["nonsense"], ["config", "nonsense"], ["version", "--nonsense"], ["config", "show", "extra"]])
    def test_a_wrong_command_line_is_2(self, alphapulse, line):
        done = alphapulse(*line)
        assert (done.code, done.stdout) == (2, "")
        assert [part.split(":")[0] for part in done.stderr.splitlines()] == ["error", "hint"]

    @pytest.mark.parametrize(
        ("line", "path"),
        [(["collect", "--url"], "alphapulse collect"), (["tail", "deltas", "--count"], "alphapulse tail deltas")],
    )
    def test_an_option_without_its_value_names_its_commands_help(self, alphapulse, line, path):
        done = alphapulse(*line)
        assert (done.code, done.stdout) == (2, "")
        assert done.stderr.splitlines() == [f"error: option '{line[-1]}' requires an argument", f"hint: {path} --help"]

    def test_a_wrong_configuration_is_2_and_names_the_file(self, alphapulse):
        (alphapulse.directory / "alphapulse.toml").write_text("shm_dirr = '/x'")
        done = alphapulse("config", "show")
        assert done.code == 2
        assert "alphapulse.toml: unknown key 'shm_dirr'" in done.stderr
        assert "hint: did you mean 'shm_dir'?" in done.stderr

    def test_an_error_has_its_own_code_and_its_hint(self, endless):
        done = endless("endless", "fail", "integrity")
        assert done.code == 4
        assert done.stderr == "error: replica of BTC\\x1b[2J-USD differs\\nfrom its writer\nhint: alphapulse segments\n"

    def test_the_worlds_mistake_is_1_without_a_traceback(self, endless):
        done = endless("endless", "fail", "world")
        assert done.code == 1
        assert done.stderr == "error: No such file or directory: /nowhere/at\\x1ball\n"

    def test_our_mistake_is_1_and_says_how_to_see_the_traceback(self, endless):
        done = endless("endless", "fail", "ours")
        assert done.code == 1
        assert done.stderr.splitlines()[0] == "error: internal error: ZeroDivisionError: division\\nby\\x1b[2Jzero"
        assert "-v" in done.stderr
        assert "Traceback" not in done.stderr

    def test_with_v_our_mistake_shows_the_traceback(self, endless):
        for line in (["-v", "endless", "fail", "ours"], ["endless", "fail", "ours", "-v"]):
            done = endless(*line)
            assert done.code == 1
            assert "Traceback" in done.stderr
            assert "\x1b" not in done.stderr

    def test_a_command_may_choose_its_code(self, endless):
        assert endless("endless", "fail", "exit").code == 5


class TestClosedPipes:
    def test_head_ends_an_endless_command_quietly(self, endless):
        done = shell(endless, "$A endless rows | head -n 2")
        assert done.stdout.splitlines() == ['{"number":0,"symbol":"BTC-USD"}', '{"number":1,"symbol":"BTC-USD"}', "0 0"]
        assert done.stderr == ""

    def test_output_that_fits_the_buffer_of_a_closed_pipe_ends_quietly(self, endless):
        """The last write happens when the interpreter flushes: that one must be quiet, too."""
        done = shell(endless, "$A endless rows --count 1 | true")
        assert (done.stdout, done.stderr) == ("0 0\n", "")

    def test_help_into_a_closed_pipe_ends_quietly(self, endless):
        done = shell(endless, "$A --help | true")
        assert (done.stdout, done.stderr) == ("0 0\n", "")

    @pytest.mark.parametrize("line", ["$A --help >&-", "$A endless rows --count 1 >&-", "$A endless nonsense 2>&-"])
    def test_a_stream_that_was_never_open_is_no_mistake_of_ours(self, endless, line):
        done = shell(endless, line)
        assert "Traceback" not in done.stderr
        assert done.stdout.strip() in {"0", "2"}

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
    @pytest.mark.parametrize("line", ["$A --help >/dev/full", "$A endless rows >/dev/full"])
    def test_a_full_disk_is_one_line_and_1(self, endless, line):
        done = shell(endless, line)
        assert done.stderr == "error: No space left on device\n"
        assert done.stdout == "1\n"


class TestWhatIsCut:
    @pytest.mark.parametrize(("number", "is_told"), [(signal.SIGTERM, True), (signal.SIGHUP, True), (signal.SIGQUIT, False)])
    @pytest.mark.parametrize(
        ("line", "where", "what"),
        [
            (
                ["export", "x", "--to", "csv", "--output", "out"],
                "alphapulse_cli.apps.export.export.export_to",
                "the export was not finished",
            ),
            (["candles", "x"], "alphapulse_cli.apps.candles.api.of_files", "not all candles were shown"),
            (["verify", "."], "alphapulse_cli.apps.verify.verify.certify", "nothing was proved"),
        ],
        ids=["export", "candles", "verify"],
    )
    def test_a_signal_that_gives_0_is_told_where_not_all_was_done(self, quick, monkeypatch, line, where, what, number, is_told):
        def ended(*_, **__):
            raise process.Ended(number)

        monkeypatch.setattr(where, ended)
        monkeypatch.setattr("alphapulse_cli.apps.verify.verify.chosen", lambda *_: [])
        done = quick(*line)
        assert (done.code, done.stdout) == (0 if is_told else 130, "")
        assert done.stderr == (f"warning: {what}: a signal ended the command\n" if is_told else "")


class TestSignals:
    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGQUIT, 130)]
    )
    def test_what_was_open_is_closed_and_the_code_is_ours(self, endless, number, code):
        process = endless.start("endless", "wait")
        assert process.stdout.readline() == b"waiting\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (code, b"closed\n", b"")

    @pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
    def test_what_we_were_started_to_ignore_is_ignored(self, endless, number):
        """As `nohup` does: the command goes on, and SIGINT still ends it."""
        ignored = "import os, signal, sys; signal.signal(int(sys.argv[1]), signal.SIG_IGN); os.execv(sys.argv[2], sys.argv[2:])"
        line = [sys.executable, "-c", ignored, str(int(number)), *endless.command, "endless", "rows"]
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=endless.environment()) as process:
            endless.started.append(process)
            process.stdout.readline()
            process.send_signal(number)
            for _ in range(1000):  # more than any pipe holds
                assert process.stdout.readline().endswith(b"}\n")
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            assert process.wait(20) == 130

    def test_an_endless_stream_is_interrupted_with_whole_lines(self, endless):
        process = endless.start("endless", "rows")
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (130, b"")
        assert first.endswith(b"}\n")
        assert out.endswith(b"}\n")


class TestTerminals:
    def test_ctrl_c_at_a_terminal_gives_it_back(self, endless):
        """The cursor is shown again and the modes are as before, though the command had a terminal's stdin and stdout."""
        outer, inner = pty.openpty()
        process = subprocess.Popen(
            [*endless.command, "endless", "wait"],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env=endless.environment(),
            start_new_session=True,
        )
        endless.started.append(process)
        os.close(inner)
        seen = b""
        while b"waiting" not in seen:
            seen += os.read(outer, 1024)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        while b"\x1b[?25h" not in seen:
            seen += os.read(outer, 1024)
        os.close(outer)
        assert b"closed" in seen
        assert b"Traceback" not in seen

    def test_a_pipe_gets_json_and_a_terminal_a_table(self, alphapulse):
        assert alphapulse("config", "show").stdout.startswith('{"key":"shm_dir"')
        on_terminal = at_terminal(alphapulse, "config", "show")
        assert "shm_dir" in on_terminal
        assert "{" not in on_terminal.replace("\x1b[", "")

    def test_no_color_and_dumb_terminals_get_no_escapes(self, alphapulse):
        assert "\x1b" in at_terminal(alphapulse, "config", "show")
        for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"ALPHAPULSE_COLOR": "never"}):
            assert "\x1b" not in at_terminal(alphapulse, "config", "show", **environment), environment

    def test_errors_are_coloured_only_where_wanted(self, alphapulse):
        assert "\x1b" not in alphapulse("nonsense").stderr
        assert "\x1b[1;31merror:\x1b[0m" in alphapulse("nonsense", FORCE_COLOR="1").stderr


def at_terminal(runner, *arguments, **environment):
    """What the command printed on a pseudo-terminal."""
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [*runner.command, *arguments],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        env=runner.environment(**environment),
        cwd=runner.directory,
        start_new_session=True,
    )
    runner.started.append(process)
    os.close(inner)
    seen = b""
    while True:
        try:
            part = os.read(outer, 65_536)
        except OSError:  # Linux says EIO when the other side has closed
            break
        if not part:
            break
        seen += part
    os.close(outer)
    process.wait(20)
    return seen.decode()


@pytest.mark.parametrize("most", [5, 8, 10, 12, 14])
def test_too_few_descriptors_are_told_in_a_line_and_nothing_else(alphapulse, most):
    """However many are missing: no warning of Python's, no trace of asyncio's."""
    line = f"ulimit -n {most}; exec {' '.join(alphapulse.command)} collect --exchange kraken --url ws://127.0.0.1:9 --duration 1s"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, env=alphapulse.environment(), cwd=alphapulse.directory, timeout=30
    )
    said = [
        text for text in done.stderr.splitlines() if not text.startswith(("error: ", "hint: ", "warning: kraken: waiting for "))
    ]
    assert (
        done.returncode in (1, 6) or "Fatal Python error" in done.stderr or "OSError: [Errno 24]" in done.stderr
    )  # Python's own start
    assert not any("RuntimeWarning" in text or "asyncio" in text for text in said), done.stderr


SWALLOWING = """
import os, sys, threading, time
from alphapulse_cli.edges import process

class Swallows:
    def __del__(self):
        os.kill(os.getpid(), {number})
        sum(range(10_000))  # the signal's handler runs here, and what it raises is lost

if {mutant}:
    process._send_again = sys.__unraisablehook__
if {lingers}:  # as on a busy machine: the hook is still at work when the signal would come again
    start = threading.Thread.start
    threading.Thread.start = lambda thread: (start(thread), time.sleep(0.2))
if {hurries}:
    process._kill_after_the_hook = lambda number: os.kill(os.getpid(), number)
try:
    with process.signals():
        Swallows()
        print("lost", flush=True)
        sys.stdin.read()
except KeyboardInterrupt:
    sys.exit(130)
"""


class TestASignalInsideADestructor:
    """Segments that are let go of have one, and a reader lets go of some twice a second."""

    def ends(self, number, limit_s, *, mutant=False, lingers=False, hurries=False):
        program = SWALLOWING.format(number=int(number), mutant=mutant, lingers=lingers, hurries=hurries)
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            assert process.stdout.readline() == b"lost\n"
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            process.kill()
            process.communicate()

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), (signal.SIGQUIT, 130)])
    def test_a_signal_inside_a_destructor_is_not_lost(self, number, code):
        assert self.ends(number, 30) == code

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_inside_a_destructor_is_not_lost_in_the_hook_either(self, number):
        assert self.ends(number, 30, lingers=True) == (130 if number == signal.SIGINT else 0)

    def test_sent_again_while_the_hook_is_at_work_it_is_lost(self):
        assert self.ends(signal.SIGTERM, 1, lingers=True, hurries=True) is None

    def test_a_signal_inside_a_destructor_is_lost_without_the_hook(self):
        assert self.ends(signal.SIGTERM, 1, mutant=True) is None
