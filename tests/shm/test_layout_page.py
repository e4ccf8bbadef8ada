"""The header page: one table, and what derives from it."""

from alphapulse_cli.shm import histogram, layout
from alphapulse_cli.shm.block import BLOCK_BYTES, BLOCK_HEAD_WORDS
from alphapulse_cli.shm.counters import HISTOGRAMS, Counter
from alphapulse_cli.shm.layout import SegmentKind

ALL = (*layout.IDENTITY_FIELDS, *layout.SHARED_FIELDS, *layout.IMAGE_FIELDS, *layout.RULES_FIELDS, *layout.STATUS_FIELDS)
ALL += layout.CHECKPOINT_FIELDS


class TestTheHeaderPage:
    def test_fields_lie_one_after_another_inside_the_page_and_aligned(self):
        """No two fields share a byte, and a word never straddles two."""
        end = 0
        for field in ALL:
            assert field.offset >= end, field
            assert field.offset % 8 == 0
            end = field.offset + layout.TYPE_BYTES[field.type]
        assert end <= layout.HEADER_BYTES

    def test_each_shared_word_is_alone_on_its_pair_of_cache_lines(self):
        """Whoever polls `published` must not slow the store of `claimed`."""
        pairs = [field.offset // layout.CACHE_LINES_BYTES for field in layout.SHARED_FIELDS]
        assert len(set(pairs)) == len(pairs)
        assert [field.offset for field in layout.SHARED_FIELDS] == [256, 384, 512, 640, 768, 896]

    def test_an_image_copy_has_the_words_of_the_table_in_their_order(self):
        """ImageCopy is filled by position."""
        assert layout.ImageCopy._fields == (*(field.name for field in layout.IMAGE_FIELDS), "bids", "asks", "trading_status")

    def test_a_checkpoint_has_its_trading_status_where_the_live_book_has_it(self):
        """The same number of words behind `seq`."""
        (live,), kept = layout.STATUS_FIELDS, layout.CHECKPOINT_FIELDS[-1]
        assert (live.name, kept.name) == ("trading_status", "trading_status")
        assert live.offset - layout.IMAGE_FIELDS[0].offset == kept.offset - layout.CHECKPOINT_FIELDS[0].offset

    def test_rules_have_the_words_of_the_table_in_their_order(self):
        """Rules are filled by position, behind the grid that they are on."""
        assert layout.Rules._fields == ("price_decimals", "size_decimals", *(field.name for field in layout.RULES_FIELDS))

    def test_what_other_modules_say_again_is_the_same(self):
        """The size of a counters file depends on histograms and counters."""
        assert histogram.HISTOGRAM_BYTES == layout.HISTOGRAM_WORDS * 8
        assert len(HISTOGRAMS) == layout.HISTOGRAM_COUNT
        assert 8 * (len(Counter) + BLOCK_HEAD_WORDS) <= BLOCK_BYTES

    def test_file_sizes(self):
        """A ring is its header and records; a book holds four arrays."""
        assert layout.file_bytes(SegmentKind.DELTAS, 256, 16384) == 4096 + 4 * 1024 * 1024
        assert layout.file_bytes(SegmentKind.BOOK, 16, 1024) == 4096 + 4 * 16 * 1024

    def test_capacities_are_rounded_up_to_powers_of_two(self):
        assert [layout.round_capacity(n) for n in (0, 1, 2, 3, 1000, 1024, 1025)] == [1, 1, 2, 4, 1024, 1024, 2048]
