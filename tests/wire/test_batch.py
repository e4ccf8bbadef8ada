"""A batch: groups of any size, every byte accounted for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.batch import Batch
from alphapulse_cli.wire.delta import IS_ASK, LEVEL_IS_NEW, BookReason, BookState, ChecksumState, RecordKind


@pytest.fixture
def batch():
    return Batch("BTC-USD", "kraken", 2, 8)


def rows(batch, count):
    """The group's records as numpy reads them."""
    return np.frombuffer(bytes(memoryview(batch.records)[: 256 * count]), delta.dtype())


def fill(batch, count):
    """`count` changes that differ from one another."""
    batch.clear()
    for i in range(count):
        batch.append(10**13 - i, i + 1 | (IS_ASK if i % 2 else 0) | (LEVEL_IS_NEW if i % 3 else 0))
    return batch.finish(RecordKind.DELTA, 11, 7, 6, -5, False)


class TestGroups:
    @pytest.mark.parametrize("changes", [1, 11, 12, 13, 16, 17, 24, 25, 1_000, 45_827])
    def test_a_group_takes_as_many_records_as_it_takes(self, batch, changes):
        """The ancestor dropped what was beyond 16 changes; here change i lies in record i // 12, and nothing is lost."""
        count = fill(batch, changes)
        assert count == -(-changes // 12)
        found = rows(batch, count)
        assert found["change_count"].tolist() == [12] * (count - 1) + [changes - 12 * (count - 1)]
        told = found["changes"].reshape(-1)
        assert told["price_ticks"][:changes].tolist() == [10**13 - i for i in range(changes)]
        assert (told["size_side"][:changes] & delta.SIZE_MASK).tolist() == list(range(1, changes + 1))
        assert not told[changes:].tobytes().strip(b"\0")

    def test_headers_say_the_same_in_all_records_but_for_first_and_last(self, batch):
        """One version, one time, one grid; FIRST and LAST hold the group together."""
        found = rows(batch, fill(batch, 30))
        assert [flags & (delta.FIRST | delta.LAST) for flags in found["flags"].tolist()] == [delta.FIRST, 0, delta.LAST]
        for name, value in [
            ("timestamp_ns", 11), ("symbol", b"BTC-USD"), ("exchange", b"kraken"), ("version", 7), ("prev_version", 6),
            ("price_decimals", 2), ("size_decimals", 8), ("feed_delay_us", -5),
        ]:  # fmt: skip
            assert set(found[name].tolist()) == {value}

    def test_nothing_of_an_earlier_group_is_left(self, batch):
        """A batch that held 45,827 changes writes a small group byte for byte as a new one does."""
        fill(batch, 45_827)
        for changes in (0, 1, 13, 25):
            fresh = Batch("BTC-USD", "kraken", 2, 8)
            count, expected = fill(batch, changes), fill(fresh, changes)
            assert bytes(batch.records[: 256 * count]) == bytes(fresh.records[: 256 * expected])

    def test_a_reset_is_one_record_without_changes(self, batch):
        """And is FIRST and LAST at once."""
        fill(batch, 40)
        batch.clear()
        assert batch.finish(RecordKind.RESET, 1, 2, 1, 0, True) == 1
        row = rows(batch, 1)[0]
        assert row["flags"] == RecordKind.RESET | delta.FIRST | delta.LAST | delta.RESYNCED
        assert row["change_count"] == 0
        assert not row["changes"].tobytes().strip(b"\0")

    def test_version_one_more_needs_no_clock(self, batch):
        """The ancestor took versions from the wall clock, so that no gap could be seen; here they are what they are given."""
        assert rows(batch, fill(batch, 1))[0]["version"] - rows(batch, fill(batch, 1))[0]["prev_version"] == 1

    @given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5))
    def test_changes_taken_back_were_never_there(self, kept, dropped, added):
        """As after a difference that had to be begun again."""
        batch, plain = Batch("A-B", "x", 0, 0), Batch("A-B", "x", 0, 0)
        for i in range(kept + dropped):
            batch.append(i, i)
        batch.take_back(kept)
        for i in range(kept):
            plain.append(i, i)
        for i in range(added):
            batch.append(-i, i)
            plain.append(-i, i)
        count = batch.finish(0, 1, 2, 1, 0, False)
        assert batch.change_count == kept + added
        assert plain.finish(0, 1, 2, 1, 0, False) == count
        assert bytes(batch.records[: 256 * count]) == bytes(plain.records[: 256 * count])

    def test_the_widest_change_fits(self, batch):
        """i64 ticks of either sign, 62-bit lots."""
        batch.append(-(1 << 63), delta.SIZE_MASK | IS_ASK | LEVEL_IS_NEW)
        batch.append((1 << 63) - 1, 0)
        told = rows(batch, batch.finish(0, 1, 1, 0, 0, False))[0]["changes"]
        assert told[:2].tolist() == [(-(1 << 63), (1 << 64) - 1), ((1 << 63) - 1, 0)]


