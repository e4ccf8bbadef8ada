"""Streams of a recording: rows that are not yet in a Parquet file, as Arrow IPC streams below DIR/.open/.

    .open/kraken.lock                            held by the recorder of the set, for as long as it runs
    .open/kraken-<epoch>-<part>.deltas.arrows    complete batches, compressed; the last one may be torn where its writer was killed

Each batch carries a checksum of its rows and of all before it: zstd in Arrow has none, and a flipped bit of a disk would become another
price. The schema's metadata names the version. Rule: a stream without one (version 1) is read without checksums; one of a greater version is
left where it is, and told.

A stream becomes the files of its rows, one for each day in UTC, and goes once they are renamed. Their names follow from the stream, so that
whoever turns it into files again, after a crash at any moment, finds those that are there already: a row appears once.
"""

import contextlib
import fcntl
import itertools
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from alphapulse_cli.edges.capture.files import PRIVATE_FILE, PRIVATE_FOLDER
from alphapulse_cli.edges.columns import rows as row_columns
from alphapulse_cli.edges.columns.places import day_of, file_name, folder_of
from alphapulse_cli.edges.columns.reading import OPEN
from alphapulse_cli.edges.columns.schema import DECIMAL_SCALE, TABLES
from alphapulse_cli.edges.columns.writing import UNFINISHED, write_file
from alphapulse_cli.errors import StorageError, WriterAlive

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".arrows"
DAMAGED = ".damaged"  # behind the name of a stream that could not be read to its end
EXCHANGE, SET, STREAM_VERSION = b"exchange", b"set", b"version"  # in a stream's metadata
CHECKSUM = b"crc32"  # in that of a batch
VERSION = 2  # of a stream
TOLD_OF_A_RECORDING = ("snapshot", "missed", "restarted", "begun", "ended")  # kinds of `status` that are of no record
PROBE_BYTES = 1 << 20
DAY_NS = 86_400_000_000_000
_NAME = re.compile(r"(?P<set>.+)-(?P<epoch>\d+)-(?P<part>\d+)\.(?P<table>[a-z]+)\.arrows")


@dataclass(frozen=True, slots=True)
class Place:
    """Place of a stream: all tables of one part of a recording differ by the table only."""

    dataset: Path
    exchange: str
    set_name: str
    epoch: int
    part: int

    def stream(self, table: str) -> Path:
        """Path of the stream of a table."""
        return self.dataset / OPEN / f"{self.set_name}-{self.epoch}-{self.part}.{table}{SUFFIX}"


@dataclass(frozen=True, slots=True)
class Finished:
    """Files that streams became: the number of streams, and of files, rows and bytes; and the bytes of them that could not be read."""

    streams: int = 0
    files: int = 0
    rows: int = 0
    file_bytes: int = 0
    unread_bytes: int = 0

    def __add__(self, other: "Finished") -> "Finished":
        return Finished(
            self.streams + other.streams,
            self.files + other.files,
            self.rows + other.rows,
            self.file_bytes + other.file_bytes,
            self.unread_bytes + other.unread_bytes,
        )


