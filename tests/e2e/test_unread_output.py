"""A standard output that nobody reads: what is lost is the lines, not the work, and not its end."""

import fcntl
import os
import signal
from termios import FIONREAD

from e2e_support import wait_for, wait_until_live, writer_pid

SMALLEST_PIPE = 4096


def test_a_demo_nobody_reads_starts_a_killed_collector_again_and_ends_when_told(alphapulse):
    """The pipe holds two seconds' lines; both ends stay open, and nothing is taken from it."""
    demo = alphapulse.start("demo", "--symbols", "BTC-USD,ETH-USD", "--json")
    fcntl.fcntl(demo.stdout, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE)
    wait_until_live(alphapulse.shm_dir, "kraken", ["BTC-USD"])
    full = []

    def stands_still():
        full.append(int.from_bytes(fcntl.ioctl(demo.stdout, FIONREAD, bytes(4)), "little"))
        return len(full) > 100 and full[-1] and full[-1] == full[-100]  # no line in two seconds, where there is one a second

    wait_for(stands_still, "a full pipe")
    first = writer_pid(alphapulse.shm_dir, "kraken")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: writer_pid(alphapulse.shm_dir, "kraken") not in (first, 0), "another collector")
    demo.terminate()
    assert demo.wait(20) == 0