class TestWords:
    def test_check_lies_as_drawn(self, batch):
        """Section 2: hash, level counts, the exchange's checksum, the state."""
        fill(batch, 40)
        assert batch.check(5, 9, (1 << 64) - 1, 45_827, 3, ChecksumState.OK, BookState.LIVE) == 1
        raw, at = bytes(batch.records[:256]), delta.offsets()
        row = rows(batch, 1)[0]
        assert (row["version"], row["prev_version"], row["change_count"]) == (9, 9, 0)
        assert row["flags"] == RecordKind.CHECK | delta.FIRST | delta.LAST
        assert row["feed_delay_us"] == delta.NO_FEED_DELAY
        assert raw[at["check.book_hash"] :][:8] == b"\xff" * 8
        assert int.from_bytes(raw[at["check.bid_levels"] :][:4], "little") == 45_827
        assert int.from_bytes(raw[at["check.ask_levels"] :][:4], "little") == 3
        assert raw[at["check.checksum"]] == ChecksumState.OK
        assert raw[at["check.state"]] == BookState.LIVE
        assert not raw[82:].strip(b"\0")

    def test_status_lies_as_drawn(self, batch):
        """State, reason, trading status."""
        fill(batch, 40)
        assert batch.status(5, 9, BookState.SYNCING, BookReason.BAD_CHECKSUM, TradingStatus.CANCEL_ONLY) == 1
        raw, at = bytes(batch.records[:256]), delta.offsets()
        assert rows(batch, 1)[0]["flags"] == RecordKind.STATUS | delta.FIRST | delta.LAST
        assert raw[at["status.state"]] == BookState.SYNCING
        assert raw[at["status.reason"]] == BookReason.BAD_CHECKSUM
        assert raw[at["status.trading_status"]] == TradingStatus.CANCEL_ONLY
        assert not raw[67:].strip(b"\0")


class TestRefusals:
    @pytest.mark.parametrize("symbol", ["A" * 17, "BTÇ-USD", "A\0B"])
    def test_a_name_that_does_not_fit_is_refused(self, symbol):
        """Never cut: two symbols would share one name."""
        with pytest.raises(ValueError, match="cannot name"):
            Batch(symbol, "kraken", 0, 0)

    def test_sixteen_bytes_fit(self):
        """With no NUL left."""
        batch = Batch("A" * 16, "B" * 16, 0, 0)
        assert rows(batch, fill(batch, 1))[0]["symbol"] == b"A" * 16

    @pytest.mark.parametrize("decimals", [(-1, 0), (0, 19)])
    def test_decimals_end_at_eighteen(self, batch, decimals):
        """What a record's readers can compute with."""
        with pytest.raises(ValueError, match="decimals"):
            batch.set_decimals(*decimals)

    def test_new_decimals_are_in_the_next_group(self, batch):
        """As after a RESET to a finer grid."""
        batch.set_decimals(5, 18)
        row = rows(batch, fill(batch, 1))[0]
        assert (row["price_decimals"], row["size_decimals"]) == (5, 18)