class Stream:
    """Stream of one table that is being written. OSError where the file cannot be made."""

    def __init__(self, place: Place, table: str) -> None:
        import pyarrow as pa

        self.table, self.path = table, place.stream(table)
        self.stream_bytes = self.rows = 0
        schema = row_columns.stream_schema(table)
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
        self._sink = _Sink()
        names = {EXCHANGE: place.exchange.encode(), SET: place.set_name.encode()}
        self._checksum = _checksum_of(names)
        names[STREAM_VERSION] = str(VERSION).encode()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        self._writer = pa.ipc.new_stream(pa.PythonFile(self._sink, "w"), schema.with_metadata(names), options=options)
        try:
            self._flush()
        except OSError:
            self.path.unlink()
            raise

    def write(self, batch: "pa.RecordBatch") -> None:
        """Write rows as one batch. OSError: then none of them is in the stream."""
        checksum = _checksum(batch, self._checksum)
        self._writer.write_batch(batch, custom_metadata={CHECKSUM: f"{checksum:08x}".encode()})
        self._flush()
        self._checksum = checksum
        self.rows += len(batch)

    def _flush(self) -> None:
        """Write what the sink holds, the whole or nothing of it."""
        data = memoryview(self._sink.taken())
        length = len(data)
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError:
            os.ftruncate(self._file, self.stream_bytes)
            os.lseek(self._file, self.stream_bytes, os.SEEK_SET)
            raise
        self.stream_bytes += length

    def close(self) -> None:
        """Close the file: it is complete."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class _Sink:
    """File in memory, emptied by `taken`."""

    closed = False

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def taken(self) -> bytes:
        found, self._held = bytes(self._held), bytearray()
        return found

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """Content of a stream: complete batches (None where not even its schema can be read), names, and the unreadable bytes behind."""

    rows: "pa.Table | None"
    exchange: str = ""
    set_name: str = ""
    unread_bytes: int = 0


def read_stream(path: Path) -> Streamed:
    """Read a stream up to where it is torn or damaged. OSError where the disk does not give its bytes; StorageError for a greater version."""
    import pyarrow as pa

    data = pa.py_buffer(path.read_bytes())  # what is not to be had from the disk is no torn stream
    batches: list[pa.RecordBatch] = []
    try:
        file = pa.BufferReader(data)
        reader = pa.ipc.open_stream(file)
        schema = reader.schema
        if not schema.equals(row_columns.stream_schema(path.name.split(".")[-2])):
            return Streamed(None, unread_bytes=data.size)
        names = {name: value.decode() for name, value in (schema.metadata or {}).items()}
        version = _known_version(path, names.get(STREAM_VERSION, "1"))
        read_bytes, checksum = file.tell(), _checksum_of({name: names[name].encode() for name in (EXCHANGE, SET)})
        with contextlib.suppress(pa.ArrowException, OSError, EOFError, StopIteration):  # torn: a message or its body is cut short
            while True:
                batch, metadata = reader.read_next_batch_with_custom_metadata()
                _check(batch)
                checksum = _checksum(batch, checksum)
                told = None if metadata is None else metadata.get(CHECKSUM)
                if told != f"{checksum:08x}".encode() and not (told is None and version == 1):
                    break
                batches.append(batch)
                read_bytes = file.tell()
        rows = pa.Table.from_batches(batches, schema).replace_schema_metadata(None)
        return Streamed(rows, names[EXCHANGE], names[SET], data.size - read_bytes)
    except (pa.ArrowException, OSError, EOFError, KeyError, ValueError):  # UnicodeDecodeError is one
        return Streamed(None, unread_bytes=data.size)


def _known_version(path: Path, text: str) -> int:
    """Version of a stream. StorageError for a greater one: what it holds must not be taken for damaged; ValueError for no number."""
    version = int(text)
    if version > VERSION:
        raise StorageError(
            f"{path}: version {version} of a stream, known is {VERSION}",
            "recover it with a newer alphapulse: pip install -U alphapulse",
        )
    return version


def _checksum_of(names: dict[bytes, bytes]) -> int:
    """Checksum before the first batch: of the names that become the path of the files."""
    return zlib.crc32(b"\n".join((names[EXCHANGE], names[SET])))


def _checksum(batch: "pa.RecordBatch", before: int) -> int:
    """CRC-32 of the rows of a batch, behind that of the batches before it: of the values, whatever bytes Arrow puts around them."""
    import numpy as np
    import pyarrow.compute as pc

    found = zlib.crc32(len(batch).to_bytes(8, "little"), before)
    for column in batch.columns:
        is_text = str(column.type) == "string"
        if column.null_count:
            found = zlib.crc32(np.packbits(column.is_valid().to_numpy(zero_copy_only=False)).data, found)
        numbers = pc.binary_length(column) if is_text else column
        if numbers.null_count:
            numbers = numbers.fill_null(0)
        values = numbers.to_numpy(zero_copy_only=False)
        found = zlib.crc32(np.ascontiguousarray(values).data, found)
        if is_text:
            found = zlib.crc32(_texts(column), found)
    return found


def _texts(column: "pa.Array") -> memoryview:
    """Bytes of the texts of a column, one behind the other."""
    _, offsets, data = column.buffers()
    if offsets is None or data is None:
        return memoryview(b"")
    places = memoryview(offsets).cast("B").cast("i")
    return memoryview(data)[places[column.offset] : places[column.offset + len(column)]]


def _check(batch: "pa.RecordBatch") -> None:
    """Check that a batch holds what a recorder wrote: damaged offsets would end this process. ArrowInvalid."""
    import pyarrow as pa
    import pyarrow.compute as pc

    batch.validate(full=True)
    for name in ("price_decimals", "size_decimals"):
        if name in batch.schema.names and len(batch):
            span = pc.min_max(batch.column(name)).as_py()
            if not 0 <= span["min"] <= span["max"] <= DECIMAL_SCALE:
                raise pa.ArrowInvalid(f"{name} of {span['min']} to {span['max']}")


def finish(dataset: Path, path: Path) -> Finished:
    """Turn a closed stream into files, one a day, and remove it; one that cannot be read to its end stays under another name. OSError: then the stream is still there."""
    import pyarrow.compute as pc

    found = _NAME.fullmatch(path.name)
    assert found is not None
    table, done = found["table"], Finished()
    held = read_stream(path)
    rows = held.rows
    if rows is not None and rows.num_rows:
        times = rows.column("timestamp_ns")
        spans = pc.divide(times, DAY_NS)
        days = sorted(pc.unique(spans).to_pylist())
        for span in days:
            of_day = rows if len(days) == 1 else rows.filter(pc.equal(spans, span))
            first_ns = pc.min(of_day.column("timestamp_ns")).as_py()
            name = file_name(held.set_name, int(found["epoch"]), first_ns, int(found["part"]))
            target = folder_of(dataset, table, held.exchange, day_of(first_ns)) / name
            if target.exists():  # renamed before the crash
                continue
            size = write_file(target, table, of_day, held.exchange, held.set_name)
            done += Finished(0, 1, of_day.num_rows, size)
            _sync_folder(target.parent)
    if held.unread_bytes:
        path.rename(_free_name(path))
    else:
        path.unlink()
    return done + Finished(streams=1, unread_bytes=held.unread_bytes)


def _free_name(path: Path) -> Path:
    """Name under which a damaged stream stays: a part that left no files may have its number again."""
    names = itertools.chain((f"{path.name}{DAMAGED}",), (f"{path.name}.{number}{DAMAGED}" for number in itertools.count(2)))
    return next(one for one in map(path.with_name, names) if not one.exists())


def open_folder(dataset: Path) -> Path:
    """Make the folder of streams, and the dataset, if they are not there. StorageError."""
    folder = dataset / OPEN
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(f"cannot write in the folder {folder}: permission denied")
    return folder


def lock(dataset: Path, set_name: str) -> IO[bytes]:
    """Lock a set of a dataset for this process, until the file is closed. WriterAlive where another records it; StorageError."""
    path = open_folder(dataset) / f"{set_name}.lock"
    try:
        held = path.open("ab", buffering=0)
    except OSError as error:
        raise StorageError(f"cannot open {path}: {error.strerror}") from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        raise WriterAlive(
            f"another process records {set_name} into {dataset}", "name another folder, or end that one first"
        ) from None
    return held


def left_streams(dataset: Path) -> dict[str, list[Path]]:
    """Streams that there are, by set, the oldest part first."""
    found: dict[str, list[tuple[int, int, Path]]] = {}
    for path in (dataset / OPEN).glob(f"*{SUFFIX}"):
        name = _NAME.fullmatch(path.name)
        if name is not None and name["table"] in TABLES:
            found.setdefault(name["set"], []).append((int(name["epoch"]), int(name["part"]), path))
    return {name: [path for *_, path in sorted(paths)] for name, paths in sorted(found.items())}


def recover(dataset: Path, set_name: str) -> Finished:
    """Turn the streams that a killed recorder of a set left into files. The caller holds the set's lock. OSError."""
    done = Finished()
    for path in left_streams(dataset).get(set_name, ()):
        done += finish(dataset, path)
    for table in TABLES:  # files whose writer was killed: their streams have just been turned into files
        for path in (dataset / table).glob(f"exchange=*/day=*/{set_name}-*{UNFINISHED}"):
            if re.fullmatch(re.escape(set_name) + r"-\d+-\d+-\d+\.parquet" + re.escape(UNFINISHED), path.name):
                path.unlink()
    return done


