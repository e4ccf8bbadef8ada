"""All wanted sets, attached to and staying attached: sets that come later, successors, sets that are dropped, and the consumer loop."""

import pytest
from support.reader_sets import Writer, ladder

from alphapulse_cli.errors import NoSegment, StorageError, UsageError
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.flow.groups import GroupReader
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.readers.sets import LOOK_EVERY_NS, SetReaders
from alphapulse_cli.shm.layout import SegmentKind


def followers(directory, wanted=None, **options):
    return SetReaders(directory, wanted or Wanted(), lambda name, _, start: SetFollower(directory, name, start=start), **options)


class TestWhichSets:
    def test_nothing_there_is_an_error_only_where_something_is_needed(self, directory):
        with pytest.raises(NoSegment, match="nothing is collected"):
            followers(directory)
        assert followers(directory, needed=False).readers == {}

    def test_an_unknown_way_of_waiting_is_refused(self, directory):
        with Writer(directory), pytest.raises(UsageError, match="unknown way of waiting"):
            followers(directory, how="hope")

    def test_a_set_by_its_own_name_is_not_another_of_its_exchange(self, directory):
        with Writer(directory), Writer(directory, set_name="standby", exchange="kraken"):
            assert list(followers(directory, Wanted(frozenset({"kraken"}))).readers) == ["kraken", "standby"]
            assert list(followers(directory, Wanted(sets=frozenset({"kraken"}))).readers) == ["kraken"]

    def test_one_that_comes_later_is_read_from_its_first_record(self, directory):
        with Writer(directory) as first:
            sets = followers(directory)
            with Writer(directory, set_name="coinbase", exchange="coinbase") as later:
                later.snapshot(ladder(30))
                assert list(sets.readers) == ["kraken"]
                assert sets.look(10**18)
                assert list(sets.readers) == ["kraken", "coinbase"]
                assert sets.readers["coinbase"].poll(10**18).record_count == later.outlet.deltas.published > 0
            sets.close()
            assert first

    def test_it_looks_twice_a_second_at_most(self, directory):
        with Writer(directory):
            sets = followers(directory)
            assert [sets.look(10**18 + at) for at in (0, 1, LOOK_EVERY_NS - 1, LOOK_EVERY_NS)] == [True, False, False, True]

    def test_one_that_cannot_be_attached_to_is_tried_again(self, directory):
        tries = []

        def attach(name, _exchange, start):
            tries.append(start)
            if len(tries) == 1:
                raise StorageError("no memory")
            return GroupReader(directory, name, SegmentKind.DELTAS, start)

        with Writer(directory):
            sets = SetReaders(directory, Wanted(), attach, needed=False)
            assert sets.readers == {}
            sets.look_now()
            assert (list(sets.readers), tries) == (["kraken"], ["now", "oldest"])

    def test_one_that_is_dropped_is_attached_to_again_unless_for_good(self, directory):
        with Writer(directory), Writer(directory, set_name="other"):
            sets = followers(directory)
            sets.drop("kraken")
            sets.drop("other", for_good=True)
            sets.look_now()
            assert list(sets.readers) == ["kraken"]


class TestItems:
    def test_what_is_read_and_a_none_whenever_nothing_more_is_at_hand(self, directory):
        batches = [["a", "b"], [], ["c"], []]
        with Writer(directory):
            found = followers(directory, how="sleep").items(lambda _: batches.pop(0) if batches else [], wait_s=0.001)
            assert [next(found) for _ in range(5)] == ["a", "b", None, "c", None]

    def test_it_ends_after_so_long_though_nothing_comes(self, directory):
        with Writer(directory):
            assert list(followers(directory, how="sleep").items(lambda _: [], duration_s=0.05)) == []

    def test_a_reader_that_does_nothing_but_read_follows_restarts_and_new_sets(self, directory):
        seen = []

        def read(now_ns):
            return [(name, one.poll(now_ns).record_count) for name, one in sets.readers.items() if one.ring.lag or one.ring.ended]

        with Writer(directory) as writer:
            sets = followers(directory, how="sleep")
            writer.snapshot(ladder(10))
        with Writer(directory) as successor:
            successor.snapshot(ladder(20))
            for item in sets.items(read, duration_s=20.0):
                seen += [item] if item is not None else []
                if sets.readers["kraken"].groups.segment.epoch == successor.outlet.epoch and item is None:
                    break
            book = sets.readers["kraken"].books["BTC-USD"].book
            assert (book.bids(), book.asks()) == (successor.book().bids(), successor.book().asks())
        assert sum(count for _, count in seen) > 0
