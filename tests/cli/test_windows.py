"""On Windows the command says one line, and imports nothing that could fail before it."""

import subprocess
import sys
from importlib.metadata import entry_points

from alphapulse_cli import __main__

AS_ON_WINDOWS = """
import os, signal, sys
sys.platform = "win32"
for name in ("fcntl", "pwd", "resource", "termios"):
    sys.modules[name] = None
del signal.SIGHUP, signal.SIGQUIT, os.O_NOFOLLOW
from alphapulse_cli.__main__ import main
sys.exit(main())
"""


def test_on_windows_one_line_says_what_to_do():
    done = subprocess.run([sys.executable, "-P", "-c", AS_ON_WINDOWS], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", __main__.NOT_ON_WINDOWS)
    assert "hint: run it in WSL 2" in done.stderr


def test_without_that_line_it_would_be_a_traceback():
    """The test's own mutant: the same surroundings, and the command itself."""
    beneath = AS_ON_WINDOWS.replace("alphapulse_cli.__main__", "alphapulse_cli.cli.app")
    done = subprocess.run([sys.executable, "-P", "-c", beneath], capture_output=True, text=True, timeout=60)
    assert "Traceback" in done.stderr


def test_the_installed_command_begins_there():
    [command] = entry_points(group="console_scripts", name="alphapulse")
    assert command.value == "alphapulse_cli.__main__:main"
