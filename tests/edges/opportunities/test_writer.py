"""The thread that keeps opportunities: nothing that is put waits for it, and no birth or death is lost to a flood of changes."""

import sqlite3
import threading
from contextlib import closing

import pytest
from support.app_parts import wait_until
from support.seen_opportunities import closed, later, seen

from alphapulse_cli.edges.opportunities import store as store_module
from alphapulse_cli.edges.opportunities import writer as writer_module
from alphapulse_cli.edges.opportunities.store import OpportunityStore
from alphapulse_cli.edges.opportunities.writer import QUEUED, StoreWriter
from alphapulse_cli.errors import StorageError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "opportunities.sqlite"


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Nobody waits long before the next attempt."""
    monkeypatch.setattr(writer_module, "RETRY_S", 0.01)


class Gate:
    """A disk that takes nothing until it is opened."""

    def __init__(self, monkeypatch):
        self.is_open = threading.Event()
        self.came = threading.Event()
        real = OpportunityStore.record

        def record(store, some):
            self.came.set()
            assert self.is_open.wait(60)
            real(store, some)

        monkeypatch.setattr(OpportunityStore, "record", record)


@pytest.fixture
def gate(monkeypatch):
    made = Gate(monkeypatch)
    yield made
    made.is_open.set()


def kept(path):
    with OpportunityStore(path, create=False) as store:
        return store.rows()


def ended(writer, gate):
    """Let everything through, to the end."""
    gate.is_open.set()
    writer.close(60)
    assert not writer._thread.is_alive()


def flood(path, gate, make=StoreWriter):
    """While nothing is written: a birth, ten thousand changes of it, others' births up to the bound, its death."""
    writer = make(path)
    one = seen(1)
    writer.put(one)
    for changes in range(1, 10_000):
        writer.put(later(one, changes))
    for number in range(2, QUEUED + 1):
        writer.put(seen(number))
    writer.put(closed(one, changes=10_000))
    ended(writer, gate)
    found = {int(row.id, 16): row for row in kept(path)}
    assert (writer.dropped, writer.error, len(found)) == (0, None, QUEUED)
    assert (found[1].closed_ns, found[1].changes) == (closed(one).closed_ns, 10_000)
    assert found[1].explanation == one.explanation


class TestPut:
    def test_is_written_before_the_end(self, path):
        writer = StoreWriter(path)
        for number in range(600):
            writer.put(seen(number))
        writer.close(60)
        assert len(kept(path)) == 600
        assert (writer.dropped, writer.error) == (0, None)

    def test_is_written_soon_without_an_end(self, path):
        with closing(StoreWriter(path)) as writer:
            for number in range(3):
                writer.put(seen(number))
                wait_until(lambda: path.exists() and len(kept(path)) == number + 1)  # noqa: B023

    def test_a_flood_of_changes_loses_no_birth_and_no_death(self, path, gate):
        flood(path, gate)

    def test_what_is_put_while_the_same_is_written_is_written_too(self, path, gate):
        writer = StoreWriter(path)
        writer.put(seen(1))
        assert gate.came.wait(60)
        writer.put(closed(seen(1)))
        ended(writer, gate)
        (found,) = kept(path)
        assert (found.why, found.explanation) == ("gone", seen(1).explanation)

    def test_what_does_not_fit_is_counted(self, path, gate):
        """The thread has taken nothing off before it is written: exactly the bound fits."""
        writer = StoreWriter(path)
        for number in range(QUEUED + 100):
            writer.put(seen(number))
        assert writer.dropped == 100
        ended(writer, gate)
        assert {int(one.id, 16) for one in kept(path)} == set(range(QUEUED))

    def test_after_the_end_is_counted(self, path):
        writer = StoreWriter(path)
        writer.close()
        writer.put(seen(1))
        assert writer.dropped == 1
        writer.close()

    def test_what_cannot_be_kept_costs_nobody_else(self, path):
        writer = StoreWriter(path)
        for one in (seen(1), seen(2, net=1.5), seen(3)):
            writer.put(one)
        writer.close(60)
        assert {one.id for one in kept(path)} == {"00000001", "00000003"}
        assert writer.dropped == 1
        assert "'00000002' cannot be kept: net is '1.5'" in str(writer.error)


