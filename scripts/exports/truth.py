"""Books of a capture at many instants, as `ap.replay` shows them: what the tools' books are compared with.

A file for each market: `ns` the instants, and for each side the levels of all instants one after another, with their number at each.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import alphapulse_cli as ap
from alphapulse_cli.readers.api import FollowUpdate
from alphapulse_cli.wire.delta import BookState

INSTANTS, LEVELS = 1000, 400  # levels a side, the best ones; a smaller book is compared whole
BELIEVED = (BookState.LIVE, BookState.STALE)


def write_truth(captures: Path, folder: Path) -> dict[str, Path]:
    """Write the books at INSTANTS instants for each market of the captures, evenly over its updates; the files by set-symbol.

    Left out are instants between a frame's own receive time and a later time that was captured before it: whether the frame was known then
    depends on whose time counts, and an export of one market does not know the times of the others.
    """
    times: dict[str, list[int]] = {}
    unclear: dict[str, list[tuple[int, int]]] = {}  # from the first on, before the second
    for now_ns, update in _updates(captures):
        name = f"{update.set_name}-{update.symbol}"
        times.setdefault(name, []).append(now_ns)
        if update.version and update.timestamp_ns < now_ns:
            unclear.setdefault(name, []).append((update.timestamp_ns, now_ns))
    wanted = {}
    for name, found in times.items():
        distinct = [
            time_ns for time_ns in sorted(set(found)) if not any(begin <= time_ns < end for begin, end in unclear.get(name, ()))
        ]
        places = np.linspace(0, len(distinct) - 1, min(INSTANTS, len(distinct)), dtype=np.int64)
        wanted[name] = {distinct[place] for place in places}
    books: dict[str, dict[int, tuple[np.ndarray, np.ndarray] | None]] = {}
    for now_ns, update in _updates(captures):
        name = f"{update.set_name}-{update.symbol}"
        if now_ns in wanted[name]:
            is_believed = update.state in BELIEVED and update.version
            now = update.copy(LEVELS) if is_believed else None  # the last of a time counts
            books.setdefault(name, {})[now_ns] = None if now is None else (now.bids, now.asks)
    return {name: _write(folder / f"{name}.truth.npz", found) for name, found in books.items()}


def _updates(captures: Path) -> Iterator[tuple[int, FollowUpdate]]:
    """Iterate over updates, each with the time at which it was known: a book that waited for its snapshot has groups of earlier frames."""
    replaying = ap.replay(captures)
    for update in replaying:
        yield replaying._playback.now_ns, update  # noqa: SLF001 - an update has the time of its last frame alone


def _write(path: Path, found: dict[int, tuple[np.ndarray, np.ndarray] | None]) -> Path:
    times = [time_ns for time_ns in sorted(found) if found[time_ns] is not None]
    columns = {"ns": np.array(times, dtype=np.int64)}
    for number, side in enumerate(("bids", "asks")):
        sides = [levels[number] for time_ns in times if (levels := found[time_ns]) is not None]
        columns[f"{side}_counts"] = np.array([len(one) for one in sides], dtype=np.int64)
        columns[side] = np.concatenate([np.zeros((0, 2), dtype=np.int64), *sides])
    np.savez(path, allow_pickle=False, **columns)
    return path
