"""The store of opportunities: what is kept comes back, its bounds hold, and nobody's death or mischief costs what was committed.

Mutants of the hard properties stand beside them.
"""

import json
import os
import random
import sqlite3
import stat
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.campaigns import size
from support.seen_opportunities import JSON, closed, later, opportunities, seen
from support.shm_processes import child

from alphapulse_cli.edges.opportunities import record as rows
from alphapulse_cli.edges.opportunities import store as module
from alphapulse_cli.edges.opportunities.store import OpportunityStore, default_path
from alphapulse_cli.errors import StorageError, UsageError

IN_ONE_PLACE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "opportunities.sqlite"


@pytest.fixture
def store(path):
    with OpportunityStore(path) as opened:
        yield opened


def raw(path, *statements):
    """Straight into the file, past everything."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(*statement) if isinstance(statement, tuple) else connection.execute(statement)
        connection.commit()


def noise(count):
    """Text that no compression makes small; the same each time."""
    return random.Random(7).randbytes(count // 2).hex()


class TestWhatIsKeptComesBack:
    @settings(IN_ONE_PLACE, max_examples=size(50, 100))
    @given(one=opportunities())
    def test_every_field(self, one):
        assert rows.unpacked(rows.packed(one)) == one

    @settings(IN_ONE_PLACE, max_examples=size(15, 30))
    @given(some=st.lists(opportunities(born_ns=st.integers(0, 2**62)), max_size=5, unique_by=lambda one: one.key))
    def test_through_the_file(self, tmp_path, some):
        with TemporaryDirectory(dir=tmp_path) as empty, OpportunityStore(Path(empty) / "o.sqlite") as store:
            store.record(some)
            assert {one.key: one for one in store.rows()} == {one.key: one for one in some}

    def test_after_it_was_closed(self, path):
        with OpportunityStore(path) as store:
            store.record([seen(1)])
        with OpportunityStore(path, create=False) as store:
            assert store.rows() == [seen(1)]

    def test_the_last_told_holds(self, store):
        store.record([seen(1)])
        store.record([closed(later(seen(1), 5, net="9"))])
        (found,) = store.rows()
        assert (found.changes, found.net, found.why) == (5, "9", "gone")

    def test_the_explanation_of_the_birth_stays(self, store):
        store.record([seen(1), later(seen(1))])
        store.record([closed(seen(1))])
        assert store.rows()[0].explanation == seen(1).explanation
        store.record([seen(1, explanation={"new": 1})])
        assert store.rows()[0].explanation == {"new": 1}

    def test_one_identifier_in_two_places_is_two(self, store):
        store.record([seen(1, place="/a", net="1"), seen(1, place="/b", net="2")])
        assert [one.net for one in store.rows("/a")] == ["1"]
        assert len(store.rows()) == 2

    def test_a_place_whose_name_is_no_text(self, store):
        """Bytes that are no UTF-8 come from the system as lone surrogates."""
        store.record([seen(1, place="/tmp/\udcff")])
        assert store.rows("/tmp/\udcff")[0].place == store.find("last", "/tmp/\udcff").place == "/tmp/\\udcff"

    @pytest.mark.parametrize(
        "bad",
        [
            pytest.param({"net": 1.5}, id="float"),
            pytest.param({"net": "1e5"}, id="exponent"),
            pytest.param({"peak_net": "nan"}, id="nan"),
            pytest.param({"bps": ""}, id="empty"),
            pytest.param({"size": "٣"}, id="other digits"),
            pytest.param({"born_ns": 2**63}, id="too large"),
            pytest.param({"born_ns": None}, id="no birth"),
            pytest.param({"id": "\ud800"}, id="no text"),
            pytest.param({"why": "\x1b[2J"}, id="control characters"),
            pytest.param({"symbol": "x" * 5000}, id="too long"),
            pytest.param({"explanation": {"a": {1}}}, id="no JSON"),
            pytest.param({"explanation": {"a": float("nan")}}, id="no JSON number"),
        ],
    )
    def test_what_cannot_be_kept_is_refused_and_nothing_of_its_batch_is_kept(self, store, bad):
        with pytest.raises(ValueError, match="cannot be kept"):
            store.record([seen(1), seen(2, **bad)])
        assert store.rows() == []


class TestRows:
    @pytest.fixture(autouse=True)
    def some(self, store):
        store.record([seen(2, symbol="ETH-USD"), seen(1), seen(3, buy="coinbase", sell="binance"), seen(4, place="/b")])

    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            ({}, [4, 3, 2, 1]),
            ({"limit": 2}, [4, 3]),
            ({"limit": 0}, []),
            ({"place": "/b"}, [4]),
            ({"place": "/%"}, []),
            ({"since_ns": seen(3).born_ns}, [4, 3]),
            ({"since_ns": 10**30}, []),
            ({"since_ns": -(10**30)}, [4, 3, 2, 1]),
            ({"symbols": ["ETH-USD"]}, [2]),
            ({"symbols": ["ETH-USD", "BTC-USD"], "limit": 3}, [4, 3, 2]),
            ({"names": ["binance"]}, [3]),
            ({"names": ["kraken", "binance"], "symbols": ["BTC-USD"]}, [4, 3, 1]),
            ({"symbols": ["' OR 1=1 --"]}, []),
        ],
    )
    def test_newest_first_of_what_is_asked(self, store, asked, found):
        assert [int(one.id, 16) for one in store.rows(**asked)] == found

    def test_explanations_only_where_asked_for(self, store):
        assert all(one.explanation for one in store.rows())
        assert not any(one.explanation for one in store.rows(is_explained=False))


HOSTILE_IDS = ("abc%wxyz", "abc_wxyz", "abcdwxyz", "'; DROP ")
PREFIXES = [
    "a",
    "abc",
    "abc%",
    "abc_",
    "abcd",
    "%",
    "_",
    "'",
    "' OR 1=1 --",
    "",
    "\x00",
    "a\x00",
    "\ud800",
    "x" * 100_000,
    "ABC",
    "last",
]


def check_prefix(store, prefix):
    """As Python says it."""
    matching = [id for id in HOSTILE_IDS if prefix and id.startswith(prefix)]
    if prefix == "last":
        matching = [HOSTILE_IDS[-1]]
    try:
        found = [store.find(prefix).id]
    except UsageError as error:
        found = [id for id in HOSTILE_IDS if id in error.hint]
        assert len(found) != 1
        assert len(str(error)) < 200
    assert found == matching


def check_prefixes(store):
    for prefix in PREFIXES:
        check_prefix(store, prefix)


class TestFind:
    @pytest.fixture(autouse=True)
    def some(self, store):
        store.record([replace(seen(number), id=id) for number, id in enumerate(HOSTILE_IDS)])

    @pytest.mark.parametrize("prefix", PREFIXES)
    def test_any_unique_beginning(self, store, prefix):
        check_prefix(store, prefix)

    def test_with_its_explanation(self, store):
        assert store.find("abcd").explanation == seen(2).explanation

    def test_in_a_place(self, store):
        store.record([seen(9, place="/b")])
        assert store.find("0", "/b") == store.find("last", "/b") == seen(9, place="/b")
        with pytest.raises(UsageError, match="no opportunity 'abcd' was seen in /b"):
            store.find("abcd", "/b")

    def test_of_several_the_newest_are_named(self, store):
        store.record([seen(number) for number in range(10, 20)])
        with pytest.raises(UsageError, match="several opportunities begin with '0'") as told:
            store.find("0")
        assert told.value.hint.startswith("write more of the id: 00000013 (BTC-USD, kraken to coinbase, /dev/shm")
        assert told.value.hint.count("BTC-USD") == module.SHOWN_CANDIDATES
        assert told.value.hint.endswith(", …")

    def test_nothing_seen_yet(self, tmp_path):
        with (
            OpportunityStore(tmp_path / "o.sqlite") as empty,
            pytest.raises(UsageError, match="no opportunity was seen yet") as told,
        ):
            empty.find("last")
        assert "arb history" in told.value.hint

    @pytest.mark.parametrize(
        "statement",
        [
            pytest.param(module._MATCHES.replace("substr(id, 1, length(?2)) = ?2", "id LIKE ?2 || '%'"), id="wildcards"),
            pytest.param(module._MATCHES.replace("substr(id, 1, length(?2)) = ?2", "instr(id, ?2)"), id="anywhere"),
            pytest.param(module._MATCHES.replace("length(?2)", "3"), id="three characters"),
        ],
    )
    def test_the_prefixes_catch(self, monkeypatch, store, statement):
        """Else they prove nothing."""
        assert statement != module._MATCHES
        monkeypatch.setattr(module, "_MATCHES", statement)
        with pytest.raises(AssertionError):
            check_prefixes(store)


class TestRowsAreBounded:
    MOST = 50

    def fill(self, path):
        """More than the bound several times over, in batches of several sizes; the newest stay, never more than 10 % above."""
        with OpportunityStore(path, self.MOST) as store:
            number = 0
            for size in [1, 7, 49, 3, 200, 1, 1, 1, 2, 60, *[1] * 20]:
                store.record([seen(number + each) for each in range(size)])
                number += size
                kept = [int(one.id, 16) for one in store.rows()]
                assert len(kept) <= self.MOST * 11 // 10
                assert len(kept) >= min(number, self.MOST)
                assert kept == list(range(number - 1, number - 1 - len(kept), -1))

    def test_the_oldest_born_go(self, path):
        self.fill(path)

    def test_not_at_each_write(self, path):
        with OpportunityStore(path, self.MOST) as store:
            store.record([seen(number) for number in range(self.MOST)])
            counts = []
            for number in range(self.MOST, self.MOST + 12):
                store.record([seen(number)])
                counts.append(len(store.rows()))
        assert counts == [51, 52, 53, 54, 55, 50, 51, 52, 53, 54, 55, 50]

    def test_a_smaller_bound_holds_from_the_next_write(self, path):
        with OpportunityStore(path) as store:
            store.record([seen(number) for number in range(200)])
        with OpportunityStore(path, self.MOST) as store:
            store.record([seen(200)])
            assert len(store.rows()) == self.MOST

    @pytest.mark.parametrize(
        "statement",
        [
            pytest.param(module._DROP_OLDEST.replace("born_ns, rowid", "born_ns DESC"), id="drops the newest"),
            pytest.param("DELETE FROM seen WHERE ? < 0", id="drops none"),
            pytest.param("DELETE FROM seen WHERE ? > 0", id="drops all"),
        ],
    )
    def test_this_catches(self, monkeypatch, path, statement):
        """Else it proves nothing."""
        monkeypatch.setattr(module, "_DROP_OLDEST", statement)
        with pytest.raises(AssertionError):
            self.fill(path)


class TestBytesAreBounded:
    LARGE = noise(40_000)
    MOST_BYTES = module.LEAST_BYTES * 11 // 10

    def fill(self, path):
        """Ten times the bytes that are allowed; what is used never passes the bound, and the file in the end neither."""
        with OpportunityStore(path, 200) as store:
            for number in range(250):
                store.record([seen(number, explanation={"noise": f"{number}{self.LARGE}"})])
                assert store._used_bytes() <= self.MOST_BYTES
            assert store.rows()[0].id == seen(249).id
            assert len(store.rows()) >= 25  # 20,000 bytes each: not all was thrown away
            store.record([seen(number) for number in range(300, 530)])  # the large ones go
            assert path.with_name(path.name + "-wal").stat().st_size <= 2 * module.WAL_BYTES
        assert path.stat().st_size <= self.MOST_BYTES // 4

    def test_whatever_is_kept(self, path):
        self.fill(path)

    def test_one_that_is_larger_than_all_is_kept_alone(self, monkeypatch, path):
        monkeypatch.setattr(module, "LEAST_BYTES", 8192)
        with OpportunityStore(path, 1) as store:
            for number in range(3):
                store.record([seen(number, explanation={"noise": self.LARGE})])
                assert [one.id for one in store.rows()] == [seen(number).id]

    def test_nothing_is_given_back_without_the_vacuum(self, monkeypatch, path):
        """The mutant: the file keeps the size that it once had."""
        monkeypatch.setattr(module, "_VACUUM", "SELECT 1")
        with pytest.raises(AssertionError):
            self.fill(path)


class TestALargeExplanationIsCut:
    def test_one_that_fits_is_kept_whole(self, store):
        whole = {"asks": [["100", "1"]] * 5000, "note": "é"}
        store.record([seen(1, explanation=whole)])
        assert len(json.dumps(whole, separators=(",", ":"))) <= rows.EXPLANATION_BYTES
        assert store.find("last").explanation == whole

    def test_lists_keep_their_first_entries(self, store):
        """Levels from the best on; a level itself is never cut."""
        asks = [[f"{price}.000000000001", "1.5"] for price in range(3000)]
        whole = {"id": "x", "asks": asks, "legs": [{"bids": asks}], "sums": {"net": "1"}}
        store.record([seen(1, explanation=whole)])
        found = store.find("last").explanation
        assert found["cut_to"] == 1024
        assert found["cut_bytes"] == len(json.dumps(whole, separators=(",", ":")))
        assert found == {
            **whole,
            "asks": asks[:1024],
            "legs": [{"bids": asks[:1024]}],
            **{n: found[n] for n in ("cut_to", "cut_bytes")},
        }

    def test_what_no_cutting_of_lists_makes_small_is_left_out(self, store):
        store.record([seen(1, explanation={"text": "x" * 70_000})])
        assert store.find("last").explanation == {"cut_to": 0, "cut_bytes": 70_011}

    @settings(deadline=None, max_examples=size(20, 40))
    @given(JSON.map(lambda value: {"value": value}), st.integers(1, 3000))
    def test_never_more_than_64_kib(self, value, times):
        octets = rows._bounded({"many": [value] * times})
        assert len(octets) <= rows.EXPLANATION_BYTES
        found = json.loads(octets)
        assert found.get("many", []) == ([value] * times)[: found.get("cut_to", times)]


class TestTheFile:
    def test_is_for_its_owner_alone(self, path, store):
        old = os.umask(0)
        try:
            store.record([seen(1)])
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            assert {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()} == {0o600}
        finally:
            os.umask(old)
        assert {one.name for one in path.parent.iterdir()} == {path.name, f"{path.name}-wal", f"{path.name}-shm"}

    @pytest.mark.parametrize("umask", [0o000, 0o777])
    def test_whatever_the_umask(self, tmp_path, umask):
        (tmp_path / "d").mkdir()
        old = os.umask(umask)
        try:
            OpportunityStore(tmp_path / "d" / "o").close()
        finally:
            os.umask(old)
        assert stat.S_IMODE((tmp_path / "d" / "o").stat().st_mode) == 0o600

    def test_is_where_xdg_says(self):
        assert default_path({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == Path("/s/alphapulse/opportunities.sqlite")
        assert default_path({"XDG_STATE_HOME": "s", "HOME": "/h"}) == Path("/h/.local/state/alphapulse/opportunities.sqlite")
        assert default_path({"HOME": "/h"}) == Path("/h/.local/state/alphapulse/opportunities.sqlite")

    def test_is_not_made_by_a_reader(self, path):
        with pytest.raises(UsageError, match="no opportunities were kept yet") as told:
            OpportunityStore(path, create=False)
        assert "arb watch" in told.value.hint
        assert not path.parent.exists()

    @pytest.mark.parametrize("name", [":memory:", "file:x?mode=memory", "a b%20?#.sqlite"])
    def test_any_name_is_only_a_name(self, tmp_path, monkeypatch, name):
        monkeypatch.chdir(tmp_path)
        with OpportunityStore(Path(name)) as store:
            store.record([seen(1)])
        assert [one.name for one in tmp_path.iterdir()] == [name]

    def test_removed_or_replaced_is_not_written_to_in_vain(self, path, store):
        store.record([seen(1)])
        path.unlink()
        with pytest.raises(StorageError, match="was removed or replaced"):
            store.record([seen(2)])
        path.write_bytes(b"")
        with pytest.raises(StorageError, match="was removed or replaced"):
            store.record([seen(2)])


def refused(path, words=""):
    """The StorageError of opening it; it names the file, says what to do, and left all as it was."""
    with pytest.raises(StorageError) as told:
        OpportunityStore(path)
    assert str(path) in str(told.value)
    assert words in str(told.value)
    assert "--store" in told.value.hint
    return told.value


class TestWhatIsNoStoreIsRefused:
    @pytest.mark.parametrize(
        "octets",
        [b"", b"x", b"not a database\n" * 1000, b"SQLite format 3\0", bytes(range(255, -1, -1)) * 32],
        ids=["empty", "a letter", "prose", "cut short", "noise"],
    )
    def test_another_file(self, tmp_path, octets):
        path = tmp_path / "o"
        path.write_bytes(octets)
        assert "delete it" in refused(path).hint
        assert path.read_bytes() == octets

    def test_another_database(self, tmp_path):
        path = tmp_path / "o"
        raw(path, "CREATE TABLE cookies (name)")
        before = path.read_bytes()
        refused(path, "is not a store of opportunities")
        assert path.read_bytes() == before

    def test_a_newer_version(self, path):
        OpportunityStore(path).close()
        raw(path, f"PRAGMA user_version = {module.VERSION + 1}")
        refused(path, "has version 2; this alphapulse reads version 1")

    def test_without_its_table(self, path):
        OpportunityStore(path).close()
        raw(path, "DROP TABLE seen")
        refused(path, "is damaged, or not a store of opportunities: no such table")

    def test_a_link_to_a_good_one(self, path, tmp_path):
        OpportunityStore(path).close()
        (tmp_path / "link").symlink_to(path)
        refused(tmp_path / "link", "is a link")

    def test_a_link_to_nothing(self, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
        refused(tmp_path / "link", "is a link")
        assert not (tmp_path / "elsewhere").exists()

    def test_a_pipe_does_not_hang(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        refused(tmp_path / "pipe", "not a regular file")

    def test_a_directory(self, tmp_path):
        refused(tmp_path, "not a regular file")

    def test_another_users(self, monkeypatch, path):
        OpportunityStore(path).close()
        monkeypatch.setattr(os, "geteuid", lambda: 4242)
        refused(path, "belongs to uid")

    def test_a_directory_that_is_a_file(self, tmp_path):
        (tmp_path / "file").write_text("")
        refused(tmp_path / "file" / "o.sqlite", "Not a directory")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root writes into any directory")
    def test_a_directory_that_cannot_be_written(self, tmp_path):
        (tmp_path / "d").mkdir(mode=0o500)
        refused(tmp_path / "d" / "o.sqlite", "Permission denied")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root writes into any file")
    def test_a_file_that_cannot_be_written(self, path):
        OpportunityStore(path).close()
        path.chmod(0o400)
        path.parent.chmod(0o500)
        try:
            refused(path)
        finally:
            path.parent.chmod(0o700)

    @pytest.mark.parametrize(
        "damage",
        [
            pytest.param("UPDATE seen SET net = '1.x'", id="money"),
            pytest.param("UPDATE seen SET net = 1e300", id="exponent"),
            pytest.param("UPDATE seen SET born_ns = 'soon'", id="time"),
            pytest.param("UPDATE seen SET symbol = CAST(x'ff' AS TEXT)", id="no UTF-8"),
            pytest.param("UPDATE seen SET buy = x'00'", id="bytes"),
            pytest.param("UPDATE seen SET explanation = x'1234'", id="explanation"),
            pytest.param("UPDATE seen SET explanation = 'text'", id="explanation of text"),
        ],
    )
    def test_damaged_rows(self, path, store, damage):
        store.record([seen(1)])
        raw(path, damage)
        for question in (store.rows, lambda: store.find("last")):
            with pytest.raises(StorageError, match="damaged") as told:
                question()
            assert str(path) in str(told.value)
            assert "delete it" in told.value.hint

    @settings(IN_ONE_PLACE, max_examples=size(40, 80))
    @given(data=st.data())
    def test_damaged_anywhere(self, tmp_path, data):
        """Bytes flipped, or the end cut off: it says what it still knows, or a StorageError; never anything else."""
        good = tmp_path / "good"
        if not good.exists():
            with OpportunityStore(good) as store:
                store.record([seen(number) for number in range(60)])
        octets = bytearray(good.read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(octets) - 1) | st.integers(0, 120), max_size=20)):
            octets[place] ^= data.draw(st.integers(1, 255))
        bad = tmp_path / "bad"
        bad.write_bytes(octets[: data.draw(st.just(len(octets)) | st.integers(0, len(octets)))])
        try:
            with suppress(StorageError), OpportunityStore(bad) as store:
                for question in (store.rows, lambda: store.find("last"), lambda: store.record([seen(99)])):
                    with suppress(StorageError, UsageError):
                        question()
        finally:
            module._remove(bad)


class TestProcesses:
    BATCHES, SIZE = 20, 25

    def test_two_write_while_a_third_reads(self, path):
        """Every look sees whole batches of each writer, as many as before or more; in the end all of both."""
        children = [child("support.seen_opportunities:keep_batches", path, name, self.BATCHES, self.SIZE) for name in "ab"]
        with children[0] as one, children[1] as other, OpportunityStore(path) as store:
            told = dict.fromkeys(("/a", "/b"), -1)
            for writer in (one, other):
                writer.line()
            for writer in (one, other):
                writer.say()
            while min(told.values()) < self.BATCHES - 1:
                for place, writer in (("/a", one), ("/b", other)):
                    told[place] = writer.line()
                    found = store.rows(place)
                    assert len(found) % self.SIZE == 0
                    assert len(found) >= (told[place] + 1) * self.SIZE
            assert len(store.rows()) == 2 * self.BATCHES * self.SIZE

    def test_several_begin_it_at_once(self, path):
        """All open, all write, none is lost, and nothing is left beside it."""
        with ExitStack() as stack:
            started = [stack.enter_context(child("support.seen_opportunities:open_store", path)) for _ in range(4)]
            for one in started:
                one.line()
            for one in started:
                one.say()
            assert max(one.line() for one in started) == 4
            assert [one.process.wait(10) for one in started] == [0] * 4
        assert [one.name for one in path.parent.iterdir()] == [path.name]

    def test_killed_in_the_middle_of_writing(self, path):
        """Every batch that was told is there, whole, or one after it: never a part of one. Five deaths of one store."""
        size = 200
        for life in range(5):
            with child("support.seen_opportunities:keep_until_killed", path, life, size) as writer:
                for _ in range(4):
                    told = writer.line()
                writer.kill()
                told = max([told, *(json.loads(line) for line in writer.process.stdout if line.endswith("\n"))])
            with closing(sqlite3.connect(path)) as plain:
                assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            with OpportunityStore(path) as store:
                for place in range(life + 1):
                    found = store.rows(f"/{place}")
                    assert len(found) == size
                    assert len({one.changes for one in found}) == 1
                assert store.rows(f"/{life}")[0].changes in {told, told + 1}

    def killed_within_a_write(self, path, *, is_mutant=False):
        """Nothing of it is there, and all that was committed before is."""
        with child("support.seen_opportunities:stop_within_a_write", path, is_mutant) as writer:
            writer.line()
            writer.kill()
        with OpportunityStore(path, create=False) as store:
            assert store.rows() == [seen(number) for number in reversed(range(10))]
            store.record([seen(99)])
            assert len(store.rows()) == 11

    def test_killed_within_a_write(self, path):
        self.killed_within_a_write(path)

    def test_this_catches_a_store_without_transactions(self, path):
        """Else it proves nothing."""
        with pytest.raises(AssertionError):
            self.killed_within_a_write(path, is_mutant=True)

    def test_killed_before_the_file_had_its_name(self, path):
        with child("support.seen_opportunities:stop_before_linking", path) as maker:
            maker.line()
            assert not path.exists()
            maker.kill()
        with OpportunityStore(path) as store:
            store.record([seen(1)])
            assert store.rows() == [seen(1)]

    def test_another_that_holds_the_file_too_long(self, path, store, monkeypatch):
        store._connection.execute("PRAGMA busy_timeout = 1")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageError, match="locked") as told:
                store.record([seen(1)])
            assert "another process holds it" in told.value.hint
            assert store.rows() == []  # reading goes on
            other.execute("ROLLBACK")
        store.record([seen(1)])
        assert store.rows() == [seen(1)]