def parts_of(dataset: Path, set_name: str) -> Iterator[tuple[int, int, Path]]:
    """Iterate over the (epoch, part, path) of all files and streams of a set."""
    name = re.compile(re.escape(set_name) + r"-(?P<epoch>\d+)-\d+-(?P<part>\d+)\.parquet")
    for table in TABLES:
        for path in (dataset / table).glob("exchange=*/day=*/*.parquet"):
            found = name.fullmatch(path.name)
            if found is not None:
                yield int(found["epoch"]), int(found["part"]), path
    for path in left_streams(dataset).get(set_name, ()):
        stream = _NAME.fullmatch(path.name)
        assert stream is not None
        yield int(stream["epoch"]), int(stream["part"]), path


def last_sequences(dataset: Path, set_name: str, epoch: int) -> dict[str, int]:
    """Greatest sequence of the records in each table but snapshots, in the files of an epoch of a set. OSError."""
    parts = sorted((part, path) for of, part, path in parts_of(dataset, set_name) if of == epoch and path.suffix == ".parquet")
    found: dict[str, int] = {}
    newest: dict[str, int] = {}  # part, by table
    for part, path in reversed(parts):
        table = path.parent.parent.parent.name
        if table == "snapshots" or part < newest.get(table, part):
            continue
        last = _last_sequence(table, path)
        if last is not None:
            newest[table] = part
            found[table] = max(last, found.get(table, last))
    return found


def _last_sequence(table: str, path: Path) -> int | None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        rows = pq.ParquetFile(path).read(columns=["sequence", *(["kind"] if table == "status" else [])])
    except pa.ArrowException as problem:
        raise OSError(f"{path.name}: {str(problem).partition(chr(10))[0]}") from problem
    if table == "status":
        rows = rows.filter(pc.invert(pc.is_in(rows.column("kind"), pa.array(TOLD_OF_A_RECORDING))))
    last: int | None = pc.max(rows.column("sequence")).as_py()
    return last


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def probe(dataset: Path) -> None:
    """Write PROBE_BYTES to the dataset's disk, and remove them. OSError."""
    path = dataset / OPEN / "probe"
    try:
        path.write_bytes(bytes(PROBE_BYTES))
    finally:
        path.unlink(missing_ok=True)


def failed(dataset: Path, error: OSError) -> StorageError:
    """StorageError for what left streams could not be turned into."""
    return StorageError(
        f"cannot write the files of {dataset}: {(error.strerror or str(error)).lower()}", "the streams are still there"
    )


def left(dataset: Path, reason: str) -> StorageError:
    """StorageError for streams that stay at the end of a recording."""
    return StorageError(f"not all files were written: {reason}", f"once there is room: alphapulse record --recover {dataset}")
