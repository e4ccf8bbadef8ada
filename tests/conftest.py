"""What every test stands on: the suite runs what it believes it runs, and commands run as a user runs them.

`scripts/test` sets ALPHAPULSE_EXPECT to compiled or interpreted. Then the session begins only if the core is in that mode, wholly,
and comes from an installed package and not from the source tree beside the tests. Unset (a quick run by hand), it is reported only.
"""

import asyncio
import contextlib
import gc
import importlib.metadata
import inspect
import operator
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
from typing import Any

import hypothesis
import pytest
from support import once
from support.campaigns import size

import alphapulse_cli
from alphapulse_cli import build

ROOT = Path(__file__).resolve().parent.parent
EXPECT = os.environ.get("ALPHAPULSE_EXPECT", "")
PACKAGE = Path(alphapulse_cli.__file__).resolve().parent

# The same examples in each run, and no example fails because a busy machine was slow at it. `--hypothesis-profile=random` looks for new ones.
# A campaign tries as many as hypothesis does by itself, the suite half of them.
SLOW_IS_FINE: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("same", derandomize=True, max_examples=size(50, 100), **SLOW_IS_FINE)
hypothesis.settings.register_profile("random", **SLOW_IS_FINE)
hypothesis.settings.load_profile("same")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Stop before the first test if this is not the package, or not the mode, that was meant to be tested."""
    # Started as `scripts/test &` by a script, this process ignores SIGINT, and every command under test would.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
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


# The files that take longest, the longest first; all others follow in the usual order. Processes take whole files in turn: one of these
# at the end would leave the others without work.
LONGEST_FIRST = (
    "chaos/test_chaos.py",
    "e2e/test_record.py",
    "cli/test_bench_command.py",
    "tui/books/test_books.py",
    "e2e/test_collect_endings.py",
    "apps/collect/test_collect.py",
    "tui/test_app.py",
    "e2e/test_river.py",
    "e2e/test_live_screen.py",
    "cli/test_options.py",
    "edges/exchange/test_session.py",
    "tui/test_never_frozen.py",
    "apps/arb/test_planted.py",
    "e2e/test_typed_advice.py",
    "e2e/test_unread_output.py",
    "apps/collect/test_capture.py",
    "tui/test_snapshots.py",
    "tui/test_scrubber.py",
    "e2e/test_writers_and_readers.py",
    "edges/opportunities/test_store.py",
    "sim/test_simulated_protocols.py",
    "package/test_package.py",
    "docs/test_tutorial.py",
    "tui/test_tui_command.py",
    "e2e/test_past.py",
    "cli/test_endings.py",
    "apps/test_conformance.py",
    "chaos/test_certificates.py",
    "apps/verify/test_live.py",
    "edges/exchange/test_links.py",
    "apps/record/test_source.py",
    "edges/exchange/test_transport.py",
    "package/test_coverage.py",
    "apps/sql/test_session.py",
    "apps/replay/test_replay.py",
    "cli/test_sql_command.py",
    "stress/test_campaigns.py",
    "stress/test_ring_stress.py",
    "apps/test_demo.py",
    "apps/test_conformance.py",
    "tui/test_overview.py",
    "apps/arb/test_watch.py",
    "stress/test_cut_files.py",
    "tui/test_rings_screen.py",
    "tui/test_latency_screen.py",
    "docs/test_screenshots.py",
    "docs/test_record_and_replay.py",
    "apps/arb/test_history.py",
    "flow/arbitrage/test_triangle.py",
    "flow/arbitrage/test_depth_walk.py",
    "flow/test_histories.py",
)


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what runs once, and put the longest files first, unless the order is to be a random one (scripts/shuffled_runs.sh)."""
    for item in items:
        if item.path in once.FILES:
            item.add_marker("once")
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("campaign")
    if config.pluginmanager.hasplugin("randomly"):
        return
    rank = {ROOT / "tests" / name: number for number, name in enumerate(LONGEST_FIRST)}
    for path in rank:
        if not path.exists():
            raise pytest.UsageError(f"LONGEST_FIRST names {path}, which is not there")
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


ASYNC_LIMIT_S = 60


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test in an event loop of its own. One that hangs fails with the line at which it waits."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), ASYNC_LIMIT_S))
    return True


def pytest_collection_finish() -> None:
    """Keep the garbage collector from walking through thousands of collected tests again and again: a fifth of the screen's tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


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


@pytest.fixture(autouse=True)
def no_commands_state_is_left() -> None:
    """Forget what a command of an earlier test left in this process: -q, a colour, lines held back, settings."""
    for name, forget in (("stderr", "reset"), ("options", "read_settings.cache_clear")):
        module = sys.modules.get(f"alphapulse_cli.cli.{name}")
        if module is not None:
            operator.attrgetter(forget)(module)()


@pytest.fixture(scope="session", autouse=True)
def plug_ins_are_looked_up_once() -> Iterator[None]:
    """Let each command that runs in this process find what the first one found: the look at all that is installed takes longer than most."""
    look = importlib.metadata.entry_points
    known: dict[Any, Any] = {}

    def entry_points(**chosen: Any) -> Any:
        key = (*chosen.items(), *sys.path)
        if key not in known:
            known[key] = look(**chosen)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.metadata, "entry_points", entry_points)
        yield


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
