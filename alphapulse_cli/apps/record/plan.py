"""Plan of a recording: the dataset's folder, what is recorded, and when its files end and go."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from alphapulse_cli.edges.capture.files import LeastFree
from alphapulse_cli.edges.capture.keeping import Keep, Rotation
from alphapulse_cli.edges.columns import streams
from alphapulse_cli.edges.columns.recorder import Recorder
from alphapulse_cli.edges.columns.streams import Finished
from alphapulse_cli.readers.selection import Wanted

Report = Callable[[str, str], None]  # (level, one line of text)
DEFAULT_ROLL = "10m,32MiB"  # a part of that size takes 0.4 GiB of memory while its files are made


@dataclass(frozen=True, slots=True)
class RecordPlan:
    """Plan of a recording into the dataset `folder`."""

    folder: str
    wanted: Wanted = field(default_factory=Wanted)
    roll: Rotation = field(default_factory=lambda: Rotation(600.0, 32 << 20))
    keep: Keep = field(default_factory=Keep)
    least_free: LeastFree = field(default_factory=LeastFree)

    def recorder(self, exchange: str, set_name: str, report: Report) -> Recorder:
        """Make the recorder of a set, and say what it recovered. WriterAlive, StorageError."""

        def named(level: str, message: str) -> None:
            report(level, f"{set_name}: {message}")

        made = Recorder(Path(self.folder), exchange, set_name, named, self.roll, self.keep, self.least_free)
        if made.recovered.streams:
            report("said", recovered_line(set_name, made.recovered))
        return made


def recover(folder: Path) -> dict[str, Finished]:
    """Turn the streams of all sets whose recorder was killed into files; what became of them, by set. WriterAlive, StorageError."""
    done = {}
    for set_name in streams.left_streams(folder):
        with streams.lock(folder, set_name):
            try:
                done[set_name] = streams.recover(folder, set_name)
            except OSError as error:
                raise streams.failed(folder, error) from error
    return done


def recovered_line(set_name: str, done: Finished) -> str:
    """Sentence about streams that were turned into files."""
    unread = f"; {done.unread_bytes} bytes could not be read, kept in .open/*{streams.DAMAGED}" if done.unread_bytes else ""
    return f"{set_name}: recovered {done.rows} rows of a recording that was killed, in {done.files} files{unread}"
