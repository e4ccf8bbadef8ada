"""What every test stands on: the suite runs what it believes it runs, and commands run as a user runs them.

`scripts/test` sets ALPHAPULSE_EXPECT to compiled or interpreted. Then the session begins only if the core is in that mode, wholly,
and comes from an installed package and not from the source tree beside the tests. Unset (a quick run by hand), it is reported only.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import alphapulse_cli
from alphapulse_cli import build

ROOT = Path(__file__).resolve().parent.parent
EXPECT = os.environ.get("ALPHAPULSE_EXPECT", "")
PACKAGE = Path(alphapulse_cli.__file__).resolve().parent


def pytest_sessionstart(session: pytest.Session) -> None:
    """Stop before the first test if this is not the package, or not the mode, that was meant to be tested."""
    if not EXPECT:
        return
    try:
        mode = build.core_mode()
    except (RuntimeError, ImportError) as error:
        pytest.exit(f"the core cannot be tested: {error}", returncode=3)
    if mode != EXPECT:
        pytest.exit(f"the core is {mode}, ALPHAPULSE_EXPECT={EXPECT}", returncode=3)
    if PACKAGE == ROOT / "alphapulse_cli":
        pytest.exit(f"alphapulse_cli is the source tree {PACKAGE}, not the installed package; run scripts/test", returncode=3)


def pytest_report_header(config: pytest.Config) -> str:
    try:
        mode = build.core_mode()
    except (RuntimeError, ImportError) as error:
        mode = f"unknown ({error})"
    return f"alphapulse: {mode} core, {PACKAGE}, {sys.executable} {sys.version.split()[0]}"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


@dataclass
class Runner:
    """The `alphapulse` command as a process of its own, in an empty directory, with an environment that knows nothing of ours."""

    directory: Path
    shm_dir: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def command(self) -> list[str]:
        """The installed console script; in a source tree without one, the module."""
        script = Path(sysconfig.get_path("scripts")) / "alphapulse"
        if script.exists() and "PYTHONPATH" not in os.environ:
            return [str(script)]
        return [sys.executable, "-P", "-m", "alphapulse_cli"]

    def environment(self, **changes: str) -> dict[str, str]:
        """PATH, a home and the segments' directory, and the changes; nothing else of this process's environment."""
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "TMPDIR") if name in os.environ}
        own = {"HOME": str(self.directory), "LANG": "C.UTF-8", "TERM": "xterm", "ALPHAPULSE_SHM_DIR": str(self.shm_dir)}
        return kept | own | changes

    def __call__(self, *arguments: str, timeout: float = 30, stdin: bytes = b"", **env: str) -> Done:
        """Run to the end; the test fails when it takes longer than `timeout` seconds."""
        done = subprocess.run(
            [*self.command, *arguments],
            input=stdin,
            capture_output=True,
            cwd=self.directory,
            env=self.environment(**env),
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
        """Begin a command in a session of its own; what is left of it at the test's end is killed."""
        process = subprocess.Popen(
            [*self.command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.directory,
            env=self.environment(**env),
            start_new_session=True,
            bufsize=0,  # what a test read a line of, `communicate` must not lose the rest of
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        for process in self.started:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture
def shm_dir() -> Iterator[Path]:
    """A directory for segments of this test alone, in shared memory where there is any."""
    shared = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="alphapulse-test-", dir=shared if os.access(shared, os.W_OK) else None))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def alphapulse(tmp_path: Path, shm_dir: Path) -> Iterator[Runner]:
    """`alphapulse("config", "show")` runs the real command; `.start(…)` begins one that has to be stopped."""
    runner = Runner(tmp_path, shm_dir)
    yield runner
    runner.close()
