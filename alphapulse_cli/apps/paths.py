"""Table of every file and directory that alphapulse writes: its path, what moves it, what removes it.

`written` makes the table; `alphapulse doctor --paths` prints it. In a path, `<set>`, `<symbol>`, `<exchange>`, `<pid>`, `<n>` and
`<time>` stand for names that are made at run time. tests/apps/test_paths.py compares the table with what commands leave behind.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alphapulse_cli.edges import paths
from alphapulse_cli.edges.config import layers
from alphapulse_cli.edges.exchange.ledger import FOLDER as LIMITS
from alphapulse_cli.edges.opportunities.store import default_path
from alphapulse_cli.edges.opportunities.watch_counters import WATCHES
from alphapulse_cli.shm.directory import READERS, directory_path

SEGMENTS = "--shm-dir, ALPHAPULSE_SHM_DIR, shm_dir"
SWEEP = "alphapulse segments --sweep"
HERE = "the current directory"


@dataclass(frozen=True, slots=True)
class WrittenPath:
    """One kind of file or directory that alphapulse writes, and the commands that write and remove it."""

    what: str
    path: str  # "" if the user has no home directory for it
    moved_by: str  # option, variable or configuration key that sets the directory
    written_by: str
    removed_by: str
    is_there: bool | None  # whether it exists; None if the name is made at run time


def written(shm_dir: str | None) -> Iterator[WrittenPath]:
    """The table, with the paths of this user, environment and current directory."""
    yield from _beside_the_segments(directory_path(shm_dir))
    yield from _of_the_user()
    yield from _in_the_current_directory()


def _beside_the_segments(directory: Path) -> Iterator[WrittenPath]:
    yield _row("directory of the segments", directory, SEGMENTS, "alphapulse collect, demo, bench", f"rm -r {directory}")
    for what, name, by, removed in (
        ("ring of deltas", "<set>_orderbook_deltas", "alphapulse collect", SWEEP),
        ("ring of trades", "<set>_trades", "alphapulse collect", SWEEP),
        ("book image", "<set>_book_<symbol>", "alphapulse collect", SWEEP),
        ("counters", "<set>_counters", "alphapulse collect", SWEEP),
        ("segment being created", ".new-<pid>-<time>-<n>", "alphapulse collect", SWEEP),
        ("lock of the set", "<set>.lock", "alphapulse collect", "rm, while nothing collects the set"),
        ("scores of the feed", "<set>.scores", "alphapulse collect", "rm, while nothing collects the set"),
        ("checkpoints of the scores", "<set>.scores-past", "alphapulse collect", "rm, while nothing collects the set"),
        ("control socket", "<set>.control", "alphapulse collect", "its end; the next start"),
        ("wake page", "<set>.wake", "alphapulse collect", "nothing"),
        ("cursor of a reader", f"{READERS}/<pid namespace>-<pid>-<time>-<n>", "every reader", f"its end; {SWEEP}"),
        ("limits of an exchange", f"{LIMITS}/<exchange>", "alphapulse collect", "nothing; for a simulator, an hour"),
        ("counters of an arbitrage watch", f"{WATCHES}/<pid>-<time>", "alphapulse arb watch", "its end; the next watch"),
        ("segments of a benchmark", "bench-<pid>/", "alphapulse bench", "its end; the next benchmark"),
    ):
        yield _row(what, directory / name, SEGMENTS, by, removed)


def _of_the_user() -> Iterator[WrittenPath]:
    config, store, state = layers.user_file(), default_path(), paths.user_directory(paths.STATE)
    yield _row("configuration of the user", config, paths.CONFIG[0], "alphapulse config init", "rm")
    yield _row(
        "opportunities that were seen",
        store,
        f"--store, {paths.STATE[0]}",
        "alphapulse arb watch, unless --no-keep",
        "rm, with -wal, -shm",
    )
    screen = state and state / paths.PREFERENCES
    yield _row("preferences of the live screen", screen, paths.STATE[0], "alphapulse tui, demo", "rm")


def _in_the_current_directory() -> Iterator[WrittenPath]:
    here = Path.cwd()
    yield _row("configuration of a project", here / layers.PROJECT_FILE, HERE, "alphapulse config init --here", "rm")
    yield _row("picture of the live screen", here / "alphapulse-<screen>-<time>.svg", HERE, "s in alphapulse tui", "rm")
    for what, named, by in (
        ("captures", "collect --capture DIR, capture", "alphapulse collect, capture"),
        ("dataset", "record DIR", "alphapulse record"),
        ("export", "export --output DIR", "alphapulse export"),
    ):
        yield WrittenPath(what, "", named, by, "rm -r", None)
    yield WrittenPath("saved benchmark", "", "bench --save FILE", "alphapulse bench --save FILE", "rm", None)
    yield WrittenPath(
        "completion of the shell", "", "the shell's own place", "alphapulse --install-completion, which prints where", "rm", None
    )


def _row(what: str, path: Path | None, moved_by: str, written_by: str, removed_by: str) -> WrittenPath:
    known = path is not None and "<" not in str(path)
    is_there = path.exists() if path is not None and known and paths.is_visible(path) else None
    return WrittenPath(what, "" if path is None else str(path), moved_by, written_by, removed_by, is_there)
