"""Keeping of a dataset: which files of a set are deleted, by the rule of `--keep` that captures have.

All files of one part of a recording go together: what is left can be rebuilt.
"""

import contextlib
from pathlib import Path

from alphapulse_cli.edges.capture.keeping import Keep
from alphapulse_cli.edges.columns.streams import parts_of


def sweep(keep: Keep, dataset: Path, set_name: str, now_ns: int) -> list[Path]:
    """Delete the files of a set that are beyond the bounds, the oldest part first; returns their paths. The newest part stays.

    A part is as old as the time at which the last of its files was written.
    """
    if not (keep.seconds or keep.most_bytes):
        return []
    parts: dict[tuple[int, int], list[tuple[Path, int, int]]] = {}
    for epoch, part, path in parts_of(dataset, set_name):
        with contextlib.suppress(OSError):
            status = path.stat()
            parts.setdefault((epoch, part), []).append((path, status.st_size, status.st_mtime_ns))
    held = sum(size for files in parts.values() for _, size, _ in files)
    gone: list[Path] = []
    for key in sorted(parts)[:-1]:
        files = parts[key]
        ended_ns = max(written_ns for *_, written_ns in files)
        is_old = bool(keep.seconds) and now_ns - ended_ns > keep.seconds * 1e9
        if not (is_old or (keep.most_bytes and held > keep.most_bytes)):
            break
        if any(path.suffix != ".parquet" for path, *_ in files):
            break  # it is being written
        for path, size, _ in files:
            with contextlib.suppress(OSError):
                path.unlink()
                gone.append(path)
                held -= size
                path.parent.rmdir()  # once it is empty
    return gone