class TestAStoreThatCannotBeWritten:
    def test_is_said_and_tried_again(self, path):
        """A file lies where its directory should be; once it is gone, all that waited is written."""
        path.parent.write_text("")
        writer = StoreWriter(path)
        writer.put(seen(1))
        error = wait_until(lambda: writer.error)
        assert isinstance(error, StorageError)
        assert str(path) in str(error)
        assert error.hint
        writer.put(closed(seen(1)))
        path.parent.unlink()
        wait_until(path.exists)
        writer.close(60)
        (found,) = kept(path)
        assert (found.why, found.explanation, writer.dropped) == ("gone", seen(1).explanation, 0)

    def test_costs_what_was_put_and_nothing_else(self, path):
        path.parent.write_text("")
        writer = StoreWriter(path)
        for number in range(3):
            writer.put(seen(number))
        writer.close(60)
        assert writer.dropped == 3
        assert writer.error is not None
        assert path.parent.read_text() == ""

    def test_a_damaged_one_is_left_as_it_is_until_somebody_deletes_it(self, path):
        path.parent.mkdir()
        path.write_bytes(b"precious" * 1000)
        writer = StoreWriter(path)
        writer.put(seen(1))
        assert "delete it" in wait_until(lambda: writer.error).hint
        assert path.read_bytes() == b"precious" * 1000
        path.unlink()
        wait_until(lambda: path.exists() and kept(path) == [seen(1)])
        writer.close(60)

    def test_one_that_is_deleted_meanwhile_begins_anew(self, path):
        writer = StoreWriter(path)
        writer.put(seen(1))
        wait_until(lambda: path.exists() and len(kept(path)) == 1)
        store_module._remove(path)
        writer.put(seen(2))
        wait_until(lambda: path.exists() and kept(path) == [seen(2)])
        writer.close(60)
        assert "was removed or replaced" in str(writer.error)

    def test_the_end_does_not_wait_for_a_disk_that_hangs(self, path, gate):
        writer = StoreWriter(path)
        writer.put(seen(1))
        assert gate.came.wait(60)
        writer.close(0.01)
        assert writer.dropped == 1

    def test_one_that_another_process_holds_is_written_afterwards(self, path, monkeypatch):
        monkeypatch.setattr(store_module, "BUSY_S", 0.01)
        OpportunityStore(path).close()
        writer = StoreWriter(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writer.put(seen(1))
            assert "locked" in str(wait_until(lambda: writer.error))
            other.execute("ROLLBACK")
        wait_until(lambda: kept(path) == [seen(1)])
        writer.close(60)
        assert writer.dropped == 0


# ---- mutants ---------------------------------------------------------------------------------------------------------


class DropsTheNewest(StoreWriter):
    """A queue as any other: full is full."""

    def put(self, one):
        with self._lock:
            if len(self._queue) >= QUEUED:
                self.dropped += 1
                return
        super().put(one)


class KeepsTheFirst(StoreWriter):
    """What is queued stays as it is."""

    def put(self, one):
        with self._lock:
            if one.key in self._queue:
                return
        super().put(one)


class ForgetsTheBirth(StoreWriter):
    """What replaces the birth has no explanation."""

    def put(self, one):
        with self._lock:
            self._queue.pop(one.key, None)
        super().put(one)


class ForgetsWhatWasReplaced(StoreWriter):
    """What was put while the same was written is taken for written."""

    def _forget(self, batch):
        with self._lock:
            for one, _ in batch:
                self._queue.pop(one.key, None)


@pytest.mark.parametrize("mutant", [DropsTheNewest, KeepsTheFirst, ForgetsTheBirth])
def test_the_flood_catches(path, gate, mutant):
    """Else it proves nothing."""
    with pytest.raises(AssertionError):
        flood(path, gate, mutant)


def test_what_is_put_while_the_same_is_written_catches(path, gate, monkeypatch):
    """Else it proves nothing."""
    monkeypatch.setattr(StoreWriter, "_forget", ForgetsWhatWasReplaced._forget)
    with pytest.raises(AssertionError):
        TestPut().test_what_is_put_while_the_same_is_written_is_written_too(path, gate)
