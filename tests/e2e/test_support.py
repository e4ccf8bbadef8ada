"""What the other tests of this folder wait for is what they mean."""

import os
import signal

from support.e2e import book_writer, wait_until_live
from support.reader_sets import Writer, ladder
from support.shm_processes import child

import alphapulse_cli as ap
from alphapulse_cli.shm.directory import open_directory


class TestTheSuccessorsBookIsWaitedFor:
    def test_a_killed_collectors_image_is_not_the_successors(self, shm_dir):
        """That a demo was ended in this moment left a book without a bid: its collector had made its ring and no book yet."""
        with open_directory(shm_dir) as directory:
            with child("support.reader_sets:write_until_told", str(shm_dir), 1, ["BTC-USD"]) as first:
                first.line()
                pid = book_writer(shm_dir, "kraken", "BTC-USD")
                os.kill(pid, signal.SIGKILL)
                first.process.wait(10)
            with Writer(directory) as second:
                assert book_writer(shm_dir, "kraken", "BTC-USD") == os.getpid() != pid
                assert len(ap.Book("kraken", "BTC-USD", shm_dir=str(shm_dir)).read(1).bids) == 0
                second.snapshot(ladder(4))
                wait_until_live(shm_dir, "kraken", ["BTC-USD"], written_by=os.getpid())
